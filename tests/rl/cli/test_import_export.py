"""`seqrl import` and `seqrl export`: from files to a model that can play, and to transformers' layout."""

from __future__ import annotations

import json

import gymnasium
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from seqrl import convert
from seqrl.cli import main
from seqrl.data.episodes import Episodes
from seqrl.spaces import action_width, observation_width, space_from_json
from seqsuite.models import create_model, load_model


@pytest.fixture
def published(tmp_path):
    """A folder as transformers writes it, of a policy with the widths of Pendulum."""
    torch.manual_seed(0)
    model = create_model("decision_transformer_debug", observation_shape=(3,), action_dim=1)
    raw, tensors = convert.to_huggingface(model.state_dict(), model.config)
    folder = tmp_path / "published"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(raw))
    torch.save(tensors, folder / "pytorch_model.bin")
    return folder


def kzl_file(folder, path):
    """The same weights as the first authors' code stores them."""
    tensors = torch.load(folder / "pytorch_model.bin", weights_only=True)
    del tensors["encoder.wpe.weight"]
    torch.save({name.replace("encoder.", "transformer."): tensor for name, tensor in tensors.items()}, path)
    return path


def test_a_folder_of_transformers_becomes_a_policy(published, tmp_path, capsys):
    out = tmp_path / "model"
    statistics = ["--state_mean=0.5,-0.25,1", "--state_std=1,2,3"]
    assert main(["import", str(published), str(out), "--env_id", "Pendulum-v1", *statistics, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["family"], told["flags"]["return_scale"]) == ("Decision Transformer (transformers)", 1000.0)
    config = load_model(out).config
    assert (config.env_id, config.state_mean, config.state_std) == ("Pendulum-v1", (0.5, -0.25, 1.0), (1.0, 2.0, 3.0))
    assert observation_width(space_from_json(config.observation_space)) == 3
    assert action_width(space_from_json(config.action_space)) == 1
    assert (config.n_head, config.context, config.max_ep_len) == (2, 20, 50)


def test_both_layouts_are_the_same_function(published, tmp_path, capsys):
    path = kzl_file(published, tmp_path / "dt.pt")
    for source, out in ((published, "a"), (path, "b")):
        assert main(["import", str(source), str(tmp_path / out), "--n_head", "2", "--context", "7"]) == 0
    err = capsys.readouterr().err
    assert "spaces are not known" in err
    assert "mean and deviation of states are not known" in err
    one, other = load_model(tmp_path / "a"), load_model(tmp_path / "b")
    assert one.config == other.config
    given = (torch.randn(2, 7, 3), torch.randn(2, 7, 1), torch.randn(2, 7, 1), torch.arange(7).expand(2, -1))
    assert torch.equal(one(*given).actions, other(*given).actions)


def test_statistics_of_the_data_are_taken(published, tmp_path, monkeypatch):
    import seqrl.data.opening

    environment = gymnasium.make("Pendulum-v1")
    observations = np.random.default_rng(0).normal(3, 2, (40, 3)).astype(np.float32)
    ends = np.zeros(40, bool)
    ends[[19, 39]] = True
    episodes = Episodes(
        observations=observations, actions=np.zeros((40, 1), np.float32), rewards=np.ones(40), terminations=ends,
        truncations=np.zeros(40, bool), offsets=np.array([0, 20, 40]), final_observations=None, infos={},
        observation_space=environment.observation_space, action_space=environment.action_space, env_id="Pendulum-v1",
        env_spec="", reference=None, metadata={}, source="made",
    )  # fmt: skip
    monkeypatch.setattr(seqrl.data.opening, "open_episodes", lambda source: episodes)
    assert main(["import", str(published), str(tmp_path / "m"), "--data", "made", "--return_scale", "50"]) == 0
    config = load_model(tmp_path / "m").config
    np.testing.assert_allclose(config.state_mean, observations.mean(0), rtol=1e-5)
    np.testing.assert_allclose(config.state_std, observations.std(0) + 1e-6, rtol=1e-5)
    assert (config.env_id, config.return_scale) == ("Pendulum-v1", 50.0)


def test_an_export_is_what_was_imported(published, tmp_path, capsys):
    assert main(["import", str(published), str(tmp_path / "m"), "--env_id", "Pendulum-v1"]) == 0
    assert main(["export", str(tmp_path / "m"), str(tmp_path / "again")]) == 0
    assert "the layout has no place for env_id" in capsys.readouterr().err
    given = torch.load(published / "pytorch_model.bin", weights_only=True)
    found = load_file(tmp_path / "again" / "model.safetensors")
    assert found.keys() == given.keys()
    for name, tensor in given.items():
        assert torch.equal(found[name], tensor), name
    first, second = (json.loads((folder / "config.json").read_text()) for folder in (published, tmp_path / "again"))
    assert first == second


FAULTS = [
    ("missing key", lambda state: state.pop("encoder.h.0.attn.c_attn.bias"), [], "lacks encoder.h.0.attn.c_attn.bias"),
    ("surplus key", lambda state: state.update(extra=torch.ones(1)), [], "has unknown extra"),
    ("shape", lambda state: state.update({"predict_state.bias": torch.ones(2)}), [], "wrong shapes"),
    ("environment", None, ["--env_id", "CartPole-v1"], r"takes observations of shape (3,)"),
    ("actions", None, ["--env_id", "MountainCarContinuous-v0", "--format", "kzl"], "lacks"),
    ("no environment", None, ["--env_id", "Pendulun-v1"], "Pendulum-v1"),
    ("statistics", None, ["--state_mean=1,2", "--state_std=1,2"], "2 means of states for observations of shape (3,)"),
    ("one of two", None, ["--state_mean=1,2,3"], "--state_std 0"),
    ("scale", None, ["--return_scale", "0"], "--return_scale is 0"),
    ("layout", None, ["--format", "kzl-atari"], "lacks"),
    ("heads", None, ["--n_head", "3"], "num_heads must divide d_model, 16, not 3"),
]


@pytest.mark.parametrize(("damage", "flags", "message"), [fault[1:] for fault in FAULTS], ids=[f[0] for f in FAULTS])
def test_what_does_not_fit_is_one_line(published, tmp_path, capsys, damage, flags, message):
    if damage is not None:
        state = torch.load(published / "pytorch_model.bin", weights_only=True)
        damage(state)
        torch.save(state, published / "pytorch_model.bin")
    out = tmp_path / "m"
    assert main(["import", str(published), str(out), *flags]) == 2
    err = capsys.readouterr().err.strip()
    assert message in err
    assert len(err.splitlines()) == 1
    assert not out.exists()


def test_folders_that_are_not_what_is_needed(published, tmp_path, capsys):
    save = create_model("rate_debug")
    save.save_pretrained(tmp_path / "rate")
    cases = {
        ("import", tmp_path / "rate", tmp_path / "m"): "is a model of SeqSuite already",
        ("import", tmp_path / "nothing", tmp_path / "m"): "does not exist",
        ("import", published, tmp_path / "rate"): "is not empty; add --overwrite",
        ("export", published, tmp_path / "m"): "holds no model of SeqSuite",
        ("export", tmp_path / "rate", tmp_path / "m"): "holds a RATE",
    }
    for (verb, source, out), message in cases.items():
        assert main([verb, str(source), str(out)]) == 2
        err = capsys.readouterr().err.strip()
        assert message in err
        assert len(err.splitlines()) == 1
