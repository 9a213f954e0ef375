"""`seqdna finetune`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqdna.configs.finetune import FinetuneConfig

if TYPE_CHECKING:
    from seqdna.finetuning.results import FinetuneResult


def finetune(config: FinetuneConfig) -> int:
    """Fine-tune a model on labelled sequences and measure it beside simple models on the same split."""
    from seqdna.finetuning.run import finetune as run

    result = run(config)
    if result is None:
        return 0
    if config.json:
        print((result.folder / "summary.json").read_text(encoding="utf-8"), end="")
    else:
        show(result)
    return 0


def show(result: FinetuneResult) -> None:
    """Print a result, where its files are, and a command to try next."""
    from seqdna.finetuning.run import caption
    from seqsuite.cli.output import print_table

    rows = result.table()
    columns = ("model", *result.metrics)
    print_table(columns, [[row.get(name, "") for name in columns] for row in rows], title="\nTest rows")
    if len(result.runs) > 1:
        runs = result.run_table()
        shown = [[f"{value:.4f}" if isinstance(value, float) else value for value in row.values()] for row in runs]
        print_table(tuple(runs[0]), shown, title="\nRuns")
    print(f"\n{caption(result)} {result.seconds:.0f} seconds in all.")
    print(f"\nreport: {result.folder / 'report.html'} (open it in a browser)")
    print(f"model:  {result.folder / 'model'}")
    print("\nTry next:")
    print(f"  seqdna predict {result.folder} your_sequences.fa --out predictions.csv")
