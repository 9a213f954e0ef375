"""Predicting for a file: rows, columns and statuses stay where they are."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from seqchem.prediction import predict_file, predict_properties
from seqsuite.errors import UserError

FILE = """id,smiles,status
a,CCO,new
b,C1CC,old
c,CN,new
d,,old
e,"c1ccccc1",new
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    path.write_text(FILE)
    return path


def _read(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_kept_rows_stand_in_their_line(network: Any, file: Path) -> None:
    found = predict_file(network, file, ["logp"])
    rows = _read(found.save(file.with_name("out.csv")))
    assert [row["id"] for row in rows] == list("abcde")
    assert [row["input_status"] for row in rows] == ["new", "old", "new", "old", "new"]
    assert [row["status"] == "ok" for row in rows] == [True, False, True, False, True]
    assert [bool(row["predicted_logp"]) for row in rows] == [True, False, True, False, True]
    alone = predict_properties(network, ["CCO", "CN", "c1ccccc1"], ["logp"])["logp"].values
    given = [float(row["predicted_logp"]) for row in rows if row["predicted_logp"]]
    assert given == pytest.approx(alone, abs=1e-3)


def test_skipped_rows_are_told(network: Any, file: Path) -> None:
    found = predict_file(network, file, on_invalid="skip")
    rows = _read(found.save(file.with_name("out.csv")))
    assert [row["id"] for row in rows] == list("ace")
    assert found.predictions.rows == (2, 4, 6)
    assert [line for line, _ in found.left_out] == [3, 5]
    assert "2 rows were skipped; the first is row 3" in found.notes()[-1]


def test_an_error_names_the_rows(network: Any, file: Path) -> None:
    with pytest.raises(UserError, match=r"rows.csv: 2 rows cannot be used: line 3 \(.*line 5 \(empty\)") as told:
        predict_file(network, file, on_invalid="error")
    assert len(str(told.value).splitlines()) == 1


def test_a_file_without_any_molecule(network: Any, tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text("smiles\nC1CC\n")
    assert predict_file(network, path).predictions.ok.tolist() == [False]
    with pytest.raises(UserError, match="none is left"):
        predict_file(network, path, on_invalid="skip")


def test_salts_as_asked(network: Any, tmp_path: Path) -> None:
    path = tmp_path / "salt.csv"
    path.write_text("smiles\nCCCCN.Cl\n")
    whole = predict_properties(network, ["CCCCN"], ["logp"])["logp"].values
    largest = predict_file(network, path, ["logp"], salts="largest").predictions["logp"].values
    assert largest == pytest.approx(whole, abs=1e-5)
    assert "mixture" in predict_file(network, path, ["logp"], salts="refuse").predictions.status[0]


def test_columns_without_a_name_all_come_back(network: Any, tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text(",smiles,\n7,CCO,a\n8,CCN,b\n")
    found = predict_file(network, path)
    assert {name: cells for name, cells in found.columns.items() if name != "smiles"} == {
        "column_1": ["7", "8"], "column_3": ["a", "b"],
    }  # fmt: skip
