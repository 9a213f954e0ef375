"""Times of gridded fields: dates in equal steps, their phases of the year, and those that follow.

    phases_of(grid.times, "month")        # (T,) int64: 0 for January
    later(grid.times, 2)                  # (T,) the times two steps behind each

Times are datetime64, or objects of cftime for other calendars. Calendar months count as equal steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from seqsuite.errors import UserError

if TYPE_CHECKING:
    import xarray

PHASES: Mapping[str, int] = {"month": 12, "day": 366, "mean": 1}
"""Parts of the year that each kind of climatology knows."""

UNEVEN = 0.15
"""A step that differs from the others by more than this part is a gap: months differ by a tenth."""


def phases_of(times: np.ndarray, kind: str) -> np.ndarray:
    """Return the phase of the year (T,) int64 from 0: the month, the day, or 0 for "mean"."""
    import xarray

    if kind == "mean":
        return np.zeros(len(times), np.int64)
    dated = xarray.DataArray(times, dims="time").dt
    return (dated.month if kind == "month" else dated.dayofyear).to_numpy().astype(np.int64) - 1


def later(times: np.ndarray, steps: int) -> np.ndarray:
    """Return the times that lie `steps` steps behind each of `times`, beyond the last one too.

    Calendar months go on as months where every step is one and the day stays the same.
    """
    known = np.asarray(times)
    beyond = [_next_time(known, step) for step in range(1, steps + 1)]
    return np.concatenate((known, np.array(beyond, dtype=known.dtype)))[steps:]


def _next_time(times: np.ndarray, steps: int) -> Any:
    last = times[-1]
    if times.dtype == object:  # cftime
        return last + (times[-1] - times[0]) / (len(times) - 1) * steps
    months = times.astype("datetime64[M]").astype(np.int64)
    within = times - times.astype("datetime64[M]")
    if (np.diff(months) == 1).all() and len(np.unique(within)) == 1:
        return (last.astype("datetime64[M]") + steps) + within[-1]
    return last + (times[-1] - times[0]) / (len(times) - 1) * steps


def checked_times(time: xarray.DataArray, source: str) -> np.ndarray:
    """Return the times (T,) of a coordinate.

    Raises:
        UserError: They are no dates, too few, or do not follow each other in equal steps.
    """
    times = time.to_numpy()
    if times.dtype.kind != "M" and not (times.dtype == object and hasattr(times[0], "calendar")):
        raise UserError(
            f"{source}: {time.name} holds numbers without a date; its attribute units must say 'hours since ...'"
        )
    if len(times) < 2:
        raise UserError(f"{source}: {time.name} holds one step; a forecast needs a row of them")
    if times.dtype.kind == "M" and np.isnat(times).any():
        raise UserError(f"{source}: {time.name} holds a missing date at step {int(np.isnat(times).argmax())}")
    steps = seconds_between(times)
    usual = float(np.median(steps))
    odd = np.abs(steps - usual) > UNEVEN * abs(usual)
    if usual <= 0 or odd.any():
        at = int(odd.argmax()) if odd.any() else 0
        raise UserError(
            f"{source}: times must rise in equal steps; from {shown_time(times[at])} to {shown_time(times[at + 1])} "
            f"(step {at + 1}) they do not"
        )
    return times


def seconds_between(times: np.ndarray) -> np.ndarray:
    """Return the seconds from each time to the next."""
    if times.dtype.kind == "M":
        return np.diff(times).astype("timedelta64[s]").astype(np.float64)
    return np.array([step.total_seconds() for step in np.diff(times)])


def shown_time(time: Any) -> str:
    """Return a date to the minute, as text."""
    return str(time)[:16].replace("T", " ")
