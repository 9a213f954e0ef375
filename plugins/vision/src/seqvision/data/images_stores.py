"""Where images lie: files, arrays in memory, encoded bytes. A store gives the n-th one and knows what it holds.

store = FileStore(paths)
store.kinds, store.size          # {"colour": 998, "palette": 2}, (224, 224) or None where they differ
store.read(0, channels=3)        # a PIL image, or a (C, H, W) tensor where there are neither 1 nor 3 channels
"""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from seqsuite.errors import UserError
from seqvision.data.images_convert import ADVICE, decode, is_grey, kind_of, opened


class ImageStore:
    """Images by number.

    Attributes:
        names: One name each.
        kinds: How many there are of each kind, see `kind_of`.
        grey: Whether none has colour.
        size: (H, W) of all of them; None where they differ.
        channels: Channels of arrays with neither 1 nor 3, else 0.
    """

    names: Sequence[str]
    kinds: dict[str, int]
    grey: bool
    size: tuple[int, int] | None
    channels: int = 0

    def __len__(self) -> int:
        return len(self.names)

    def read(self, index: int, channels: int) -> Image.Image | Tensor:
        """Return one image with 1 or 3 channels, or with all of an array's own.

        Raises:
            UserError: It cannot be read, or has other channels.
        """
        raise NotImplementedError

    def fingerprint(self) -> bytes:
        """Return 32 bytes that depend on what the store holds."""
        raise NotImplementedError


class EncodedStore(ImageStore):
    """Images that are decoded when they are asked for; their headers are read at once.

    Args:
        names: One each.
        open_: Gives what `PIL.Image.open` takes.
        verify: Decode each one at once, so that damage is found now.
        skip: Collect what cannot be read in `skipped` instead of raising.

    Attributes:
        rows: Which of what was given can be read.
        skipped: Names and reasons of the others.

    Raises:
        UserError: An image cannot be read, and `skip` is off.
    """

    def __init__(
        self, names: Sequence[str], open_: Callable[[int], Any], *, verify: bool = False, skip: bool = False
    ) -> None:
        self._open = open_
        self.skipped: list[tuple[str, str]] = []
        kinds, sizes, good, colourless = Counter[str](), set(), [], True
        for number, name in enumerate(names):
            try:
                with opened(open_(number), name) as image:
                    kind = kind_of(image)
                    grey, size = is_grey(image), (image.height, image.width)
                if verify:
                    decode(open_(number), 3, name)
            except UserError as error:
                if not skip:
                    raise
                self.skipped.append((name, str(error).removesuffix(ADVICE)))
                continue
            good.append(number)
            kinds[kind] += 1
            sizes.add(size)
            colourless = colourless and grey
        self.rows = np.asarray(good, dtype=np.int64)
        self.names = [names[number] for number in good]
        self.kinds, self.grey = dict(kinds), colourless
        self.size = sizes.pop() if len(sizes) == 1 else None

    def read(self, index: int, channels: int) -> Image.Image:
        """See `ImageStore`."""
        if channels not in (1, 3):
            raise UserError(f"{self.names[index]}: an image file gives 1 or 3 channels, not {channels}")
        return decode(self._open(int(self.rows[index])), channels, self.names[index])


class FileStore(EncodedStore):
    """Image files. Arguments as `EncodedStore`.

    Args:
        paths: The files.
        root: The folder that names are relative to in the fingerprint.
    """

    def __init__(self, paths: Sequence[Path], root: Path, *, verify: bool = False, skip: bool = False) -> None:
        self.paths, self.root = list(paths), root
        super().__init__([str(path) for path in paths], lambda number: self.paths[number], verify=verify, skip=skip)

    def fingerprint(self) -> bytes:
        """Return a digest of names and sizes of the files; their content is not read again."""
        digest = hashlib.sha256()
        for row in self.rows:
            path = self.paths[int(row)]
            digest.update(f"{path.relative_to(self.root).as_posix()}\0{path.stat().st_size}\n".encode())
        return digest.digest()


class BytesStore(EncodedStore):
    """Encoded images in memory or a memory map. Arguments as `EncodedStore`.

    Args:
        column: Gives the bytes of a row; `len` of it is not asked for.
        names: One each.
    """

    def __init__(
        self, column: Callable[[int], bytes], names: Sequence[str], *, verify: bool = False, skip: bool = False
    ) -> None:
        self._column = column
        super().__init__(names, lambda number: io.BytesIO(column(number)), verify=verify, skip=skip)

    def fingerprint(self) -> bytes:
        """Return a digest of all bytes."""
        digest = hashlib.sha256()
        for row in self.rows:
            digest.update(hashlib.sha256(self._column(int(row))).digest())
        return digest.digest()


class ArrayStore(ImageStore):
    """An array of images in memory.

    Args:
        array: (n, H, W) or (n, H, W, C) uint8.
        origin: The file it is from; a name is "origin, image 12".
    """

    def __init__(self, array: np.ndarray, origin: str) -> None:
        if array.ndim == 4 and array.shape[3] == 1:
            array = array[..., 0]
        self.array, self.origin = array, origin
        self.names = [f"{origin}, image {number}" for number in range(len(array))]
        self.channels = array.shape[3] if array.ndim == 4 and array.shape[3] != 3 else 0
        self.grey = array.ndim == 3
        self.kinds = {f"{self.channels} channels" if self.channels else "grey" if self.grey else "colour": len(array)}
        self.size = (array.shape[1], array.shape[2])

    def read(self, index: int, channels: int) -> Image.Image | Tensor:
        """See `ImageStore`."""
        if self.channels:
            if channels != self.channels:
                raise UserError(f"{self.names[index]}: has {self.channels} channels; the model takes {channels}")
            return torch.from_numpy(self.array[index]).permute(2, 0, 1).float() / 255
        image = Image.fromarray(self.array[index])
        wanted = "L" if channels == 1 else "RGB"
        return image if image.mode == wanted else image.convert(wanted)

    def fingerprint(self) -> bytes:
        """Return a digest of shape and content."""
        digest = hashlib.sha256(repr(self.array.shape).encode())
        digest.update(np.ascontiguousarray(self.array).tobytes())
        return digest.digest()
