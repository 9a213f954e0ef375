"""Writing bgzip: gzip in independent blocks of at most 64 KiB, what tabix and bcftools index.

    with BgzfWriter(open("out.vcf.gz", "wb")) as out:
        out.write(b"...")

Equal bytes in give equal bytes out: blocks are cut at fixed places and carry no date. Format: SAM
specification, section 4.1. Any gzip reader reads it, so reading needs nothing of its own.
"""

from __future__ import annotations

import struct
import zlib
from types import TracebackType
from typing import BinaryIO

_BLOCK = 65280  # incompressible data of this size still fits a block of 65536 bytes
_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")


class BgzfWriter:
    """A binary file that packs what is written to it.

    Args:
        handle: Where the packed bytes go; closed with the writer.
        level: Of zlib, 0 to 9.
    """

    def __init__(self, handle: BinaryIO, level: int = 6) -> None:
        self._handle, self._level = handle, level
        self._waiting = bytearray()

    def write(self, data: bytes) -> None:
        """Add bytes."""
        self._waiting += data
        while len(self._waiting) >= _BLOCK:
            self._put(bytes(self._waiting[:_BLOCK]))
            del self._waiting[:_BLOCK]

    def close(self) -> None:
        """Write the rest and the end mark, without which readers take the file for truncated."""
        try:
            if self._waiting:
                self._put(bytes(self._waiting))
                self._waiting.clear()
            self._handle.write(_END)
        finally:
            self._handle.close()

    def _put(self, block: bytes) -> None:
        packer = zlib.compressobj(self._level, zlib.DEFLATED, -15)
        body = packer.compress(block) + packer.flush()
        if len(body) + 26 > 65536:
            packer = zlib.compressobj(0, zlib.DEFLATED, -15)
            body = packer.compress(block) + packer.flush()
        head = b"\x1f\x8b\x08\x04\x00\x00\x00\x00\x00\xff\x06\x00BC\x02\x00"
        self._handle.write(head + struct.pack("<H", len(body) + 25) + body)
        self._handle.write(struct.pack("<II", zlib.crc32(block), len(block)))

    def __enter__(self) -> BgzfWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._handle.close()
