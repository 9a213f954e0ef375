"""`seqchem predict` on the terminal; bad input is one line and exit code 2."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import torch
import yaml

import seqsuite
from seqchem.cli import main
from seqchem.tokenizers import NumberFormat, build_vocabulary, encode_selfies

SMILES = ["CCO", "CCN", "c1ccccc1", "CC(=O)O", "CCCC"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of an untrained model with a calibration."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("runs") / "logs"
    vocabulary = build_vocabulary([encode_selfies(text) for text in SMILES], "selfies", ["logs", "logd"])
    formats = {"logs": NumberFormat(-11.6, 1.6).to_dict(), "logd": NumberFormat(-1.5, 4.5).to_dict()}
    model = seqsuite.create_model("rt_debug", vocabulary=vocabulary, language="selfies", number_formats=formats)
    model.save_pretrained(folder / "model")
    (folder / "config.yaml").write_text(yaml.safe_dump({"source": "train.csv"}))
    levels = {"0.9": {"scale": 2.0, "coverage": 0.875, "enough_rows": True}}
    known = {"logs": {"decode": "independent", "point": "mean", "rows": 40, "rmse": 1.5, "levels": levels}}
    (folder / "calibration.json").write_text(json.dumps(known))
    return folder


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "new.csv"
    path.write_text("name,SMILES\none,CCO\ntwo,C1CC\nthree,c1ccccc1\n")
    return path


def _rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_a_table_in_and_a_table_out(run: Path, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = file.with_name("out.csv")
    assert main(["predict", str(run), str(file), "--out", str(out)]) == 0
    rows = _rows(out)
    assert [row["name"] for row in rows] == ["one", "two", "three"]
    assert list(rows[0]) == [
        *("name", "SMILES", "predicted_logs", "std_logs", "low_logs", "high_logs"),
        *("predicted_logd", "std_logd", "low_logd", "high_logd", "status", "warnings"),
    ]
    value, std, low, high = (float(rows[0][f"{name}_logs"]) for name in ("predicted", "std", "low", "high"))
    assert (value - low, high - value) == pytest.approx([2 * (std + 0.0132)] * 2, rel=1e-3)
    told = capsys.readouterr().out
    assert "logs: trained on -11.6 to 1.6; 90% intervals, which covered 87.5% of the validation rows" in told
    assert "logd: trained on -1.5 to 4.5; 90% intervals are not calibrated" in told
    assert "1 of 3 rows were not predicted" in told


def test_machines_get_counts_and_a_page_is_written(run: Path, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = file.with_name("out.csv")
    flags = ("--properties", "logd", "--out", str(out), "--on-invalid", "skip", "--report", "--json")
    assert main(["predict", str(run), str(file), *flags]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["rows"], told["predicted"], told["skipped"]) == (2, 2, 1)
    assert "predicted_logs" not in _rows(out)[0]
    assert "Predictions of Regression Transformer logs" in out.with_suffix(".html").read_text()
    assert main(["predict", str(run), str(file), *flags]) == 2
    assert "out.csv exists; add --overwrite" in capsys.readouterr().err
    assert main(["predict", str(run), str(file), *flags, "--overwrite"]) == 0


@pytest.mark.parametrize(
    ("flags", "match"),
    [
        (["--properties", "logz"], "Unknown property of this model 'logz'. Did you mean 'logs' or 'logd'?"),
        (["--properties", "qed"], "Unknown property of this model 'qed'. Known: logd, logs."),
        (["--on_invalid", "error"], "new.csv: 1 row cannot be used: line 3 (not SMILES: ring 1 is not closed)"),
        (["--sequence_column", "smile"], "has no column 'smile' (--sequence_column). Did you mean 'SMILES'?"),
        (["--out", "result.txt"], "--out result.txt: give a file that ends in .csv"),
        (["--out", "nowhere/result.csv"], "there is no folder nowhere"),
        (["--batch_size", "0"], "--batch_size is 0; it must be at least 1"),
        (["--beams", "0"], "--beams is 0"),
        (["--level", "1.5"], "--level is 1.5; it must lie between 0 and 1"),
        (["--device", "tpu7"], "device 'tpu7' cannot be used here"),
    ],
)
def test_bad_input_is_one_line(
    run: Path, file: Path, flags: list[str], match: str, capsys: pytest.CaptureFixture[str]
) -> None:
    place = [] if "--out" in flags else ["--out", str(file.with_name("out.csv"))]
    assert main(["predict", str(run), str(file), *place, *flags]) == 2
    told = capsys.readouterr().err
    assert match in told
    assert len(told.splitlines()) == 1
    assert not file.with_name("out.csv").exists()


def test_files_and_folders_that_are_none(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seqsuite.create_model("mamba_lm_debug").save_pretrained(tmp_path / "lm")
    seqsuite.create_model("rt_debug").save_pretrained(tmp_path / "bare")
    (tmp_path / "x.csv").write_text("smiles\nCCO\n")
    (tmp_path / "empty.csv").write_text("smiles\n")
    out = ["--out", str(tmp_path / "out.csv")]
    for folder, file, match in (
        (tmp_path / "nothing", "x.csv", "there is no such folder"),
        (tmp_path, "x.csv", "holds no model"),
        (tmp_path / "lm", "x.csv", "no Regression Transformer"),
        (tmp_path / "bare", "x.csv", "trained on no property"),
        (run, "y.csv", "cannot read"),
        (run, "empty.csv", "holds no rows"),
    ):
        assert main(["predict", str(folder), str(tmp_path / file), *out]) == 2
        told = capsys.readouterr().err
        assert match in told
        assert len(told.splitlines()) == 1
