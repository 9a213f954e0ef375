"""Checkpoints that are whole or not there: written aside, synced, then renamed; read without pickle code.

A kill at any moment leaves the last good checkpoint; so does a full disk, which ends the run with one
line. Reading checks every record's CRC-32, which `torch.load` itself does not, and whether the
content is that of the module that is to be trained.
"""

from __future__ import annotations

import contextlib
import os
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import torch
from lightning.fabric.plugins.io.checkpoint_io import CheckpointIO
from lightning.pytorch import LightningModule

from seqsuite.errors import UserError
from seqsuite.training.run_folder import RunFolder

_KEYS = ("state_dict", "epoch", "global_step", "loops", "callbacks", "optimizer_states", "lr_schedulers")
_CALLBACKS = ("Generators", "Keeper", "Meter")


class DamagedCheckpointError(UserError):
    """A checkpoint file that is incomplete, altered or not a checkpoint."""


class _Remembering:
    """A file whose write error survives PyTorch's writer, which reports every failure in its own words."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            return self.file.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        self.file.flush()


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` durable, where the system lets folders be synced."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def write_aside(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that becomes `path` when the block ends well, and vanishes when it does not.

    Raises:
        OSError: The file cannot be written; `path` is as it was.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def save_checkpoint(checkpoint: dict[str, Any], path: Path) -> None:
    """Write one checkpoint.

    Raises:
        OSError: The disk is full or not writable; whatever was at `path` is still there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with write_aside(path) as file:
        remembering: Any = _Remembering(file)
        try:
            torch.save(checkpoint, remembering)
        except (RuntimeError, OSError) as error:
            if remembering.error is not None:
                raise remembering.error from error
            raise


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read one checkpoint onto the CPU, tensors and plain values only.

    Raises:
        DamagedCheckpointError: The file is incomplete, altered or no checkpoint.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            bad = archive.testzip()
        if bad is not None:
            raise DamagedCheckpointError(f"{path} is damaged: record {bad} does not match its checksum")
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise UserError(f"{path}: there is no such checkpoint") from error
    except (PermissionError, IsADirectoryError) as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except UserError:
        raise
    except Exception as error:  # zipfile, zlib, struct and pickle each have their own words for "damaged"
        reason = " ".join(str(error).split())[:200]
        raise DamagedCheckpointError(f"{path} is damaged or no checkpoint ({reason})") from error
    if not isinstance(loaded, dict) or "state_dict" not in loaded:
        raise DamagedCheckpointError(f"{path} is no training checkpoint")
    return loaded


def _check_content(path: Path, loaded: dict[str, Any], module: LightningModule) -> None:
    """Raise a `DamagedCheckpointError` where a checkpoint cannot be that of a module."""
    forms = {"global_step": int, "callbacks": dict, "state_dict": dict}
    bad = [key for key in _KEYS if not isinstance(loaded.get(key), forms.get(key, object)) or key not in loaded]
    bad = bad or [name for name in _CALLBACKS if name not in loaded["callbacks"]]
    if bad:
        raise DamagedCheckpointError(f"{path} is damaged: it has no {bad[0]!r}")
    there, here = ({name: tuple(getattr(value, "shape", ())) for name, value in state.items()}
                   for state in (loaded["state_dict"], module.state_dict()))  # fmt: skip
    for name in sorted(there.keys() | here.keys()):
        if name in there and name in here and there[name] != here[name]:
            raise DamagedCheckpointError(f"{path} does not fit: {name} is {there[name]}, not {here[name]}")
        if module.strict_loading and (name not in there or name not in here):
            raise DamagedCheckpointError(f"{path} does not fit: only one of it and the model has {name}")


def newest_checkpoint(
    folder: RunFolder, module: LightningModule, say: Callable[[str], None]
) -> tuple[Path, dict[str, Any]] | None:
    """Return the newest checkpoint that can be read, and its content; None where there is none at all.

    Args:
        folder: The run folder.
        module: What is to take up the checkpoint: its weights must have the same names and shapes.
        say: Called with one line for each damaged checkpoint that is passed over.

    Raises:
        UserError: There are checkpoints, and all of them are damaged.
    """
    candidates = folder.steps_saved()
    reason = ""
    for number, path in enumerate(candidates, 1):
        try:
            loaded = load_checkpoint(path)
            _check_content(path, loaded, module)
            return path, loaded
        except DamagedCheckpointError as error:
            reason = str(error)
            if number < len(candidates):
                say(f"{error}; trying the one before")
    if candidates:
        raise UserError(f"no checkpoint of {folder} can be read: {reason}; --overwrite starts anew")
    return None


class ExactCheckpointIO(CheckpointIO):
    """Lightning's way to the functions above.

    Attributes:
        loaded: Path and content of a checkpoint that was read already, so that it is not read twice.
    """

    def __init__(self) -> None:
        super().__init__()
        self.loaded: tuple[Path, dict[str, Any]] | None = None

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint; a full disk is a `UserError` that names the last good one."""
        path = Path(path)
        try:
            save_checkpoint(checkpoint, path)
        except OSError as error:
            older = sorted(path.parent.glob("step-*.ckpt"))
            good = f"the last good checkpoint is {older[-1]}" if older else "there is no earlier checkpoint"
            reason = error.strerror or str(error)
            raise UserError(f"cannot write {path}: {reason}; {good}; make room and go on with --resume") from error

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None, **_options: Any
    ) -> dict[str, Any]:
        """Read a checkpoint; always with tensors and plain values only."""
        if self.loaded is not None and self.loaded[0] == Path(path):
            loaded, self.loaded = self.loaded[1], None
            return loaded
        return load_checkpoint(Path(path))

    def remove_checkpoint(self, path: str | Path) -> None:
        """Delete a checkpoint file, if it is there."""
        Path(path).unlink(missing_ok=True)
