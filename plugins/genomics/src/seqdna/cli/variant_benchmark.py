"""`seqdna benchmark-variants`."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from seqdna.configs.variant_benchmark import VariantBenchmarkConfig


def benchmark_variants(config: VariantBenchmarkConfig) -> int:
    """Score labelled variants of TraitGym, BEND or DART-Eval zero-shot and print the suite's metrics beside chance."""
    import torch

    from seqdna.api import load
    from seqdna.resources import resolve_genome
    from seqdna.variant_benchmarks.files import check_out, write_files
    from seqdna.variant_benchmarks.run import benchmark_variants as run
    from seqdna.variants.run import training_length
    from seqsuite.cli.output import print_json, print_table

    out = check_out(config.out, overwrite=config.overwrite) if config.out else None
    device = config.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    result = run(
        load(config.run, device=device),
        config.folder,
        resolve_genome(config.genome),
        only=config.only,
        progress=_Progress(),
        title=Path(config.run).name,
        subset=config.subset,
        scores=config.scores,
        window=config.window if config.window is not None else training_length(config.run),
        unscorable=config.unscorable,
        probe=config.probe,
        whole_window=config.whole_window,
        batch_tokens=config.batch_tokens,
        seed=config.seed,
    )
    if out is not None:
        write_files(result, out)
    for task in result.tasks:
        for line in task.examples:
            print(f"left out: {task.task.path}, {line}", file=sys.stderr)
    if config.json:
        print_json(result.to_dict())
        return 0
    rows = result.table()
    print_table(tuple(rows[0]), [tuple(row.values()) for row in rows], title=result.title)
    for line in result.notes():
        print(line)
    if out is not None:
        print(f"report: {out / 'report.html'} (open it in a browser)")
    return 0


class _Progress:
    """Prints variants done, at most every ten seconds."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def __call__(self, name: str, done: int, variants: int) -> None:
        now = time.monotonic()
        if now - self._last >= 10:
            print(f"{name}: {done} of {variants} variants", file=sys.stderr, flush=True)
            self._last = now
