"""The report of a training run: its outcome, curves, options and machine."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import yaml

from seqsuite.reports.figures import line_figure, loss_curves, read_metrics
from seqsuite.reports.page import Report


def training_report(
    folder: str | os.PathLike[str], title: str = "Training run", *, into: Report | None = None
) -> Report:
    """Build the report of a run folder; add to it and write it.

    Args:
        folder: The run folder.
        title: The page's title.
        into: A report that begins with something else: what training says comes below it.

    Raises:
        UserError: The folder holds no metrics.
    """
    path = Path(folder)
    metrics = read_metrics(path)
    last = {name: values[-1] for name, (_, values) in metrics.items() if not name.startswith("lr")}
    report = into or Report(title, subtitle=path.name)
    report.heading("Training")
    report.table({"step": max(steps[-1] for steps, _ in metrics.values()) if metrics else 0, **last})
    names = dict.fromkeys(name.partition("_")[2] for name in metrics if name.startswith(("train_", "valid_")))
    report.heading("Curves")
    for name in names:
        report.figure(loss_curves(path, name), caption=f"{name.replace('_', ' ')} by step")
    if "lr" in metrics:
        report.figure(line_figure({"learning rate": metrics["lr"]}, x="step"), caption="learning rate by step")
    report.heading("Options").table(_options(path))
    return report.heading("Machine").table(_machine(path))


def _options(folder: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError):
        return {}
    return {name: value if isinstance(value, int | float) else str(value) for name, value in values.items()}


def _machine(folder: Path) -> list[dict[str, str]]:
    try:
        starts = json.loads((folder / "environment.json").read_text(encoding="utf-8"))["starts"]
    except (OSError, ValueError, KeyError):
        return []
    return [
        {name: ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else str(value)
         for name, value in start.items()}
        for start in starts
    ]  # fmt: skip
