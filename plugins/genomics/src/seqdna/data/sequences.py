"""Any sequence file as one stream: FASTA, UCSC .2bit and GenBank, told apart by their content, not by their name."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from seqdna.data.fasta import check_readable, is_gzip, stream_fasta
from seqdna.data.genbank import stream_genbank
from seqdna.data.indexed import FastaFile
from seqdna.data.twobit import SIGNATURES, TwoBitFile
from seqsuite.errors import UserError


def sequence_format(path: str | Path) -> str:
    """Return ``"fasta"``, ``"2bit"`` or ``"genbank"`` by the first bytes of a file, unpacked where it is gzip.

    What is none of them is called ``"fasta"``, whose reader says what is wrong with it.

    Raises:
        UserError: The file cannot be read, or is a .2bit file packed with gzip.
    """
    source = Path(path)
    check_readable(source)
    try:
        with source.open("rb") as raw:
            head = raw.read(512)
        packed = is_gzip(head)
        if packed:
            with gzip.open(source) as handle:
                head = handle.read(512)
    except (EOFError, gzip.BadGzipFile, zlib.error):
        return "fasta"
    except OSError as error:
        raise UserError(f"{source}: cannot be read ({error.strerror or error}).") from None
    if head[:4] in SIGNATURES:
        if packed:
            raise UserError(f"{source}: a .2bit file packed with gzip; unpack it first (gunzip), it stays small.")
        return "2bit"
    return "genbank" if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"LOCUS ") else "fasta"


def stream_sequences(path: str | Path) -> Iterator[tuple[str, bytes]]:
    """Yield ``(record name, piece of its sequence)`` of a FASTA, .2bit or GenBank file; see `stream_fasta`.

    Raises:
        UserError: The file is refused by the reader of its format, in one line that names it.
    """
    kind = sequence_format(path)
    if kind == "2bit":
        yield from TwoBitFile(path).stream()
    elif kind == "genbank":
        yield from stream_genbank(path)
    else:
        yield from stream_fasta(path)


def read_sequences(path: str | Path) -> Iterator[tuple[str, bytes]]:
    """Yield ``(record name, whole sequence)`` of a FASTA, .2bit or GenBank file; see `stream_sequences`."""
    for name, pieces in groupby(stream_sequences(path), key=lambda item: item[0]):
        yield name, b"".join(piece for _, piece in pieces)


def open_indexed(path: str | Path, *, cache: str | Path | None = None) -> FastaFile | TwoBitFile:
    """Open a FASTA (plain or bgzip) or .2bit file for random access, without converting it.

    Args:
        path: The file.
        cache: Folder for the index of a FASTA file; default that of the token cache.

    Raises:
        UserError: The file is refused, or has no random access (gzip, GenBank).
    """
    kind = sequence_format(path)
    if kind == "genbank":
        raise UserError(f"{path}: a GenBank file has no random access; use it through the token cache (open_genome).")
    return TwoBitFile(path) if kind == "2bit" else FastaFile(path, cache=cache)
