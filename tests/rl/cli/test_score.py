"""`seqrl score`: fractions and x100 with the reference that was used."""

from __future__ import annotations

import json

import pytest

from seqrl.cli import main


def test_scores_of_hopper(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", "hopper-medium-v2", "--returns", "3234.3,-20.272305,1607.0138475"]) == 0
    out = capsys.readouterr().out
    rows = [line.split() for line in out.splitlines()[1:4]]
    assert [float(row[2]) for row in rows] == pytest.approx([100.0, 0.0, 50.0], abs=1e-3)
    assert "reference: D4RL hopper" in out
    assert "\ncomparable" in out


def test_versions_with_other_physics_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", "Hopper-v5", "--returns", "3000", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["scores"][0]["score"] == pytest.approx(3020.272305 / 3254.572305)
    assert not told["comparable"]
    assert "Hopper-v5" in told["note"]


def test_files_are_known_by_their_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", "hopper_medium-v2", "--returns=-20.272305", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["comparable"]
    assert told["scores"][0]["score"] == 0


@pytest.mark.parametrize(
    ("flags", "match"),
    [
        (["hoper-medium-v2", "--returns", "1"], "hopper-medium-v2"),
        (["hopper-medium-v2"], "--returns: give raw returns"),
        (["hopper-medium-v2", "--returns", "nan"], "--returns: expected float"),
        (["hopper-medium-v2", "--returns", "1,inf"], "--returns"),
    ],
)
def test_bad_input_is_one_line(flags: list[str], match: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", *flags]) == 2
    told = capsys.readouterr().err
    assert match in told
    assert len(told.splitlines()) == 1
