"""`seqaudio evaluate`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from seqaudio.configs.evaluate import EvaluateConfig


def evaluate(config: EvaluateConfig) -> int:
    """Measure a trained model on held-out sound, beside simple codes."""
    from seqaudio.api import load
    from seqaudio.evaluation import AudioEvaluation
    from seqaudio.evaluation import evaluate as measure
    from seqsuite.cli.output import print_json

    result = measure(
        load(config.run, device=config.device),
        config.source,
        train=config.train,
        baselines=config.baselines,
        on_error=config.on_error,
        strict_rate=config.strict_rate,
        generated=config.generated,
        classifier=config.classifier,
        block_seconds=config.block_seconds,
        chunk=config.chunk,
        rows=config.rows,
        length=config.length,
        seed=config.seed,
        progress=lambda line: print(line, file=sys.stderr, flush=True),
    )
    if config.json:
        print_json(result.to_dict())
        return 0
    _show(result.title, result.table())
    if isinstance(result, AudioEvaluation):
        _show("Bits by context", result.context_table())
        if config.files:
            _show("Bits by file", result.file_table())
    if result.generated is not None:
        _show(result.generated.title, result.generated.table())
    for _, why in result.skipped:
        print(f"skipped: {why}")
    for note in result.notes:
        print(note)
    return 0


def _show(title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    from seqsuite.cli.output import print_rows

    print(f"\n{title}\n")
    print_rows(rows)
