"""`seqrl train`."""

from __future__ import annotations

from seqrl.configs.train import PolicyTrainConfig


def train(config: PolicyTrainConfig) -> int:
    """Train a policy on logged episodes."""
    from seqrl.training import train as run
    from seqsuite.cli.output import print_json, print_rows

    result = run(config)
    folder = result.fit.folder
    if config.json:
        print_json(result.to_dict())
        return 0
    if not result.finished:
        print(f"stopped at step {result.fit.steps}; go on with --resume")
        return 0
    rows = [{name: shown(value) for name, value in row.items()} for row in result.table()]
    print_rows(rows, title="\nReturn in the environment" if result.played else "\nTraining")
    print(f"\nreport: {folder / 'report.html'} (open it in a browser)")
    print(f"model:  {folder / 'model'} (the last weights)")
    if result.played:
        print(f"best:   {folder / 'best'} (the weights of the best evaluation)")
    print("\nTry next:")
    known = "" if result.data["environment"] else " --env ID"
    print(f"  seqrl evaluate {folder}{known}")
    return 0


def shown(value: object) -> object:
    """Return a number with four digits, anything else as it is."""
    return f"{value:.4g}" if isinstance(value, float) else value
