"""A watch on sound while it is made: a model that left its road makes noise at full scale or one value for ever.

    monitor = Monitor(rate=16000)
    monitor.watch(samples)          # (B, frames), as it comes; a list of `Fault`, one for each clip that went wrong

Looked at is a window that moves with the sound; a silent clip is no fault.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seqsuite.errors import UserError


@dataclass(frozen=True)
class Fault:
    """A clip that went wrong.

    Attributes:
        row: Its row in the batch.
        seconds: Where it was noticed, in new sound.
        why: What was seen.
    """

    row: int
    seconds: float
    why: str


class Monitor:
    """Looks at the last window of every row of a batch.

    Args:
        rate: Samples a second.
        window: Seconds looked at.
        most_clipped: Largest share of its samples at full scale.
        most_rms: Largest root mean square; a full-scale sine has 0.71.
        stuck_level: One value for a whole window is a fault beyond this magnitude.
        full_scale: Magnitude from which on a sample counts as clipped.

    Raises:
        UserError: The window is not positive.
    """

    def __init__(
        self,
        rate: int,
        *,
        window: float = 0.25,
        most_clipped: float = 0.25,
        most_rms: float = 0.6,
        stuck_level: float = 0.02,
        full_scale: float = 0.98,
    ) -> None:
        if not window > 0:
            raise UserError(f"the monitor's window must be above 0 s, not {window:g}")
        self.rate, self.window = rate, max(round(window * rate), 2)
        self.most_clipped, self.most_rms = most_clipped, most_rms
        self.stuck_level, self.full_scale = stuck_level, full_scale
        self._held: np.ndarray | None = None
        self._seen = 0
        self._told: set[int] = set()

    def watch(self, samples: np.ndarray) -> list[Fault]:
        """Look at the next samples (B, frames) of every row; a row is told of once.

        However long the piece is, every window in it is looked at, a quarter of a window apart.
        """
        faults = []
        hop = max(self.window // 4, 1)
        for at in range(0, samples.shape[1], hop):
            piece = samples[:, at : at + hop]
            self._seen += piece.shape[1]
            held = piece if self._held is None else np.concatenate((self._held, piece), 1)
            self._held = held[:, -self.window :]
            if self._held.shape[1] < self.window:
                continue
            for row, clip in enumerate(self._held):
                why = "" if row in self._told else self.judge(clip)
                if why:
                    self._told.add(row)
                    faults.append(Fault(row, self._seen / self.rate, why))
        return faults

    def judge(self, clip: np.ndarray) -> str:
        """Return what is wrong with a window (frames,), or an empty text."""
        length = f"the last {len(clip) / self.rate:.2g} s"
        if not np.isfinite(clip).all():
            return f"{length} hold NaN or infinite samples"
        low, high = float(clip.min()), float(clip.max())
        if low == high and abs(low) > self.stuck_level:
            return f"stuck: {length} are the one value {low:.2g}"
        clipped = float((np.abs(clip) >= self.full_scale).mean())
        if clipped > self.most_clipped:
            return f"clipped: {clipped:.0%} of {length} lie at full scale"
        rms = float(np.sqrt(np.mean(clip.astype(np.float64) ** 2)))
        if rms > self.most_rms:
            return f"too loud: {length} have a root mean square of {rms:.2f} (limit {self.most_rms:g})"
        return ""
