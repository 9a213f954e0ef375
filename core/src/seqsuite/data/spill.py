"""Tensors on disk, for what is longer than memory: memory-mapped, gone when they are let go.

    with Spill("/scratch") as spill:
        x = spill(2, 1_000_000, 256)        # a float32 tensor of 2 GB that takes no memory to speak of

The space is reserved before anything is computed: a full disk is one line at the start, not a crash on
the way.
"""

from __future__ import annotations

import math
import os
import shutil
import tempfile
from pathlib import Path
from types import TracebackType

import torch
from torch import Tensor

from seqsuite.errors import UserError


class Spill:
    """Makes memory-mapped tensors in a folder of its own, which `close` removes.

    Args:
        folder: Where to make that folder; None: the system's temporary folder (TMPDIR).
        dtype: Of the tensors.
    """

    def __init__(self, folder: str | Path | None = None, *, dtype: torch.dtype = torch.float32) -> None:
        self.dtype = dtype
        try:
            self.folder = Path(tempfile.mkdtemp(prefix="seqsuite-spill-", dir=folder))
        except OSError as error:
            raise UserError(f"cannot spill to {folder or tempfile.gettempdir()}: {error.strerror or error}") from error
        self._count = 0

    def __call__(self, *shape: int) -> Tensor:
        """Return an uninitialised tensor; its space is free again when the last reference is gone.

        Args:
            shape: Its sizes.

        Raises:
            UserError: The disk has no room for it.
        """
        elements = math.prod(shape)
        path = self.folder / str(self._count)
        self._count += 1
        self._reserve(path, elements * torch.empty(0, dtype=self.dtype).element_size())
        tensor = torch.from_file(str(path), shared=True, size=elements, dtype=self.dtype).view(shape)
        if os.name == "posix":
            path.unlink()  # the mapping keeps it; the space goes with the tensor
        return tensor

    def _reserve(self, path: Path, size: int) -> None:
        try:
            with open(path, "wb") as file:
                if size and hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(file.fileno(), 0, size)
                elif size > shutil.disk_usage(self.folder).free:
                    raise OSError("not enough space on the disk")
        except OSError as error:
            path.unlink(missing_ok=True)
            raise UserError(
                f"{self.folder.parent} has no room for {size / 1e9:.1f} GB of activations "
                f"({error.strerror or error}); name a larger disk, or set TMPDIR"
            ) from error

    def close(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Spill:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
