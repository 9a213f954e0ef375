"""`seqvision forecast-train`."""

from __future__ import annotations

from seqvision.configs.forecast_train import ForecastTrainConfig


def forecast_train(config: ForecastTrainConfig) -> int:
    """Train forecasters of a series and measure them beside simple models."""
    from seqsuite.cli.output import print_json, print_rows
    from seqvision.forecasting import forecast_train as run

    result = run(config)
    if result is None:
        return 0
    if config.json:
        print_json(result.to_dict())
        return 0
    print_rows(result.table(), title="\nTest windows, in z-scores of the training rows")
    if result.differences:
        print_rows(result.difference_table(), title=f"\n{result.model} minus others, window by window")
    print(f"\n{result.seconds:.0f} seconds in all.")
    print(f"table:  {result.folder / 'table.csv'}")
    print(f"report: {result.folder / 'report.html'} (open it in a browser)")
    print(f"models: {result.folder / 'model'}")
    print("\nTry next:")
    print(f"  seqvision forecast {result.folder} {config.source} --out forecast.csv --figure forecast.png")
    return 0
