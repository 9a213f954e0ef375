"""benchmarks/molecule_*.py: pieces are kept from call to call, every model sees the same rows, and ties are counted."""

from __future__ import annotations

import csv
import gzip
import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

CHAINS = ("C", "CC", "CCO", "CCN", "CCCl", "COC", "CC(C)C", "C=C", "CC#N", "CC(=O)O")
RINGS = ("c1ccccc1", "c1ccncc1", "C1CCCCC1", "c1ccsc1", "C1CCOC1", "c1ccc2ccccc2c1")
MOLECULES = [f"{ring}{chain}" for chain in CHAINS for ring in RINGS]


@pytest.fixture
def program(root: Path) -> Iterator[Callable[[str], ModuleType]]:
    sys.path.insert(0, str(root / "benchmarks"))
    yield importlib.import_module
    sys.path.remove(str(root / "benchmarks"))


def write(path: Path, header: str, lines: list[str]) -> None:
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.write("\n".join([header, *lines]) + "\n")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    write(folder / "moses_train_250k.csv.gz", "SMILES", MOLECULES[:50])
    write(folder / "moses_test_20k.csv.gz", "SMILES", MOLECULES[50:])
    rows = [f"name,{number / 7:.3f},{smiles},{-number}" for number, smiles in enumerate(MOLECULES)]
    write(folder / "freesolv.csv.gz", "iupac,expt,smiles,calc", rows)
    return folder


@pytest.mark.slow
def test_qed_goes_on_where_it_stopped(program: Callable[[str], ModuleType], data: Path, tmp_path: Path) -> None:
    qed, work = program("molecule_qed"), tmp_path / "work"
    words = ["--rows", "50", "--test_rows", "10", "--steps", "2", "--each", "1", "--trees", "2", "--data", str(data)]
    words += ["--work", str(work)]
    first = qed.run(qed.parse([*words, "--only", "data", "pretrain", "finetune"]))
    assert first["missing"] == ["predict", "generate", "forest"]
    marks = {path: path.stat().st_mtime_ns for path in work.rglob("model.safetensors")}
    assert len(marks) == 2
    second = qed.run(qed.parse(words))
    assert second["complete"]
    assert all(path.stat().st_mtime_ns == time for path, time in marks.items())
    assert second["finetune"] == first["finetune"]
    assert second["generate"]["from nothing"]["count"] == second["generate"]["from seeds"]["count"] == 10
    assert second["forest"]["rows"] == second["data"]["training_rows"] == 45
    assert set(second["predict"]["coverage"]) == {"0.5", "0.8", "0.9", "0.95"}
    with pytest.raises(SystemExit, match="rows"):
        qed.run(qed.parse(["--rows", "40", *words[2:]]))


def test_regression_gives_every_model_the_same_rows(
    program: Callable[[str], ModuleType], data: Path, tmp_path: Path
) -> None:
    regression = program("molecule_regression")
    words = ["--sets", "freesolv", "--seeds", "1", "--splits", "1", "--data", str(data), "--work", str(tmp_path / "w")]
    result = regression.run(regression.parse([*words, "--only", "mean", "boosting_descriptors"]))
    assert not result["complete"]
    assert "freesolv/largest_0/scratch" in result["missing"]
    with (tmp_path / "w" / "freesolv" / "shuffled_0" / "rows.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["smiles", "value", "split"]  # no other column of the file, "calc" among them
    assert len(rows) == len(MOLECULES)
    value = {
        part: np.array([float(row["value"]) for row in rows if row["split"] == part]) for part in ("train", "test")
    }
    expected = np.sqrt(np.mean((value["test"] - value["train"].mean()) ** 2))
    assert result["runs"]["freesolv/shuffled_0/mean"]["test"]["rmse"] == pytest.approx(expected)


def test_ours_is_compared_with_the_best_of_the_others(program: Callable[[str], ModuleType]) -> None:
    regression = program("molecule_regression")
    rmse = {"mean": [3.0, 3.0], "forest_morgan": [2.0, 1.0], "scratch": [1.0, 1.5], "pretrained": [0.5, 0.5]}
    done = {
        regression.Piece("esol", kind, "shuffled", seed): {"test": {"rmse": value}}
        for kind, values in rmse.items()
        for seed, value in enumerate(values)
    }
    done[regression.Piece("esol", "mean", "largest", 0)] = {"test": {"rmse": 0.0}}  # of another kind of split
    scratch, pretrained = regression.summarize("esol", "shuffled", done)["compared"]
    assert (scratch["best_other"], scratch["difference"]) == ("forest_morgan", pytest.approx(-0.25))
    assert (scratch["ours_better_on"], scratch["of"], pretrained["ours_better_on"]) == (1, 2, 2)


def test_seeds_of_the_search_are_the_lowest(
    program: Callable[[str], ModuleType], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from seqchem.chemistry.properties import calculate

    optimization = program("molecule_optimization")
    monkeypatch.setattr(optimization, "PIECES", ("data",))
    words = ["--pretrained", str(tmp_path / "none"), "--rows", "20", "--seeds", "3", "--data", str(data)]
    result = optimization.run(optimization.parse([*words, "--work", str(tmp_path / "work")]))
    lowest = np.sort(calculate(["plogp"], MOLECULES[50:])["plogp"])[:3]
    assert result["data"]["seeds_range"] == pytest.approx([lowest[0], lowest[-1]])
    assert result["data"]["seeds_mean"] == pytest.approx(lowest.mean())
