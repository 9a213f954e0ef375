"""`seqvision evaluate`."""

from __future__ import annotations

import sys

from seqvision.configs.evaluate import EvaluateConfig


def evaluate(config: EvaluateConfig) -> int:
    """Measure a trained classifier: top-1, top-5, confusion, one row a class."""
    from seqsuite.cli.output import print_json, print_rows
    from seqsuite.models.transfer import free_folder
    from seqvision.api import load_classifier
    from seqvision.evaluation import evaluate as measure
    from seqvision.evaluation import short

    out = free_folder(config.out, config.overwrite) if config.out else None
    names = ("image_column", "label_column", "on_error") if config.source else ("on_error",)
    result = measure(
        load_classifier(config.run, device=config.device),
        config.source,
        split=config.split,
        batch=config.batch,
        **{name: getattr(config, name) for name in names},
    )
    for _, why in result.skipped:
        print(f"skipped: {why}", file=sys.stderr)
    if out is not None:
        result.save(out)
    if config.json:
        print_json(result.to_dict())
        return 0
    print_rows([{"what": name, "value": short(value)} for name, value in result.table().items()], title="\nAll classes")
    print_rows(
        [{name: short(value) for name, value in row.items()} for row in result.class_table()], title="\nEach class"
    )
    if out is not None:
        print(f"\nwrote {out}: evaluation.json, classes.csv, predictions.csv, confusion.png")
    return 0
