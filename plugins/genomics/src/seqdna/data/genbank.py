"""GenBank flat files through Biopython: records with features, and their sequences as a stream for the token cache."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqdna.data.fasta import NUCLEOTIDES, check_readable, unpacked
from seqsuite.errors import UserError

if TYPE_CHECKING:
    from Bio.SeqRecord import SeqRecord

_UNNAMED = ("", ".", "<unknown id>")


class _Counted:
    """A text handle that knows how many lines were read from it, and the last one that was not blank."""

    def __init__(self, handle: io.TextIOWrapper) -> None:
        self._handle = handle
        self.line = 0
        self.last = ""

    def readline(self) -> str:
        line = self._handle.readline()
        self.line += bool(line)
        self.last = line.strip() or self.last
        return line

    def read(self, size: int = -1) -> str:
        return self._handle.read(size)

    def __iter__(self) -> Iterator[str]:
        return iter(self.readline, "")


def read_genbank(path: str | Path) -> Iterator[SeqRecord]:
    """Yield the records of a GenBank file, plain or packed with gzip, as Biopython reads them.

    The `id` of each is its accession with version; where there is none, the name of its LOCUS line.

    Raises:
        UserError: The file is missing, empty, cut or no GenBank file, or two records have one name. File and line
            are named.
    """
    from Bio import SeqIO

    source = Path(path)
    check_readable(source)
    seen: dict[str, int] = {}
    with unpacked(source) as raw:
        handle = _Counted(io.TextIOWrapper(raw, encoding="utf-8", errors="replace"))
        records = SeqIO.parse(handle, "genbank")
        while True:
            first = handle.line + 1
            record = _next(source, handle, records)
            if record is None:
                break
            name = str(record.name if record.id is None or record.id in _UNNAMED else record.id)
            if name in seen:
                raise UserError(
                    f"{source}: the record name {name!r} of the record that ends at line {handle.line} was used by "
                    f"the one that starts at line {seen[name]}; rename one of them."
                )
            record.id, seen[name] = name, first
            yield record
    if not seen:
        raise UserError(f"{source}: not a GenBank file: it has no whole LOCUS line.")


def _next(source: Path, handle: _Counted, records: Any) -> SeqRecord | None:
    """Return the next record or None; an error of the parser becomes one that names file and line."""
    from Bio import BiopythonParserWarning

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", BiopythonParserWarning)
            record = next(records, None)
    # Biopython meets unexpected text with all of these.
    except (ValueError, AssertionError, IndexError, KeyError, AttributeError) as error:
        reason = re.sub(r"\s+", " ", str(error)) or type(error).__name__
        raise UserError(
            f"{source}, line {handle.line}: not readable as GenBank ({reason}); the file is truncated or damaged."
        ) from None
    # For a sequence that is cut Biopython has a warning only.
    if record is not None and handle.last != "//":
        raise UserError(
            f"{source}, line {handle.line}: the record {record.id!r} has no end mark '//'; the file is truncated, copy "
            "or download it again."
        )
    return record  # type: ignore[no-any-return]


def stream_genbank(path: str | Path) -> Iterator[tuple[str, bytes]]:
    """Yield ``(record name, sequence)`` of a GenBank file, the sequences in upper case as Biopython gives them.

    Raises:
        UserError: As `read_genbank`, or a record holds no sequence, or one that is no nucleotide sequence.
    """
    from Bio.Seq import UndefinedSequenceError

    for record in read_genbank(path):
        try:
            text = bytes(record.seq or b"")
        except UndefinedSequenceError:
            text = b""
        if not text:
            raise UserError(
                f"{path}: the record {record.id!r} has no sequence (no ORIGIN part); download it with its sequence."
            )
        strange = text.translate(None, NUCLEOTIDES)
        if strange:
            raise UserError(
                f"{path}: {chr(strange[0])!r} in record {record.id!r} is no nucleotide code; give a nucleotide file."
            )
        yield str(record.id), text
