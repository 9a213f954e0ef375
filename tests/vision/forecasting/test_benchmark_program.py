"""benchmarks/forecasting.py: pieces are kept from call to call, and what they depend on is compared."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from .conftest import waves


@pytest.fixture
def program(root: Path) -> Iterator[ModuleType]:
    sys.path.insert(0, str(root / "benchmarks"))
    yield importlib.import_module("forecasting")
    sys.path.remove(str(root / "benchmarks"))


def write_stations(program: ModuleType, folder: Path, seed: int = 0) -> None:
    frame = pd.DataFrame(waves(600, 20, seed=seed), columns=list(program.STATIONS))
    frame["weather"] = "rain"  # not a station: it is not read
    frame["date"] = pd.date_range("2001-01-22", periods=600, freq="D")
    frame.to_csv(folder / "chicago_ridership.csv.gz", index=False)


def test_pieces_are_kept_and_compared(program: ModuleType, tmp_path: Path) -> None:
    write_stations(program, tmp_path)
    words = ["--sets", "chicago_ridership", "--horizons", "12", "--seeds", "2", "--steps", "1"]
    words += ["--data", str(tmp_path), "--work", str(tmp_path / "work")]
    first = program.run(program.parse([*words, "--only", "baselines"]))
    assert len(first["runs"]) == 3 + 2 * 2
    assert first["missing"] == [f"chicago_ridership/h12/simba/seed_{seed}" for seed in (0, 1)]
    marks = {path: path.stat().st_mtime_ns for path in (tmp_path / "work").rglob("result.json")}
    whole = program.run(program.parse(words))
    assert whole["complete"]
    assert json.loads((tmp_path / "work" / "forecasting.json").read_text())["complete"]
    assert all(path.stat().st_mtime_ns == time for path, time in marks.items())
    assert {name: run for name, run in whole["runs"].items() if name in first["runs"]} == first["runs"]
    entries = {entry["kind"]: entry for entry in whole["summary"]["chicago_ridership"]}
    ours = entries["simba"]
    assert ours["mse"] == pytest.approx(
        np.mean([whole["runs"][f"chicago_ridership/h12/simba/seed_{s}"]["mse"] for s in (0, 1)])
    )
    for other in ("NLinear, ridge", "DLinear"):
        assert ours[f"minus {other}"]["mean"] == pytest.approx(ours["mse"] - entries[other]["mse"], abs=1e-5)
    write_stations(program, tmp_path, seed=1)
    with pytest.raises(SystemExit, match="data_sha256"):
        program.run(program.parse(words))
