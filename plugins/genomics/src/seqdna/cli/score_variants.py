"""`seqdna score-variants`."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqdna.configs.variants import ScoreVariantsConfig
from seqsuite.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from seqdna.api import GenomeModel
    from seqdna.variants.parts import Shard
    from seqdna.variants.results import ScoreReport

_SHOWN = 10


def score_variants(config: ScoreVariantsConfig) -> int:
    """Score the variants of a VCF, or every single-nucleotide variant of a FASTA."""
    from seqdna.api import load
    from seqdna.variants.parts import Shard

    out = Path(config.out).expanduser()
    shard = Shard.parse(config.shard) if config.shard else Shard.from_environment(os.environ)
    if shard.count == 1 and out.exists() and not config.overwrite:
        raise UserError(f"{out} exists; add --overwrite or choose another --out.")
    model = load(config.run, device=_device(config.device))
    return _all_snvs(config, model, out, shard) if config.all_snvs else _vcf(config, model, out, shard)


def _vcf(config: ScoreVariantsConfig, model: GenomeModel, out: Path, shard: Shard) -> int:
    from seqdna.resources import resolve_genome
    from seqdna.variants.run import annotate_vcf, training_length
    from seqsuite.cli.output import print_json, print_table

    assert config.vcf is not None
    report = annotate_vcf(
        model,
        config.vcf,
        resolve_genome(config.fasta),
        out,
        shard=shard,
        info_prefix=config.info_prefix,
        overwrite=config.overwrite,
        progress=_Progress(),
        method=config.method,
        window=config.window if config.window is not None else training_length(config.run),
        reduce=config.reduce,
        span_flank=config.span_flank,
        allow_mismatch=config.allow_mismatch,
        unsorted=config.unsorted,
        batch_tokens=config.batch_tokens,
        block_records=config.block_records,
    )
    if report is None:
        return _waiting(out, shard)
    _tell(report)
    if config.json:
        print_json({"out": str(out), **report.to_dict()})
        return 0
    rows = report.table()
    print_table(("alleles", "what", "meaning"), [tuple(row.values()) for row in rows])
    print(f"wrote {out}: {report.records} records, {sum(report.scored.values())} alleles scored")
    return 0


def _all_snvs(config: ScoreVariantsConfig, model: GenomeModel, out: Path, shard: Shard) -> int:
    from seqdna.resources import resolve_genome
    from seqdna.variants.all_snvs import all_snvs
    from seqdna.variants.run import training_length
    from seqdna.variants.scores import resolve_method
    from seqsuite.cli.output import print_json, print_table

    resolve_method(model.model, config.method)
    result = all_snvs(
        model,
        resolve_genome(config.fasta),
        out,
        window=config.window if config.window is not None else training_length(config.run),
        overlap=config.overlap,
        batch_tokens=config.batch_tokens,
        force=config.force,
        overwrite=config.overwrite,
        shard=shard,
        progress=_Progress(),
    )
    if result is None:
        return _waiting(out, shard)
    _tell_hidden(result.settings)
    if config.json:
        print_json({"out": str(out), "variants": result.variants, "settings": result.settings, "means": result.table()})
        return 0
    rows = [(row["ref"], row["alt"], row["variants"], f"{row['mean']:.4f}") for row in result.table()]
    print_table(("ref", "alt", "variants", "mean score"), rows)
    print(f"wrote {out}: {result.variants:,} variants")
    return 0


def _device(name: str) -> str:
    """Return torch's name of the device; under torchrun each process has its own GPU."""
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    local = os.environ.get("LOCAL_RANK", "")
    return f"cuda:{local}" if name == "cuda" and local.isdigit() else name


def _waiting(out: Path, shard: Shard) -> int:
    print(f"share {shard} is done; the last share to finish writes {out}")
    return 0


def _tell(report: ScoreReport) -> None:
    """Say on stderr what needs a look."""
    _tell_hidden(report.settings)
    for name, found in report.renamed.items():
        print(f"contig {name!r} of the VCF is {found!r} of the FASTA", file=sys.stderr)
    for what, lines in (("REF differs from the FASTA", report.mismatches), ("unreadable", report.bad_lines)):
        for line in lines[:_SHOWN]:
            print(f"{what}: {line}", file=sys.stderr)
        if len(lines) > _SHOWN:
            print(f"{what}: and more; see the .json file beside the output", file=sys.stderr)
    wrong, right = report.reasons["ref_mismatch"], sum(report.scored.values())
    if wrong > right:
        print(
            "most REF alleles differ from the FASTA: is it the assembly the variants were called on?", file=sys.stderr
        )


def _tell_hidden(settings: Mapping[str, Any]) -> None:
    """Say on stderr that the model does not see all bases."""
    if "hidden" in settings:
        print(f"{settings['hidden']}: the model does not see these bases", file=sys.stderr)


class _Progress:
    """Prints blocks done, at most every ten seconds."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def __call__(self, done: int, blocks: int) -> None:
        now = time.monotonic()
        if now - self._last >= 10:
            print(f"block {done} of {blocks}", file=sys.stderr, flush=True)
            self._last = now
