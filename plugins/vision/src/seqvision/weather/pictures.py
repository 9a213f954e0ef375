"""Maps of fields on latitudes and longitudes, one below the other with one scale of colours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def map_figure(
    maps: Mapping[str, np.ndarray],
    latitude: np.ndarray,
    longitude: np.ndarray,
    *,
    title: str,
    unit: str,
    middle: float | None = None,
) -> Figure:
    """Draw maps (H, W).

    Args:
        maps: Title -> values; NaN stays blank.
        latitude: (H,) degrees, rising or falling.
        longitude: (W,) degrees.
        title: Above all.
        unit: Beside the colours.
        middle: The value in the middle of the colours; None: colours from the least to the largest value.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 0.6 + 2.6 * len(maps)), layout="constrained")
    panels = figure.subplots(len(maps), 1, squeeze=False, sharex=True)[:, 0]
    values = np.concatenate([np.ravel(field) for field in maps.values()])
    low, high = float(np.nanquantile(values, 0.005)), float(np.nanquantile(values, 0.995))
    if middle is not None:
        reach = max(high - middle, middle - low, 1e-12)
        low, high = middle - reach, middle + reach
    for axes, (name, field) in zip(panels, maps.items(), strict=True):
        colours = "RdBu_r" if middle is not None else "viridis"
        drawn = axes.pcolormesh(longitude, latitude, field, cmap=colours, vmin=low, vmax=high, shading="nearest")
        axes.set(title=name, ylabel="degrees north")
    panels[-1].set_xlabel("degrees east")
    figure.colorbar(drawn, ax=list(panels), label=unit, shrink=0.8)
    figure.suptitle(title)
    return figure
