"""Timestamps of series: read from a column, each later than the one before, in equal steps or a calendar's.

times, zone = times_of(frame["date"], "load.csv", "date", "")
frequency_of(times, "load.csv", "date")       # "h", "15min", "MS", "B"
seasons_of("h")                               # (24, 168, 8760)
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from seqsuite.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

CSV = (".csv", ".csv.gz", ".csv.xz", ".csv.bz2")
"""Names of text files end so."""


def line_of(source: str, row: int) -> str:
    """Name a row as a text file shows it, the names being line 1; tables in other forms have rows."""
    return f"{source}, line {row + 2}" if source.lower().endswith(CSV) else f"{source}, row {row + 1}"


def times_of(column: pd.Series, source: str, name: str, instead: str) -> tuple[np.ndarray, str]:
    """Return a column as (T,) datetime64, each later than the one before, and "+00:00" where zones became UTC."""
    import pandas as pd

    texts = column if pd.api.types.is_datetime64_any_dtype(column) else column.astype("string")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a format that pandas cannot infer; what fails is told below
        try:
            times = pd.to_datetime(texts, errors="coerce")
        except (ValueError, TypeError):  # clock changes within the file: offsets differ from line to line
            times = pd.to_datetime(texts, errors="coerce", utc=True)
    zone = "" if getattr(times.dt, "tz", None) is None else "+00:00"
    if zone:
        times = times.dt.tz_convert("UTC").dt.tz_localize(None)
    bad = np.flatnonzero(times.isna().to_numpy())
    if len(bad):
        cell = column.iloc[bad[0]]
        what = "is empty" if pd.isna(cell) else f"{str(cell)[:40]!r} is no timestamp like those above"
        raise UserError(
            f"{line_of(source, int(bad[0]))}, column {name!r}: {what}; write 2020-01-31 or 2020-01-31 13:00"
            + (instead and f"{instead}{name}")
        )
    values: np.ndarray = times.to_numpy()  # of pandas' unit: nanoseconds would end in 2262
    later = np.diff(values) > np.timedelta64(0)
    if not later.all():
        row = int(np.flatnonzero(~later)[0]) + 1
        what = "repeats" if values[row] == values[row - 1] else "is earlier than"
        raise UserError(
            f"{line_of(source, row)}, column {name!r}: {_shown(values[row])} {what} the timestamp of the row above; "
            "rows must be in the order of time, one a timestamp"
        )
    return values, zone


def _shown(time: np.datetime64) -> str:
    return str(time.astype("datetime64[s]")).replace("T", " ")


def frequency_of(times: np.ndarray, source: str, name: str) -> str:
    """Return the frequency of timestamps in pandas' notation: equal steps, or a calendar's (months, working days).

    Args:
        times: (T,) datetime64, rising.
        source: Of the timestamps, for messages.
        name: Their column, for messages.

    Raises:
        UserError: A step is another one than most: there is a gap.
    """
    import pandas as pd

    steps = np.diff(times)
    if (steps == steps[0]).all():
        return pd.tseries.frequencies.to_offset(pd.Timedelta(steps[0])).freqstr
    found = pd.infer_freq(pd.DatetimeIndex(times)) if len(times) > 2 else None
    if found is not None:
        return str(found)
    sizes, counts = np.unique(steps, return_counts=True)
    usual = sizes[counts.argmax()]
    odd = np.flatnonzero(steps != usual)
    row = int(odd[0]) + 1
    more = f" (and {len(odd) - 1:,} more such steps)" if len(odd) > 1 else ""
    raise UserError(
        f"{line_of(source, row)}, column {name!r}: {_shown(times[row])} is {pd.Timedelta(steps[row - 1])} after the "
        f"row above, other rows {pd.Timedelta(usual)}{more}; fill the gap first "
        "(a zone that changes its clocks: write UTC)"
    )


def seasons_of(frequency: str) -> tuple[int, ...]:
    """Return the rows of a day, a week, a year ... of a frequency: what a seasonal forecast may repeat, shortest first.

    Args:
        frequency: In pandas' notation; "" has none.
    """
    if not frequency:
        return ()
    import pandas as pd

    offset: Any = pd.tseries.frequencies.to_offset(frequency)
    calendar = {"M": 12, "Q": 4, "B": 5, "Y": 1, "W": 52}
    try:
        step = pd.Timedelta(offset)
    except ValueError:
        rows = calendar.get(offset.rule_code[0], 1)
        return (rows,) if rows > 1 else ()
    periods = [pd.Timedelta(hours=1), pd.Timedelta(days=1), pd.Timedelta(days=7), pd.Timedelta(days=365)]
    found = {int(period / step) for period in periods if period % step == pd.Timedelta(0) and period > step}
    return tuple(sorted(found))
