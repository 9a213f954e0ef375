"""`seqchem evaluate` on the terminal: the run's own test rows, another file, generated molecules."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

import seqsuite
from seqchem.cli import main
from seqchem.tokenizers import NumberFormat, build_vocabulary

SMILES = [
    "CCO", "CCCCN", "c1ccccc1", "CC(=O)O", "CCCCCCCC", "CN", "CC(C)Cl", "OCCO", "c1ccncc1", "CC(=O)Nc1ccc(O)cc1",
    "CCOC(=O)C", "C1CCCCC1", "Clc1ccccc1", "CC(C)O", "NCCO", "Brc1ccccc1", "COc1ccccc1", "CCCl", "CC#N", "O=Cc1ccccc1",
]  # fmt: skip
PARTS = ["train"] * 12 + ["valid"] * 3 + ["test"] * 5


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of an untrained model, the file beside it that it was trained on, and its split."""
    torch.manual_seed(0)
    place = tmp_path_factory.mktemp("runs")
    source = place / "train.csv"
    lines = [f"{text},{len(text) / 4},{number}" for number, text in enumerate(SMILES)]
    source.write_text("\n".join(["smiles,logs,other", *lines, "C1CC,3.0,9"]) + "\n")
    model = seqsuite.create_model(
        "rt_debug",
        vocabulary=build_vocabulary(SMILES, "smiles", ["logs"]),
        language="smiles",
        number_formats={"logs": NumberFormat(0.5, 4.5).to_dict()},
    )
    folder = place / "logs"
    model.save_pretrained(folder / "model")
    (folder / "config.yaml").write_text(yaml.safe_dump({"source": str(source), "properties": ["logs"]}))
    rows = "\n".join(f"{number + 2},{part}" for number, part in enumerate(PARTS))
    (folder / "parts.csv").write_text(f"row,part\n{rows}\n")
    return folder


@pytest.fixture
def source(run: Path) -> Path:
    """The file that the run was trained on."""
    return run.parent / "train.csv"


def _measured(run: Path, *flags: str, capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    assert main(["evaluate", str(run), *flags, "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["properties"]
    return found


def test_the_runs_own_file_is_measured_on_its_test_rows(
    run: Path, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    found = _measured(run, str(source), "--out", str(out), capsys=capsys)
    assert (found["property"], found["rows"], found["rows_seen_in_training"]) == ("logs", 5, 0)
    with open(out / "predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["row"]) for row in rows] == [17, 18, 19, 20, 21]
    assert [float(row["measured"]) for row in rows] == [len(text) / 4 for text in SMILES[15:]]
    assert _measured(run, str(source), "--part", "train", capsys=capsys)["rows"] == 12
    assert _measured(run, str(source), "--part", "all", capsys=capsys)["rows"] == 20


def test_a_copy_of_the_file_is_the_file_and_another_is_not(
    run: Path, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy.csv"
    copy.write_bytes(source.read_bytes())
    assert _measured(run, str(copy), capsys=capsys)["rows"] == 5
    copy.write_text("smiles,logs\nCCO,1\nCCCCO,2\n")
    found = _measured(run, str(copy), capsys=capsys)
    assert (found["rows"], found["rows_seen_in_training"]) == (2, 1)


def test_baselines_see_the_training_rows_alone(run: Path, source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = _measured(run, str(source), "--baselines", capsys=capsys)
    models = {model["name"]: model for model in found["models"]}  # type: ignore[attr-defined]
    assert list(models)[1:] == [
        "training mean",
        "random forest, descriptors",
        "gradient boosting, descriptors",
        "random forest, Morgan",
        "gradient boosting, Morgan",
    ]
    assert {model["train_rows"] for name, model in models.items() if "Transformer" not in name} == {12}
    lengths = np.array([len(text) / 4 for text in SMILES])
    wanted = np.sqrt(np.mean((lengths[15:] - lengths[:12].mean()) ** 2))
    assert models["training mean"]["seeds"][0]["rmse"] == pytest.approx(wanted)


def test_other_columns_of_the_file_change_nothing(
    run: Path, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = _measured(run, str(source), "--baselines", capsys=capsys)
    changed = tmp_path / "changed.csv"
    lines = source.read_text().splitlines()
    changed.write_text("\n".join([lines[0], *(f"{line.rpartition(',')[0]},{len(line) ** 2}" for line in lines[1:])]))
    test = tmp_path / "test.csv"
    test.write_text("\n".join([lines[0], *changed.read_text().splitlines()[16:21]]))
    second = _measured(run, str(test), "--baselines", "--train", str(changed), capsys=capsys)
    for one, other in zip(first["models"], second["models"], strict=True):  # type: ignore[call-overload]
        assert one["seeds"] == other["seeds"]


def test_a_table_and_a_report_in_the_run(run: Path, source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(run), str(source), "--report"]) == 0
    told = capsys.readouterr().out
    assert told.splitlines()[0].split()[:3] == ["property", "model", "rows"]
    assert "invalid-number rate" in told
    assert f"5 test rows of {source}" in told
    written = {path.name for path in (run / "evaluation").iterdir()}
    assert written == {"evaluation.json", "predictions.csv", "parity.png", "report.html"}
    assert main(["evaluate", str(run), str(source), "--report"]) == 2
    assert "is not empty; add --overwrite" in capsys.readouterr().err


def test_generated_molecules_beside_the_file(
    run: Path, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = tmp_path / "made.csv"
    lines = ["CCO,1.0,1.1", "CCCCCF,2.0,2.5", "C1CC,2.5,", "CCCCCCCCCN,3.0,3.5"]
    made.write_text("\n".join(["sequence,asked_logs,obtained_logs", *lines]) + "\n")
    flags = ("--generated", str(made), "--out", str(tmp_path / "out"))
    assert main(["evaluate", str(run), str(source), *flags, "--on_invalid", "skip", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["valid"] == pytest.approx(3 / 4)
    assert found["novel"] == pytest.approx(2 / 3)
    assert found["asked"]["logs"]["spearman"] == pytest.approx(1)
    assert (tmp_path / "out" / "generated.html").is_file()
    assert main(["evaluate", str(run), str(source), *flags, "--baselines"]) == 2
    assert "leave out --baselines" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "match"),
    [
        (["--properties", "logz"], "Unknown property of this model 'logz'. Did you mean 'logs'?"),
        (["--properties", "logs=otter"], "has no column 'otter' (--properties). Did you mean 'other'?"),
        (["--on_invalid", "error", "--part", "all"], "line 22 (not SMILES: ring 1 is not closed)"),
        (["--seeds", "0"], "--seeds is 0; it must be at least 1"),
        (["--train", "nothing.csv", "--baselines"], "the run was trained on nothing.csv, which is not there"),
        (["--generated", "nothing.csv"], "cannot read nothing.csv"),
    ],
)
def test_bad_input_is_one_line(
    run: Path, source: Path, flags: list[str], match: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(run), str(source), *flags]) == 2
    told = capsys.readouterr().err
    assert match in told
    assert len(told.splitlines()) == 1


def test_files_that_do_not_fit(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other.csv"
    other.write_text("smiles,value\nCCO,1\n")
    for flags, match in (
        ([str(other)], "has no column of logs; say which it is with --properties logs=COLUMN"),
        ([str(other), "--properties", "logs=value", "--part", "test"], "is not the file that the run was trained on"),
        ([str(tmp_path / "none.csv")], "cannot read"),
    ):
        assert main(["evaluate", str(run), *flags]) == 2
        assert match in capsys.readouterr().err
    assert main(["evaluate", str(run / "model"), str(other), "--properties", "logs=value", "--baselines"]) == 2
    assert "the training rows are not known" in capsys.readouterr().err
    assert main(["evaluate", str(run / "model"), str(other), "--properties", "logs=value"]) == 0
