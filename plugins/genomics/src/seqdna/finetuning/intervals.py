"""Labelled sequences that are intervals of a genome: a table of coordinates and a FASTA file.

Three layouts: a table with the columns chromosome (or chrom, region), start, end and label, as BEND and the
interval form of Genomic Benchmarks have it; the same without a header, as BED; coordinates are 0-based and
half-open. On the strand "-" the reverse complement is taken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from seqdna.finetuning.labelled import Rows, reverse_complement
from seqdna.finetuning.tables import LABEL_NAMES, SPLIT_NAMES, find_column, first_cells, split_of, table_records
from seqsuite.errors import UserError, suggest

CHROMOSOME_NAMES = ("chromosome", "chrom", "chr", "region", "#chrom", "#chromosome")


def is_interval_table(source: Path) -> bool:
    """Whether a table's header names coordinates and no sequence."""
    lowered = {name.lower() for name in first_cells(source)}
    return {"start", "end"} <= lowered and bool(lowered & set(CHROMOSOME_NAMES)) and not lowered & {"sequence", "seq"}


def read_interval_table(
    path: str | Path,
    genome: Mapping[str, str],
    *,
    genome_name: str,
    labels: Sequence[str] = (),
    split_column: str = "",
    label: str | None = None,
) -> Rows:
    """Read a table of coordinates with a header and fetch the sequences.

    Args:
        path: CSV or TSV, plain or gzip.
        genome: Name -> sequence.
        genome_name: For messages.
        labels: Names of the label columns; none: `label`.
        split_column: Its name; none: `split`, where there is one.
        label: The label of all rows, where a file holds one class.

    Raises:
        UserError: A column is not there; a row's chromosome is unknown or its interval lies outside of it.
    """
    source = Path(path).expanduser()
    header, records = table_records(source)
    chromosome = find_column(source, header, "", CHROMOSOME_NAMES, "the header", "chromosome")
    start = find_column(source, header, "", ("start",), "the header", "start")
    end = find_column(source, header, "", ("end",), "the header", "end")
    strand = find_column(source, header, "", ("strand",), "the header", "strand", needed=False)
    split = find_column(source, header, split_column, SPLIT_NAMES, "--split_column", "split", needed=False)
    wanted = [] if label is not None else list(labels) or [""]
    columns = [find_column(source, header, name, LABEL_NAMES, "--labels", "label") for name in wanted]
    places, sequences, found, splits = [], [], [], []
    for place, cells in records:
        where = f"{source}, {place}"
        if len(cells) != len(header):
            raise UserError(f"{where}: has {len(cells)} cells, the header has {len(header)}; mend the row.")
        assert chromosome is not None
        assert start is not None
        assert end is not None
        minus = strand is not None and cells[strand].strip() == "-"
        interval = (cells[chromosome].strip(), cells[start].strip(), cells[end].strip())
        places.append(place)
        sequences.append(fetch(genome, interval, where, genome_name, minus=minus))
        found.append((label,) if label is not None else tuple(cells[c].strip() for c in columns if c is not None))
        splits.append("" if split is None else split_of(cells[split], where))
    if not places:
        raise UserError(f"{source}: the table has a header and no rows.")
    names = ("class",) if label is not None else tuple(header[c] for c in columns if c is not None)
    marks = None if split is None else tuple(splits)
    return Rows(str(source), tuple(places), tuple(sequences), tuple(found), names, marks)


def fetch(
    genome: Mapping[str, str], interval: tuple[str, str, str], where: str, genome_name: str, *, minus: bool = False
) -> str:
    """Return the bases of one interval.

    Raises:
        UserError: The chromosome is unknown, or the interval is empty or lies outside of it.
    """
    name, first, last = interval
    sequence = genome.get(name)
    if sequence is None:
        raise missing_sequence(name, genome, where, genome_name)
    try:
        start, end = int(first), int(last)
    except ValueError:
        raise UserError(f"{where}: start {first!r} and end {last!r} must be whole numbers.") from None
    if not 0 <= start < end <= len(sequence):
        raise UserError(
            f"{where}: {name}:{start}-{end} lies outside of {name!r}, which has {len(sequence)} bases; mend the "
            "interval, or give the genome that it was made for."
        )
    piece = sequence[start:end]
    return reverse_complement(piece) if minus else piece


def missing_sequence(name: str, genome: Mapping[str, str], where: str, genome_name: str) -> UserError:
    """Return the error of a chromosome that the genome does not have, with the near name."""
    other = name.removeprefix("chr") if name.startswith("chr") else f"chr{name}"
    hint = f" Did you mean {other!r}?" if other in genome else suggest(name, genome)
    return UserError(f"{where}: {genome_name} has no sequence {name!r}.{hint}")


def load_genome(path: str | Path) -> Mapping[str, str]:
    """Read a FASTA, .2bit or GenBank file as text: name -> sequence.

    The last one is kept for the next data set of a suite, until the file changes.
    """
    from seqdna.resources import resolve_genome

    source = resolve_genome(str(path))
    state = source.stat() if source.is_file() else None
    return _loaded(str(source), state.st_mtime_ns if state else 0, state.st_size if state else 0)


@lru_cache(maxsize=1)
def _loaded(path: str, _changed: int, _size: int) -> Mapping[str, str]:
    from seqdna.data.sequences import stream_sequences

    pieces: dict[str, list[bytes]] = {}
    for name, piece in stream_sequences(path):
        pieces.setdefault(name, []).append(piece)
    return {name: b"".join(parts).decode("ascii") for name, parts in pieces.items()}
