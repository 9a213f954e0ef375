"""`seqchem finetune`: what it leaves behind, what it prints, and that it learns."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from seqchem.chemistry.scaffolds import scaffold
from seqchem.cli import main
from seqsuite.models import load_model


@pytest.fixture
def words(molecule_table: Path, tmp_path: Path) -> Callable[..., list[str]]:
    """Make the words of a command of a few steps."""

    def made(*more: str, source: Path | None = None, verb: str = "finetune") -> list[str]:
        known = {"--model": "rt_debug", "--steps": "4", "--batch_size": "8", "--threads": "1", "--accelerator": "cpu"}
        known |= {"--alternate": "2"} if verb == "finetune" else {}
        known |= {"--out": str(tmp_path / "run"), "--model_options.d_model": "16", "--model_options.n_layer": "1"}
        if "--start" in more:
            known = {flag: value for flag, value in known.items() if "model" not in flag}
        given = dict(zip(more[::2], more[1::2], strict=True))
        pairs = {**known, **given}
        return [verb, str(source or molecule_table), *(word for pair in pairs.items() for word in pair)]

    return made


def test_a_run_leaves_what_the_next_commands_need(words, molecule_table, tmp_path, capsys):
    assert main(words("--properties", "weight,other", "--split", "scaffold")) == 0
    shown = capsys.readouterr()
    for said in ("valid", "test", "rmse of the mean", "report.html", "seqchem predict", "--goal weight=VALUE"):
        assert said in shown.out
    assert "other: 18 of 70 rows have no value" in shown.err
    run = tmp_path / "run"
    names = ("model/config.json", "model/model.safetensors", "parts.csv", "calibration.json", "predictions.csv")
    for name in (*names, "metrics.csv", "report.html", "summary.json", "config.yaml", "inputs.json"):
        assert (run / name).is_file(), name
    with open(molecule_table, newline="") as file:
        table = dict(enumerate(csv.DictReader(file), 2))
    with open(run / "parts.csv", newline="") as file:
        parts = {int(row["row"]): row["part"] for row in csv.DictReader(file)}
    assert parts.keys() == table.keys()
    homes: dict[str, set[str]] = {}
    for row, part in parts.items():
        homes.setdefault(scaffold(table[row]["smiles"]), set()).add(part)
    assert all(len(home) == 1 for home in homes.values())
    config = json.loads((run / "model" / "config.json").read_text())
    for name in ("weight", "other"):
        trained = [float(table[row][name]) for row, part in parts.items() if part == "train" and table[row][name]]
        form = config["number_formats"][name]
        assert (form["minimum"], form["maximum"]) == (min(trained), max(trained))
    assert config["language"] == "selfies"
    assert config["metadata"]["columns"] == {"weight": "weight", "other": "other"}
    assert sum(config["metadata"]["sequence_lengths"].values()) == list(parts.values()).count("train")
    calibration = json.loads((run / "calibration.json").read_text())
    assert set(calibration) == {"weight", "other"}
    with open(run / "predictions.csv", newline="") as file:
        for row in csv.DictReader(file):
            assert parts[int(row["row"])] == row["part"] != "train"
            assert float(row["measured"]) == float(table[int(row["row"])][row["property"]])
    assert "data:image" in (run / "report.html").read_text()


def test_the_scores_are_those_of_the_written_predictions(words, tmp_path, capsys):
    assert main(words("--properties", "weight", "--json", "true", "--steps", "2")) == 0
    found = json.loads(capsys.readouterr().out)
    with open(tmp_path / "run" / "predictions.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["part"] == "test"]
    errors = [float(row["measured"]) - float(row["predicted"]) for row in rows]
    (score,) = [score for score in found["scores"] if score["part"] == "test"]
    assert score["rows"] == len(rows) == 7
    assert score["rmse"] == pytest.approx(np.sqrt(np.mean(np.square(errors))), rel=1e-5)


@pytest.mark.parametrize("language", ["smiles", "selfies_v1"])
def test_it_learns(words, tmp_path, capsys, language):
    """A property that can be read off the text is predicted better than its mean in a few hundred steps."""
    more = ("--steps", "300", "--task", "property", "--lr", "5e-3", "--model_options.d_model", "32", "--leading", "0")
    where = ("--split_sizes", "0.7,0,0.3", "--batch_size", "16", "--language", language, "--log_every", "300")
    assert main(words("--properties", "weight", *more, *where, "--json", "true")) == 0
    (score,) = json.loads(capsys.readouterr().out)["scores"]
    assert score["rmse"] < 0.85 * score["rmse of the mean"]
    assert score["invalid"] < 1  # digits, of the right places, without any grammar


@pytest.mark.parametrize("mixer", ["mamba", "hyena", "attention"])
def test_other_mixers_train_masked(words, tmp_path, mixer):
    assert main(words("--properties", "weight", "--model_options.mixer", mixer)) == 0
    config = json.loads((tmp_path / "run" / "model" / "config.json").read_text())
    assert config["mixer"] == mixer


def test_labels_are_classes(words, tmp_path, capsys):
    assert main(words("--properties", "heavy", "--split_sizes", "0.5,0.2,0.3")) == 0
    shown = capsys.readouterr()
    assert "roc_auc" in shown.out
    assert "labels" in shown.err
    form = json.loads((tmp_path / "run" / "model" / "config.json").read_text())["number_formats"]["heavy"]
    assert (form["decimals"], form["normalized"]) == (0, False)


def test_the_only_column_of_numbers_is_taken(words, write_table, molecules, capsys):
    path = write_table(("smiles", "name", "expt"), [(text, "x", index) for index, text in enumerate(molecules)])
    assert main(words(source=path)) == 0
    assert "in 56 training rows, steps of" in capsys.readouterr().err


def test_parts_from_columns_files_and_other_runs(words, write_table, molecules, tmp_path, capsys):
    rows = [(text, index, ("train", "train", "val", "test")[index % 4]) for index, text in enumerate(molecules)]
    whole = write_table(("smiles", "y", "split"), rows, name="whole.csv")
    assert main(words("--properties", "y", source=whole)) == 0
    assert "parts (given): 36 train, 17 valid, 17 test" in capsys.readouterr().err
    files = {
        part: write_table(("smiles", "y"), [row[:2] for row in rows if row[2] == part], name=f"{part}.csv")
        for part in ("train", "val", "test")
    }
    more = ("--valid", str(files["val"]), "--test", str(files["test"]), "--out", str(tmp_path / "files"))
    assert main(words("--properties", "y", *more, source=files["train"])) == 0
    assert "parts (given): 36 train, 17 valid, 17 test" in capsys.readouterr().err
    assert (tmp_path / "files" / "parts.csv").read_text().startswith("row,part,file\n2,train,train.csv\n")
    more = ("--split_file", str(tmp_path / "run" / "parts.csv"), "--out", str(tmp_path / "again"))
    assert main(words("--properties", "y", *more, source=whole)) == 0
    assert (tmp_path / "again" / "parts.csv").read_text() == (tmp_path / "run" / "parts.csv").read_text()
    leaking = write_table(("smiles", "y"), [row[:2] for row in rows if row[2] == "test"][:3] + rows[0:1], name="l.csv")
    leaking.write_text(leaking.read_text().replace(",train", ""))
    more = ("--test", str(files["test"]), "--out", str(tmp_path / "leak"), "--split_sizes", "1,0,1")
    with leaking.open("a") as file:
        file.write("CCCCCCCCO,1\nCCCCCCCCN,2\n")
    assert main(words("--properties", "y", *more, source=leaking)) == 0
    assert "3 rows left out of a part because a later part holds the same sequence" in capsys.readouterr().err


def test_going_on_from_a_pretrained_run(words, write_table, molecules, tmp_path, capsys):
    few = write_table(("smiles",), [(text,) for text in molecules[:20]], name="few.csv")
    pretrained = str(tmp_path / "pretrained")
    assert main(words("--out", pretrained, "--alphabet", "false", source=few, verb="pretrain")) == 0
    assert main(words("--start", pretrained, "--properties", "weight", "--steps", "1", "--lr", "0")) == 0
    before, after = (load_model(Path(folder) / "model") for folder in (pretrained, tmp_path / "run"))
    known = before.config.vocabulary
    assert after.config.vocabulary[: len(known)] == known
    assert "<weight>" in after.config.vocabulary[len(known) :]
    assert before.config.d_model == after.config.d_model == 16
    for token in ("[C]", "[O]", "|"):
        index = known.index(token)
        assert (before.word_embedding.weight[index] == after.word_embedding.weight[index]).all()
    assert list(after.config.number_formats) == ["weight"]


def test_a_start_keeps_the_numbers_it_knows(words, write_table, molecules, tmp_path, capsys):
    wide = write_table(
        ("smiles", "y"), [(text, 10 * index - 100) for index, text in enumerate(molecules)], name="w.csv"
    )
    narrow = write_table(("smiles", "y"), [(text, index + 0.5) for index, text in enumerate(molecules)], name="n.csv")
    first = str(tmp_path / "first")
    assert main(words("--out", first, "--properties", "y", source=wide, verb="pretrain")) == 0
    assert main(words("--start", first, "--properties", "y", "--steps", "1", source=narrow)) == 0
    assert "y: numbers as in --start" in capsys.readouterr().err
    formats = [
        json.loads((folder / "model" / "config.json").read_text())["number_formats"]["y"]
        for folder in (tmp_path / "first", tmp_path / "run")
    ]
    assert formats[0] == formats[1]


def test_proteins(words, write_table, tmp_path):
    rng = np.random.default_rng(0)
    rows = [("".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWY"), rng.integers(8, 20))), index % 2) for index in range(40)]
    path = write_table(("sequence", "label"), rows)
    assert main(words("--split", "identity", source=path)) == 0
    config = json.loads((tmp_path / "run" / "model" / "config.json").read_text())
    assert config["language"] == "protein"


def test_what_is_left_out_is_told(words, molecule_table, capsys, tmp_path):
    with molecule_table.open("a") as file:
        file.write("C1CC,1,1,1,x\nOCC,4,1,0,y\n" + "C" * 80 + ",3,1,0,z\n")
    more = ("--on_invalid", "skip", "--max_length", "60")
    assert main(words("--properties", "weight", *more)) == 0
    told = capsys.readouterr().err
    assert "line 72 (not SMILES: ring 1 is not closed); they are left out" in told
    assert "1 rows repeat the sequence of another row" in told
    assert "1 rows left out, longer than 60 tokens (line 74)" in told
    assert "74,left out" in (tmp_path / "run" / "parts.csv").read_text()


def test_the_options_stand_in_the_run(words, tmp_path):
    assert main(words("--properties", "weight", "--sc_weight", "0.5", "--max_minutes", "0.0001")) == 0
    options = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert options["sc_weight"] == 0.5
    assert options["properties"] == ["weight"]
    assert not (tmp_path / "run" / "model").exists()
    assert main([*words("--properties", "weight", "--sc_weight", "0.5"), "--resume"]) == 0
    assert (tmp_path / "run" / "model").is_dir()


def test_real_solubilities_in_seconds(words, real_data, tmp_path, capsys):
    path = real_data / "chem" / "freesolv.csv.gz"
    assert main(words("--properties", "expt", "--split", "scaffold", "--json", "true", source=path)) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["data"]["train rows"] == 513
    assert [score["rows"] for score in found["scores"]] == [64, 65]
    assert found["scores"][1]["rmse of the mean"] == pytest.approx(4.46, abs=0.005)
