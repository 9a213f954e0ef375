"""`seqchem finetune`."""

from __future__ import annotations

from seqchem.cli.pretrain import shown
from seqchem.configs.finetune import RTFinetuneConfig


def finetune(config: RTFinetuneConfig) -> int:
    """Train a Regression Transformer to predict properties and to write sequences for them."""
    from seqchem.training import finetune as run
    from seqsuite.cli.output import print_json, print_rows

    result = run(config)
    folder = result.fit.folder
    if config.json:
        print_json(result.to_dict())
        return 0
    if not result.finished:
        print(f"stopped at step {result.fit.steps}; go on with --resume")
        return 0
    title = "\nRows that were not trained on" if result.scores else "\nTraining"
    for names in dict.fromkeys(tuple(row) for row in result.table()):
        rows = [row for row in result.table() if tuple(row) == names]
        print_rows([{name: shown(value) for name, value in row.items()} for row in rows], title=title)
    print(f"\nreport: {folder / 'report.html'} (open it in a browser)")
    print(f"model:  {folder / 'model'} (the {result.weights} weights)")
    print("\nTry next:")
    for line in _next(config.task, result.properties, str(folder)):
        print(f"  seqchem {line}")
    return 0


def _next(task: str, properties: tuple[str, ...], folder: str) -> list[str]:
    """Return the commands that suit the trained model."""
    if task == "binders":
        return [f"generate {folder} --binder_of TARGET --length 12 --out binders.csv"]
    if not properties:
        return [f"generate {folder} --out generated.csv"]
    goal = properties[0] if properties[0].isidentifier() else f"'{properties[0]}'"
    asks = [f"predict {folder} NEW.csv --out predicted.csv"] if task != "generation" else []
    return asks + ([f"generate {folder} --goal {goal}=VALUE --out generated.csv"] if task != "property" else [])
