"""Which frames make a clip: T frames at a stride, or spread over the whole video, and what happens when there are few.

    sampling = Sampling(frames=16, stride=2)
    sampling.random(count=300, rng=item_rng(seed, position))     # (16,) frame numbers, a random stretch
    sampling.spaced(count=300, views=4)                          # (4, 16), stretches at even distances

Numbers here count the frames of a grid: those of the file, or where a frame rate is given the file's frames at even
times. `dense` takes T frames that lie `stride` apart. `sparse` cuts the video into T equal pieces and takes one frame
of each (Wang et al. 2016, temporal segment networks).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seqsuite.errors import UserError, unknown_name

KINDS = ("dense", "sparse")
SHORT = ("hold", "loop", "error")


@dataclass(frozen=True)
class Sampling:
    """How frames are chosen.

    Attributes:
        frames: T, frames in a clip.
        stride: Distance of neighbouring frames in `dense`.
        frame_rate: Frames a second of the grid; 0 takes the frames of the file.
        kind: dense or sparse.
        short: What a video with fewer frames than a clip needs does: hold repeats its last frame, loop begins again
            from its first, error refuses it.

    Raises:
        UserError: A number or a name makes no sense.
    """

    frames: int = 16
    stride: int = 2
    frame_rate: float = 0.0
    kind: str = "dense"
    short: str = "hold"

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise unknown_name("sampling", self.kind, KINDS)
        if self.short not in SHORT:
            raise unknown_name("way with short videos", self.short, SHORT)
        for name in ("frames", "stride"):
            if getattr(self, name) < 1:
                raise UserError(f"--{name} is {getattr(self, name)}; it must be at least 1")
        if not 0 <= self.frame_rate < float("inf"):
            raise UserError(f"--frame_rate is {self.frame_rate}; it must be 0, or frames a second")

    @property
    def span(self) -> int:
        """Frames of the grid that a clip needs."""
        return self.frames if self.kind == "sparse" else (self.frames - 1) * self.stride + 1

    def random(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Return the frames of a training clip: (T,) int64, rising.

        Args:
            count: Frames of the grid.
            rng: Draws where it begins, or in `sparse` the frame of each piece.

        Raises:
            UserError: The video is too short and `short` is error.
        """
        if self.kind == "dense" or count < self.frames:
            return self._padded(int(rng.integers(max(count - self.span, 0) + 1)), count)
        return self._pieces(count, rng.random(self.frames))

    def spaced(self, count: int, views: int = 1) -> np.ndarray:
        """Return the frames of `views` clips that lie evenly over a video: (views, T) int64.

        One view is the middle of the video. Of several dense ones, the first begins with the video and the last ends
        with it; sparse ones take other frames of each piece, from its first to its last.

        Raises:
            UserError: The video is too short and `short` is error.
        """
        # Places from 0 to 1: the middle, or both ends and what lies evenly between.
        places = np.array([0.5]) if views == 1 else np.linspace(0, 1, views)
        if self.kind == "dense" or count < self.frames:
            room = max(count - self.span, 0)
            return np.stack([self._padded(int(first), count) for first in np.floor(places * room + 0.5)])
        return np.stack([self._pieces(count, np.full(self.frames, place)) for place in places])

    def _padded(self, first: int, count: int) -> np.ndarray:
        distance = 1 if self.kind == "sparse" else self.stride
        numbers = first + distance * np.arange(self.frames)
        if numbers[-1] < count:
            return numbers
        if self.short == "error":
            raise UserError(f"{count} frames are too few for a clip of {self.frames} frames, {distance} apart")
        return np.minimum(numbers, count - 1) if self.short == "hold" else numbers % count

    def _pieces(self, count: int, places: np.ndarray) -> np.ndarray:
        """Return one frame of each of T pieces; `places` from 0 to 1 say where in its piece."""
        edges = (np.arange(self.frames + 1) * count) // self.frames
        return edges[:-1] + np.minimum((places * np.diff(edges)).astype(np.int64), np.diff(edges) - 1)


def frame_grid(times: np.ndarray, frame_rate: float, *, start: float = 0.0, seconds: float | None = None) -> np.ndarray:
    """Return the frame numbers of a stretch, perhaps at another rate: (m,) int64, not falling.

    Args:
        times: (n,) seconds of each frame, rising.
        frame_rate: Frames a second; 0 takes every frame.
        start: Where the stretch begins, in seconds.
        seconds: How long it is; None to the end.

    Returns:
        At a frame rate, the frame that is shown at start, start + 1 / rate, and so on before the stretch's end.
        Empty where no frame lies in the stretch.
    """
    end = np.inf if seconds is None else start + seconds
    # Times in files are rounded to their unit, and 0.1 + 0.2 is above 0.3: a frame on the edge is not lost to that.
    near = 1e-6
    inside = np.flatnonzero((times >= start - near) & (times < end - near))
    if not frame_rate or not len(inside):
        return inside
    last_shown = times[inside[-1]] + _usual_gap(times)
    count = int(np.ceil((min(end, last_shown) - start) * frame_rate - near))
    asked = start + np.arange(max(count, 1)) / frame_rate
    return np.clip(np.searchsorted(times, asked + near, side="right") - 1, inside[0], inside[-1])


def _usual_gap(times: np.ndarray) -> float:
    return float(np.median(np.diff(times))) if len(times) > 1 else 0.0
