"""`seqchem import`: a published folder becomes a model; what does not fit is one line."""

from __future__ import annotations

import json

import pytest

from seqchem.cli import main
from seqsuite.models import create_model, load_model
from tests.chem.convert.conftest import INFERENCE, MOLECULES, Published


@pytest.fixture
def published(tmp_path):
    return Published(tmp_path / "published")


def test_a_published_folder_becomes_a_model(published, tmp_path, capsys):
    out = tmp_path / "model"
    assert main(["import", str(published.write()), str(out), "--json"]) == 0
    captured = capsys.readouterr()
    told = json.loads(captured.out)
    assert told["flags"]["properties"] == "qed, esol"
    assert (told["flags"]["activation"], told["flags"]["tokens"]) == ("gelu_tanh", len(MOLECULES))
    assert "seqchem: language selfies_v1, by config.json" in captured.err
    model = load_model(out)
    assert model.config.language == "selfies_v1"
    assert model.num_parameters() == told["parameters"]


def test_choices_reach_the_model(published, tmp_path, capsys):
    flags = [
        "--gelu",
        "gelu",
        "--language",
        "selfies",
        "--encoding",
        "none",
        "--ranges",
        "esol=-5:5",
        "--decimals",
        "2",
    ]
    assert main(["import", str(published.write(inference=None)), str(tmp_path / "m"), *flags]) == 0
    config = load_model(tmp_path / "m").config
    assert (config.activation, config.language, config.encoding) == ("gelu", "selfies", "none")
    assert list(config.number_formats) == ["esol"]
    assert (config.number_formats["esol"]["minimum"], config.number_formats["esol"]["decimals"]) == (-5, 2)
    assert "esol" in capsys.readouterr().out


def test_a_function_in_inference_json_is_told_and_not_run(published, tmp_path, capsys):
    mark = tmp_path / "mark"
    text = f"lambda x: open({str(mark)!r}, 'w')"
    folder = published.write(inference={**INFERENCE, "denormalization_fns": ["lambda x: x * 2", text]})
    assert main(["import", str(folder), str(tmp_path / "m")]) == 0
    err = capsys.readouterr().err
    assert "esol is not predicted: its denormalization_fns" in err
    assert "--ranges esol=MIN:MAX" in err
    assert not mark.exists()
    formats = load_model(tmp_path / "m").config.number_formats
    assert list(formats) == ["qed"]
    assert formats["qed"]["maximum"] == 2


def broken(name, content=None):
    """Return what damages a folder: a file removed, or written anew."""

    def damage(folder):
        (folder / name).unlink()
        if content is not None:
            (folder / name).write_text(content)

    return damage


FAULTS = {
    "no config": (broken("config.json"), [], "holds no config.json"),
    "no vocabulary": (broken("vocab.txt"), [], "holds no vocab.txt"),
    "no weights": (broken("pytorch_model.bin"), [], "holds none of model.safetensors"),
    "damaged config": (broken("config.json", "{"), [], "is not valid JSON"),
    "damaged inference": (broken("inference.json", "[1]"), [], "must hold an object"),
    "damaged weights": (broken("pytorch_model.bin", "text"), [], "pytorch_model.bin"),
    "vocabulary without [MASK]": (broken("vocab.txt", "[PAD]\n[UNK]\n|"), [], "[CLS]"),
    "range": (lambda folder: None, ["--ranges", "esol"], "name=minimum:maximum"),
    "decimals": (lambda folder: None, ["--decimals", "-1"], "--decimals is -1"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_does_not_fit_is_one_line(published, tmp_path, capsys, name):
    damage, flags, message = FAULTS[name]
    folder = published.write()
    damage(folder)
    assert main(["import", str(folder), str(tmp_path / "m"), *flags]) == 2
    err = capsys.readouterr().err.strip()
    assert message in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "m").exists()


def test_folders_that_are_not_what_is_needed(published, tmp_path, capsys):
    create_model("rt_debug", n_layer=1).save_pretrained(tmp_path / "own")
    cases = {
        (tmp_path / "own", tmp_path / "m"): "is a model of SeqSuite already",
        (tmp_path / "nothing", tmp_path / "m"): "does not exist",
        (published.write() / "vocab.txt", tmp_path / "m"): "is a file; give the folder",
        (published.folder, tmp_path / "own"): "is not empty; add --overwrite",
    }
    for (source, out), message in cases.items():
        assert main(["import", str(source), str(out)]) == 2
        err = capsys.readouterr().err.strip()
        assert message in err
        assert len(err.splitlines()) == 1
    assert main(["import", str(published.folder), str(tmp_path / "own"), "--overwrite"]) == 0
