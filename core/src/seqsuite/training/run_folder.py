"""The run folder: what a run leaves behind, who may write into it, what may change on resume.

config.yaml       every option, with a first line that marks a run
command.txt       the command lines that started and resumed it
environment.json  versions, machine and devices of each start
metrics.csv       one row a logged step; rows beyond a restored step are dropped
tensorboard/      the same as TensorBoard events
checkpoints/      step-00000200.ckpt ..., best.ckpt
model/            the exported model
report.html, summary.json
"""

from __future__ import annotations

import contextlib
import datetime
import importlib.metadata
import json
import os
import platform
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from seqsuite.errors import UserError
from seqsuite.training.configs import TrainConfig, resume_conflicts

_MARK = "# A SeqSuite run."
_CHECKPOINT = re.compile(r"step-(\d+)\.ckpt")
_FILES = ("config.yaml", "command.txt", "environment.json", "metrics.csv", "report.html", "summary.json")
_PARTS = ("checkpoints", "tensorboard", "model")
_PACKAGES = ("torch", "lightning", "triton", "numpy", "seqsuite")


def process_rank() -> int:
    """Return this process's rank as its launcher tells it, 0 where there is none."""
    for name in ("RANK", "SLURM_PROCID", "LOCAL_RANK"):
        # An interactive shell inside a SLURM job carries SLURM_PROCID as well: it is 0 there.
        if os.environ.get(name, "").isdigit():
            return int(os.environ[name])
    return 0


def write_text(path: Path, text: str) -> None:
    """Write a small text file whole or not at all.

    Raises:
        UserError: The disk is full or the place is not writable.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with told(path):
        try:
            temporary.write_text(text, encoding="utf-8")
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise


@contextlib.contextmanager
def told(path: Path) -> Iterator[None]:
    """Turn a failing file operation into one line that names the file."""
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error


class RunFolder:
    """One run's folder.

    Args:
        path: The folder; `claim` makes it.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.checkpoints = self.path / "checkpoints"
        self.metrics = self.path / "metrics.csv"
        self.tensorboard = self.path / "tensorboard"
        self.model = self.path / "model"
        self.notes: list[str] = []

    def __fspath__(self) -> str:
        return str(self.path)

    def __str__(self) -> str:
        return str(self.path)

    @property
    def holds_run(self) -> bool:
        """Whether a run has written here."""
        try:
            with open(self.path / "config.yaml", encoding="utf-8") as file:
                return file.readline().strip() == _MARK
        except (OSError, UnicodeDecodeError):
            return False

    @classmethod
    def claim(cls, config: TrainConfig, path: str | os.PathLike[str] | None = None) -> RunFolder:
        """Make the folder this run's, before anything expensive is done.

        Only the first process of a run writes; the others return at once.

        Args:
            config: The run's options; `resume` and `overwrite` decide about a run that is there.
            path: The folder, `config.out` by default.

        Raises:
            UserError: A run is there and neither resume nor overwrite is asked for, or there is none
                to resume, or its options differ, or the place is not writable.
        """
        folder = cls(config.out if path is None else path)
        if process_rank() != 0:
            return folder
        if folder.path.exists() and not folder.path.is_dir():
            raise UserError(f"{folder} is a file; choose another --out")
        if config.resume:
            folder._check_resume(config)
        elif folder.holds_run:
            # An attempt that failed before its first step is no run that could be lost.
            begun = folder.metrics.exists() or bool(folder.steps_saved())
            if begun and not config.overwrite:
                raise UserError(f"{folder} already holds a run; add --resume or --overwrite, or choose another --out")
            folder.clear()
        elif folder.metrics.exists() or folder.checkpoints.exists():
            raise UserError(f"{folder} holds files that a run would write over; choose another --out")
        with told(folder.path):
            folder.checkpoints.mkdir(parents=True, exist_ok=True)
        folder._write_start(config)
        return folder

    def _check_resume(self, config: TrainConfig) -> None:
        if not self.holds_run:
            raise UserError(f"{self} holds no run to resume; leave out --resume to start one")
        conflicts, self.notes = resume_conflicts(self.config(), config)
        if conflicts:
            raise UserError(f"cannot resume {self} with other options: {'; '.join(conflicts)}")
        # What a killed process was still writing.
        for left in [*self.path.glob(".*.tmp"), *self.checkpoints.glob(".*.tmp")]:
            left.unlink(missing_ok=True)

    def _write_start(self, config: TrainConfig) -> None:
        text = yaml.safe_dump(config.to_dict(), sort_keys=False, allow_unicode=True)
        write_text(self.path / "config.yaml", f"{_MARK}\n{text}")
        command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
        self._append("command.txt", f"{command}\n")

    def _append(self, name: str, text: str) -> None:
        path = self.path / name
        write_text(path, (path.read_text(encoding="utf-8") if path.exists() else "") + text)

    def config(self) -> dict[str, Any]:
        """Return the options in config.yaml.

        Raises:
            UserError: The file is missing or is not YAML.
        """
        path = self.path / "config.yaml"
        try:
            values = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError) as error:
            raise UserError(f"cannot read {path}: {' '.join(str(error).split())}") from error
        if not isinstance(values, dict):
            raise UserError(f"{path} holds no options")
        return values

    def steps_saved(self) -> list[Path]:
        """Return the checkpoints of steps, newest first."""
        found = [path for path in self.checkpoints.glob("step-*.ckpt") if _CHECKPOINT.fullmatch(path.name)]
        return sorted(found, key=lambda path: int(path.stem.partition("-")[2]), reverse=True)

    def checkpoint(self, step: int) -> Path:
        """Return the path of the checkpoint of one step."""
        return self.checkpoints / f"step-{step:08d}.ckpt"

    def record_environment(self, **facts: Any) -> None:
        """Append this start to environment.json.

        Args:
            facts: What only the caller knows: devices, number of processes, the step it starts from.
        """
        path = self.path / "environment.json"
        starts = []
        if path.exists():
            with contextlib.suppress(ValueError, KeyError):
                starts = json.loads(path.read_text(encoding="utf-8"))["starts"]
        write_text(path, json.dumps({"starts": [*starts, {**environment(), **facts}]}, indent=2) + "\n")

    def clear(self) -> None:
        """Remove what a run wrote here, and nothing else.

        Raises:
            UserError: The folder holds no run, or its files cannot be removed.
        """
        if not self.holds_run:
            raise UserError(f"{self} holds no run; nothing was removed")
        with told(self.path):
            for part in (self.path / name for name in _PARTS):
                if part.is_symlink():
                    part.unlink()
                elif part.is_dir():
                    shutil.rmtree(part)
            # config.yaml goes last: with it goes the mark that allows another try.
            for name in reversed(_FILES):
                (self.path / name).unlink(missing_ok=True)


def environment() -> dict[str, Any]:
    """Return versions and machine; no names of hosts or users."""
    versions = {}
    for name in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return {
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "versions": versions,
        "system": f"{platform.system()} {platform.machine()}",
        "cpus": os.cpu_count(),
    }
