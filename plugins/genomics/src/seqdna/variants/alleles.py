"""From a VCF record to haplotypes: is it scorable, where does it lie, what are its two windows.

    problem = record_problem(record, contigs, letters)        # "" or why no allele of it can be scored
    variant = normalised(letters, name, pos - 1, ref, alt)    # trimmed and left-aligned
    pair = windows_of(genome, variant, window=1024)           # ids of both haplotypes, both strands

Every spelling of one insertion or deletion gives the same haplotypes: letters that REF and ALT share are
trimmed and the rest is shifted left as far as the sequence repeats (Tan et al. 2015). A haplotype's window has
its allele of n bases in the centre: W // 2 - n // 2 bases come before it. At a contig's end the window is
shifted inside; a haplotype shorter than the window is padded with N.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from seqdna.data.genome import Genome
from seqdna.variants.vcf import VcfRecord
from seqsuite.errors import UserError, suggest

REASONS = {
    "too_few_columns": "the line has fewer than 8 columns",
    "bad_position": "POS is no number or CHROM is empty",
    "unknown_contig": "the contig is not in the FASTA",
    "no_ref": "REF is missing or no sequence",
    "outside_contig": "the record reaches beyond its contig",
    "ref_mismatch": "REF differs from the FASTA",
    "no_alt": "there is no alternative allele",
    "symbolic": "symbolic allele",
    "breakend": "breakend",
    "spanning_deletion": "the allele * (deleted by a record upstream)",
    "bad_alt": "ALT is no sequence",
    "same_as_ref": "ALT equals REF",
    "ambiguous_base": "REF or ALT holds a base other than A, C, G, T",
    "too_long": "an allele is longer than half the window",
}
"""Why something was not scored: code -> what it means."""

_LETTERS = frozenset("ACGTUNRYSWKMBDHV")
_PIECE = 256


@dataclass(frozen=True)
class Variant:
    """A change of one contig: bases `start` .. `start + len(ref) - 1` become `alt`; either may be empty."""

    contig: str
    start: int
    ref: str
    alt: str

    @property
    def kind(self) -> str:
        """One of "snv", "mnv", "insertion", "deletion" and "delins"."""
        if len(self.ref) == len(self.alt):
            return "snv" if len(self.ref) == 1 else "mnv"
        return "insertion" if not self.ref else "deletion" if not self.alt else "delins"


@dataclass(frozen=True)
class Pair:
    """The two haplotypes of a variant.

    Attributes:
        ids: (2 strands, 2 alleles, W) uint8: given strand and its reverse complement, reference and alternative.
        first: Index of the first changed base in each allele's window, given strand.
        size: Number of changed bases in each allele.
        kind: Of the variant.
    """

    ids: np.ndarray = field(repr=False)
    first: tuple[int, int]
    size: tuple[int, int]
    kind: str

    def place(self, strand: int, index: int) -> int:
        """Return where base `index` of a window of the given strand lies on a strand.

        With an even W the centre W // 2 becomes W // 2 - 1 on the other one.
        """
        return self.ids.shape[-1] - 1 - index if strand else index

    def span(self, allele: int, flank: int) -> tuple[int, int]:
        """Return the bases by which an allele is judged: (first, one behind the last), given strand.

        Alleles of equal length: the changed bases. Else equally many bases in both windows, so that a long
        allele is not punished for its length: as many as the longer allele has, and `flank` on either side.
        """
        longest = max(self.size)
        if self.size[0] == self.size[1]:
            flank = 0
        width = self.ids.shape[-1]
        count = min(longest + 2 * flank, width)
        first = self.first[allele] - (longest - self.size[allele]) // 2 - flank
        first = min(max(first, 0), width - count)
        return first, first + count


class Contigs:
    """Names of a VCF's contigs in a FASTA: as they are, or with "chr" put in front or taken away.

    Args:
        genome: The FASTA.
    """

    def __init__(self, genome: Genome) -> None:
        self.lengths = {record.name: record.length for record in genome.records}
        self.renamed: dict[str, str] = {}
        self._known: dict[str, str | None] = {}

    def find(self, name: str) -> str | None:
        """Return the FASTA's name of a contig; None if it has none. `renamed` notes where they differ."""
        if name not in self._known:
            found = next((other for other in _spellings(name) if other in self.lengths), None)
            self._known[name] = found
            if found is not None and found != name:
                self.renamed[name] = found
        return self._known[name]

    def require_any(self, names: Iterable[str], vcf: object, fasta: object) -> None:
        """Refuse a VCF none of whose contigs is known.

        Raises:
            UserError: With near names.
        """
        given = list(names)
        if given and not any(self.find(name) for name in given):
            raise UserError(
                f"{vcf}: none of its contigs ({', '.join(given[:3])}{', ...' if len(given) > 3 else ''}) is a record "
                f"of {fasta}.{suggest(given[0], self.lengths)} Give the FASTA that the variants were called on."
            )


def _spellings(name: str) -> Iterable[str]:
    bare = name.removeprefix("chr")
    yield name
    yield bare if bare != name else f"chr{name}"
    if bare in ("M", "MT"):
        yield from ("chrM", "MT", "M", "chrMT")


def record_problem(record: VcfRecord, contigs: Contigs, letters: Genome) -> str:
    """Return why no allele of a record can be scored, one of `REASONS`, or "".

    Args:
        record: The record.
        contigs: Knows the FASTA's names.
        letters: The FASTA, nothing hidden.
    """
    if record.problem:
        return record.problem
    contig = contigs.find(record.chrom)
    if contig is None:
        return "unknown_contig"
    if not record.ref or not _LETTERS.issuperset(record.ref.upper()):
        return "no_ref"
    start = record.pos - 1
    if start < 0 or start + len(record.ref) > contigs.lengths[contig]:
        return "outside_contig"
    there = letters.codes(contig, start, start + len(record.ref))
    given = letters.tokenizer.base_codes[letters.tokenizer.encode(record.ref.upper())]
    return "" if np.array_equal(there, given) else "ref_mismatch"


def allele_problem(ref: str, alt: str) -> str:
    """Return why an alternative allele cannot be scored, judged by its letters alone, or ""."""
    if alt in (".", ""):
        return "no_alt"
    if alt == "*":
        return "spanning_deletion"
    if alt.startswith("<"):
        return "symbolic"
    if "[" in alt or "]" in alt or alt.startswith(".") or alt.endswith("."):
        return "breakend"
    ref, alt = ref.upper(), alt.upper()
    if not _LETTERS.issuperset(alt):
        return "bad_alt"
    if ref == alt:
        return "same_as_ref"
    return "" if set(ref + alt) <= set("ACGT") else "ambiguous_base"


def normalised(letters: Genome, contig: str, start: int, ref: str, alt: str) -> Variant:
    """Return the variant without what its alleles share, an insertion or deletion shifted left as far as it goes.

    Args:
        letters: The FASTA; `ref` agrees with it.
        contig: Record of the FASTA.
        start: 0-based position of `ref`.
        ref: A, C, G, T.
        alt: A, C, G, T.
    """
    ref, alt = ref.upper(), alt.upper()
    while ref and alt and ref[-1] == alt[-1]:
        ref, alt = ref[:-1], alt[:-1]
    while ref and alt and ref[0] == alt[0]:
        ref, alt, start = ref[1:], alt[1:], start + 1
    if ref and alt:
        return Variant(contig, start, ref, alt)
    moved = _moves_left(letters, contig, start, ref or alt)
    allele = ref or alt
    turn = -moved % len(allele)
    allele = allele[turn:] + allele[:turn]
    return Variant(contig, start - moved, allele if ref else "", allele if alt else "")


def _moves_left(letters: Genome, contig: str, start: int, allele: str) -> int:
    """Count by how many bases an inserted or deleted allele can be shifted left without changing the haplotype."""
    moved, size = 0, len(allele)
    while start - moved > 0:
        first = max(0, start - moved - _PIECE)
        for code in letters.codes(contig, first, start - moved)[::-1].tolist():
            # Shifted by k, the allele ends with what stood k places before its end, round and round.
            if code > 3 or "ACGT"[code] != allele[-1 - moved % size]:
                return moved
            moved += 1
    return moved


def windows_of(genome: Genome, variant: Variant, window: int) -> Pair:
    """Build both haplotypes' windows.

    Args:
        genome: Ids as the model was trained on them.
        variant: Lies inside its contig; neither allele is longer than the window.
        window: W.
    """
    rows, first = [], []
    for allele in (variant.ref, variant.alt):
        row, place = _window(genome, variant, allele, window)
        rows.append(row)
        first.append(place)
    given = np.stack(rows)
    ids = np.stack((given, genome.tokenizer.reverse_complement(given)))
    return Pair(ids, (first[0], first[1]), (len(variant.ref), len(variant.alt)), variant.kind)


def _window(genome: Genome, variant: Variant, allele: str, window: int) -> tuple[np.ndarray, int]:
    """Return one haplotype's window (W,) and the index of its first changed base."""
    behind, size = variant.start + len(variant.ref), len(allele)
    room = genome.record(variant.contig).length + size - len(variant.ref) - window  # negative: N are needed
    edge = variant.start - (window // 2 - size // 2)
    edge = min(max(edge, min(room, 0)), max(room, 0))
    left, right = max(-edge, 0), max(edge - room, 0)
    before = variant.start - max(edge, 0)
    after = window - left - right - before - size
    pad = np.full(left + right, genome.tokenizer.n_id, dtype=np.uint8)
    row = np.concatenate(
        (
            pad[:left],
            genome.fetch(variant.contig, variant.start - before, variant.start),
            genome.tokenizer.encode(allele),
            genome.fetch(variant.contig, behind, behind + after),
            pad[left:],
        )
    )
    return row, left + before
