"""Metrics: exact sums over batches and ranks, the throughput clock, and metrics.csv.

metrics.csv has one row a logged step. It is safe to append to across restarts: the rows beyond the
restored step, and a line that a kill has torn, are dropped before the first new row.
"""

from __future__ import annotations

import contextlib
import csv
import io
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from seqsuite.training.run_folder import told, write_text


class Totals:
    """Sums and counts of metrics, added up on their device and divided at the end."""

    def __init__(self) -> None:
        self._sums: dict[str, list[Tensor | float]] = {}

    def add(self, outputs: Mapping[str, Any]) -> None:
        """Add one batch's outputs (`Scores.outputs`), without waiting for the device."""
        for name, pair in {**outputs["totals"], "tokens": (outputs["tokens"], 1)}.items():
            had = self._sums.get(name, [0.0, 0.0])
            self._sums[name] = [before + _exact(part) for before, part in zip(had, pair, strict=True)]

    def gather(self) -> dict[str, list[float]]:
        """Return ``name -> [sum, count]`` over all ranks; every rank calls it at once."""
        mine = {name: [float(part) for part in pair] for name, pair in self._sums.items()}
        if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
            return mine
        # Ranks may have seen different metrics; the order of summation is that of the ranks.
        ranks: list[Any] = [None] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(ranks, mine)
        merged: dict[str, list[float]] = {}
        for part in ranks:
            for name, (total, count) in part.items():
                had = merged.get(name, [0.0, 0.0])
                merged[name] = [had[0] + total, had[1] + count]
        return merged

    def carry(self, gathered: Mapping[str, list[float]]) -> None:
        """Start from sums that a checkpoint held; on one rank only, they are over all of them."""
        self._sums = {name: list(pair) for name, pair in gathered.items()}

    def reset(self) -> None:
        """Forget everything."""
        self._sums = {}


def _exact(part: Tensor | float) -> Tensor | float:
    """A summand that loses nothing; a number stays one, since moving it would wait for the device."""
    if not isinstance(part, Tensor):
        return float(part)
    # Apple's GPUs know no float64.
    return part.detach() if part.device.type == "mps" else part.detach().double()


def means(gathered: Mapping[str, list[float]]) -> dict[str, float]:
    """Divide; metrics without a count, and the token counter, are left out."""
    return {name: total / count for name, (total, count) in gathered.items() if count and name != "tokens"}


class Clock:
    """Tokens a second of training alone: without the first steps, validation and saving.

    Args:
        warm: Steps at the start that are not counted; they allocate, compile and fill caches.
    """

    def __init__(self, warm: int = 3) -> None:
        self.warm = warm
        self.began = time.monotonic()
        self._since: float | None = None
        self._seconds = 0.0
        self._tokens = 0.0
        self._steps = 0

    def step(self, tokens: float) -> None:
        """Count a finished step."""
        self._steps += 1
        if self._steps == self.warm:
            self._since, self._seconds, self._tokens = time.monotonic(), 0.0, 0.0
            return
        self._tokens += tokens
        if self._since is None:
            self._since = self.began

    def pause(self) -> None:
        """Stop the clock: validation or saving begins."""
        if self._since is not None:
            self._seconds += time.monotonic() - self._since
            self._since = None

    def go(self) -> None:
        """Start the clock again."""
        if self._steps and self._since is None:
            self._since = time.monotonic()

    @property
    def rate(self) -> float:
        """Tokens a second so far; 0 before there is anything to measure."""
        running = 0.0 if self._since is None else time.monotonic() - self._since
        seconds = self._seconds + running
        return self._tokens / seconds if seconds > 0 else 0.0

    @property
    def elapsed(self) -> float:
        """Seconds since the clock was made, everything included."""
        return time.monotonic() - self.began


class MetricsFile:
    """metrics.csv: a table that grows by rows, and now and then by a column.

    Args:
        path: The file.
        keep: Rows of later steps than this are dropped.

    Attributes:
        damaged: Where a file with unreadable rows was put aside, if there was one.
    """

    def __init__(self, path: Path, keep: int = 0) -> None:
        self.path = path
        self.columns: list[str] = ["step"]
        self.damaged: Path | None = None
        self._pending: dict[str, str] = {}
        self._rewrite(self._read(keep) if path.exists() else [])

    def _read(self, keep: int) -> list[dict[str, str]]:
        with told(self.path):
            data = self.path.read_bytes()
        # A line without its end was torn by a kill.
        text = data[: data.rfind(b"\n") + 1].decode("utf-8", errors="replace")
        reader = csv.DictReader(io.StringIO(text, newline=""))
        names: list[str] = []
        found: list[Any] = []
        whole = False
        with contextlib.suppress(csv.Error):
            names = list(reader.fieldnames or ())
            found.extend(reader)
            whole = not text or "step" in names
        # Bytes that are no UTF-8 have become this character; a column of such a name is nobody's.
        columns = [name for name in dict.fromkeys(names) if name and "\ufffd" not in name]
        rows = [row for row in found if _readable(row)]
        if not whole or columns != names or len(rows) < len(found):
            self.damaged = self.path.with_name("metrics.damaged.csv")
            with told(self.damaged):
                os.replace(self.path, self.damaged)
        self.columns = columns if "step" in columns else self.columns
        return [{name: row[name] for name in self.columns if row[name]} for row in rows if int(row["step"]) <= keep]

    def _rewrite(self, rows: list[dict[str, str]]) -> None:
        out = io.StringIO()
        writer = csv.DictWriter(out, self.columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(self.path, out.getvalue())

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Add values of one step; values of the same step share a row."""
        if self._pending and self._pending["step"] != str(step):
            self.flush()
        self._pending["step"] = str(step)
        self._pending.update({name: f"{value:.9g}" for name, value in values.items()})

    def flush(self) -> None:
        """Write the pending row.

        Raises:
            UserError: The disk is full.
        """
        if not self._pending:
            return
        row, self._pending = self._pending, {}
        new = [name for name in row if name not in self.columns]
        if new:
            self.columns += new
            self._rewrite([*read_rows(self.path), row])
            return
        with told(self.path), open(self.path, "a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, self.columns, lineterminator="\n").writerow(row)


def _readable(row: Mapping[Any, Any]) -> bool:
    """Whether a row has a step, no more cells than there are columns, and numbers in all of them."""
    try:
        for cell in row.values():
            float(cell or 0)  # the cells that are too many come as a list
        return int(row["step"]) >= 0
    except (KeyError, TypeError, ValueError):
        return False


def read_rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a metrics.csv as text, without their empty cells."""
    with open(path, newline="", encoding="utf-8") as file:
        return [{name: value for name, value in row.items() if name and value} for row in csv.DictReader(file)]
