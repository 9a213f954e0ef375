"""`seqchem pretrain`."""

from __future__ import annotations

from seqchem.configs.pretrain import RTPretrainConfig


def pretrain(config: RTPretrainConfig) -> int:
    """Train a Regression Transformer on molecules or proteins, with or without properties."""
    from seqchem.training import pretrain as run
    from seqsuite.cli.output import print_json, print_rows

    result = run(config)
    folder = result.fit.folder
    if config.json:
        print_json(result.to_dict())
        return 0
    if not result.finished:
        print(f"stopped at step {result.fit.steps}; go on with --resume")
        return 0
    print_rows([{name: shown(value) for name, value in row.items()} for row in result.table()], title="\nPretraining")
    print(f"\nreport: {folder / 'report.html'} (open it in a browser)")
    print(f"model:  {folder / 'model'}")
    print("\nTry next:")
    print(f"  seqchem finetune DATA.csv --properties NAME --start {folder}")
    return 0


def shown(value: object) -> object:
    """Return a number with four digits, nothing for None, anything else as it is."""
    return f"{value:.4g}" if isinstance(value, float) else "" if value is None else value
