"""Pictures of an evaluation: predicted against measured values, and how often intervals held."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from seqsuite.reports.figures import COLOURS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from seqchem.evaluation.results import PropertyTest

__all__ = ["coverage_figure", "parity_figure"]

_PANELS = 12
_BINS = 10


def parity_figure(tests: Sequence[PropertyTest]) -> Figure:
    """Draw one panel a property (the first twelve): predicted against measured, or shares against probabilities.

    Args:
        tests: The properties.
    """
    from matplotlib.figure import Figure

    shown = list(tests)[:_PANELS]
    across = min(3, max(1, len(shown)))
    down = -(-max(1, len(shown)) // across)
    figure = Figure(figsize=(4.2 * across, 4.0 * down), layout="constrained")
    panels = np.atleast_1d(figure.subplots(down, across)).ravel()
    for axes, test in zip(panels, shown, strict=False):
        (_shares if test.binary else _parity)(axes, test)
        axes.set_title(test.name)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    for axes in panels[len(shown) :]:
        axes.set_axis_off()
    return figure


def _parity(axes: Any, test: PropertyTest) -> None:
    low = float(min(test.truth.min(), test.predicted.min()))
    high = float(max(test.truth.max(), test.predicted.max()))
    label = f"RMSE {test.models[0].mean('rmse'):.3g}"
    axes.plot(test.truth, test.predicted, "o", ms=3, alpha=0.35, color=COLOURS[0], mec="none", label=label)
    axes.plot([low, high], [low, high], ":", color="#808080", lw=1.2, label="equal")
    axes.set(xlabel="measured", ylabel="predicted", aspect="equal")


def _shares(axes: Any, test: PropertyTest) -> None:
    from seqchem.prediction.calibration import label_calibration

    found = label_calibration(test.truth, test.predicted, bins=_BINS)
    label = f"ROC-AUC {test.models[0].mean('roc_auc'):.3g}"
    said, share = ([point[name] for point in found["curve"]] for name in ("probability", "share"))
    axes.plot(said, share, "-o", ms=4, color=COLOURS[0], label=label)
    axes.plot([0, 1], [0, 1], ":", color="#808080", lw=1.2, label="calibrated")
    axes.set(xlabel="probability of 1", ylabel="share of ones", xlim=(0, 1), ylim=(0, 1))


def coverage_figure(tests: Sequence[PropertyTest]) -> Figure | None:
    """Draw the share of rows inside the intervals against their level; None where nothing was calibrated.

    Args:
        tests: The properties.
    """
    from matplotlib.figure import Figure

    shown = [test for test in tests if test.coverage]
    if not shown:
        return None
    figure = Figure(figsize=(4.4, 4.0), layout="constrained")
    axes = figure.subplots()
    for number, test in enumerate(shown):
        colour = COLOURS[number % len(COLOURS)]
        axes.plot(list(test.coverage), list(test.coverage.values()), "-o", ms=4, color=colour, label=test.name)
    axes.plot([0, 1], [0, 1], ":", color="#808080", lw=1.2, label="as said")
    axes.set(xlabel="level of the interval", ylabel="share of rows inside", xlim=(0, 1), ylim=(0, 1))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return figure
