"""What a run says while it runs: a progress bar on a terminal, plain lines elsewhere.

Everything goes to standard error, so that standard output stays free for results.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Mapping
from typing import Any

from seqsuite.training.run_folder import process_rank


def say(line: str) -> None:
    """Print a line to standard error, on the first rank alone."""
    if process_rank() == 0:
        print(line, file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """Return ``m:ss`` or ``h:mm:ss``."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"


def quantity(value: float) -> str:
    """Return a rate with about three digits: 950, 12.3k, 4.56M."""
    for limit, factor, suffix in ((1e3, 1.0, ""), (1e6, 1e3, "k"), (1e9, 1e6, "M")):
        if value < limit:
            scaled = value / factor
            return f"{scaled:.0f}" if not suffix else f"{scaled:.3g}{suffix}"
    return f"{value / 1e9:.3g}G"


def describe(metrics: Mapping[str, float]) -> str:
    """Return ``loss 1.234  bits 1.780``."""
    return "  ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in metrics.items())


class Progress:
    """The line or the bar of one run.

    Args:
        steps: Steps of the whole run.
        start: Steps done before this start.
        unit: What is counted for the throughput.
        shown: Whether this process speaks at all.
    """

    def __init__(self, steps: int, *, start: int = 0, unit: str = "tok", shown: bool = True) -> None:
        self.steps, self.start, self.unit, self.shown = steps, start, unit, shown
        self._bar: Any = None
        self._task: Any = None
        self._began = time.monotonic()
        if shown and sys.stderr.isatty():
            self._open_bar()

    def _open_bar(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[facts]}"),
            TimeRemainingColumn(),
        )
        self._bar = Bar(*columns, console=Console(stderr=True))
        self._task = self._bar.add_task("training", total=self.steps, completed=self.start, facts="")
        self._bar.start()

    def step(self, step: int) -> None:
        """Move the bar."""
        if self._bar is not None:
            self._bar.update(self._task, completed=step)

    def train(self, step: int, metrics: Mapping[str, float], rate: float) -> None:
        """Tell of the training since the last line."""
        facts = f"{describe(metrics)}  {quantity(rate)} {self.unit}/s"
        if self._bar is not None:
            self._bar.update(self._task, facts=facts)
        elif self.shown:
            done = max(1, step - self.start)
            left = (time.monotonic() - self._began) / done * (self.steps - step)
            self.say(f"step {step}/{self.steps}  {facts}  eta {duration(left)}")

    def valid(self, step: int, metrics: Mapping[str, float]) -> None:
        """Tell of a validation."""
        self.say(f"step {step}/{self.steps}  validation: {describe(metrics)}")

    def say(self, line: str) -> None:
        """Print one line, above the bar where there is one; a terminal that was closed ends no run."""
        if not self.shown:
            return
        with contextlib.suppress(OSError):
            if self._bar is not None:
                self._bar.console.print(line, markup=False, highlight=False)
            else:
                print(line, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            with contextlib.suppress(OSError):
                self._bar.stop()
            self._bar = None
