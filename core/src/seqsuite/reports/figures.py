"""Curves of a run: reading metrics.csv, and line figures that need no window system."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from seqsuite.errors import UserError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Curve: TypeAlias = tuple[Sequence[float], Sequence[float]]

#: Okabe and Ito's colours, which most colour-blind readers can tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def read_metrics(folder: str | os.PathLike[str]) -> dict[str, tuple[list[int], list[float]]]:
    """Read a run's metrics.csv.

    Args:
        folder: The run folder.

    Returns:
        Column -> (steps, values), of the steps at which the column has a value.

    Raises:
        UserError: There is no metrics.csv, or a line of it is not a number.
    """
    path = Path(folder) / "metrics.csv"
    curves: dict[str, tuple[list[int], list[float]]] = {}
    try:
        with open(path, newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                for name, value in row.items():
                    if name and name != "step" and value:
                        steps, values = curves.setdefault(name, ([], []))
                        values.append(float(value))
                        steps.append(int(row["step"]))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, KeyError) as error:
        raise UserError(f"{path} is no table of metrics: {error}") from error
    return curves


def line_figure(
    curves: Mapping[str, Curve],
    *,
    x: str = "",
    y: str = "",
    levels: Mapping[str, float] | None = None,
    log: bool = False,
) -> Figure:
    """Draw curves into one figure.

    Args:
        curves: Name -> (x values, y values).
        x: Label of the x axis.
        y: Label of the y axis.
        levels: Name -> a horizontal line, for baselines.
        log: Logarithmic y axis.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 3.6), layout="constrained")
    axes = figure.subplots()
    for number, (name, (steps, values)) in enumerate(curves.items()):
        few = "o" if len(values) < 30 else None
        axes.plot(steps, values, label=name, color=COLOURS[number % len(COLOURS)], marker=few, markersize=3, lw=1.5)
    for number, (name, level) in enumerate((levels or {}).items()):
        axes.axhline(level, label=name, color="#808080", linestyle=("--", ":", "-.")[number % 3], lw=1.2)
    axes.set(xlabel=x, ylabel=y)
    if log:
        axes.set_yscale("log")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    if curves or levels:
        axes.legend(frameon=False)
    return figure


def loss_curves(
    folder: str | os.PathLike[str], metric: str = "loss", *, levels: Mapping[str, float] | None = None
) -> Figure:
    """Draw one metric of a run, training and validation.

    Args:
        folder: The run folder.
        metric: Its name without ``train_`` or ``valid_``.
        levels: Baselines, see `line_figure`.
    """
    metrics = read_metrics(folder)
    stages = {"training": f"train_{metric}", "validation": f"valid_{metric}"}
    curves = {stage: metrics[name] for stage, name in stages.items() if name in metrics}
    figure = line_figure(curves, x="step", y=metric.replace("_", " "), levels=levels)
    # The first steps fall from far above and would flatten the rest.
    last = max((steps[-1] for steps, _ in curves.values()), default=0)
    later = [v for steps, values in curves.values() for s, v in zip(steps, values, strict=True) if s > last / 10]
    if later and min(later) < max(later):
        room = 0.15 * (max(later) - min(later))
        figure.axes[0].set_ylim(
            min([*later, *(levels or {}).values()]) - room, max([*later, *(levels or {}).values()]) + room
        )
    return figure
