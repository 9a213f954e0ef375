"""Motifs of a JASPAR file, and where they lie in a sequence.

    motifs = read_motifs("jaspar2024_core.jaspar.gz", name="CTCF*", taxon="vertebrates")
    hits = scan("ACGT...", motifs, p_value=1e-4)

A motif scores a site with the sum of log2(p(base) / 0.25), where p comes from the counts with pseudocounts.
The threshold is the lowest score whose probability under even, independent bases is at most `p_value`; the
distribution is exact on a grid of 1/100 bit, built column by column (Staden 1989). A site on the other
strand is scored by its reverse complement; a palindromic motif is found on both.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path

import numpy as np

from seqdna.data.fasta import check_readable
from seqdna.embedding.optional import needed
from seqsuite.errors import UserError, suggest

PSEUDOCOUNT = 0.8
"""Added to every column's counts, divided among the four bases."""

_GRID = 100


@dataclass(frozen=True)
class Motif:
    """A position weight matrix.

    Attributes:
        id: Matrix id, MA0139.2.
        name: CTCF.
        taxon: As the file has it; empty where it has none.
        counts: (width, 4) over A, C, G, T.
    """

    id: str
    name: str
    taxon: str
    counts: np.ndarray

    def __len__(self) -> int:
        return len(self.counts)

    @cached_property
    def log_odds(self) -> np.ndarray:
        """(width, 4) bits: log2 of the base's share, with pseudocounts, over 0.25."""
        shares = (self.counts + PSEUDOCOUNT / 4) / (self.counts.sum(1, keepdims=True) + PSEUDOCOUNT)
        return np.log2(shares / 0.25)

    @cached_property
    def _steps(self) -> np.ndarray:
        """(width, 4) log odds in steps of the grid, from each column's lowest."""
        steps = np.rint(self.log_odds * _GRID).astype(np.int64)
        return steps - steps.min(1, keepdims=True)

    @cached_property
    def tail(self) -> np.ndarray:
        """P(a random site reaches at least k steps), for k = 0, 1, ... the highest."""
        chance = np.ones(1)
        for column in self._steps:
            wider = np.zeros(len(chance) + int(column.max()))
            for step in column:
                wider[step : step + len(chance)] += chance / 4
            chance = wider
        return np.minimum(np.cumsum(chance[::-1])[::-1], 1.0)


@dataclass(frozen=True)
class Hit:
    """A motif at a place.

    Attributes:
        motif: Which.
        start: First base in the sequence, 0-based.
        end: Base behind the last.
        strand: "+", or "-" where the motif reads the other strand.
        score: Bits.
        p_value: Probability that one random site scores as high.
    """

    motif: Motif
    start: int
    end: int
    strand: str
    score: float
    p_value: float


def read_motifs(path: str | Path, *, name: str = "*", taxon: str | None = None) -> list[Motif]:
    """Read motifs from a JASPAR file (plain or gzip), through Biopython.

    Args:
        path: The file.
        name: Which: a name or matrix id, with wildcards (``CTCF``, ``MA0139*``), upper or lower case.
        taxon: Which taxonomic group, in files that have it as the third word of a motif's first line.

    Raises:
        UserError: No such file, no JASPAR file, or none of its motifs is chosen.
    """
    source = Path(path).expanduser()
    check_readable(source)
    found = list(_parse(source, _read(source)))
    of_taxon = [motif for motif in found if taxon is None or motif.taxon.lower() == taxon.lower()]
    if not of_taxon:
        known = {motif.taxon for motif in found if motif.taxon}
        hint = suggest(str(taxon), known) if known else " The file names no taxon; choose by name."
        raise UserError(f"{source}: no motif is of the taxon {taxon!r}.{hint}")
    pattern = name.lower()
    chosen = [m for m in of_taxon if fnmatchcase(m.name.lower(), pattern) or fnmatchcase(m.id.lower(), pattern)]
    if not chosen:
        raise UserError(f"{source}: no motif is called {name!r}.{suggest(name, (motif.name for motif in of_taxon))}")
    return chosen


def _read(source: Path) -> str:
    try:
        raw = source.read_bytes()
        text = (gzip.decompress(raw) if raw.startswith(b"\x1f\x8b") else raw).decode("utf-8")
    except (UnicodeDecodeError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{source}: is no readable JASPAR file ({error}).") from None
    except OSError as error:
        raise UserError(f"{source}: cannot be read ({error.strerror or error}).") from None
    if not text.lstrip().startswith(">"):
        what = "MEME" if text.lstrip().startswith("MEME") else "another format, or empty"
        raise UserError(
            f"{source}: is no JASPAR file ({what}): expected '>', an id and a name, then counts A, C, G, T."
        )
    return text


def _parse(source: Path, text: str) -> Iterator[Motif]:
    needed("biopython", "Bio.motifs.jaspar", "--motifs")
    from Bio.motifs import jaspar

    taxa = {}
    for number, line in enumerate(text.splitlines(), start=1):
        words = line[1:].split() if line.startswith(">") else []
        if words:
            taxa[words[0]] = words[2] if len(words) > 2 else ""
        elif line.strip() and not line.lstrip().startswith(("A", "C", "G", "T", "[", *"0123456789")):
            raise UserError(f"{source}, line {number}: {line.strip()[:30]!r} is no line of counts.")
    try:
        records = jaspar.read(io.StringIO(text), "jaspar")
    except Exception as error:  # Biopython raises a bare Exception where lines differ in length
        told = " ".join(str(error).split())
        raise UserError(f"{source}: is no JASPAR file ({told if len(told) <= 100 else f'{told[:100]}...'}).") from None
    if len(records) != sum(line.startswith(">") for line in text.splitlines()):
        raise UserError(f"{source}: a motif has not four lines of counts (A, C, G, T).")
    for record in records:
        counts = np.array([record.counts[base] for base in "ACGT"], dtype=np.float64).T
        if not len(counts) or (counts < 0).any() or not (counts.sum(1) > 0).all():
            raise UserError(f"{source}: the motif {record.matrix_id} has a column without counts.")
        yield Motif(record.matrix_id, record.name, taxa.get(record.matrix_id, ""), counts)


def scan(sequence: str, motifs: Iterable[Motif], *, p_value: float = 1e-4) -> list[Hit]:
    """Find motifs in a sequence, on both strands, sorted by place.

    Args:
        sequence: Bases; sites with anything but A, C, G, T are passed over.
        motifs: From `read_motifs`.
        p_value: Highest probability that a random site scores as high; a motif that cannot be so rare has no hit.
    """
    letters = np.frombuffer(sequence.upper().replace("U", "T").encode("ascii"), dtype=np.uint8)
    codes = np.full(len(letters), 4)
    for code, base in enumerate("ACGT"):
        codes[letters == ord(base)] = code
    hits = []
    for motif in motifs:
        tail = motif.tail
        threshold = int(np.searchsorted(-tail, -p_value))  # tail falls: the first k with tail[k] <= p_value
        if threshold == len(tail) or len(codes) < len(motif):
            continue
        for strand in "+-":
            back = slice(None, None, 1 if strand == "+" else -1)
            steps = _sums(motif._steps[back, back], codes)
            for start in np.flatnonzero(steps >= threshold).tolist():
                site = codes[start : start + len(motif)]
                score = float(motif.log_odds[back, back][np.arange(len(motif)), site].sum())
                chance = float(tail[int(steps[start])])
                hits.append(Hit(motif, start, start + len(motif), strand, score, chance))
    return sorted(hits, key=lambda hit: (hit.start, hit.end, hit.motif.id, hit.strand))


def _sums(matrix: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Return each site's sum over (width, 4) integers; negative where a site holds no base."""
    padded = np.concatenate((matrix, np.full((len(matrix), 1), -(1 << 40))), axis=1)
    count = len(codes) - len(matrix) + 1
    total = np.zeros(count, dtype=np.int64)
    for offset, column in enumerate(padded):
        total += column[codes[offset : offset + count]]
    return total
