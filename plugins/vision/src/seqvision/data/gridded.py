"""Gridded fields of netCDF and zarr files, through xarray: (T, C, H, W) with their times and coordinates.

    grid = open_grid("winds.nc", ("UWND", "VWND"))
    grid.values                   # (T, 2, H, W) float32, NaN where missing (and allowed)
    grid.phases("month")          # (T,) int64: 0 for January

Axes are found by the CF conventions (https://cfconventions.org: `standard_name`, `units`, `axis`), then by name.
Files are read, never changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from seqsuite.errors import UserError, suggest, unknown_name
from seqvision.data.gridded_times import checked_times, phases_of, seconds_between, shown_time

if TYPE_CHECKING:
    import xarray

Axis = Literal["latitude", "longitude", "time"]
_AXES: tuple[Axis, ...] = ("time", "latitude", "longitude")
_NORTH = {"degrees_north", "degree_north", "degrees_n", "degree_n", "degreesn", "degreen"}
_EAST = {"degrees_east", "degree_east", "degrees_e", "degree_e", "degreese", "degreee"}
_NAMES = {
    "latitude": {"lat", "latitude", "nav_lat", "y"},
    "longitude": {"lon", "longitude", "long", "nav_lon", "x"},
    "time": {"time", "t", "valid_time"},
}
_CF_AXIS = {"latitude": "Y", "longitude": "X", "time": "T"}
_UNITS = {"latitude": _NORTH, "longitude": _EAST}
_FERRET = Path("/usr/share/ferret-vis")


@dataclass(frozen=True)
class Grid:
    """Fields on a grid of latitudes and longitudes, one a step.

    Attributes:
        values: (T, C, H, W) float32; NaN where missing.
        variables: C names.
        latitude: (H,) degrees north, in the file's order.
        longitude: (W,) degrees east, in the file's order.
        times: (T,) datetime64, or objects of cftime for other calendars.
        source: Where it comes from.
        names: The file's names of time, latitude and longitude.
        attributes: The attributes of each variable and coordinate.
    """

    values: np.ndarray = field(repr=False)
    variables: tuple[str, ...]
    latitude: np.ndarray = field(repr=False)
    longitude: np.ndarray = field(repr=False)
    times: np.ndarray = field(repr=False)
    source: str
    names: tuple[str, str, str] = ("time", "latitude", "longitude")
    attributes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.values)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.values.shape[2], self.values.shape[3]

    @property
    def units(self) -> tuple[str, ...]:
        """The unit of each variable; "" where the file has none."""
        return tuple(str(self.attributes.get(name, {}).get("units", "")) for name in self.variables)

    @property
    def step_seconds(self) -> float:
        """Seconds from step to step, the median."""
        return float(np.median(seconds_between(self.times)))

    def phases(self, kind: str) -> np.ndarray:
        """Return the phase of the year of every step, see `phases_of`."""
        return phases_of(self.times, kind)

    def fingerprint(self) -> str:
        """Return a SHA-256 of values, times and coordinates."""
        digest = hashlib.sha256(repr((self.variables, self.values.shape)).encode())
        digest.update(" ".join(map(str, self.times)).encode())
        for array in (self.values, self.latitude, self.longitude):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def open_grid(
    path: str | Path,
    variables: Sequence[str] = (),
    *,
    select: Mapping[str, float] | None = None,
    missing: Literal["refuse", "climatology"] = "refuse",
) -> Grid:
    """Read variables of a netCDF file or a zarr folder.

    Args:
        path: The file.
        variables: Their names; empty: all that have time, latitude and longitude.
        select: Where to cut further axes, by their names: {"level": 850}; the nearest value is taken.
        missing: Whether missing values are refused, or are left NaN for the model to take as no anomaly.

    Raises:
        UserError: The file, a variable, an axis, the times or missing values; one line.
    """
    data = _opened(Path(path).expanduser())
    try:
        with data:
            chosen = list(variables) or _fields_of(data)
            for name in chosen:
                if chosen.count(name) > 1:
                    raise UserError(f"--variables names {name!r} twice")
                if name not in data.data_vars:
                    raise UserError(f"{path}: there is no variable {name!r}.{suggest(name, map(str, data.data_vars))}")
            if not chosen:
                raise UserError(f"{path}: no variable has time, latitude and longitude")
            return _grid(data, chosen, str(path), select or {}, missing)
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(f"{path}: cannot be read: {' '.join(str(error).split())[:200]}") from error


def _opened(path: Path) -> xarray.Dataset:
    try:
        import xarray
    except ImportError as error:
        raise UserError(f"{path}: gridded files are read with xarray: pip install xarray netCDF4 zarr") from error
    if not path.exists():
        package = ""
        if _FERRET in path.parents:
            package = "; it comes with Debian's package ferret-datasets: apt install ferret-datasets"
        raise UserError(f"{path}: there is no such file{package}")
    zarr = path.is_dir()
    if zarr and not any((path / name).exists() for name in (".zgroup", ".zmetadata", "zarr.json")):
        raise UserError(f"{path}: is a folder without zarr's metadata; give a netCDF file or a zarr folder")
    try:
        return xarray.open_dataset(path, engine="zarr") if zarr else xarray.open_dataset(path)
    except Exception as error:  # every engine has exceptions of its own
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        if "did not find a match" in reason:  # xarray's advice is to its callers
            reason = "it is empty" if path.stat().st_size == 0 else "it is of another format"
        raise UserError(f"{path}: cannot be read as {'zarr' if zarr else 'netCDF'}: {reason}") from error


def find_axis(data: xarray.DataArray, axis: Axis) -> str | None:
    """Return the name of the dimension that is this axis: by its CF attributes, else by its name; None without one."""
    dims = [str(name) for name in data.dims]
    for name in dims:
        if name in data.coords and _says(data.coords[name], axis):
            return name
    return next((name for name in dims if name.lower() in _NAMES[axis]), None)


def _says(coordinate: xarray.DataArray, axis: str) -> bool:
    facts = {**coordinate.encoding, **coordinate.attrs}
    if facts.get("standard_name") == axis:
        return True
    units = str(facts.get("units", "")).lower()
    if axis == "time":
        return " since " in units or coordinate.dtype.kind == "M" or facts.get("axis") == _CF_AXIS[axis]
    if units:
        return units in _UNITS[axis]
    return facts.get("axis") == _CF_AXIS[axis]


def _fields_of(data: xarray.Dataset) -> list[str]:
    return [str(name) for name, item in data.data_vars.items() if all(find_axis(item, axis) for axis in _AXES)]


def _grid(data: xarray.Dataset, variables: list[str], source: str, select: Mapping[str, float], missing: str) -> Grid:
    arrays, names = [], None
    for name in variables:
        array, axes = _plane(data[name], source, select)
        if names is not None and (axes != names or array.shape != arrays[0].shape):
            raise UserError(f"{source}: {name} lies on another grid than {variables[0]}; give them apart")
        names = axes
        arrays.append(array)
    assert names is not None
    time, north, east = (arrays[0].coords[axis] for axis in names)
    latitude, longitude = _degrees(north, source, 90.0), _degrees(east, source, 540.0)
    times = checked_times(time, source)
    values = np.stack([array.to_numpy().astype(np.float32) for array in arrays], 1)
    values[~np.isfinite(values)] = np.nan
    grid = Grid(
        values=values,
        variables=tuple(variables),
        latitude=latitude,
        longitude=longitude,
        times=times,
        source=source,
        names=names,
        attributes={str(item.name): dict(item.attrs) for item in (*arrays, north, east)},
    )
    if missing == "refuse":
        _refuse_missing(grid)
    return grid


def _plane(array: xarray.DataArray, source: str, select: Mapping[str, float]) -> tuple[Any, tuple[str, str, str]]:
    """Return a variable as (time, latitude, longitude), and the names of the three."""
    for key in select:
        if key not in array.dims:
            raise unknown_name(f"axis of {array.name} in --select", key, map(str, array.dims))
    array = array.sel({name: float(value) for name, value in select.items()}, method="nearest") if select else array
    found = []
    for axis in _AXES:
        name = find_axis(array, axis)
        if name is None or name not in array.coords:
            dims = ", ".join(map(str, array.dims))
            raise UserError(f"{source}: {array.name} has no {axis} axis with coordinates (its axes: {dims})")
        found.append(name)
    for further in array.dims:
        if further not in found:
            if array.sizes[further] > 1:
                raise UserError(
                    f"{source}: {array.name} has a further axis {further} of {array.sizes[further]}; choose a value of "
                    f"it with --select.{further}"
                )
            array = array.isel({further: 0})
    if array.dtype.kind not in "fiu":
        raise UserError(f"{source}: {array.name} holds no numbers ({array.dtype})")
    return array.transpose(*found), (found[0], found[1], found[2])


def _degrees(coordinate: xarray.DataArray, source: str, most: float) -> np.ndarray:
    values = coordinate.to_numpy().astype(np.float64)
    steps = np.diff(values)
    good = values.ndim == 1 and np.isfinite(values).all() and (np.abs(values) <= most).all()
    if not good or len(values) < 2 or not ((steps > 0).all() or (steps < 0).all()):
        raise UserError(f"{source}: {coordinate.name} is no rising or falling row of at least two degrees")
    return values


def _refuse_missing(grid: Grid) -> None:
    for number, name in enumerate(grid.variables):
        bad = ~np.isfinite(grid.values[:, number])
        if bad.any():
            first = shown_time(grid.times[int(bad.any((1, 2)).argmax())])
            raise UserError(
                f"{grid.source}: {name} has {int(bad.sum()):,} missing values, the first at {first}; with --missing "
                "climatology they count as no anomaly and are not scored"
            )
