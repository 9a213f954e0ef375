"""`seqrl inspect` as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from seqrl.cli import main


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "hopper_medium-v2.hdf5"
    ends = np.arange(40) % 10 == 9
    with h5py.File(path, "w") as out:
        out["observations"] = np.zeros((40, 11), dtype="f4")
        out["actions"] = np.full((40, 3), 0.5, dtype="f4")
        out["rewards"] = np.repeat([10.0, 20.0, 30.0, 40.0], 10).astype("f4")
        out["terminals"], out["timeouts"] = ends & (np.arange(40) < 20), ends & (np.arange(40) >= 20)
    return path


def test_table(file, capsys):
    assert main(["inspect", str(file)]) == 0
    shown = capsys.readouterr().out
    for words in (
        "episodes",
        "2 terminated, 2 truncated",
        "p50 250",
        "1.2 max 480",
        "D4RL hopper",
        "Box(-1.0, 1.0, (3,)",
    ):
        assert words in shown


def test_json_and_report(file, tmp_path, capsys):
    page = tmp_path / "report.html"
    assert main(["inspect", str(file), "--json", "--report", str(page)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["episodes"], found["steps"], found["returns"]["max"]) == (4, 40, 400.0)
    assert found["targets"] == {"p50": 250.0, "p90": 370.0, "max": 400.0, "1.2 max": 480.0}
    assert found["score"]["max"] == pytest.approx((400 + 20.272305) / (3234.3 + 20.272305))
    assert "image/svg" in page.read_text()
    assert main(["inspect", str(file), "--report", str(page)]) == 2
    assert "give --overwrite" in capsys.readouterr().err
    assert main(["inspect", str(file), "--report", str(page), "--overwrite"]) == 0


def test_environment_is_checked(file, capsys):
    assert main(["inspect", str(file), "--env", "CartPole-v1"]) == 2
    assert "name the environment of the data" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lambda f: f["rewards"].__setitem__(13, np.nan), "rewards: row 13 (episode 1, step 3) is not finite"),
        (lambda f: f.__delitem__("actions"), "has no 'actions'"),
        (lambda f: f.move("terminals", "terminal"), "Did you mean 'terminal'?"),
    ],
)
def test_bad_data_is_one_line_and_exit_2(file, capsys, break_it, words):
    with h5py.File(file, "a") as out:
        break_it(out)
    assert main(["inspect", str(file)]) == 2
    caught = capsys.readouterr()
    assert caught.out == ""
    assert caught.err.count("\n") == 1
    assert words in caught.err
    assert str(file) in caught.err


def test_bad_flags(file, capsys):
    assert main(["inspect", str(file), "--bins", "0"]) == 2
    assert "--bins is 0" in capsys.readouterr().err
