"""The run folder: what a run leaves behind, who may write into it, what may change on resume.

config.yaml       every option, with a first line that marks a run
command.txt       the command lines that started and resumed it
environment.json  versions, machine and devices of each start
inputs.json       fingerprints of what the run reads, compared on resume
metrics.csv       one row a logged step; rows beyond a restored step are dropped
tensorboard/      the same as TensorBoard events
checkpoints/      step-00000200.ckpt ..., best.ckpt
model/            the exported model
report.html, summary.json
.lock             held by the process that writes here
"""

from __future__ import annotations

import contextlib
import datetime
import importlib.metadata
import json
import math
import os
import platform
import re
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from seqsuite.errors import UserError
from seqsuite.training.configs import TrainConfig, resume_conflicts

try:
    import fcntl
except ImportError:  # not every system has advisory locks
    fcntl = None  # type: ignore[assignment]

_MARK = "# A SeqSuite run."
_CHECKPOINT = re.compile(r"step-(\d+)\.ckpt")
_FILES = (
    *("config.yaml", "command.txt", "environment.json", "inputs.json"),
    *("metrics.csv", "metrics.damaged.csv", "report.html", "summary.json"),
)
_PARTS = ("checkpoints", "tensorboard", "model")
_PACKAGES = ("torch", "lightning", "triton", "numpy", "seqsuite")


# A lock lives as long as any copy of its descriptor; a forked reader of data must not outlive us with it.
_locks: set[int] = set()


def _forget_locks() -> None:
    for descriptor in _locks:
        os.close(descriptor)
    _locks.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_locks)


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


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON that every reader takes: what is not finite becomes null.

    Raises:
        UserError: As `write_text`.
    """

    def plain(part: Any) -> Any:
        if isinstance(part, Mapping):
            return {key: plain(item) for key, item in part.items()}
        if isinstance(part, (list, tuple)):
            return [plain(item) for item in part]
        return None if isinstance(part, float) and not math.isfinite(part) else part

    write_text(path, json.dumps(plain(value), indent=2, default=str, allow_nan=False) + "\n")


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
        path: The folder, "~" included; `claim` makes it.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(os.path.expanduser(path))
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
            with open(self.path / "config.yaml", "rb") as file:
                return file.readline().strip() == _MARK.encode()
        except OSError:
            return False

    @contextlib.contextmanager
    def claim(self, config: TrainConfig, inputs: Mapping[str, str] | None = None) -> Iterator[None]:
        """Check whether a run may write here and keep other processes out; `begin` is the first to change anything.

        Only the first process of a run checks and locks; the others go on at once.

        Args:
            config: The run's options; `resume` and `overwrite` decide about a run that is there.
            inputs: Fingerprints of what the run reads, name -> SHA-256.

        Raises:
            UserError: A run is there and neither resume nor overwrite is asked for, or there is none
                to resume, or its options or inputs differ, or another process writes here, or the
                place is not writable.
        """
        if process_rank() != 0:
            yield
            return
        self._check(config, inputs or {})
        with told(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        with self._locked():
            # Another process may have begun and ended a run since.
            self._check(config, inputs or {})
            yield

    def begin(self, config: TrainConfig, inputs: Mapping[str, str] | None = None) -> None:
        """Write what a run starts with, over what `overwrite` replaces; within `claim`, with its arguments.

        Raises:
            UserError: The disk is full or the place is not writable.
        """
        if process_rank() != 0:
            return
        if config.resume:
            self._sweep()
        elif self.holds_run:
            self.clear()
        text = yaml.safe_dump(config.to_dict(), sort_keys=False, allow_unicode=True)
        # First of all the file with the mark: without it, the next attempt would take this for a stranger's folder.
        write_text(self.path / "config.yaml", f"{_MARK}\n{text}")
        if inputs:
            write_json(self.path / "inputs.json", {**_read_mapping(self.path / "inputs.json"), **inputs})
        path = self.path / "command.txt"
        before = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
        write_text(path, f"{before}{shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])}\n")
        with told(self.checkpoints):
            self.checkpoints.mkdir(exist_ok=True)

    def check_further(self, names: Sequence[str], config: TrainConfig) -> None:
        """Refuse to begin where further parts lie that would be lost: runs within this run, which `claim` knows not.

        Args:
            names: Files and folders that a verb writes beside the run folder's own.
            config: The run's options; `resume` and `overwrite` decide about parts that are there.

        Raises:
            UserError: Some are there, of a run that neither option is for, or of somebody else.
        """
        there = [name for name in names if os.path.lexists(self.path / name)]
        if config.resume or not there:
            return
        if not self.holds_run:
            raise UserError(f"{self} holds no run, but {there[0]}, which one would write; choose another --out")
        if not config.overwrite:
            raise UserError(f"{self} already holds a run; add --resume or --overwrite, or choose another --out")

    def remove_further(self, names: Sequence[str]) -> None:
        """Remove further parts; within `claim`, after `check_further`.

        Raises:
            UserError: They cannot be removed.
        """
        with told(self.path):
            for part in (self.path / name for name in names):
                if part.is_dir() and not part.is_symlink():
                    shutil.rmtree(part)
                else:
                    part.unlink(missing_ok=True)

    def _check(self, config: TrainConfig, inputs: Mapping[str, str]) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise UserError(f"{self} is a file; choose another --out")
        if config.resume:
            self._check_resume(config, inputs)
        elif self.holds_run:
            # An attempt that failed before its first step is no run that could be lost.
            begun = self.metrics.exists() or self.model.exists() or any(self.checkpoints.glob("*.ckpt"))
            if begun and not config.overwrite:
                raise UserError(f"{self} already holds a run; add --resume or --overwrite, or choose another --out")
        else:
            strange = [name for name in (*_FILES, *_PARTS) if os.path.lexists(self.path / name)]
            if strange:
                raise UserError(f"{self} holds no run, but {strange[0]}, which one would write; choose another --out")

    def _check_resume(self, config: TrainConfig, inputs: Mapping[str, str]) -> None:
        if not self.holds_run:
            raise UserError(f"{self} holds no run to resume; leave out --resume to start one")
        conflicts, self.notes = resume_conflicts(self.config(), config)
        if conflicts:
            raise UserError(f"cannot resume {self} with other options: {'; '.join(conflicts)}")
        before = _read_mapping(self.path / "inputs.json")
        for name, now in inputs.items():
            was = before.get(name, now)
            if was != now:
                raise UserError(
                    f"cannot resume {self}: {name} has changed since the run began (sha256 {str(was)[:12]}... -> "
                    f"{now[:12]}...); give the same file, or start anew with --overwrite"
                )

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock; the system takes it back when the process dies, in whatever way."""
        if fcntl is None:
            yield
            return
        path = self.path / ".lock"
        with told(path):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        _locks.add(descriptor)
        try:
            # Some network file systems have no locks: better an unguarded run than none.
            with contextlib.suppress(OSError):
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    holder = os.read(descriptor, 20).decode("ascii", "replace").strip()
                    raise UserError(
                        f"{self} is in use by another process (pid {holder}); wait for it or choose another --out"
                    ) from None
            with told(path):
                os.ftruncate(descriptor, 0)
                os.write(descriptor, f"{os.getpid()}\n".encode())
            yield
        finally:
            if descriptor in _locks:
                _locks.remove(descriptor)
                os.close(descriptor)

    def _sweep(self) -> None:
        """Remove what a killed process was still writing."""
        for left in [*self.path.glob(".*.tmp"), *self.checkpoints.glob(".*.tmp")]:
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)

    def config(self) -> dict[str, Any]:
        """Return the options in config.yaml.

        Raises:
            UserError: The file is missing or is not YAML.
        """
        path = self.path / "config.yaml"
        try:
            values = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError) as error:
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
        starts = _read_mapping(path).get("starts")
        starts = starts if isinstance(starts, list) else []
        write_json(path, {"starts": [*starts, {**environment(), **facts}]})

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


def _read_mapping(path: Path) -> dict[str, Any]:
    """Return what a JSON file of ours holds; nothing where it is missing or damaged."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


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
