"""How long a benchmark that goes on where it stopped may take in one call."""

from __future__ import annotations

import time


class OutOfTime(Exception):
    """--minutes are over."""


class Deadline:
    """The minutes that a call may take."""

    def __init__(self, minutes: float) -> None:
        self.end = time.monotonic() + 60 * minutes

    def left(self) -> float:
        """Return the minutes left.

        Raises:
            OutOfTime: None are.
        """
        left = (self.end - time.monotonic()) / 60
        if left <= 0:
            raise OutOfTime
        return left
