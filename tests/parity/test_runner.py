"""The runner itself: it must find fault wherever there is one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from seqsuite.testing.parity import Case, check_case, find_cases

GIVEN = {
    "x": torch.tensor([[1, 0], [1, 1]]),
    "y": torch.tensor([1.0, 2.0]),
    "n": torch.tensor([3, 4]),
    "grad.w": torch.tensor([10.0]),
    "twice": torch.arange(8.0).view(2, 4),
    "free": torch.tensor([0.5]),
}


@pytest.fixture
def case(tmp_path) -> Case:
    folder = tmp_path / "example" / "first"
    folder.mkdir(parents=True)
    config = {
        "system": "example",
        "inputs": ["x"],
        "informative": ["free"],
        "compare_where": {"twice": "x, each entry repeated twice along the time axis"},
        "tolerance": {"atol": 0.01, "rtol": 0.0, "grad_atol": 0.0, "grad_rtol": 0.1},
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokens.json").write_text('["A", 1]')
    save_file(GIVEN, folder / "io.safetensors")
    return Case(folder)


def right(**changes):
    results = {name: GIVEN[name].clone() for name in ("y", "n", "grad.w", "twice")} | {"tokens.json": ["A", 1]}
    return {name: value for name, value in (results | changes).items() if value is not None}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"y": torch.tensor([1.009, 2.0])},
        {"y": torch.tensor([1.0, 2.0], dtype=torch.float64)},
        {"grad.w": torch.tensor([10.9])},
        {"free": torch.tensor([7.0])},
        {"twice": torch.tensor([[0.0, 1, 77, 77], [4, 5, 6, 7]])},
        {"tokens.json": None},
    ],
)
def test_what_agrees_passes(case, changes):
    check_case(case, lambda case: right(**changes))


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"y": None}, "y: missing"),
        ({"y": torch.tensor([1.02, 2.0])}, "y: 1 of 2 differ"),
        ({"y": torch.tensor([float("nan"), 2.0])}, "y: 1 of 2 differ"),
        ({"y": torch.tensor([[1.0, 2.0]])}, "y: shape"),
        ({"n": torch.tensor([3, 5])}, "n: 1 of 2 differ"),
        ({"n": torch.tensor([3.0, 4.0])}, "n: dtype"),
        ({"grad.w": torch.tensor([11.1])}, "grad.w: 1 of 1 differ"),
        ({"twice": torch.tensor([[0.0, 9, 77, 77], [4, 5, 6, 7]])}, "twice: 1 of 6 differ"),
        ({"y": 1.0}, "y: is a float"),
        ({"tokens.json": ["A", 2]}, "tokens.json: is not equal"),
    ],
)
def test_what_differs_is_told(case, changes, fault):
    with pytest.raises(AssertionError, match=fault):
        check_case(case, lambda case: right(**changes))


def test_an_adapter_sees_inputs_only(case):
    assert torch.equal(case.take("x"), GIVEN["x"])
    with pytest.raises(KeyError, match="'y' is not an input"):
        case.take("y")


def test_a_case_without_an_adapter_fails(case):
    with pytest.raises(AssertionError, match="no adapter for the system 'example'"):
        check_case(case)


def test_cases_are_found_at_any_depth(case):
    assert find_cases([case.folder.parent]) == find_cases([case.folder]) == [case.folder]


def test_on_the_command_line_a_case_without_an_adapter_fails(case):
    tests = Path(__file__).parent / "test_cases.py"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tests), "--cases", str(case.folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "no adapter for the system 'example'" in done.stdout
