"""`seqdna evaluate`."""

from __future__ import annotations

from seqdna.configs.evaluate import EvaluateConfig


def evaluate(config: EvaluateConfig) -> int:
    """Measure a trained model on any genome, in bits per base."""
    from seqdna.api import load
    from seqdna.evaluation import evaluate as measure
    from seqsuite.cli.output import print_json, print_table

    result = measure(
        load(config.run),
        config.fasta,
        region=config.region,
        sites=config.sites,
        length=config.length,
        seed=config.seed,
        batch_tokens=config.batch_tokens,
    )
    if config.json:
        print_json(result.to_dict())
        return 0
    rows = result.table()
    title = f"{result.model} on {result.genome}, windows of {result.length} bases"
    print_table(tuple(rows[0]), [tuple(row.values()) for row in rows], title=title)
    counted = ", ".join(f"{count:,} {name}" for name, count in result.census.items() if count)
    print(f"letters: {counted}")
    return 0
