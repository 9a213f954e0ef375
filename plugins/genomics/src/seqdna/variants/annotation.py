"""Genes from GFF3: codons, what a change does to them, start codons and splice sites.

    transcripts = coding_transcripts("genes.gff3.gz")            # the longest coding one of each gene
    positions, codes = transcripts[0].codons(genome)             # (n, 3) each, in reading order
    effects = consequences(codes)                                # (n, 3, 4) indices into CONSEQUENCES

Positions are 0-based on the given strand of the contig. Formats: GFF3 1.26 (Sequence Ontology); NCBI's genetic
code 1. Every column but the attributes is checked; directives and the FASTA section are passed over.
"""

from __future__ import annotations

import gzip
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO
from urllib.parse import unquote

import numpy as np

from seqdna.data.fasta import check_readable
from seqdna.data.genome import Genome
from seqsuite.errors import UserError

CONSEQUENCES = ("reference", "synonymous", "missense", "stop_gained", "stop_lost", "unknown")
# Amino acids of genetic code 1 by codon, bases in the order T, C, A, G, the third running fastest.
_STANDARD = "FFLLSSSSYY**CC*WLLLLPPPPHHQQRRRRIIIMTTTTNNKKSSRRVVVVAAAADDEEGGGG"
_TCAG = np.array([2, 1, 3, 0])  # place of A, C, G, T in that order
Span = tuple[int, int]


@dataclass(frozen=True)
class Feature:
    """One line of a GFF3 file; `start` .. `end` - 1 are 0-based, `phase` is -1 where none is given."""

    contig: str
    kind: str
    start: int
    end: int
    strand: str
    phase: int
    attributes: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True)
class Transcript:
    """A coding transcript.

    Attributes:
        name: ID of the mRNA, or of the CDS where there is no mRNA.
        gene: ID of the gene; the name where there is none.
        contig: Contig.
        strand: "+" or "-".
        cds: Coding spans in reading order.
        phase: Bases in front of the first whole codon.
        exons: Spans in reading order; the coding ones where no exons are given.
    """

    name: str
    gene: str
    contig: str
    strand: str
    cds: tuple[Span, ...]
    phase: int
    exons: tuple[Span, ...]

    @property
    def coding_length(self) -> int:
        """Coding bases."""
        return sum(end - start for start, end in self.cds)

    @property
    def start_codon(self) -> int:
        """Position of the first coding base."""
        start, end = self.cds[0]
        return start if self.strand == "+" else end - 1

    def codons(self, genome: Genome) -> tuple[np.ndarray, np.ndarray]:
        """Return the whole codons in reading order.

        Returns:
            Positions (n, 3) int64, and bases as 0 to 3 for A, C, G, T of the coding strand, 4 unknown: (n, 3) uint8.

        Raises:
            UserError: The genome has no such bases.
        """
        step = 1 if self.strand == "+" else -1
        places = np.concatenate([np.arange(start, end)[::step] for start, end in self.cds])[self.phase :]
        places = places[: len(places) // 3 * 3].reshape(-1, 3)
        first, last = min(start for start, _ in self.cds), max(end for _, end in self.cds)
        codes = genome.codes(self.contig, first, last)[places - first]
        if step < 0:
            codes = np.where(codes < 4, 3 - codes, 4).astype(np.uint8)
        return places, codes

    def splice_sites(self) -> tuple[list[int], list[int]]:
        """Return positions of the first base (donor) and of the last base (acceptor) of every intron."""
        donors, acceptors = [], []
        for (start, end), (next_start, next_end) in zip(self.exons, self.exons[1:], strict=False):
            donors.append(end if self.strand == "+" else start - 1)
            acceptors.append(next_start - 1 if self.strand == "+" else next_end)
        return donors, acceptors


def read_gff(path: str | Path) -> Iterator[Feature]:
    """Yield the features of a GFF3 file, plain or gzip, in its order.

    Raises:
        UserError: The file is missing or damaged, or a line is no feature; file and line are named.
    """
    source = Path(path).expanduser()
    check_readable(source)
    try:
        with _open(source) as handle:
            for number, line in enumerate(handle, start=1):
                if line.startswith("##FASTA") or line.startswith(">"):
                    return
                if line.strip() and not line.startswith("#"):
                    yield _feature(source, number, line.rstrip("\r\n"))
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{source}: the gzip data is damaged or cut ({error}); copy the file again.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{source}: cannot be read as text ({error}).") from None


def _open(source: Path) -> IO[str]:
    with source.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
    return gzip.open(source, "rt", encoding="utf-8") if packed else source.open(encoding="utf-8")


def _feature(source: Path, number: int, line: str) -> Feature:
    columns = line.split("\t")
    if len(columns) != 9:
        raise UserError(f"{source}, line {number}: {len(columns)} columns separated by tabs, not the 9 of GFF3.")
    contig, _, kind, start, end, _, strand, phase, attributes = columns
    if not (start.isdigit() and end.isdigit() and 1 <= int(start) <= int(end)):
        raise UserError(f"{source}, line {number}: {start}-{end} is no span; GFF3 counts from 1, start before end.")
    if strand not in ("+", "-", ".", "?") or phase not in ("0", "1", "2", "."):
        raise UserError(f"{source}, line {number}: strand {strand!r} or phase {phase!r} is none of GFF3's.")
    pairs = (item.partition("=") for item in attributes.split(";") if "=" in item)
    named = {key.strip(): unquote(value) for key, _, value in pairs}
    return Feature(unquote(contig), kind, int(start) - 1, int(end), strand, -1 if phase == "." else int(phase), named)


def coding_transcripts(source: str | Path | Iterable[Feature], *, longest: bool = True) -> list[Transcript]:
    """Return the coding transcripts of a GFF3 file, in the order of their first coding line.

    Args:
        source: A GFF3 file or its features.
        longest: Of each gene only the one with most coding bases, the first of equals.

    Raises:
        UserError: As `read_gff`, or there is no CDS feature.
    """
    features = read_gff(source) if isinstance(source, str | Path) else source
    coding: dict[str, list[Feature]] = defaultdict(list)
    exons: dict[str, list[Feature]] = defaultdict(list)
    parents: dict[str, str] = {}
    for feature in features:
        own, parent = feature.attributes.get("ID", ""), feature.attributes.get("Parent", "").split(",")
        if feature.kind == "CDS":
            for name in filter(None, parent if any(parent) else [own]):
                coding[name].append(feature)
        elif feature.kind == "exon":
            for name in filter(None, parent):
                exons[name].append(feature)
        elif own and parent[0]:
            parents[own] = parent[0]
    if not coding:
        name = f"{source}: " if isinstance(source, str | Path) else ""
        raise UserError(f"{name}no CDS feature with an ID or a Parent; give a GFF3 with coding annotation.")
    found = [_transcript(name, lines, exons.get(name, []), parents) for name, lines in coding.items()]
    if not longest:
        return found
    best: dict[str, Transcript] = {}
    for transcript in found:
        if transcript.gene not in best or transcript.coding_length > best[transcript.gene].coding_length:
            best[transcript.gene] = transcript
    return list(best.values())


def _transcript(name: str, coding: list[Feature], exons: list[Feature], parents: Mapping[str, str]) -> Transcript:
    backwards = coding[0].strand == "-"
    coding = sorted(coding, key=lambda feature: feature.start, reverse=backwards)
    cds = tuple((feature.start, feature.end) for feature in coding)
    spans = tuple(sorted(((feature.start, feature.end) for feature in exons), reverse=backwards)) or cds
    first = coding[0]
    return Transcript(name, parents.get(name, name), first.contig, first.strand, cds, max(first.phase, 0), spans)


def consequences(codes: np.ndarray) -> np.ndarray:
    """Return what each change of one base does to each codon.

    Args:
        codes: (n, 3) 0 to 3 for A, C, G, T of the coding strand, 4 unknown.

    Returns:
        (n, 3, 4) uint8 index into `CONSEQUENCES` by place in the codon and new base; the codon's own base is
        "reference", everything in a codon with an unknown base "unknown".
    """
    known: np.ndarray = np.all(codes < 4, axis=1)
    own = np.where(known[:, None], codes, 0).astype(np.int64)
    changed = np.repeat(np.repeat(own[:, None, None], 3, axis=1), 4, axis=2)  # (n, 3 places, 4 bases, 3)
    for place in range(3):
        changed[:, place, :, place] = np.arange(4)
    before, after = amino_acids(own)[:, None, None], amino_acids(changed)
    stop = ord("*")
    effect = np.full(after.shape, CONSEQUENCES.index("missense"), dtype=np.uint8)
    effect[(after == stop) & (before != stop)] = CONSEQUENCES.index("stop_gained")
    effect[(after != stop) & (before == stop)] = CONSEQUENCES.index("stop_lost")
    effect[after == before] = CONSEQUENCES.index("synonymous")
    effect[own[:, :, None] == np.arange(4)] = CONSEQUENCES.index("reference")
    effect[~known] = CONSEQUENCES.index("unknown")
    return effect


def amino_acids(codes: np.ndarray) -> np.ndarray:
    """Translate codons (..., 3) of 0 to 3 for A, C, G, T: (...) uint8 letters, ``*`` for a stop."""
    table = np.frombuffer(_STANDARD.encode(), dtype=np.uint8)
    places = _TCAG[codes]
    letters: np.ndarray = table[places[..., 0] * 16 + places[..., 1] * 4 + places[..., 2]]
    return letters
