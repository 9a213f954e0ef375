"""How far generating is: a bar on a terminal, a line now and then elsewhere; samples a second and against real time."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import Any

from seqsuite.training.progress import duration, quantity


class Meter:
    """Counts new samples of all clips and tells of them on standard error.

    Args:
        total: Of them.
        rate: Samples a second of sound.
        shown: Speak at all.
        every: Seconds between two lines off a terminal.
    """

    def __init__(self, total: int, rate: int, *, shown: bool = True, every: float = 5.0) -> None:
        self.total, self.rate, self.shown, self.every = total, rate, shown, every
        self._done = 0.0
        self._began = self._told = time.monotonic()
        self._bar: Any = None
        self._task: Any = None
        if shown and sys.stderr.isatty():
            self._open_bar()

    def _open_bar(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = ("generating", BarColumn(), TextColumn("{task.fields[facts]}"), TimeRemainingColumn())
        self._bar = Progress(*columns, console=Console(stderr=True))
        self._task = self._bar.add_task("generating", total=self.total, facts="")
        self._bar.start()

    def add(self, samples: float, path: str) -> None:
        """Count further samples; `path`: how the model runs."""
        self._done += samples
        now = time.monotonic()
        speed = self._done / max(now - self._began, 1e-9)
        facts = f"{quantity(speed)} samples/s, {speed / self.rate:.3g} times real time ({path})"
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done, facts=facts)
        elif self.shown and now - self._told >= self.every:
            self._told = now
            left = duration((self.total - self._done) / max(speed, 1e-9))
            with contextlib.suppress(OSError):
                print(f"{self._done / self.total:.0%}  {facts}  eta {left}", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            with contextlib.suppress(OSError):
                self._bar.stop()
            self._bar = None
