"""Reading grids: axes by attributes and by name, zarr as netCDF, times, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import xarray

from seqsuite.errors import UserError
from seqvision.data.gridded import Grid, open_grid
from seqvision.data.gridded_times import later

from .conftest import dataset, fields


def test_axes_are_found_by_attributes_and_by_name(tmp_path) -> None:
    """FERRET's names say nothing, their units do; without units the names do."""
    values = fields(14)
    dataset(values, time="TIME", lat="FNOCY", lon="FNOCX").to_netcdf(tmp_path / "units.nc")
    plain = dataset(values)
    for name in ("lat", "lon"):
        plain[name].attrs.clear()
    plain.to_netcdf(tmp_path / "names.nc")
    # Axes in another order are put into ours.
    dataset(values).transpose("lon", "time", "lat").to_netcdf(tmp_path / "turned.nc")
    for name in ("units", "names", "turned"):
        grid = open_grid(tmp_path / f"{name}.nc", ("V", "U"))
        assert grid.variables == ("V", "U")
        np.testing.assert_array_equal(grid.values, values[:, ::-1])
        assert grid.size == (6, 12)
        np.testing.assert_array_equal(grid.phases("month"), np.arange(14) % 12)


def test_zarr_is_netcdf(tmp_path, winds) -> None:
    dataset(fields()).to_zarr(tmp_path / "winds.zarr", zarr_format=2)
    first, second = open_grid(winds), open_grid(tmp_path / "winds.zarr")
    assert first.fingerprint() == second.fingerprint()


def test_a_further_axis_is_selected(tmp_path) -> None:
    levels = xarray.concat(
        [dataset(fields(seed=0)), dataset(fields(seed=1))], xarray.IndexVariable("level", [850, 500])
    )
    levels.to_netcdf(tmp_path / "levels.nc")
    with pytest.raises(UserError, match=r"further axis level of 2.*--select\.level"):
        open_grid(tmp_path / "levels.nc", ("U",))
    with pytest.raises(UserError, match=r"'levle'.*'level'"):
        open_grid(tmp_path / "levels.nc", ("U",), select={"levle": 500})
    found = open_grid(tmp_path / "levels.nc", ("U",), select={"level": 510})
    np.testing.assert_array_equal(found.values[:, 0], fields(seed=1)[:, 0])


def test_missing_values_are_refused_or_stay(tmp_path) -> None:
    values = fields(14)
    values[5, 1, 2, 3] = np.nan
    values[6, 1, 2, 3] = np.inf
    dataset(values).to_netcdf(tmp_path / "holes.nc")
    with pytest.raises(UserError, match=r"V has 2 missing values, the first at 2000-06.*--missing climatology"):
        open_grid(tmp_path / "holes.nc")
    found = open_grid(tmp_path / "holes.nc", missing="climatology")
    assert np.isnan(found.values).sum() == 2


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda data: data.isel(time=0), r"U has no time axis"),
        (lambda data: data.isel(time=[0]), r"holds one step"),
        (lambda data: data.isel(time=[0, 1, 2, 5, 6]), r"from 2000-03.* to 2000-06.*\(step 3\)"),
        (lambda data: data.isel(time=[0, 2, 1]), r"must rise"),
        (lambda data: data.assign_coords(time=np.arange(60)), r"time holds numbers without a date.*since"),
        (lambda data: data.drop_vars("lat"), r"U has no latitude axis with coordinates"),
        (lambda data: data.isel(lon=[0, 2, 1, 3]), r"lon is no rising or falling row"),
        (lambda data: data.assign(U=data.U.astype(str)), r"U holds no numbers"),
        (lambda data: data.assign(V=data.V.isel(lon=slice(6)).rename(lon="east")), r"V lies on another grid than U"),
    ],
)
def test_what_is_no_grid_is_refused_in_one_line(tmp_path, spoil, why) -> None:
    path = tmp_path / "bad.nc"
    spoil(dataset(fields())).to_netcdf(path)
    with pytest.raises(UserError, match=why) as told:
        open_grid(path, ("U", "V"))
    assert str(path) in str(told.value)
    assert "\n" not in str(told.value)


def test_unreadable_and_missing_files(tmp_path) -> None:
    (tmp_path / "text.nc").write_text("no grid")
    (tmp_path / "folder").mkdir()
    for name, why in (("text.nc", "netCDF"), ("folder", "zarr"), ("none.nc", "no such file")):
        with pytest.raises(UserError, match=why):
            open_grid(tmp_path / name)
    with pytest.raises(UserError, match="ferret-datasets"):
        open_grid("/usr/share/ferret-vis/data/none.cdf")


def test_times_go_on_as_months_or_as_equal_steps() -> None:
    months = (np.datetime64("2000-11", "M") + np.arange(4)).astype("datetime64[ns]") + np.timedelta64(14, "D")
    found = later(months, 2)
    assert [str(item)[:10] for item in found] == ["2001-01-15", "2001-02-15", "2001-03-15", "2001-04-15"]
    days = np.datetime64("2001-02-27", "ns") + np.arange(3) * np.timedelta64(12, "h")
    assert str(later(days, 1)[-1])[:13] == "2001-02-28T12"


def test_a_calendar_of_360_days(tmp_path) -> None:
    data = dataset(fields(26))
    times = xarray.date_range("2000-01-16", periods=26, freq="MS", calendar="360_day", use_cftime=True)
    data.assign_coords(time=times).to_netcdf(tmp_path / "c.nc")
    grid: Grid = open_grid(tmp_path / "c.nc")
    np.testing.assert_array_equal(grid.phases("month"), (1 + np.arange(26)) % 12)
    assert later(grid.times, 1)[-1].month == 4
