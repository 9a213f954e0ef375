"""Figures of data: how a property is distributed, in all rows or part by part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from seqsuite.reports.figures import COLOURS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST = 12
"""Properties that one figure shows."""


def histograms(parts: Mapping[str, Mapping[str, np.ndarray]]) -> Figure:
    """Draw the distribution of every property, a curve for each part.

    Args:
        parts: Name of a part -> property -> (N,) numbers, NaN where there is none.
    """
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(name for values in parts.values() for name in values))[:MOST]
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(3.4 * columns, 2.6 * rows), layout="constrained")
    for place, name in enumerate(names):
        axes = figure.add_subplot(rows, columns, place + 1)
        known = {part: values[name][~np.isnan(values[name])] for part, values in parts.items() if name in values}
        everything = np.concatenate(list(known.values()))
        edges = np.histogram_bin_edges(everything if len(everything) else [0.0, 1.0], bins=30).tolist()
        for number, (part, values) in enumerate(known.items()):
            weights = np.full(len(values), 1 / max(1, len(values)))
            axes.hist(
                values, edges, weights=weights, histtype="step", color=COLOURS[number], label=part or None, lw=1.4
            )
        axes.set(xlabel=name, ylabel="share of rows")
        axes.spines[["top", "right"]].set_visible(False)
        if len(parts) > 1 and not place:
            axes.legend(frameon=False)
    return figure
