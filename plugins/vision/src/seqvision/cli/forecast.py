"""`seqvision forecast`."""

from __future__ import annotations

from seqvision.configs.forecast import ForecastConfig


def forecast(config: ForecastConfig) -> int:
    """Forecast the rows that follow a file, with a model of `seqvision forecast-train`."""
    import os
    from pathlib import Path

    from seqsuite.cli.output import print_json, print_rows
    from seqsuite.errors import UserError
    from seqvision.forecasting.api import forecast as run

    places = {"--out": config.out, "--figure": config.figure}
    paths = {flag: Path(os.path.expanduser(given)) for flag, given in places.items() if given}
    for flag, path in paths.items():
        if not path.parent.is_dir():
            raise UserError(f"{flag} {path}: cannot write it, there is no folder {path.parent}")
        if path.resolve() == Path(os.path.expanduser(config.input)).resolve():
            raise UserError(f"{flag} {path}: is the file that is read; choose another")
        if path.exists() and not config.overwrite:
            raise UserError(f"{path} exists; add --overwrite or choose another {flag}")
    found = run(config.run, config.input, horizon=config.horizon, date_column=config.date_column, device=config.device)
    found.save(paths["--out"])
    if "--figure" in paths:
        found.draw(paths["--figure"])
    if config.json:
        print_json({"out": str(paths["--out"]), "rows": found.table()})
        return 0
    rows = found.table()
    print_rows([{name: _short(value) for name, value in row.items()} for row in rows[:10]])
    if len(rows) > 10:
        print(f"... and {len(rows) - 10} more")
    for path in paths.values():
        print(f"wrote {path}")
    return 0


def _short(value: object) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)
