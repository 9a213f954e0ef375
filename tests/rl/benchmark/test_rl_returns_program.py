"""benchmarks/rl_returns.py: pieces are kept from call to call, and what they depend on is compared."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

pytest.importorskip("rliable")


@pytest.fixture
def program(root: Path) -> Iterator[ModuleType]:
    sys.path.insert(0, str(root / "benchmarks"))
    yield importlib.import_module("rl_returns")
    sys.path.remove(str(root / "benchmarks"))


def test_pieces_are_kept_and_compared(program: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "MIXTURE", {"policy": "scripted", "epsilon": (0.0, 1.0), "episodes": 6})
    words = ["--sets", "cartpole", "--seeds", "1", "--steps", "1", "--work", str(tmp_path)]
    first = program.run(program.parse([*words, "--only", "bc", "bc_50"]))
    assert sorted(first["runs"]) == ["cartpole/bc/seed_0", "cartpole/bc_50/seed_0"]
    assert not first["complete"]
    assert "cartpole/dt/seed_0" in first["missing"]
    marks = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("model.safetensors")}
    assert marks
    again = program.run(program.parse([*words, "--only", "bc", "bc_50"]))
    assert again["runs"] == first["runs"]
    assert all(path.stat().st_mtime_ns == time for path, time in marks.items())
    found = first["runs"]["cartpole/bc/seed_0"]
    assert found["training_cpu_seconds"] > 0
    assert set(found["played"]) == {"last", "best"}
    entry = first["summary"]["cartpole"]["entries"][0]
    assert entry["iqm"] == pytest.approx(np.mean(found["played"]["last"]["drawn"]["-"]))
    with pytest.raises(SystemExit, match="options"):
        program.run(program.parse([*words[:-4], "--steps", "2", "--work", str(tmp_path)]))


def test_a_difference_is_called_a_tie_where_its_interval_holds_zero(program: ModuleType) -> None:
    def entry(kind: str, runs: list[float]) -> dict[str, object]:
        return {"kind": kind, "weights": "last", "play": "drawn", "target": "-", "runs": runs, "iqm": np.mean(runs)}

    worse, better = entry("bc", [1.0, 2.0, 3.0, 4.0, 5.0]), entry("bc_10", [2.0, 3.0, 4.0, 5.0, 6.0])
    near, far = entry("dt", [2.0, 3.0, 5.0, 5.0, 6.0]), entry("dt", [20.0, 21.0, 22.0, 23.0, 24.0])
    for ours, verdict in ((near, "tie"), (far, "higher")):
        [found] = program.compare([worse, better, ours], "dt", ("bc", "bc_10"))
        assert (found["best_other"], found["verdict"]) == ("bc_10", verdict)


def test_corridors_of_all_lengths_lie_in_one_set(program: ModuleType, tmp_path: Path,
                                                 monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    from seqrl.data.opening import open_episodes

    monkeypatch.setattr(program, "CORRIDORS", (2, 5))
    monkeypatch.setattr(program, "CORRIDOR_EPISODES", 3)
    program.collect_corridors(tmp_path / "data_0", 0)
    episodes = open_episodes(tmp_path / "data_0")
    assert sorted(episodes.lengths) == [3, 3, 3, 6, 6, 6]
    assert (episodes.returns == 1).all()
