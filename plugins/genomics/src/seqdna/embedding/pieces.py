"""What is embedded: whole sequences, or the tiles of long ones, as token ids with their coordinates.

Sources are sequences by name, a FASTA file (streamed, one record in memory), the intervals of a BED file on
a genome (memory-mapped), or a CSV file with a sequence column. Coordinates are 0-based and half-open.
"""

from __future__ import annotations

import csv
import gzip
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby, pairwise
from operator import itemgetter
from pathlib import Path
from typing import IO

import numpy as np

from seqdna.data.bed import read_bed
from seqdna.data.fasta import NUCLEOTIDES, check_readable
from seqdna.data.genome import Genome
from seqdna.data.sequences import stream_sequences
from seqdna.tokenizers import NucleotideTokenizer, Text
from seqsuite.errors import UserError, suggest

_STRANGE = re.compile(f"[^{NUCLEOTIDES.decode()}]")


@dataclass(frozen=True)
class Piece:
    """One stretch of bases for the model.

    Attributes:
        item: Number of the sequence, record or interval it belongs to, from 0.
        name: Its name.
        start: First base in the record, 0-based.
        end: Base behind the last.
        ids: (end - start,) token ids, as the model reads them (an interval on the other strand: its reverse
            complement).
        keep: First base and base behind the last whose vectors count where every base
            gets one, counted along `ids`; the rest is context.
        strand: "-" where `ids` are the reverse complement of the record's bases.
    """

    item: int
    name: str
    start: int
    end: int
    ids: np.ndarray
    keep: tuple[int, int]
    strand: str = "+"

    def places(self) -> np.ndarray:
        """Return the coordinates of the kept bases, in the order of `ids`: descending on the other strand."""
        first, last = self.keep
        if self.strand == "-":
            return np.arange(self.end - 1 - first, self.end - 1 - last, -1)
        return np.arange(self.start + first, self.start + last)


@dataclass(frozen=True)
class Tiling:
    """How long sequences are cut.

    Args:
        window: Bases of a tile; None: sequences stay whole, and may not exceed `max_length`; 0: whole whatever their
            length. A sequence no longer than this is one piece.
        step: From tile to tile; None: the window. The last tile ends with the sequence.
        max_length: A longer sequence needs a window, so that memory stays bounded.
        every_base: Tiles that overlap share out the bases: each is kept in the tile where it lies deeper.
    """

    window: int | None = None
    step: int | None = None
    max_length: int = 131_072
    every_base: bool = False

    def __post_init__(self) -> None:
        if self.window is not None and self.window < 0:
            raise UserError(f"--window is {self.window}; it must be at least 1, or 0 for whole sequences.")
        if self.step is not None and not self.window:
            raise UserError("--step needs a --window.")
        if self.step is not None and self.step < 1:
            raise UserError(f"--step is {self.step}; it must be at least 1.")
        if self.every_base and self.window and self.step is not None and self.step > self.window:
            raise UserError(
                f"--step {self.step} is longer than --window {self.window}: bases between tiles would have no vector."
            )

    def cut(self, item: int, name: str, ids: np.ndarray, origin: int = 0) -> Iterator[Piece]:
        """Yield the pieces of one sequence whose first base has the coordinate `origin`.

        Raises:
            UserError: The sequence is longer than `max_length` and there is no window.
        """
        length = len(ids)
        if self.window is None and length > self.max_length:
            raise UserError(
                f"{name!r} has {length:,} bases, more than {self.max_length:,} at once: add --window 8192 to embed "
                "it in tiles, --window 0 to embed it whole through temporary files, or raise --max_length."
            )
        window = min(self.window or length, length)
        starts = list(range(0, length - window + 1, self.step or window))
        if starts[-1] + window < length:
            starts.append(length - window)
        # Where two neighbours overlap, the middle of the overlap divides them.
        cuts = [0, *((right + left + window) // 2 for left, right in pairwise(starts)), length]
        for start, (first, last) in zip(starts, pairwise(cuts), strict=True):
            keep = (first - start, last - start) if self.every_base else (0, window)
            yield Piece(item, name, origin + start, origin + start + window, ids[start : start + window], keep)


def named_pieces(sequences: Mapping[str, Text], tokenizer: NucleotideTokenizer, tiling: Tiling) -> Iterator[Piece]:
    """Yield the pieces of sequences by name."""
    return _pieces(sequences.items(), tokenizer, tiling)


def fasta_pieces(path: str | Path, tokenizer: NucleotideTokenizer, tiling: Tiling) -> Iterator[Piece]:
    """Yield the pieces of the records of a FASTA, .2bit or GenBank file, with one record's letters in memory."""
    records = groupby(stream_sequences(path), key=itemgetter(0))
    return _pieces(((name, b"".join(text for _, text in parts)) for name, parts in records), tokenizer, tiling)


def csv_pieces(
    path: str | Path,
    tokenizer: NucleotideTokenizer,
    tiling: Tiling,
    *,
    column: str = "sequence",
    name_column: str | None = None,
) -> Iterator[Piece]:
    """Yield the pieces of the sequences in a column of a CSV or TSV file, plain or gzip.

    Args:
        path: The file; ".tsv" in its name means tabulators.
        tokenizer: Makes the ids.
        tiling: How long sequences are cut.
        column: Heading of the sequences.
        name_column: Heading of their names; None: "row_1" and so on.

    Raises:
        UserError: No such file or column, no row, or a cell that is no nucleotide sequence; the line is named.
    """
    return _pieces(_csv_rows(Path(path), column, name_column), tokenizer, tiling)


def bed_pieces(path: str | Path, genome: Genome, tiling: Tiling) -> Iterator[Piece]:
    """Yield the pieces of the intervals of a BED file, in its order; "-" intervals as their reverse complement.

    Tiles of a "-" interval run from its 5' end; their coordinates are those of the forward strand.
    """
    for item, row in enumerate(read_bed(path, genome)):
        if row.start == row.end:
            raise UserError(f"{path}, line {row.line}: the interval has no base; remove the line.")
        ids = genome.fetch(row.chrom, row.start, row.end)
        name = row.name or str(row.interval)
        if row.strand != "-":
            yield from tiling.cut(item, name, ids, row.start)
            continue
        for piece in tiling.cut(item, name, genome.tokenizer.reverse_complement(ids)):
            start, end = row.end - piece.end, row.end - piece.start
            yield Piece(item, name, start, end, piece.ids, piece.keep, "-")


def _pieces(named: Iterable[tuple[str, Text]], tokenizer: NucleotideTokenizer, tiling: Tiling) -> Iterator[Piece]:
    for item, (name, text) in enumerate(named):
        yield from tiling.cut(item, name, tokenizer.encode(text))


def _csv_rows(path: Path, column: str, name_column: str | None) -> Iterator[tuple[str, str]]:
    check_readable(path)
    number = 0
    with _open_text(path) as handle:
        try:
            reader = csv.DictReader(handle, delimiter="\t" if ".tsv" in path.name else ",")
            for heading in (column, name_column):
                if heading is not None and heading not in (reader.fieldnames or ()):
                    raise UserError(
                        f"{path}: there is no column {heading!r}.{suggest(heading, reader.fieldnames or ())}"
                    )
            for number, row in enumerate(reader, start=1):
                text = (row[column] or "").strip()
                wrong = _STRANGE.search(text)
                if not text or wrong:
                    what = f"{wrong[0]!r} is no nucleotide code" if wrong else "the sequence is empty"
                    raise UserError(f"{path}, line {reader.line_num}, column {column!r}: {what}.")
                yield (row[name_column] or "") if name_column else f"row_{number}", text
        except (UnicodeDecodeError, csv.Error, EOFError, gzip.BadGzipFile) as error:
            raise UserError(f"{path}: is no readable CSV file ({error}).") from None
    if not number:
        raise UserError(f"{path}: there is no row below the heading.")


def _open_text(path: Path) -> IO[str]:
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
        if packed:
            return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
        return path.open(encoding="utf-8-sig", newline="")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error}).") from None
