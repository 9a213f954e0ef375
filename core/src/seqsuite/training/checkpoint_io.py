"""Checkpoints that are whole or not there: written aside, synced, then renamed; read without pickle code.

A kill at any moment leaves the last good checkpoint; so does a full disk, which ends the run with one
line. Reading checks every record's CRC-32, which `torch.load` itself does not.
"""

from __future__ import annotations

import contextlib
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import torch
from lightning.fabric.plugins.io.checkpoint_io import CheckpointIO

from seqsuite.errors import UserError


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


class ExactCheckpointIO(CheckpointIO):
    """Lightning's way to the functions above.

    Args:
        loaded: Path and content of a checkpoint that was read already, so that it is not read twice.
    """

    def __init__(self, loaded: tuple[Path, dict[str, Any]] | None = None) -> None:
        super().__init__()
        self._loaded = loaded

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
        if self._loaded is not None and self._loaded[0] == Path(path):
            loaded, self._loaded = self._loaded[1], None
            return loaded
        return load_checkpoint(Path(path))

    def remove_checkpoint(self, path: str | Path) -> None:
        """Delete a checkpoint file, if it is there."""
        Path(path).unlink(missing_ok=True)
