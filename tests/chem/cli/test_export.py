"""`seqchem export`: a model in the layout of its authors."""

from __future__ import annotations

import json

import pytest
import torch

from seqchem.cli import main
from seqsuite.models import create_model
from tests.chem.convert.conftest import Published


@pytest.fixture
def own(tmp_path):
    """A model folder."""
    torch.manual_seed(0)
    formats = {"qed": {"minimum": 0.1, "maximum": 0.9}}
    create_model("rt_debug", n_layer=1, number_formats=formats).save_pretrained(tmp_path / "own")
    return tmp_path / "own"


@pytest.mark.parametrize(("weights", "name"), [("safetensors", "model.safetensors"), ("bin", "pytorch_model.bin")])
def test_a_model_in_the_published_layout(own, tmp_path, capsys, weights, name):
    out = tmp_path / "out"
    assert main(["export", str(own), str(out), "--weights", weights, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["flags"]["weights"] == name
    tables = {"config.json", "vocab.txt", "tokenizer_config.json", "special_tokens_map.json", "inference.json"}
    assert {path.name for path in out.iterdir()} == {name, *tables}
    inference = json.loads((out / "inference.json").read_text())
    assert inference["property_ranges"] == {"<qed>": [0.1, 0.9]}
    raw = json.loads((out / "config.json").read_text())
    assert (raw["model_type"], raw["use_numerical_encodings"], raw["vmax"]) == ("xlnet", True, 1.0)
    assert raw["pad_token_id"] == (out / "vocab.txt").read_text().split("\n").index("[PAD]")


def test_a_round_trip_through_the_commands(tmp_path):
    published = Published(tmp_path / "published")
    assert main(["import", str(published.write()), str(tmp_path / "m")]) == 0
    assert main(["export", str(tmp_path / "m"), str(tmp_path / "out"), "--weights", "bin"]) == 0
    found = torch.load(tmp_path / "out" / "pytorch_model.bin", weights_only=True)
    assert found.keys() == published.state.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in published.state.items())
    for name in ("config.json", "inference.json"):
        first, second = (json.loads((tmp_path / place / name).read_text()) for place in ("published", "out"))
        assert first == second


def test_models_without_this_layout(own, tmp_path, capsys):
    create_model("rt_debug", n_layer=1, mixer="attention").save_pretrained(tmp_path / "masked")
    create_model("mamba_lm_debug").save_pretrained(tmp_path / "mamba")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("")
    cases = {
        ("masked", "out"): "the published layout has XLNets only",
        ("mamba", "out"): "no Regression Transformer",
        ("nothing", "out"): "holds no model of SeqSuite",
        ("own", "full"): "is not empty; add --overwrite",
    }
    for (source, out), message in cases.items():
        assert main(["export", str(tmp_path / source), str(tmp_path / out)]) == 2
        err = capsys.readouterr().err.strip()
        assert message in err
        assert len(err.splitlines()) == 1
    assert not (tmp_path / "out").exists()
