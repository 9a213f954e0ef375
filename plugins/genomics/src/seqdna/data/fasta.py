"""FASTA files, plain, gzip or bgzip, read as a stream of bytes with errors that name file and line.

Biopython's `SimpleFastaParser` skips whatever comes before the first ``>``, knows no line numbers and holds a
whole record as a list of lines; a protein file or a truncated download would pass unseen. This reader is the
same grammar with those checks, and the tests compare the two. It serves the token cache; random access to
indexed files is pyfaidx's work.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import BinaryIO

from seqsuite.errors import UserError, suggest

NUCLEOTIDES = b"ACGTUNRYSWKMBDHVacgtunryswkmbdhv"
_BLANKS = b" \t\r\n\v\f"
_PROTEIN_ONLY = b"EFILOPQXZJefilopqxzj*"
_GZIP = b"\x1f\x8b"
# The empty block that ends every bgzip file (SAM specification, section 4.1.2): without it the file was cut.
_BGZIP_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
_OTHER_PACKING = {b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"PK\x03\x04": "zip", b"\x28\xb5\x2f\xfd": "zstandard"}
_OTHER_FORMATS = (
    (b"@", "FASTQ (reads); convert it to FASTA"),
    (b"LOCUS", "GenBank; export it as FASTA"),
    (b"ID   ", "EMBL; export it as FASTA"),
    (b"##fileformat=VCF", "VCF (variants); give the reference FASTA"),
    (b"##gff", "GFF (annotation); give the FASTA of the genome"),
    (b"\x43\x27\x41\x1a", "UCSC 2bit; convert it with twoBitToFa"),
    (b"\x1a\x41\x27\x43", "UCSC 2bit; convert it with twoBitToFa"),
)


def stream_fasta(path: str | Path, *, piece_bytes: int = 1 << 20) -> Iterator[tuple[str, bytes]]:
    """Yield ``(record name, piece of its sequence)``, pieces of one record following each other.

    Pieces hold nucleotide letters only (either case), no blanks or line ends; every record has at least one
    piece. The name is the first word of the header. Memory is bounded by `piece_bytes` and the longest line.

    Args:
        path: A FASTA file; gzip and bgzip are recognised by content, not by name.
        piece_bytes: Sequence is gathered up to about this many bytes.

    Raises:
        UserError: The file is missing, empty, cut, packed otherwise or not nucleotide FASTA; a record has no
            name, no sequence or the name of an earlier one. File and line are named.
    """
    source = Path(path)
    check_readable(source)
    with unpacked(source) as handle:
        yield from _parse(source, handle, piece_bytes)


@contextmanager
def unpacked(source: Path) -> Iterator[io.BufferedReader]:
    """Open a file for reading, unpacking gzip and bgzip; whatever goes wrong inside the block is told in one line.

    Raises:
        UserError: The file is empty, cut, damaged, packed otherwise or cannot be read.
    """
    try:
        with source.open("rb") as raw:
            yield _unpack(source, raw)
    except EOFError:
        raise UserError(
            f"{source}: the gzip data ends too early; the file is truncated, copy or download it again."
        ) from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{source}: the gzip data is damaged ({error}); copy or download the file again.") from None
    except OSError as error:
        raise UserError(f"{source}: cannot be read ({error.strerror or error}).") from None


def read_fasta(path: str | Path) -> Iterator[tuple[str, bytes]]:
    """Yield ``(record name, whole sequence)``; see `stream_fasta` for what is read and refused."""
    for name, pieces in groupby(stream_fasta(path), key=lambda item: item[0]):
        yield name, b"".join(piece for _, piece in pieces)


def check_readable(source: Path, names: Iterable[str] = ()) -> None:
    """Raise a UserError that says why `source` is no file, with near names (of files beside it, and `names`)."""
    if source.is_dir():
        raise UserError(f"{source}: is a folder; give a file.")
    if not source.exists():
        try:
            near = [*names, *(entry.name for entry in source.parent.iterdir())]
        except OSError:
            raise UserError(f"{source}: no such file; the folder {source.parent} does not exist either.") from None
        hint = suggest(source.name, near)
        raise UserError(f"{source}: no such file.{hint if 'Did you mean' in hint else ' Check the path.'}")
    if not source.is_file():
        raise UserError(f"{source}: is no regular file; write the sequence to a file first.")


def is_gzip(head: bytes) -> bool:
    """Tell whether a file that begins with `head` is packed with gzip or bgzip."""
    return head.startswith(_GZIP)


def is_bgzip(head: bytes) -> bool:
    """Tell whether a file that begins with `head` (18 bytes suffice) is packed with bgzip."""
    return is_gzip(head) and head[3:4] == b"\x04" and head[12:14] == b"BC"


def _unpack(source: Path, raw: BinaryIO) -> io.BufferedReader:
    head = raw.read(18)
    if not head:
        raise UserError(f"{source}: the file is empty; write or download it again.")
    for magic, packing in _OTHER_PACKING.items():
        if head.startswith(magic):
            raise UserError(f"{source}: packed with {packing}; unpack it, or pack it with gzip or bgzip.")
    if is_bgzip(head):
        raw.seek(-min(len(_BGZIP_END), raw.seek(0, io.SEEK_END)), io.SEEK_END)
        if raw.read() != _BGZIP_END:
            raise UserError(
                f"{source}: the bgzip end mark is missing; the file is truncated, copy or download it again."
            )
    raw.seek(0)
    return io.BufferedReader(gzip.GzipFile(fileobj=raw) if is_gzip(head) else raw, 1 << 18)  # type: ignore[arg-type]


def _check_start(source: Path, number: int, line: bytes) -> None:
    """Refuse a file whose first line with content opens no FASTA record, saying what it seems to be."""
    if line.startswith(b">"):
        return
    for magic, what in _OTHER_FORMATS:
        if line.startswith(magic):
            raise UserError(f"{source}: not a FASTA file but {what}; give the sequences as FASTA.")
    if any(byte < 9 or byte == 127 for byte in line[:512]) or line.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UserError(
            f"{source}: not a FASTA file (binary data at line {number}); give FASTA, plain or in gzip or bgzip."
        )
    shown = line[:30].decode("ascii", "replace").strip()
    hint = (
        " A bare sequence needs a header line: put '>name' above it."
        if not line.strip().translate(None, NUCLEOTIDES)
        else ""
    )
    raise UserError(
        f"{source}, line {number}: not a FASTA file: expected '>' and a record name, found {shown!r}.{hint}"
    )


def _lines(source: Path, handle: io.BufferedReader) -> Iterator[tuple[int, bytes]]:
    """Number the lines from 1, check the first one with content, and drop a byte-order mark and leading blank lines."""
    started = False
    number = 0
    for number, line in enumerate(handle, start=1):
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        if not started and line.strip():
            _check_start(source, number, line)
            started = True
        if started:
            yield number, line
    if not started:
        what = "holds nothing but blank lines" if number else "is empty"
        raise UserError(f"{source}: the file {what}; write or download it again.")


def _name(source: Path, number: int, line: bytes, seen: dict[str, int]) -> str:
    if b"\r" in line.rstrip(_BLANKS):
        raise UserError(
            f"{source}, line {number}: line ends are lone CR (old Macintosh); convert them, e.g. tr '\\r' '\\n'."
        )
    words = line[1:].decode("utf-8", "replace").split(maxsplit=1)
    if not words:
        raise UserError(f"{source}, line {number}: the record has no name; write one after '>'.")
    name = words[0]
    if name in seen:
        raise UserError(
            f"{source}, line {number}: the record name {name!r} was used at line {seen[name]}; rename one of them."
        )
    seen[name] = number
    return name


def _clean(source: Path, record: str, first: int, lines: list[bytes]) -> bytes:
    """Join sequence lines without blanks, or say which line holds what is no nucleotide."""
    piece = b"".join(lines).translate(None, _BLANKS)
    if not piece.translate(None, NUCLEOTIDES):
        return piece
    for number, line in enumerate(lines, start=first):
        strange = line.translate(None, NUCLEOTIDES + _BLANKS)
        if strange:
            letter = chr(strange[0]) if 32 < strange[0] < 127 else f"byte 0x{strange[0]:02x}"
            kind = " The record looks like protein; give the nucleotide FASTA." if strange[0] in _PROTEIN_ONLY else ""
            raise UserError(f"{source}, line {number}: {letter!r} in record {record!r} is no nucleotide code.{kind}")
    raise AssertionError("a strange letter vanished between join and search")


def _parse(source: Path, handle: io.BufferedReader, piece_bytes: int) -> Iterator[tuple[str, bytes]]:
    seen: dict[str, int] = {}
    record, empty = "", False
    lines: list[bytes] = []
    gathered = first = 0
    for number, line in _lines(source, handle):
        opens = line.startswith(b">")
        if lines and (opens or gathered >= piece_bytes):
            piece = _clean(source, record, first, lines)
            lines, gathered = [], 0
            if piece:
                empty = False
                yield record, piece
        if opens:
            _refuse_empty(source, record, empty, seen)
            record, empty = _name(source, number, line, seen), True
            continue
        first = first if lines else number
        lines.append(line)
        gathered += len(line)
    piece = _clean(source, record, first, lines)
    _refuse_empty(source, record, empty and not piece, seen)
    if piece:
        yield record, piece


def _refuse_empty(source: Path, record: str, empty: bool, seen: dict[str, int]) -> None:
    if empty:
        raise UserError(
            f"{source}, line {seen[record]}: the record {record!r} has no sequence; remove it or fill it in."
        )
