"""Random access to a plain or bgzip FASTA file through pyfaidx.

The index is built where the object is made, in the cache folder (the data folder may be read-only), under a key of
the file's path, size and times: a changed file never meets an old index. Each process opens a handle of its own on
first use, since pyfaidx handles do not survive a fork.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Any

from seqdna.data.access import RandomAccess
from seqdna.data.checksums import cache_folder, stamp
from seqdna.data.fasta import check_readable, is_bgzip, is_gzip, unpacked
from seqsuite.errors import UserError


class FastaFile(RandomAccess):
    """Random access to a FASTA file by record name and 0-based position.

    Args:
        path: A FASTA file, plain or packed with bgzip. Its lines must be of one length in each record.
        cache: Folder for the index; default `cache_folder()`.

    Attributes:
        lengths: Length of each record by name, in the file's order.

    Raises:
        UserError: The file is missing, empty, cut, packed with plain gzip, or cannot be indexed.
    """

    def __init__(self, path: str | Path, *, cache: str | Path | None = None) -> None:
        self.path = Path(path)
        check_readable(self.path)
        self._bgzip = _check_packing(self.path)
        self._stamp = stamp(self.path)
        folder = (Path(cache).expanduser() if cache is not None else cache_folder()) / "index"
        key = hashlib.sha256(repr((str(self.path.resolve()), self._stamp)).encode()).hexdigest()[:24]
        self._index = folder / f"{key}.fai", folder / f"{key}.gzi"
        self._handle: Any = None
        self._process = 0
        if not all(index.exists() for index in self._index[: 1 + self._bgzip]):
            self._build(folder)
        self.lengths = {name: len(entry) for name, entry in self._opened().index.items()}

    def _build(self, folder: Path) -> None:
        """Let pyfaidx write the index into a folder of its own, then rename its files into place."""
        import pyfaidx

        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder) as aside:
                fresh = Path(aside) / "fai", Path(aside) / "gzi"
                pyfaidx.Faidx(str(self.path), indexname=fresh[0], gzi_indexname=fresh[1]).close()
                for new, index in zip(fresh[: 1 + self._bgzip], self._index, strict=False):
                    new.replace(index)
        except (pyfaidx.FastaIndexingError, ValueError) as error:
            reason = " ".join(str(error).replace(str(self.path), "the file").split()).rstrip(".")
            raise UserError(
                f"{self.path}: cannot be indexed ({reason}); mend it, or use it through the token cache (open_genome)."
            ) from None
        except OSError as error:
            raise UserError(
                f"{folder}: the index of {self.path} cannot be written ({error.strerror or error}); set SEQSUITE_CACHE "
                "to a folder you may write."
            ) from None

    def _opened(self) -> Any:
        """Return this process's handle."""
        import pyfaidx

        if self._handle is None or self._process != os.getpid():
            if stamp(self.path) != self._stamp:
                raise UserError(f"{self.path}: the file changed since it was opened; open it again.")
            fai, gzi = self._index
            options = {"as_raw": True, "strict_bounds": True, "rebuild": False, "build_index": False}
            self._handle = pyfaidx.Faidx(str(self.path), indexname=fai, gzi_indexname=gzi, **options)
            self._process = os.getpid()
        return self._handle

    def fetch(self, record: str, start: int, end: int) -> bytes:
        """Return bases `start` .. `end` - 1 of a record as letters, in the case they have in the file.

        Raises:
            UserError: Unknown record, or bases that it does not have.
        """
        self._check(record, start, end)
        return str(self._opened().fetch(record, start + 1, end)).encode() if start < end else b""

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_handle": None}


def _check_packing(path: Path) -> bool:
    """Tell whether the file is bgzip, and refuse what pyfaidx cannot open."""
    with path.open("rb") as raw:
        head = raw.read(18)
    packed = is_bgzip(head)
    if is_gzip(head) and not packed:
        raise UserError(
            f"{path}: packed with gzip, which has no random access; use it through the token cache (open_genome), or "
            "pack it again with bgzip."
        )
    # pyfaidx goes by the name.
    if packed != path.name.lower().endswith((".gz", ".bgz")):
        raise UserError(f"{path}: {'packed with bgzip' if packed else 'not packed'}; rename it, {_NAMES[packed]}.")
    with unpacked(path):  # says so if the file is empty, cut or packed otherwise
        return packed


_NAMES = {True: "so that the name ends in .gz", False: "so that the name does not end in .gz"}
