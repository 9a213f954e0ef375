"""`seqvision weather`."""

from __future__ import annotations

from seqvision.configs.weather import WeatherConfig

_SHOWN = 12


def weather(config: WeatherConfig) -> int:
    """Forecast gridded fields with a trained model."""
    from seqsuite.cli.output import print_json, print_rows
    from seqvision.weather import forecast

    result = forecast(config)
    if config.json:
        print_json(result.to_dict())
        return 0
    rows = result.table()
    print_rows(rows[-_SHOWN:], title=f"\nthe last {_SHOWN} of {len(rows)} forecasts" if len(rows) > _SHOWN else None)
    if result.scores:
        print_rows([scores.row() for scores in result.scores], title="\nforecasts of steps that the file holds")
        print("Scores count only if the model was not trained on these steps.")
    print(f"\nforecast: {result.out}")
    print(f"map:      {result.picture}")
    return 0
