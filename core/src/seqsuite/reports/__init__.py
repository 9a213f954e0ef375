"""Reports: one self-contained HTML page a run, its figures, and results that show themselves in notebooks.

    from seqsuite.reports import Report, loss_curves, read_metrics
    Report("My run").table({"bits per base": 1.86}).figure(loss_curves("runs/mine")).write("report.html")

Nothing here needs torch; matplotlib is loaded when a figure is drawn.
"""

from __future__ import annotations

from seqsuite.reports.figures import line_figure, loss_curves, read_metrics
from seqsuite.reports.page import Report, TableView, html_table
from seqsuite.reports.training import training_report

__all__ = ["Report", "TableView", "html_table", "line_figure", "loss_curves", "read_metrics", "training_report"]
