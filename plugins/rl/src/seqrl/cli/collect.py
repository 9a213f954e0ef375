"""`seqrl collect`."""

from __future__ import annotations

import sys

from seqrl.configs.collect import CollectConfig


def collect(config: CollectConfig) -> int:
    """Play episodes in an environment and write them as a data set."""
    from seqrl.collection import collect as run
    from seqsuite.cli.output import print_json, print_rows

    result = run(config, tell=lambda line: print(line, file=sys.stderr, flush=True))
    if config.json:
        print_json(result.to_dict())
        return 0
    print_rows(result.table())
    print(f"score 0 and 1: {result.reference_text}")
    print(f"wrote {result.out}: {result.episodes} episodes, {result.steps} steps")
    if result.policies is not None:
        print(f"trained policies: {result.policies}")
    print(f"\nTry next:\n  seqrl inspect {result.out}\n  seqrl train {result.out}")
    return 0
