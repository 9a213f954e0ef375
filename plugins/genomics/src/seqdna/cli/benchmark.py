"""`seqdna benchmark`."""

from __future__ import annotations

from seqdna.configs.benchmark import BenchmarkConfig


def benchmark(config: BenchmarkConfig) -> int:
    """Fine-tune on every data set of a benchmark folder and print the table of the papers."""
    from seqdna.finetuning.benchmark import benchmark as run
    from seqsuite.cli.output import print_json, print_table

    result = run(config)
    if result is None:
        return 0
    if config.json:
        print_json(result.to_dict())
        return 0
    for suite in result.suites:
        rows = result.table(suite)
        columns = tuple(dict.fromkeys(name for row in rows for name in row))
        print_table(columns, [[row.get(name, "") for name in columns] for row in rows], title=f"\n{suite}")
    print(f"\n{result.caption()}")
    print(f"report: {result.folder / 'report.html'} (open it in a browser)")
    return 0
