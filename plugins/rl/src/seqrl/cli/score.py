"""`seqrl score`."""

from __future__ import annotations

from seqrl.configs.score import ScoreConfig


def score(config: ScoreConfig) -> int:
    """Turn raw returns into normalised scores, as a fraction and x100."""
    from seqrl.scores import D4RL_DATASETS, comparable, normalized_score, reference_for
    from seqsuite.cli.output import print_json, print_rows
    from seqsuite.errors import unknown_name

    # Files are called hopper_medium-v2.
    dashed = config.name.replace("_", "-")
    name = dashed if dashed in D4RL_DATASETS else config.name
    reference = reference_for(name)
    if reference is None:
        raise unknown_name("data set or environment with reference scores", config.name, D4RL_DATASETS)
    holds, why = comparable(name, reference)
    rows = []
    for value in config.returns:
        fraction = normalized_score(value, reference)
        rows.append({"return": value, "score": fraction, "score x100": 100 * fraction})
    if config.json:
        facts = {"minimum": reference.minimum, "maximum": reference.maximum, "source": reference.source}
        print_json({"name": name, "reference": facts, "comparable": holds, "note": why, "scores": rows})
        return 0
    print_rows([{name: f"{value:.6g}" for name, value in row.items()} for row in rows])
    print(f"\n(return - {reference.minimum:.10g}) / ({reference.maximum:.10g} - {reference.minimum:.10g}), "
          f"reference: {reference.source}")  # fmt: skip
    print(f"{'comparable' if holds else 'not comparable with published scores'}: {why}")
    return 0
