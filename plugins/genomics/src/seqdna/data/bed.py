"""BED files: intervals with names, scores, strands and further columns, checked against a genome's records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path

from seqdna.data.access import RandomAccess
from seqdna.data.fasta import check_readable, unpacked
from seqdna.data.genome import Genome
from seqdna.data.intervals import Interval
from seqdna.data.names import resolve_names
from seqsuite.errors import UserError

Contigs = Genome | RandomAccess | Mapping[str, int] | Iterable[str]
"""What has record names, and their lengths unless it is names alone."""

_HEADERS = ("track", "browser")


@dataclass(frozen=True)
class BedRow:
    """One line of a BED file: the bases `start` .. `end` - 1 of `chrom`.

    Attributes:
        chrom: Name of the record, as the genome has it where one was given.
        start: First base, 0-based.
        end: One beyond the last base.
        name: Fourth column, or an empty text.
        score: Fifth column, or None where it is missing or ``.``.
        strand: ``"+"``, ``"-"`` or ``"."`` (none given).
        extra: The columns from the seventh on.
        line: Number of the line, from 1.
    """

    chrom: str
    start: int
    end: int
    name: str = ""
    score: float | None = None
    strand: str = "."
    extra: tuple[str, ...] = ()
    line: int = 0

    @property
    def interval(self) -> Interval:
        """The interval; no strand counts as forward."""
        return Interval(self.chrom, self.start, self.end, "-" if self.strand == "-" else "+")


def read_bed(path: str | Path, genome_or_names: Contigs | None = None) -> list[BedRow]:
    """Read a BED file, plain or packed with gzip: 3 columns or more, split by tabs or blanks.

    Lines that are empty, comments (``#``), ``track`` and ``browser`` lines are passed over.

    Args:
        path: The file.
        genome_or_names: What the intervals lie on: a genome, an indexed file, lengths by name, or names alone.
            Names are settled against it (see `resolve_names`), and intervals beyond a record are refused.

    Raises:
        UserError: The file is missing, packed otherwise, or holds no interval; or a line is no interval, has an
            unknown record name, or reaches beyond its record. File and line are named.
    """
    source = Path(path)
    check_readable(source)
    with unpacked(source) as handle:
        rows = [_parse(source, number, line) for number, line in _lines(handle)]
    if not rows:
        raise UserError(f"{source}: the file holds no interval.")
    return rows if genome_or_names is None else _settled(source, rows, genome_or_names)


def _lines(handle: Iterable[bytes]) -> Iterator[tuple[int, str]]:
    for number, raw in enumerate(handle, start=1):
        line = raw.decode("utf-8", "replace").removeprefix("\ufeff").rstrip("\r\n")
        if line.strip() and not line.startswith("#") and line.split(maxsplit=1)[0] not in _HEADERS:
            yield number, line


def _parse(source: Path, number: int, line: str) -> BedRow:
    columns = [column.strip() for column in line.split("\t")] if "\t" in line else line.split()
    where = f"{source}, line {number}"
    if len(columns) < 3 or not columns[0]:
        raise UserError(f"{where}: expected a record name, a start and an end, found {line[:40]!r}.")
    start, end = (_whole(where, name, text) for name, text in zip(("start", "end"), columns[1:3], strict=True))
    if start > end:
        raise UserError(
            f"{where}: the interval starts at {start}, behind its end {end}; BED counts from 0, start first."
        )
    score, strand = columns[4] if len(columns) > 4 else ".", columns[5] if len(columns) > 5 else "."
    if strand not in ("+", "-", "."):
        raise UserError(f"{where}: the strand (column 6) is {strand[:20]!r}; it must be +, - or a dot.")
    name = columns[3] if len(columns) > 3 else ""
    return BedRow(columns[0], start, end, name, _score(where, score), strand, tuple(columns[6:]), number)


def _whole(where: str, name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise UserError(f"{where}: the {name} is {text[:20]!r}; it must be a whole number from 0 on.")
    return int(text)


def _score(where: str, text: str) -> float | None:
    if text in (".", ""):
        return None
    try:
        score = float(text)
    except ValueError:
        score = float("nan")
    if not isfinite(score):
        raise UserError(f"{where}: the score (column 5) is {text[:20]!r}; it must be a number or a dot.")
    return score


def _settled(source: Path, rows: list[BedRow], contigs: Contigs) -> list[BedRow]:
    """Give every row the genome's name of its record, and refuse those that reach beyond it."""
    lengths = contig_lengths(contigs)
    names: dict[str, str] = {}
    settled = []
    for row in rows:
        if row.chrom not in names:
            names |= resolve_names([row.chrom], lengths, where=f"{source}, line {row.line}: ")
        chrom = names[row.chrom]
        length = lengths[chrom]
        if length is not None and row.end > length:
            raise UserError(
                f"{source}, line {row.line}: {row.chrom}:{row.start}-{row.end} reaches beyond the record {chrom!r}, "
                f"which has {length} bases; mend the interval, or give the genome that it was made for."
            )
        settled.append(replace(row, chrom=chrom))
    return settled


def contig_lengths(contigs: Contigs) -> dict[str, int | None]:
    """Return the length of each record by name, None where only names are known."""
    if isinstance(contigs, Genome):
        return {record.name: record.length for record in contigs.records}
    if isinstance(contigs, RandomAccess):
        return dict(contigs.lengths)
    if isinstance(contigs, Mapping):
        return dict(contigs)
    return dict.fromkeys(contigs)
