"""`seqsuite doctor`: versions, operator paths, bad combinations."""

from __future__ import annotations

import json

from seqsuite import doctor
from seqsuite.cli import main
from seqsuite.ops import operators


def test_this_installation_has_no_problem(capsys) -> None:
    assert main(["doctor", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["problems"] == []
    assert {row["operator"] for row in told["paths"]} == set(operators())
    assert all(row["chosen"] == "portable" for row in told["paths"] if row["device"] == "cpu")
    assert all("triton" in row["why"] for row in told["paths"] if row["device"] == "cpu")
    assert main(["doctor"]) == 0
    assert "No problem found." in capsys.readouterr().out


def test_a_wrong_torchaudio_is_a_problem(monkeypatch, capsys) -> None:
    versions = {"torch": "2.11.0+cpu", "torchaudio": "2.9.1", "torchvision": "0.25.0", "triton": "3.2.0"}
    problems = doctor.bad_combinations(versions)
    assert [line.split()[0] for line in problems] == ["torchaudio", "torchvision", "triton"]
    assert "pip install 'torchaudio==2.11.*'" in problems[0]
    assert "pip install 'torchvision==0.26.*'" in problems[1]
    monkeypatch.setattr(doctor, "installed", lambda: versions)
    assert main(["doctor"]) == 1
    assert "problem: torchaudio 2.9.1" in capsys.readouterr().out


def test_matching_versions_are_no_problem() -> None:
    assert doctor.bad_combinations({"torch": "2.11.0", "torchaudio": "2.11.0", "torchvision": "0.26.0"}) == []
    assert doctor.bad_combinations({"torch": "2.8.0", "torchvision": "0.23.0"}) == []
    assert doctor.bad_combinations({}) != []


def test_a_backend_that_cannot_serve_here_is_a_problem(monkeypatch, capsys) -> None:
    monkeypatch.setenv("SEQSUITE_BACKEND", "tritn")
    assert main(["doctor"]) == 1
    told = capsys.readouterr().out
    assert told.count("Unknown value of SEQSUITE_BACKEND 'tritn'. Did you mean 'triton'?") == 1
    assert "1 problem(s) found" in told


def test_kernels_that_never_ran_on_a_gpu_are_labelled():
    from seqsuite.doctor import examine
    from seqsuite.ops import operators

    told = {path.operator: path.kernels for path in examine().paths}
    assert set(told) == set(operators())
    assert told["selective_scan"] == "never run on a GPU so far"
    assert all(text in ("never run on a GPU so far", "none of its own") for text in told.values())
