"""Multivariate series from .csv, .csv.gz and .parquet files: checked values, timestamps and their frequency.

    series = read_series("ETTh1.csv.gz")
    series.values                       # (T, C) float64
    series.following(96)                # the timestamps of the next 96 rows

A file is refused where a row is missing, has no number in it, or is out of order: a window over a gap would
silently be a window of another length.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from seqsuite.errors import UserError, unknown_name
from seqvision.data.series_times import CSV, frequency_of, line_of, times_of

if TYPE_CHECKING:
    import pandas as pd

DATE_NAMES = ("date", "datetime", "timestamp", "time", "ds", "day", "month")
"""Names of a column of timestamps, in this order, whatever their case."""
_PARQUET = (".parquet", ".pq")


@dataclass(frozen=True)
class Series:
    """A multivariate series with equal steps.

    Attributes:
        source: The file it comes from.
        names: Of the C columns.
        values: (T, C) float64, finite.
        times: (T,) datetime64, or None where the file has none.
        frequency: Of the timestamps, in pandas' notation ("h", "15min", "MS"), or "".
        date_column: The column of the timestamps, or "".
        zone: "+00:00" where the file's timestamps had a zone and became UTC, or "".
    """

    source: str
    names: tuple[str, ...]
    values: np.ndarray = field(repr=False)
    times: np.ndarray | None = field(default=None, repr=False)
    frequency: str = ""
    date_column: str = ""
    zone: str = ""

    def __len__(self) -> int:
        return len(self.values)

    @property
    def label(self) -> str:
        """The file's name, for messages."""
        return Path(self.source).name

    def select(self, names: Sequence[str]) -> Series:
        """Return the series of some columns, in the order asked for.

        Raises:
            UserError: There is no such column.
        """
        for name in names:
            if name not in self.names:
                raise UserError(f"{self.source}: {unknown_name('column', name, self.names)}")
        places = [self.names.index(name) for name in names]
        values = np.ascontiguousarray(self.values[:, places])
        return replace(self, names=tuple(names), values=values)

    def at(self, frequency: str) -> Series | None:
        """Return the series with a frequency, if its timestamps are a row of it.

        Few rows tell little: three days may be days or working days, two months are 31 days.

        Args:
            frequency: In pandas' notation.
        """
        import pandas as pd

        if self.times is None or frequency == self.frequency:
            return self
        row = pd.date_range(self.times[0], periods=len(self), freq=frequency).to_numpy()
        return replace(self, frequency=frequency) if np.array_equal(row, self.times) else None

    def following(self, steps: int) -> np.ndarray:
        """Return the timestamps of the next `steps` rows; without timestamps, their numbers from T on."""
        if self.times is None:
            return np.arange(len(self), len(self) + steps)
        import pandas as pd

        return pd.date_range(self.times[-1], periods=steps + 1, freq=self.frequency).to_numpy()[1:]

    def fingerprint(self) -> str:
        """Return the SHA-256 of names, values and timestamps."""
        digest = hashlib.sha256("\0".join(self.names).encode("utf-8", "backslashreplace"))
        digest.update(self.values.astype("<f8").tobytes())
        digest.update(b"" if self.times is None else self.times.astype("datetime64[ns]").astype("<i8").tobytes())
        return digest.hexdigest()


def read_series(
    source: str | os.PathLike[str],
    *,
    date_column: str = "",
    columns: Sequence[str] = (),
    drop: Sequence[str] = (),
) -> Series:
    """Read and check a series.

    Args:
        source: A .csv (also .gz, .xz, .bz2) with a line of names, or a .parquet file.
        date_column: The column of timestamps; "" takes one called date, datetime, timestamp or the like, or else a
            column of texts that are dates.
        columns: Which columns, in which order; all others than the timestamps by default.
        drop: Columns to leave out.

    Raises:
        UserError: The file, a line or a column; one line says which.
    """
    path = Path(os.path.expanduser(source))
    frame = _frame(path)
    return series_of(frame, str(path), date_column=date_column, columns=columns, drop=drop)


def series_of(
    frame: pd.DataFrame,
    source: str = "the frame",
    *,
    date_column: str = "",
    columns: Sequence[str] = (),
    drop: Sequence[str] = (),
) -> Series:
    """Check a frame and return its series; arguments and errors as of `read_series`.

    A frame with an index of timestamps needs no column of them.
    """
    import pandas as pd

    if isinstance(frame.index, pd.DatetimeIndex):
        frame = frame.rename_axis(index=frame.index.name or "date").reset_index()
    frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
    repeated = frame.columns[frame.columns.duplicated()]
    if len(repeated):
        raise UserError(f"{source}: two columns are called {repeated[0]!r}; rename one")
    date = _date_column(frame, source, date_column, drop)
    names = _chosen(frame, source, date, columns, drop)
    if len(frame) < 2:
        raise UserError(f"{source}: holds {len(frame)} rows of numbers; a series needs 2 at least")
    # Where columns were asked for, none of them can be left out.
    instead = "" if columns else ", or leave the column out: --drop "
    values = np.stack([_numbers(frame[name], source, name, instead) for name in names], axis=1)
    if not date:
        return Series(source, names, values)
    times, zone = times_of(frame[date], source, date, instead)
    return Series(source, names, values, times, frequency_of(times, source, date), date, zone)


def _frame(path: Path) -> pd.DataFrame:
    """Read a file into a frame of one row a line."""
    import lzma
    import zlib

    import pandas as pd

    lower = path.name.lower()
    if not lower.endswith(CSV + _PARQUET):
        raise UserError(f"{path}: give a series as .csv, .csv.gz or .parquet")
    try:
        if lower.endswith(_PARQUET):
            return pd.read_parquet(path)
        # Empty lines stay: a row's number then tells its line. Texts such as NA are looked at later, with their line.
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # cells that have no name would be lost
            frame = pd.read_csv(path, skip_blank_lines=False, low_memory=False, index_col=False)
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None
    except pd.errors.EmptyDataError:
        raise UserError(f"{path}: is empty; its first line must name the columns") from None
    except pd.errors.ParserWarning:
        raise UserError(f"{path}: its rows have more cells than its first line has names; name every column") from None
    # ParserError, UnicodeDecodeError and pyarrow's are ValueErrors.
    except (ValueError, EOFError, ImportError, zlib.error, lzma.LZMAError) as error:
        raise UserError(f"{path}: cannot be read as a table ({' '.join(str(error).split())})") from None
    while len(frame) and frame.iloc[-1].isna().all():
        frame = frame.iloc[:-1]
    other = next((mark for mark in (";", "\t", "|") if len(frame.columns) == 1 and mark in str(frame.columns[0])), None)
    if other:
        raise UserError(f"{path}: its cells are divided by {other!r}; write it with commas between them")
    if all(map(_is_value, frame.columns)) and not all(str(name).isdigit() for name in frame.columns):
        raise UserError(f"{path}: its first line holds numbers; it must name the columns")
    return frame


def _is_value(name: str) -> bool:
    """Return whether a name of a column is a number or a timestamp."""
    import pandas as pd

    try:
        float(name)
    except ValueError:
        return any(mark in name for mark in "-/:") and pd.notna(pd.to_datetime(name, errors="coerce"))
    return True


def _date_column(frame: pd.DataFrame, source: str, given: str, drop: Sequence[str]) -> str:
    """Return the column of timestamps, or "" where there is none; a column to leave out is none."""
    import pandas as pd

    if given:
        if given not in frame.columns:
            raise UserError(f"{source}: {unknown_name('column', given, frame.columns)} (--date_column)")
        return given
    frame = frame.drop(columns=[name for name in drop if name in frame.columns])
    lowered = {str(name).strip().lower(): str(name) for name in frame.columns}
    for name in DATE_NAMES:
        if name in lowered:
            return lowered[name]
    for name in frame.columns:
        column = frame[name]
        if pd.api.types.is_datetime64_any_dtype(column):
            return str(name)
        first = column.dropna().head(1)
        if len(first) and isinstance(first.iloc[0], str) and pd.notna(pd.to_datetime(first.iloc[0], errors="coerce")):
            return str(name)
    return ""


def _chosen(
    frame: pd.DataFrame, source: str, date: str, columns: Sequence[str], drop: Sequence[str]
) -> tuple[str, ...]:
    known = [str(name) for name in frame.columns if name != date]
    for name in (*columns, *drop):
        if name not in known:
            raise UserError(f"{source}: {unknown_name('column', name, known)}")
    names = tuple(name for name in (columns or known) if name not in drop)
    if not names:
        raise UserError(f"{source}: there is no column of numbers" + (" left" if drop else " beside the timestamps"))
    if len(set(names)) < len(names):
        raise UserError(f"--columns names {max(names, key=names.count)!r} twice")
    return names


def _numbers(column: pd.Series, source: str, name: str, instead: str) -> np.ndarray:
    """Return a column as (T,) finite float64."""
    import pandas as pd

    instead = instead and f"{instead}{name}"
    if column.dtype.kind in "mMc":  # pandas would count nanoseconds
        raise UserError(f"{source}, column {name!r}: holds {column.dtype}, no numbers{instead}")
    found = pd.to_numeric(column, errors="coerce")
    values = found.to_numpy(dtype=np.float64, na_value=np.nan)
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        cell = column.iloc[bad[0]]
        more = f" (and {len(bad) - 1:,} more)" if len(bad) > 1 else ""
        what = "is empty" if pd.isna(cell) else f"{str(cell)[:40]!r} is no finite number"
        raise UserError(f"{line_of(source, int(bad[0]))}, column {name!r}: {what}{more}; fill it{instead}")
    return values
