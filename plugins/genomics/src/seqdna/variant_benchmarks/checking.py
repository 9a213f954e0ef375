"""Are labelled variants what the genome says: REF, chromosome and position, before anything is scored.

    checked = check_variants(task.read(), letters, "GRCh38.fa", task.suite, "refuse")

Where a file does not say which allele is the reference (DART-Eval), the one that the genome has is taken.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Literal

from seqdna.data.genome import Genome
from seqdna.variant_benchmarks.readers import LabelledVariants
from seqdna.variant_benchmarks.suites import VariantSuite
from seqdna.variants.alleles import REASONS, Contigs, allele_problem, record_problem
from seqdna.variants.vcf import VcfRecord
from seqsuite.errors import UserError, suggest

Unscorable = Literal["refuse", "skip"]
_MEANINGS = REASONS | {"not_single_base": "the alleles are no single bases"}
_EXAMPLES = 10


@dataclass(frozen=True)
class Checked:
    """Variants that can be scored, REF as in the genome, and what was left out."""

    variants: LabelledVariants
    left_out: dict[str, int]
    examples: tuple[str, ...]
    swapped: int


def check_variants(
    variants: LabelledVariants, letters: Genome, genome: str, suite: VariantSuite, unscorable: Unscorable
) -> Checked:
    """Check every variant against the genome.

    Args:
        variants: As read.
        letters: The genome, nothing hidden.
        genome: Its name, for messages.
        suite: For messages.
        unscorable: Stop at a variant that cannot be scored, or leave it out.

    Raises:
        UserError: A variant cannot be scored, all cannot, or those left are of one class.
    """
    contigs = Contigs(letters)
    refs, alts, kept, swapped, problems = list(variants.refs), list(variants.alts), [], 0, []
    for number in range(len(variants)):
        where, ref, alt = (variants.chroms[number], variants.positions[number]), refs[number], alts[number]
        problem = _problem(*where, ref, alt, contigs, letters)
        if problem == "ref_mismatch" and variants.either_is_ref and not _problem(*where, alt, ref, contigs, letters):
            refs[number], alts[number], swapped, problem = alt, ref, swapped + 1, ""
        if problem:
            problems.append((number, problem))
        else:
            kept.append(number)
    if problems and (unscorable == "refuse" or not kept):
        raise UserError(_refusal(variants, problems, contigs, genome, suite, skipping=unscorable == "skip"))
    oriented = replace(variants, refs=tuple(refs), alts=tuple(alts)).keep(kept)
    if len(set(oriented.labels.tolist())) < 2:
        raise UserError(
            f"{variants.source}: all {len(oriented)} scorable variants have the label {bool(oriented.labels[0])}; "
            "both classes are needed."
        )
    examples = [f"{variants.places[at]}: {variants.shown(at)} ({_MEANINGS[why]})" for at, why in problems[:_EXAMPLES]]
    counts = dict(Counter(_MEANINGS[why] for _, why in problems))
    return Checked(oriented, variants.left_out | counts, tuple(examples), swapped)


def _problem(chrom: str, pos: int, ref: str, alt: str, contigs: Contigs, letters: Genome) -> str:
    """Return why a variant cannot be scored, a key of `_MEANINGS`, or ""."""
    if len(ref) != 1 or len(alt) != 1:
        return "not_single_base"
    record = VcfRecord(0, "", "", "", chrom, pos, ref, (alt,))
    return record_problem(record, contigs, letters) or allele_problem(ref, alt)


def _refusal(
    variants: LabelledVariants,
    problems: list[tuple[int, str]],
    contigs: Contigs,
    genome: str,
    suite: VariantSuite,
    *,
    skipping: bool,
) -> str:
    """Say in one line which variant comes first, how many there are, and what to do."""
    number, why = problems[0]
    counts = ", ".join(f"{count} {reason}" for reason, count in Counter(reason for _, reason in problems).items())
    hint = suggest(variants.chroms[number], contigs.lengths) if why == "unknown_contig" else ""
    advice = f"is {genome} the assembly of the set, {suite.assembly}?"
    if not skipping:
        advice += " --unscorable skip leaves such variants out."
    return (
        f"{variants.source}, {variants.places[number]}: {variants.shown(number)}: {_MEANINGS[why]}.{hint} "
        f"{len(problems)} of {len(variants)} variants cannot be scored ({counts}); {advice}"
    )
