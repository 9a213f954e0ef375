"""Real processes, killed and interrupted from outside: nothing is lost, the exit code tells."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def unbroken(root: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("unbroken") / "run"
    assert start(root, folder).wait() == 0
    return weights(folder)


def start(root: Path, folder: Path, *flags: str) -> subprocess.Popen[bytes]:
    script = root / "benchmarks" / "toy_training.py"
    command = [sys.executable, str(script), "--out", str(folder), "--steps", "20", "--nap", "20", *flags]
    return subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True)


def weights(folder: Path) -> str:
    return hashlib.sha256((folder / "model" / "model.safetensors").read_bytes()).hexdigest()


def wait_for(path: Path, process: subprocess.Popen[bytes]) -> None:
    began = time.monotonic()
    while not path.exists():
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        assert time.monotonic() - began < 120
        time.sleep(0.005)


def test_killed(root: Path, tmp_path: Path, unbroken: str) -> None:
    folder = tmp_path / "run"
    process = start(root, folder)
    wait_for(folder / "checkpoints" / "step-00000006.ckpt", process)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert start(root, folder, "--resume").wait() == 0
    assert weights(folder) == unbroken


def test_ctrl_c_at_the_terminal(root: Path, tmp_path: Path, unbroken: str) -> None:
    """Ctrl-C reaches the whole process group, the readers of data as well."""
    folder = tmp_path / "run"
    process = start(root, folder, "--workers", "2")
    wait_for(folder / "checkpoints" / "step-00000003.ckpt", process)
    os.killpg(process.pid, signal.SIGINT)
    _, told = process.communicate()
    assert process.returncode == 130, told.decode()
    last = told.decode().splitlines()[-1]
    assert last.startswith("stopped at step ")
    assert last.endswith("go on with --resume")
    assert start(root, folder, "--resume", "--workers", "2").wait() == 0
    assert weights(folder) == unbroken
