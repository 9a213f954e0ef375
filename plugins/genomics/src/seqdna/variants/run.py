"""Scoring a VCF: into memory for a notebook, or streaming into an annotated VCF or a table.

    scores = score_variants(model, "calls.vcf", "genome.fa", window=512)       # VariantScores
    report = annotate_vcf(model, "calls.vcf", "genome.fa", "scored.vcf.gz")    # ScoreReport

Both score the same blocks of lines (`seqdna.variants.scoring`) and give the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from seqdna.data.genome import Genome
from seqdna.variants.parts import Parts, Shard, description_of, finished_by_others
from seqdna.variants.results import AlleleRow, ScoreReport, VariantScores
from seqdna.variants.scoring import ScoreOptions, Scoring
from seqdna.variants.writers import TextWriter, open_writer
from seqsuite.training.run_folder import write_json

if TYPE_CHECKING:
    from seqdna.api import GenomeModel

Progress = Callable[[int, int], None]


def score_variants(
    model: GenomeModel,
    vcf: str | Path,
    fasta: str | Path | Genome,
    *,
    progress: Progress | None = None,
    **options: Any,
) -> VariantScores:
    """Score every alternative allele of a VCF, in memory.

    Args:
        model: A trained genome model.
        vcf: VCF file: plain, gzip or bgzip.
        fasta: The FASTA that the variants were called on, or a genome with the model's tokenizer.
        progress: Called with blocks done and blocks in all.
        options: `method` ("auto", "masked", "likelihood", "leave_one_out", "embedding"), `window` (bases; the
            training length if the model knows it), `reduce` ("sum", "mean"), `span_flank` (bases judged on either
            side of an insertion or deletion), `allow_mismatch` (score records whose REF differs from the FASTA,
            flagged), `unsorted` (accept records in any order), `batch_tokens`, `block_records`.

    Raises:
        UserError: The files, or options that do not fit the model; one line says what to do.
    """
    scoring = Scoring(model, vcf, fasta, ScoreOptions(**options))
    rows: list[AlleleRow] = []
    report = scoring.report()
    for number, records in enumerate(scoring.blocks()):
        for group in scoring.rows(records, number, scoring.score(records)):
            report.add(group)
            rows += group
        if progress is not None:
            progress(number + 1, scoring.block_count)
    return VariantScores(tuple(rows), scoring.scorer.measures, report)


def annotate_vcf(
    model: GenomeModel,
    vcf: str | Path,
    fasta: str | Path | Genome,
    out: str | Path,
    *,
    shard: Shard | None = None,
    info_prefix: str = "SEQDNA",
    overwrite: bool = False,
    progress: Progress | None = None,
    **options: Any,
) -> ScoreReport | None:
    """Score a VCF into a file, record for record in the VCF's order, in bounded memory.

    Finished blocks lie in ``<out>.parts`` until the end: an interrupted call goes on where it stopped, and
    several processes or machines that see one file system may each take a `shard`. The last to finish joins.

    Args:
        model: A trained genome model.
        vcf: VCF file: plain, gzip or bgzip.
        fasta: The FASTA that the variants were called on, or a genome with the model's tokenizer.
        out: .vcf, .vcf.gz (bgzip), .tsv or .tsv.gz. The report goes to ``<out>.json``.
        shard: The share of the work to do; None: all.
        info_prefix: Of the INFO keys.
        overwrite: Replace the output.
        progress: Called with blocks done and blocks in all.
        options: As in `score_variants`.

    Returns:
        The report; None where blocks of other shards are not done, or another process joins or has joined.

    Raises:
        UserError: The files, or options that do not fit the model; one line says what to do.
    """
    target, shard = Path(out).expanduser(), shard or Shard()
    scoring = Scoring(model, vcf, fasta, ScoreOptions(**options))
    writer = open_writer(target, scoring, info_prefix)
    fingerprint = scoring.fingerprint(info_prefix)
    if finished_by_others(target, fingerprint, shard, overwrite=overwrite):
        return None
    parts = Parts(target.with_name(f"{target.name}.parts"), fingerprint, scoring.block_count, shard)
    _score_missing(scoring, parts, progress)
    with parts.claim() as mine:
        return _join(scoring, parts, writer, fingerprint) if mine else None


def _score_missing(scoring: Scoring, parts: Parts, progress: Progress | None) -> None:
    wanted = set(parts.missing())
    for number, records in enumerate(scoring.blocks() if wanted else ()):
        if number in wanted:
            parts.put(number, scoring.score(records))
            if progress is not None:
                progress(number + 1, scoring.block_count)


def _join(scoring: Scoring, parts: Parts, writer: TextWriter, fingerprint: str) -> ScoreReport:
    report = scoring.report()
    with writer:
        for number, records in enumerate(scoring.blocks()):
            for group in scoring.rows(records, number, parts.get(number)):
                report.add(group)
                writer.write(group)
        # Before the output gets its name: a share that comes late must find what it is.
        write_json(description_of(writer.target), {"fingerprint": fingerprint, **report.to_dict()})
    return report


def training_length(run: str | Path) -> int | None:
    """Return the window length in a run folder's config.yaml; None where there is none."""
    path = Path(run).expanduser() / "config.yaml"
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError):
        return None
    length = content.get("length") if isinstance(content, dict) else None
    return length if isinstance(length, int) else None
