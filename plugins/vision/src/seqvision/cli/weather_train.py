"""`seqvision weather-train`."""

from __future__ import annotations

from seqvision.configs.weather_train import WeatherTrainConfig


def weather_train(config: WeatherTrainConfig) -> int:
    """Train a forecast of gridded fields and measure it beside climatology and persistence."""
    from seqsuite.cli.output import print_json, print_rows
    from seqvision.weather import weather_train as run

    result = run(config)
    if result is None:
        return 0
    if config.json:
        print_json(result.to_dict())
        return 0
    part = result.parts["test"]
    print_rows(result.table(), title=f"\n{part['steps']} test steps, {part['first']} to {part['last']}")
    print_rows(result.comparison(), title="\nRMSE of the model less that of the others; below zero the model is better")
    print(f"\nreport: {result.folder / 'report.html'} (open it in a browser)")
    print(f"model:  {result.folder / 'model'}")
    print(f"\nTry next:\n  seqvision weather {result.folder} {config.file}")
    return 0
