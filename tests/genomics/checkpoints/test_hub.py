"""Hub ids, against a local endpoint laid out as the hub is."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

import seqsuite
from seqdna.checkpoints import import_checkpoint, verify_checkpoint
from seqsuite.errors import UserError
from seqsuite.models.published import fetch_published, is_hub_id


@pytest.fixture
def offered(hub, make, publish, tmp_path):
    """A repository with a safetensors and a bin file, a program and a card, and a branch with other weights."""
    folder = publish(tmp_path / "published", make(swap_halves=True))
    publish(folder, make(swap_halves=True), kind="bin")
    (folder / "modeling_caduceus.py").write_text("raise SystemExit('executed')")
    (folder / "README.md").write_text("a card")
    hub.add("owner/caduceus", folder)
    hub.add("owner/caduceus", publish(tmp_path / "second", make(seed=1)), "second")
    return hub


def run(endpoint: str, cache, *arguments: str) -> subprocess.CompletedProcess:
    """Run the program as a user does: huggingface_hub reads its variables when it is imported."""
    environment = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(cache), "OMP_NUM_THREADS": "1"}
    environment.pop("HF_HUB_OFFLINE", None)
    code = "import sys; from seqdna.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


def test_a_hub_id_is_imported_from_the_endpoint(offered, make, tokens, tmp_path):
    done = run(offered.endpoint, tmp_path / "cache", "import", "owner/caduceus", str(tmp_path / "ours"))
    assert done.returncode == 0, done.stderr
    assert "swap_halves=True" in done.stderr
    assert torch.equal(seqsuite.load_model(tmp_path / "ours")(tokens), make(swap_halves=True)(tokens))


def test_only_one_file_of_weights_and_no_program_is_downloaded(offered, tmp_path):
    folder = fetch_published("owner/caduceus", endpoint=offered.endpoint, cache_dir=tmp_path / "cache")
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
    asked = {path.rsplit("/", 1)[-1] for _, path in offered.requests if "/resolve/" in path}
    assert asked == {"config.json", "model.safetensors"}


def test_a_revision_is_the_one_that_is_read(offered, make, tokens, tmp_path):
    options = {"endpoint": offered.endpoint, "cache_dir": tmp_path / "cache"}
    import_checkpoint("owner/caduceus", tmp_path / "a", revision="second", **options)
    assert torch.equal(seqsuite.load_model(tmp_path / "a")(tokens), make(seed=1)(tokens))
    with pytest.raises(UserError, match=r"owner/caduceus: the hub has no revision 'third' of it"):
        import_checkpoint("owner/caduceus", tmp_path / "b", revision="third", **options)
    assert not (tmp_path / "b").exists()


def test_shards_are_fetched_together(hub, make, tokens, tmp_path):
    import json

    from safetensors.torch import save_file

    from seqdna.convert import config_to_published, to_published

    model = make()
    state = {name: tensor.clone() for name, tensor in to_published(model.state_dict(), model.config).items()}
    names, folder = sorted(state), tmp_path / "sharded"
    folder.mkdir()
    places = {name: f"model-0000{1 + number % 2}-of-00002.safetensors" for number, name in enumerate(names)}
    for shard in set(places.values()):
        save_file({name: state[name] for name in names if places[name] == shard}, folder / shard)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    (folder / "config.json").write_text(json.dumps(config_to_published(model.config)))
    hub.add("owner/sharded", folder)
    options = {"endpoint": hub.endpoint, "cache_dir": tmp_path / "cache"}
    import_checkpoint("owner/sharded", tmp_path / "ours", **options)
    assert torch.equal(seqsuite.load_model(tmp_path / "ours")(tokens), model(tokens))


def test_an_unknown_id_and_a_repository_without_weights_are_one_line(offered, tmp_path):
    done = run(offered.endpoint, tmp_path / "cache", "import", "owner/unknown", str(tmp_path / "ours"))
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "owner/unknown: is no folder here, and the hub has no such model" in done.stderr
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("no weights")
    offered.add("owner/empty", tmp_path / "empty")
    with pytest.raises(UserError, match=r"owner/empty: holds none of model\.safetensors, "):
        fetch_published("owner/empty", endpoint=offered.endpoint, cache_dir=tmp_path / "cache")


def test_without_a_network_it_is_one_line_and_what_was_fetched_is_found(offered, tmp_path):
    dead = "http://127.0.0.1:9"
    done = run(dead, tmp_path / "cache", "verify", "owner/caduceus")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "owner/caduceus: is no folder here, and the hub cannot be reached" in done.stderr
    fetched = fetch_published("owner/caduceus", endpoint=offered.endpoint, cache_dir=tmp_path / "kept")
    assert fetch_published("owner/caduceus", endpoint=dead, cache_dir=tmp_path / "kept") == fetched
    with pytest.raises(UserError, match="the hub cannot be reached"):
        fetch_published("owner/caduceus", revision="second", endpoint=dead, cache_dir=tmp_path / "kept")


def test_a_model_of_ours_on_the_hub_verifies(hub, make, tmp_path):
    make().save_pretrained(tmp_path / "ours")
    hub.add("owner/ours", tmp_path / "ours")
    options = {"endpoint": hub.endpoint, "cache_dir": tmp_path / "cache"}
    found = verify_checkpoint("owner/ours", length=64, **options)
    assert found.layout == "seqsuite"
    assert found.checksum == verify_checkpoint(tmp_path / "ours", length=64).checksum


def test_what_is_a_hub_id(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert is_hub_id("owner/name")
    assert not is_hub_id("name")
    assert not is_hub_id("/owner/name")
    assert not is_hub_id("a/b/c")
    (tmp_path / "owner" / "name").mkdir(parents=True)
    assert not is_hub_id("owner/name")
