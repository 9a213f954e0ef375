"""Where the frames of a clip are: in a video file or a stretch of one, or in memory.

    clip = Stretch(Path("holiday.mp4"), start=2.0, seconds=4.0)
    numbers = clip.grid(frame_rate=12.5)        # frame numbers of the stretch, 12.5 a second
    clip.read(numbers[:16])                     # (16, H, W, 3) uint8

Frames in memory come from an .npz with `frames` (T, H, W[, C]) or (N, T, H, W[, C]) uint8, and perhaps `fps`.
"""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from seqsuite.errors import UserError, suggest
from seqvision.data.video_reading import VIDEO_SUFFIXES, check_video, index_video, read_frames
from seqvision.data.video_sampling import frame_grid

_RATE = 25.0
"""Frames a second of arrays that do not say it."""
_BROKEN = (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, AttributeError, TypeError)

PerFrame = Callable[[np.ndarray], np.ndarray]


class StoredClip(Protocol):
    """Where the frames of a clip are."""

    @property
    def name(self) -> str:
        """What it is called in messages and tables."""

    def facts(self) -> tuple[object, ...]:
        """Return what a resumed run knows it by, wherever it lies."""

    def check(self) -> None:
        """Read its header; raises UserError where that fails."""

    def grid(self, frame_rate: float) -> np.ndarray:
        """Return the frame numbers to sample from."""

    def read(self, numbers: np.ndarray, each: PerFrame | None = None) -> np.ndarray:
        """Return frames by number (T, H, W, C) uint8, or what `each` makes of them, stacked."""


@dataclass(frozen=True)
class Stretch:
    """A video file, or the part of it from `start` on.

    Attributes:
        path: The file.
        start: Seconds from its first frame.
        seconds: Length; None to its end.
    """

    path: Path
    start: float = 0.0
    seconds: float | None = None

    def grid(self, frame_rate: float) -> np.ndarray:
        """Return the file's frame numbers to sample from, see `frame_grid`.

        Raises:
            UserError: The file cannot be read, or the stretch holds no frame.
        """
        times = self._times()
        numbers = frame_grid(times, frame_rate, start=self.start, seconds=self.seconds)
        if not len(numbers):
            end = "its end" if self.seconds is None else f"{self.start + self.seconds:g} s"
            raise UserError(
                f"{self.path}: there is no frame from {self.start:g} s to {end}; its last is at {times[-1]:.3f} s"
            )
        return numbers

    def read(self, numbers: np.ndarray, each: PerFrame | None = None) -> np.ndarray:
        """Return frames by number: (T, H, W, 3) uint8, or what `each` makes of them.

        Raises:
            UserError: They cannot be read.
        """
        if self.path.suffix.lower() == ".npz":
            return Frames(*_frames_file(self.path)).read(numbers, each)
        return read_frames(index_video(self.path), numbers, each)

    @property
    def name(self) -> str:
        """The file, and the place in it."""
        if self.seconds is None and not self.start:
            return str(self.path)
        end = "end" if self.seconds is None else f"{self.start + self.seconds:g}"
        return f"{self.path}[{self.start:g}-{end} s]"

    def facts(self) -> tuple[object, ...]:
        """Return what a resumed run knows it by, wherever it lies."""
        return self.path.name, self.path.stat().st_size, self.start, self.seconds

    def check(self) -> None:
        """Read the file's header.

        Raises:
            UserError: It cannot be read.
        """
        if self.path.suffix.lower() == ".npz":
            _frames_file(self.path)
        else:
            check_video(self.path)

    def _times(self) -> np.ndarray:
        if self.path.suffix.lower() == ".npz":
            frames, rate = _frames_file(self.path)
            return np.arange(len(frames)) / rate
        return index_video(self.path).times


@dataclass(frozen=True, eq=False)
class Frames:
    """A clip in memory.

    Attributes:
        frames: (T, H, W) or (T, H, W, C) uint8.
        rate: Frames a second.
        name: For messages.
    """

    frames: np.ndarray = field(repr=False)
    rate: float = _RATE
    name: str = ""

    def facts(self) -> tuple[object, ...]:
        """Return what a resumed run knows it by."""
        return hashlib.sha256(self.frames.tobytes()).hexdigest(), self.frames.shape, self.rate

    def grid(self, frame_rate: float) -> np.ndarray:
        """Return the frame numbers to sample from, see `frame_grid`."""
        return frame_grid(np.arange(len(self.frames)) / self.rate, frame_rate)

    def read(self, numbers: np.ndarray, each: PerFrame | None = None) -> np.ndarray:
        """Return frames by number: (T, H, W, C) uint8, or what `each` makes of them."""
        chosen = self.frames[numbers]
        coloured = chosen[..., None] if chosen.ndim == 3 else chosen
        return np.stack([each(frame) for frame in coloured]) if each else coloured

    def check(self) -> None:
        """Frames in memory are always there."""


@dataclass(frozen=True)
class Row:
    """One labelled clip as a source lists it.

    Attributes:
        clip: Where its frames are.
        label: Name of its class.
        split: train, valid, test, or empty.
        where: Where this is written, for messages.
    """

    clip: StoredClip = field(repr=False)
    label: str
    split: str
    where: str


def stored_frames(path: Path) -> list[Frames]:
    """Return the clips of an .npz without looking at labels: one of (T, H, W[, C]), or N of (N, T, H, W[, C]).

    Four axes are one coloured clip where the last is 1 or 3, else N grey ones.

    Raises:
        UserError: It cannot be read, or holds no such array.
    """
    arrays = load_arrays(path)
    shape = arrays["frames"].shape if "frames" in arrays else ()
    if len(shape) == 5 or (len(shape) == 4 and shape[-1] not in (1, 3)):
        frames, rate = frames_of(path, arrays, leading=2)
        return [Frames(clip, rate, f"{path}[{number}]") for number, clip in enumerate(frames)]
    return [Frames(*frames_of(path, arrays, leading=1), name=str(path))]


def find_videos(folder: Path) -> list[Path]:
    """Return the videos anywhere under a folder, sorted; hidden files are left out."""
    suffixes = (*VIDEO_SUFFIXES, ".npz")
    found = (path for path in folder.rglob("*") if path.suffix.lower() in suffixes and path.is_file())
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read all arrays of an .npz.

    Raises:
        UserError: It cannot be read.
    """
    try:
        with np.load(path) as stored:
            return {name: stored[name] for name in stored.files}
    except _BROKEN as error:
        raise UserError(f"{path}: cannot be read as an .npz file ({error})") from None


def frames_of(path: Path, arrays: dict[str, np.ndarray], leading: int) -> tuple[np.ndarray, float]:
    """Return the array `frames` and its rate.

    Args:
        path: Where the arrays come from, for messages.
        arrays: What it holds.
        leading: Axes in front of (H, W) or (H, W, C): 1 for one clip, 2 for many.

    Raises:
        UserError: There is none, or it has another shape or type.
    """
    if "frames" not in arrays:
        raise UserError(f"{path}: there is no array 'frames'.{suggest('frames', arrays)}")
    frames = arrays["frames"]
    coloured = frames.ndim == leading + 3 and frames.shape[-1] in (1, 3)
    if frames.dtype != np.uint8 or not (coloured or frames.ndim == leading + 2) or 0 in frames.shape:
        wanted = f"uint8 {'(N, T, H, W)' if leading == 2 else '(T, H, W)'}, perhaps with 1 or 3 channels last"
        raise UserError(f"{path}: frames is {frames.dtype} {frames.shape}; it must be {wanted}")
    rate = arrays.get("fps", np.array(_RATE))
    if rate.size != 1 or rate.dtype.kind not in "iuf" or not 0 < rate.item() < float("inf"):
        raise UserError(f"{path}: fps must be one number of frames a second")
    return frames, float(rate.item())


def _frames_file(path: Path) -> tuple[np.ndarray, float]:
    """Return the frames (T, H, W[, C]) of an .npz file with one clip, and their rate."""
    if not path.is_file():
        raise UserError(f"{path}: there is no such file")
    return frames_of(path, load_arrays(path), leading=1)
