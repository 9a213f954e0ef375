"""UCSC .2bit files: random access to a packed genome, with its N and its lower case, and no index to build.

The format (genome.ucsc.edu, FAQ "Data File Formats", .2bit): a header of four words whose first, 0x1A412743, also
tells the byte order; an index of names and offsets (32 bits in version 0, 64 in version 1); and a record for each
sequence with its length, the blocks that are N, the blocks that are lower case, and two bits a base.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from seqdna.data.access import RandomAccess
from seqdna.data.fasta import check_readable
from seqsuite.errors import UserError

MAGIC = 0x1A412743
SIGNATURES = (MAGIC.to_bytes(4, "little"), MAGIC.to_bytes(4, "big"))
_LETTERS = np.frombuffer(b"TCAG", dtype=np.uint8)[np.arange(256)[:, None] >> np.array([6, 4, 2, 0]) & 3]
_PIECE = 1 << 20


class _Layout(NamedTuple):
    """Where the parts of a record are: N and lower case blocks as (starts, ends), the byte of its first base."""

    length: int
    unknown: tuple[np.ndarray, np.ndarray]
    masked: tuple[np.ndarray, np.ndarray]
    packed: int


class TwoBitFile(RandomAccess):
    """Random access to a .2bit file, mapped on first use in each process.

    Args:
        path: The file; it must not be packed.

    Attributes:
        lengths: Length of each sequence by name, in the file's order.

    Raises:
        UserError: No .2bit file, cut, or damaged.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        check_readable(self.path)
        self._mapped: np.ndarray | None = None
        self._layouts: dict[str, _Layout] = {}
        if self.path.stat().st_size < 16 or bytes(self._bytes[:4]) not in SIGNATURES:
            raise UserError(f"{self.path}: not a .2bit file, or cut within its first 16 bytes.")
        self._order = "<" if bytes(self._bytes[:4]) == SIGNATURES[0] else ">"
        version, count, reserved = self._words(4, 3).tolist()
        if version not in (0, 1) or reserved:
            raise UserError(f"{self.path}: .2bit version {version} with mark {reserved}; versions 0 and 1 are known.")
        self._offsets = self._read_index(count, "u8" if version else "u4")
        self.lengths = {name: int(self._words(offset, 1)[0]) for name, offset in self._offsets.items()}

    @property
    def _bytes(self) -> np.ndarray:
        if self._mapped is None:
            self._mapped = np.memmap(self.path, dtype=np.uint8, mode="r")
        return self._mapped

    def _slice(self, start: int, size: int) -> np.ndarray:
        if start + size > len(self._bytes):
            raise UserError(
                f"{self.path}: the file ends at byte {len(self._bytes)}, within its index or a sequence; it is "
                "truncated or damaged, copy or download it again."
            )
        return self._bytes[start : start + size]

    def _words(self, start: int, count: int, kind: str = "u4") -> np.ndarray:
        raw = self._slice(start, count * int(kind[1]))
        return np.frombuffer(raw.tobytes(), dtype=self._order + kind).astype(np.int64)

    def _read_index(self, count: int, kind: str) -> dict[str, int]:
        if not count:
            raise UserError(f"{self.path}: the file holds no sequence.")
        offsets: dict[str, int] = {}
        place, width = 16, int(kind[1])
        for _ in range(count):
            size = int(self._slice(place, 1)[0])
            name = self._slice(place + 1, size).tobytes().decode("utf-8", "replace")
            offset = int(self._words(place + 1 + size, 1, kind)[0])
            place += 1 + size + width
            if not name or name in offsets:
                what = f"the record name {name!r} is there twice" if name else "a record has no name"
                raise UserError(f"{self.path}: {what} in the index; the file is damaged, make it again.")
            offsets[name] = offset
        wrong = [name for name, offset in offsets.items() if not place <= offset]
        if wrong:
            raise UserError(f"{self.path}: the index sends record {wrong[0]!r} to a wrong place; the file is damaged.")
        return offsets

    def _layout(self, name: str) -> _Layout:
        if name not in self._layouts:
            length, place = self.lengths[name], self._offsets[name] + 4
            blocks = []
            for _ in range(2):
                count = int(self._words(place, 1)[0])
                starts = self._words(place + 4, count)
                ends = starts + self._words(place + 4 + 4 * count, count)
                place += 4 + 8 * count
                if count and ((starts[1:] < ends[:-1]).any() or ends[-1] > length):
                    raise UserError(f"{self.path}: the blocks of record {name!r} lie outside it; the file is damaged.")
                blocks.append((starts, ends))
            self._slice(place + 4, (length + 3) // 4)  # says so if the sequence is cut
            self._layouts[name] = _Layout(length, blocks[0], blocks[1], place + 4)
        return self._layouts[name]

    def fetch(self, record: str, start: int, end: int) -> bytes:
        """Return bases `start` .. `end` - 1 of a record: A, C, G, T, N, in lower case where soft-masked.

        Raises:
            UserError: Unknown record, bases that it does not have, or a damaged file.
        """
        self._check(record, start, end)
        layout = self._layout(record)
        packed = self._slice(layout.packed + start // 4, (end + 3) // 4 - start // 4)
        letters = _LETTERS[packed].reshape(-1)[start % 4 :][: end - start]
        letters[_inside(layout.unknown, start, end)] = ord("N")
        letters[_inside(layout.masked, start, end)] += 32
        return letters.tobytes()

    def stream(self) -> Iterator[tuple[str, bytes]]:
        """Yield ``(record name, piece of its sequence)``, pieces of one record following each other.

        Raises:
            UserError: A record without sequence, or a damaged file.
        """
        for name, length in self.lengths.items():
            if not length:
                raise UserError(f"{self.path}: the record {name!r} has no sequence; remove it.")
            for start in range(0, length, _PIECE):
                yield name, self.fetch(name, start, min(start + _PIECE, length))

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_mapped": None}


def _inside(blocks: tuple[np.ndarray, np.ndarray], start: int, end: int) -> np.ndarray:
    """Mark the positions start .. end - 1 that lie in the blocks, sorted and disjoint: (end - start,) bool."""
    starts, ends = blocks
    first, last = np.searchsorted(ends, start, side="right"), np.searchsorted(starts, end, side="left")
    mask = np.zeros(end - start, dtype=bool)
    for left, right in zip(starts[first:last] - start, ends[first:last] - start, strict=True):
        mask[max(left, 0) : right] = True
    return mask
