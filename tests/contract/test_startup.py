"""`--help` answers in half a CPU second, for every program."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAMS = ("seqsuite", "seqdna", "seqaudio", "seqvision", "seqrl", "seqchem")
LIMIT = 0.5  # CPU seconds, user and system


def cpu_seconds(command: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "COLUMNS": "100"})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: "), done.stdout
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_is_quick(program: str) -> None:
    command = [str(Path(sys.executable).parent / program), "--help"]
    assert min(cpu_seconds(command) for _ in range(3)) < LIMIT


def test_help_of_a_command_is_quick() -> None:
    command = [str(Path(sys.executable).parent / "seqdna"), "pretrain", "--help"]
    assert min(cpu_seconds(command) for _ in range(3)) < LIMIT
