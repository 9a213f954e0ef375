"""Frames of video files, decoded by PyAV when they are asked for and never whole files at once.

    video = index_video("clip.mp4")             # packets are read, nothing is decoded
    video.count, video.times[-1]
    frames = read_frames(video, [0, 8, 16])     # (3, H, W, 3) uint8 RGB

A frame is named by its number in the order of presentation. Numbers, times and key frames come from the packets, so a
stretch is found by seeking to the key frame before it, and what comes out is what decoding the whole file gives.
Colours follow the file's matrix and range; where it names no matrix, BT.709 from 720 rows on and BT.601 below, as
players do. Frames are turned as the file's display matrix says, by quarter turns; mirrored ones are not mirrored back.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from seqsuite.errors import UserError

VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".wmv", ".flv", ".ts", ".ogv")
_BT709, _BT601, _UNNAMED = 1, 6, 2
"""Numbers of colour matrices in ITU-T H.273, as a decoded frame holds them."""
_HIGH_DEFINITION = 720
_INDEXED = 512
"""Files whose index is kept in memory."""

PerFrame = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class Video:
    """What is known of a video file without decoding it.

    Attributes:
        path: The file.
        times: (n,) float64, seconds from the first frame, rising.
        stamps: (n,) int64, presentation times in the stream's unit; empty where the file holds none.
        keys: (n,) bool, frames where decoding can begin.
    """

    path: Path
    times: np.ndarray = field(repr=False)
    stamps: np.ndarray = field(repr=False)
    keys: np.ndarray = field(repr=False)

    @property
    def count(self) -> int:
        """Number of frames."""
        return len(self.times)


def check_video(path: str | Path) -> None:
    """Read a file's header only.

    Raises:
        UserError: It is missing, empty, no video file, or holds no video stream.
    """
    with _opened(Path(path)):
        pass


def index_video(path: str | Path) -> Video:
    """Read which frames a file holds, from its packets; nothing is decoded.

    The last files asked for are remembered, as long as their size and time of change stay the same.

    Raises:
        UserError: It is missing, empty, no video file, damaged, or holds no video frame.
    """
    place = Path(path)
    if not place.is_file():
        raise UserError(f"{place}: there is no such file")
    facts = os.stat(place)
    return _index(place, facts.st_size, facts.st_mtime_ns)


@lru_cache(maxsize=_INDEXED)
def _index(path: Path, _size: int, _changed: int) -> Video:
    stamps, keys = [], []
    with _opened(path) as (container, stream):
        rate, unit = stream.average_rate, stream.time_base
        for packet in container.demux(stream):
            # An edit list marks packets that are decoded for their successors' sake and not shown.
            if packet.size and not packet.is_discard:
                stamps.append(packet.pts)
                keys.append(packet.is_keyframe)
    if not stamps:
        raise UserError(f"{path}: its video stream holds no frame; the file is cut off or empty")
    if None in stamps or len(set(stamps)) < len(stamps):
        times = np.arange(len(stamps)) / float(rate or 25)
        return Video(path, times, np.empty(0, np.int64), np.arange(len(stamps)) == 0)
    shown = np.argsort(np.array(stamps, dtype=np.int64))
    ordered = np.array(stamps, dtype=np.int64)[shown]
    return Video(path, (ordered - ordered[0]) * float(unit), ordered, np.array(keys, dtype=bool)[shown])


def read_frames(video: Video, numbers: Sequence[int] | np.ndarray, each: PerFrame | None = None) -> np.ndarray:
    """Decode some frames.

    Args:
        video: The file.
        numbers: T frame numbers in any order; each may occur more than once.
        each: What to make of every frame (H, W, 3) uint8 as soon as it is decoded, such as a crop in a small size;
            all results have one shape. Only they are kept.

    Returns:
        (T, H, W, 3) uint8 RGB, or what `each` makes of it.

    Raises:
        UserError: A frame cannot be decoded, or frames differ in size.
        IndexError: There is no frame of that number.
    """
    asked = np.asarray(numbers, dtype=np.int64)
    if asked.size == 0 or asked.min() < 0 or asked.max() >= video.count:
        raise IndexError(f"frames 0 to {video.count - 1} of {video.path}, not {asked.tolist()}")
    wanted, places = np.unique(asked, return_inverse=True)
    found = [each(image) if each else image for image in _images(video, wanted.tolist())]
    shapes = {image.shape for image in found}
    if len(shapes) > 1:
        raise UserError(f"{video.path}: its frames differ in size ({_sizes(shapes)}); convert it to one size")
    return np.stack(found)[places]


def _images(video: Video, wanted: Sequence[int]) -> Iterator[np.ndarray]:
    """Yield the frames of rising numbers, as pictures."""
    with _opened(video.path) as (container, stream):
        if not len(video.stamps):
            yield from _counted(video, container, stream, wanted)
            return
        source: Iterator[Any] | None = None
        last = -1
        for number in wanted:
            if source is None or video.keys[last + 1 : number + 1].any():
                source = _from(video, container, stream, number)
            frame = _next(source, video.stamps[number])
            if frame is None:
                # The key frame that the container's table names was none to begin at: an open group of pictures.
                frame = _from_start(video, number)
                source = None
            last = number
            yield _picture(frame)


def _from(video: Video, container: Any, stream: Any, number: int) -> Iterator[Any]:
    """Return the decoded frames from the last key frame on that is not after `number`."""
    before = np.flatnonzero(video.keys[: number + 1])
    first = int(before[-1]) if len(before) else 0
    container.seek(int(video.stamps[first]), stream=stream)
    return iter(container.decode(stream))


def _next(source: Iterator[Any], stamp: int) -> Any:
    """Return the frame of a presentation time; None where decoding has gone past it."""
    for frame in source:
        if frame.pts == stamp:
            return frame
        if frame.pts is None or frame.pts > stamp:
            return None
    return None


def _from_start(video: Video, number: int) -> Any:
    """Return a frame by decoding everything before it."""
    with _opened(video.path) as (container, stream):
        frame = _next(container.decode(stream), video.stamps[number])
    if frame is None:
        when = f"frame {number}, at {video.times[number]:.3f} s,"
        raise UserError(f"{video.path}: {when} cannot be decoded; the file is damaged")
    return frame


def _counted(video: Video, container: Any, stream: Any, wanted: Sequence[int]) -> Iterator[np.ndarray]:
    """Yield frames of a file without presentation times, found by counting from the start."""
    left = list(wanted)
    for number, frame in enumerate(container.decode(stream)):
        if number == left[0]:
            yield _picture(frame)
            left.pop(0)
        if not left:
            return
    raise UserError(f"{video.path}: frame {left[0]} cannot be decoded; the file is damaged")


def _picture(frame: Any) -> np.ndarray:
    """Return a decoded frame as (H, W, 3) uint8 RGB, the right way up."""
    if frame.colorspace == _UNNAMED and not frame.format.is_rgb:
        frame.colorspace = _BT709 if frame.height >= _HIGH_DEFINITION else _BT601
    image = frame.to_ndarray(format="rgb24")
    turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Any]]:
    """Open a file and give it and its first video stream; what FFmpeg finds wrong inside becomes a `UserError`."""
    import av

    # FFmpeg writes what it dislikes about a file to stderr otherwise; errors arrive as exceptions.
    av.logging.set_level(av.logging.PANIC)
    if not path.is_file():
        raise UserError(f"{path}: there is no such file")
    if path.stat().st_size == 0:
        raise UserError(f"{path}: the file is empty (0 bytes)")
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise UserError(f"{path}: there is no video stream in it")
            stream = container.streams.video[0]
            # One thread: loaders have processes of their own.
            stream.codec_context.thread_count = 1
            yield container, stream
    except (av.error.FFmpegError, OSError) as error:
        raise UserError(f"{path}: cannot be read as a video ({error.strerror or error})") from None


def _sizes(shapes: set[tuple[int, ...]]) -> str:
    return ", ".join(sorted(f"{shape[1]}x{shape[0]}" for shape in shapes))
