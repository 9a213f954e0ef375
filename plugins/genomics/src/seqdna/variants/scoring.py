"""A VCF, a genome and a model, checked and scored block by block.

    scoring = Scoring(model, "calls.vcf", "genome.fa", ScoreOptions(window=512))
    for number, records in enumerate(scoring.blocks()):
        for rows in scoring.rows(records, number, scoring.score(records)): ...   # the rows of one record

The file is read once for what must be known before hours of work: order, contigs, number of lines. A block's
batches depend on its lines alone, so that the result does not depend on who scored which block.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from seqdna.data.cache import open_genome
from seqdna.data.genome import Genome
from seqdna.models.base import longest_input
from seqdna.tokenizers import NucleotideTokenizer
from seqdna.variants.alleles import Contigs, Pair, Variant, allele_problem, normalised, record_problem, windows_of
from seqdna.variants.checksums import genome_checksum, model_checksum
from seqdna.variants.results import CODES, KINDS, AlleleRow, ScoreReport
from seqdna.variants.scores import Reduce, Scorer
from seqdna.variants.vcf import VcfReader, VcfRecord
from seqsuite.errors import UserError

if TYPE_CHECKING:
    from seqdna.api import GenomeModel

_SHORTEST = 8


@dataclass(frozen=True)
class ScoreOptions:
    """What decides the scores; see `score_variants`."""

    method: str = "auto"
    window: int | None = None
    reduce: Reduce = "sum"
    span_flank: int = 2
    allow_mismatch: bool = False
    unsorted: bool = False
    batch_tokens: int = 16384
    block_records: int = 256


class Scoring:
    """A VCF, a genome and a model, checked and ready to score block by block.

    Args:
        model: A trained genome model.
        vcf: VCF file.
        fasta: FASTA file or genome.
        options: What decides the scores.

    Raises:
        UserError: As `score_variants`.
    """

    def __init__(self, model: GenomeModel, vcf: str | Path, fasta: str | Path | Genome, options: ScoreOptions) -> None:
        self.window = window_of_model(model, options)
        self.options = options
        self.scorer = Scorer(
            model.model,
            model.tokenizer,
            options.method,
            reduce=options.reduce,
            span_flank=options.span_flank,
            batch_tokens=options.batch_tokens,
        )
        self.reader = VcfReader(vcf)
        self.genome, self.letters = open_both(fasta, model.tokenizer)
        self.contigs = Contigs(self.letters)
        self.record_count = self._scan(fasta)

    @property
    def block_count(self) -> int:
        """Number of blocks."""
        return -(-self.record_count // self.options.block_records)

    def _scan(self, fasta: object) -> int:
        """Check the order of the records and that contigs are known; return the number of lines."""
        place: dict[str, int] = {}
        contig, count = "", 0
        for record in self.reader:
            count += 1
            if record.problem:
                continue
            if not self.options.unsorted:
                self._check_order(record, contig, place)
            contig = record.chrom
            place[contig] = record.pos
        known = str(fasta) if isinstance(fasta, str | Path) else "the genome"
        self.contigs.require_any(place, self.reader.path, known)
        return count

    def _check_order(self, record: VcfRecord, contig: str, place: dict[str, int]) -> None:
        advice = "sort the file (`bcftools sort`) or add --unsorted."
        if record.chrom != contig and record.chrom in place:
            raise UserError(
                f"{self.reader.path}, line {record.line}: contig {record.chrom!r} comes a second time, after "
                f"{contig!r}; {advice}"
            )
        if record.pos < place.get(record.chrom, 0):
            raise UserError(
                f"{self.reader.path}, line {record.line}: position {record.pos} comes after {place[record.chrom]} on "
                f"{record.chrom!r}; {advice}"
            )

    def blocks(self) -> Iterator[list[VcfRecord]]:
        """Yield the records, block after block."""
        records = iter(self.reader)
        while block := list(islice(records, self.options.block_records)):
            yield block

    def score(self, records: list[VcfRecord]) -> dict[str, np.ndarray]:
        """Score one block.

        Returns:
            By allele (an unreadable line counts as one): `scores` (n, measures, 2) float64, `reasons` (n,) index
            into `CODES`, `kinds` (n,) index into `KINDS`, `scored` (n,) bool.
        """
        pairs: list[Pair] = []
        reasons: list[int] = []
        which: list[int] = []
        for record in records:
            problem = record_problem(record, self.contigs, self.letters)
            for alt in record.alts or ("",):
                reason, pair = self._pair(record, alt, problem)
                if pair is not None:
                    which.append(len(reasons))
                    pairs.append(pair)
                reasons.append(CODES.index(reason))
        scores = np.full((len(reasons), len(self.scorer.measures), 2), np.nan)
        scores[which] = self.scorer(pairs)
        kinds, scored = np.zeros(len(reasons), dtype=np.uint8), np.zeros(len(reasons), dtype=bool)
        kinds[which] = [KINDS.index(pair.kind) for pair in pairs]
        scored[which] = True
        return {"scores": scores, "reasons": np.array(reasons, dtype=np.uint8), "kinds": kinds, "scored": scored}

    def _pair(self, record: VcfRecord, alt: str, problem: str) -> tuple[str, Pair | None]:
        """Return an allele's reason, if any, and its haplotypes, if it can be scored."""
        flagged = problem == "ref_mismatch" and self.options.allow_mismatch
        reason = problem if problem and not flagged else allele_problem(record.ref, alt)
        if reason:
            return reason, None
        contig = self.contigs.find(record.chrom)
        assert contig is not None
        if flagged:
            # What the alleles share is no sequence of the genome: it stays part of the change.
            variant = Variant(contig, record.pos - 1, record.ref.upper(), alt.upper())
        else:
            variant = normalised(self.letters, contig, record.pos - 1, record.ref, alt)
        if max(len(variant.ref), len(variant.alt)) > self.window // 2:
            return "too_long", None
        return problem, windows_of(self.genome, variant, self.window)

    def rows(self, records: list[VcfRecord], number: int, block: dict[str, np.ndarray]) -> Iterator[list[AlleleRow]]:
        """Yield the rows of each record from the arrays of block `number`."""
        at = 0
        for index, record in enumerate(records, start=number * self.options.block_records):
            group = []
            for alt in record.alts or ("",):
                scored = bool(block["scored"][at])
                kind = KINDS[block["kinds"][at]] if scored else ""
                reason = CODES[block["reasons"][at]]
                group.append(AlleleRow(record, index, alt, kind, reason, block["scores"][at], scored))
                at += 1
            yield group

    def settings(self) -> dict[str, Any]:
        """Return what decides the scores, for headers and reports."""
        scorer = self.scorer
        shown: dict[str, Any] = {"method": scorer.method, "window": self.window}
        if scorer.method == "embedding":
            shown["sign"] = "distances, not signed"
        else:
            shown |= {
                "reduce": scorer.reduce,
                "sign": "positive: alternative more likely; nats",
                "probabilities": "renormalised over A C G T",
            }
        if scorer.method in ("masked", "leave_one_out"):
            shown["span_flank"] = scorer.span_flank
        shown["strands"] = "both run" if len(scorer.strands) == 2 else "equal by construction"
        return shown | hidden_letters(self.genome)

    def report(self) -> ScoreReport:
        """Return an empty report."""
        return ScoreReport(self.settings(), renamed=dict(self.contigs.renamed))

    def fingerprint(self, prefix: str) -> str:
        """Return a checksum of everything that decides the output, the torch version included."""
        digest = hashlib.sha256()
        options = dataclasses.asdict(self.options) | {
            "window": self.window,
            "method": self.scorer.method,
            "prefix": prefix,
        }
        device = next(self.scorer.model.parameters()).device.type
        digest.update(json.dumps([options, torch.__version__, device], sort_keys=True).encode())
        digest.update(model_checksum(self.scorer.model, self.scorer.tokenizer))
        digest.update(genome_checksum(self.genome))
        with self.reader.path.open("rb") as handle:
            digest.update(hashlib.file_digest(handle, "sha256").digest())
        return digest.hexdigest()[:24]


def window_of_model(model: GenomeModel, options: ScoreOptions) -> int:
    """Return the window to use, the training length if none is given.

    Raises:
        UserError: The model does not read single bases or does not say its training length, or an option is too small.
    """
    if not isinstance(model.tokenizer, NucleotideTokenizer):
        raise UserError("this model's tokens are no single bases; variants are scored by models with one token a base.")
    window = options.window if options.window is not None else model.summary.get("length")
    if window is None:
        raise UserError("the model does not say how long its training windows were; give --window.")
    for name, value, least in (
        ("window", window, _SHORTEST),
        ("span_flank", options.span_flank, 0),
        ("batch_tokens", options.batch_tokens, 1),
        ("block_records", options.block_records, 1),
    ):
        if value < least:
            raise UserError(f"--{name} is {value}; it must be at least {least}.")
    reach = longest_input(model.model)
    if reach is not None and window > reach:
        raise UserError(
            f"--window is {window}; this model reads at most {reach:,} bases at once: give --window {reach}."
        )
    return int(window)


def hidden_letters(genome: Genome) -> dict[str, str]:
    """Return the setting that tells of soft-masked bases which the model's tokenizer hides; empty if it hides none."""
    count, policy = genome.census.lower_case, genome.tokenizer.lower
    if policy == "upper" or not count:
        return {}
    token = "N" if policy == "n" else "[UNK]"
    return {"hidden": f"{count} of {genome.length} letters of the FASTA are lower case and read as {token}"}


def open_both(fasta: str | Path | Genome, tokenizer: NucleotideTokenizer) -> tuple[Genome, Genome]:
    """Open a genome as a model reads it, and as it is written: a tokenizer may hide soft-masked bases."""
    if isinstance(fasta, Genome):
        return fasta, fasta
    genome = open_genome(fasta, tokenizer)
    plain = NucleotideTokenizer()
    if (tokenizer.lower, tokenizer.uracil) == (plain.lower, plain.uracil):
        return genome, genome
    return genome, open_genome(fasta, plain)
