"""Samples of sound files: any window, at any rate, in the wanted number of channels.

    samples = read_audio(file, rate=16000, start=2.0, seconds=1.0)      # (16000, 1) float32
    for block in stream_audio(file, rate=16000): ...                    # a long file, some seconds at a time

Only the window is decoded, and with resampling the little around it that its filter reaches: it equals the same
window of the whole file resampled at once.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seqaudio.data.files import AudioFile, native, probe
from seqsuite.errors import UserError

if TYPE_CHECKING:
    from seqaudio.data.resampling import Source


class OpenFiles:
    """The last few files that were read, kept open; each process has its own, and threads must not share one.

    Args:
        limit: Most files open at a time.
    """

    def __init__(self, limit: int = 8) -> None:
        self.limit = max(limit, 1)
        self._forget()

    def _forget(self) -> None:
        self._handles: OrderedDict[Path, Any] = OrderedDict()
        self._process = os.getpid()

    def __len__(self) -> int:
        return len(self._handles)

    def __getstate__(self) -> dict[str, int]:
        return {"limit": self.limit}

    def __setstate__(self, state: dict[str, int]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def get(self, path: Path) -> Any:
        """Return the open file.

        Raises:
            UserError: It cannot be opened.
        """
        if self._process != os.getpid():
            # Parent and forked child share the place in a file: each would read where the other left it.
            self._forget()
        if path not in self._handles:
            while len(self._handles) >= self.limit:
                self._handles.popitem(last=False)[1].close()
            self._handles[path] = _open(path)
        self._handles.move_to_end(path)
        return self._handles[path]

    def drop(self, path: Path) -> None:
        """Close one file: after an error its place is unknown."""
        handle = self._handles.pop(path, None)
        if handle is not None:
            handle.close()

    def close(self) -> None:
        """Close all files."""
        for path in list(self._handles):
            self.drop(path)


def read_audio(
    file: AudioFile | str | Path, *, rate: int, channels: int = 1, start: float = 0.0, seconds: float | None = None
) -> np.ndarray:
    """Return a window of a file: (frames, channels) float32.

    Args:
        file: The file, or its path.
        rate: Samples a second that come out.
        channels: Channels that come out: 1 is the mean of all, one channel is copied, or as many as there are.
        start: Start of the window in seconds.
        seconds: Length of the window; None goes to the end, and a window beyond it is cut there.

    Raises:
        UserError: The file cannot be read there, holds NaN or infinite samples, has other channels, or the window
            starts outside of it.
    """
    item = file if isinstance(file, AudioFile) else probe(file)
    if seconds is not None and not seconds > 0:
        raise UserError(f"{item.path}: a window has a length above 0, not {seconds:g} s")
    if not 0 <= start < item.seconds:
        raise UserError(f"{item.path}: a window from {start:g} s does not start in its {item.seconds:.3f} s")
    total = item.frames_at(rate)
    first = min(round(start * rate), total - 1)
    count = total - first if seconds is None else min(max(round(seconds * rate), 1), total - first)
    return read_window(item, first, count, rate=rate, channels=channels)


def read_window(
    file: AudioFile, first: int, count: int, *, rate: int, channels: int = 1, open_files: OpenFiles | None = None
) -> np.ndarray:
    """Return samples first .. first + count - 1 of a file at `rate`: (count, channels) float32.

    Args:
        file: The file or stretch.
        first: First sample at `rate`.
        count: Number of samples, not beyond ``file.frames_at(rate)``.
        rate: Samples a second that come out.
        channels: As `read_audio`.
        open_files: Keeps files open from call to call.

    Raises:
        UserError: As `read_audio`.
        ValueError: The window is not inside the file.
    """
    if not (0 <= first and 0 < count and first + count <= file.frames_at(rate)):
        raise ValueError(f"{file.path}: no {count} samples from {first} on in {file.frames_at(rate)}")
    from seqaudio.data.resampling import Resampler

    check_channels(file, channels)
    with closing(OpenFiles(1)) if open_files is None else _kept(open_files) as handles:
        source: Source = partial(_decode, file, handles, channels)
        samples = Resampler(file.rate, rate).window(source, file.frames, first, count)
    return samples if samples.shape[1] == channels else np.repeat(samples, channels, axis=1)


def stream_audio(
    file: AudioFile | str | Path, *, rate: int, channels: int = 1, block_seconds: float = 10.0
) -> Iterator[np.ndarray]:
    """Yield a whole file in blocks (frames, channels) float32, one in memory at a time; joined they are `read_audio`.

    Args:
        file: The file, or its path.
        rate: Samples a second that come out.
        channels: As `read_audio`.
        block_seconds: Length of a block; the last may be shorter.

    Raises:
        UserError: As `read_audio`, when the block is reached.
    """
    item = file if isinstance(file, AudioFile) else probe(file)
    block, total = max(round(block_seconds * rate), 1), item.frames_at(rate)
    with closing(OpenFiles(1)) as handles:
        for first in range(0, total, block):
            count = min(block, total - first)
            yield read_window(item, first, count, rate=rate, channels=channels, open_files=handles)


def resample(samples: np.ndarray, rate: int, to: int) -> np.ndarray:
    """Return samples (frames, channels) float32 at another rate, filtered as `read_audio` does.

    Args:
        samples: (frames, channels) floats.
        rate: Samples a second that go in.
        to: Samples a second that come out.
    """
    from seqaudio.data.resampling import Resampler

    given = np.ascontiguousarray(samples, dtype=np.float32)
    if given.ndim != 2 or not len(given):
        raise ValueError(f"samples are (frames, channels) with at least one frame, not {given.shape}")
    count = -(-len(given) * to // rate)
    return Resampler(rate, to).window(lambda at, n: given[at : at + n], len(given), 0, count)


def check_channels(file: AudioFile, channels: int) -> None:
    """Raise a `UserError` unless the file can be mixed to this many channels."""
    if channels < 1:
        raise ValueError(f"there is at least one channel, got {channels}")
    if channels not in (1, file.channels) and file.channels != 1:
        raise UserError(
            f"{file.path} has {file.channels} channels, {channels} are wanted; give files of {channels} or 1, "
            "or ask for 1"
        )


def check_signal(samples: np.ndarray, name: str | Path) -> tuple[str, ...]:
    """Look at samples and return a note for each thing that is odd but usable, in one line that names the file.

    Args:
        samples: Any shape.
        name: The file, for the notes.

    Raises:
        UserError: There are no samples, or one is NaN or infinite.
    """
    if not samples.size:
        raise UserError(f"{name}: there is no sound in it (0 samples)")
    low, high = float(samples.min()), float(samples.max())
    if not np.isfinite(low + high):
        raise UserError(f"{name}: there are NaN or infinite samples; repair the file or leave it out")
    if low == high == 0:
        return (f"{name}: the clip is silent",)
    if low == high:
        return (f"{name}: all samples are {low:g}: there is no sound in it",)
    if max(-low, high) > 1:
        return (f"{name}: samples reach {max(-low, high):g}, beyond full scale (1), and are cut off there",)
    return ()


class _kept:
    """A context that leaves the files open."""

    def __init__(self, open_files: OpenFiles) -> None:
        self.open_files = open_files

    def __enter__(self) -> OpenFiles:
        return self.open_files

    def __exit__(self, *_: object) -> None:
        pass


def _open(path: Path) -> Any:
    import soundfile

    try:
        return soundfile.SoundFile(native(path))
    except soundfile.LibsndfileError:
        probe(path)  # says what is wrong with it
        raise UserError(f"{path}: the file cannot be opened") from None


def _decode(file: AudioFile, handles: OpenFiles, channels: int, first: int, count: int) -> np.ndarray:
    """Return stored samples of a file or stretch: (count, channels), mixed if one channel is wanted."""
    import soundfile

    if not count:
        return np.zeros((0, 1 if channels == 1 else file.channels), dtype=np.float32)
    handle, at = handles.get(file.path), file.first + first
    try:
        if handle.tell() != at:
            handle.seek(at)
        samples = handle.read(count, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        handles.drop(file.path)
        why = str(error).removeprefix("Error : ").strip().rstrip(".")
        raise UserError(
            f"{file.path}: damaged or cut off, cannot be decoded between {at / file.rate:.2f} and "
            f"{(at + count) / file.rate:.2f} s ({why}); repair the file or leave it out"
        ) from None
    if samples.shape != (count, file.channels):
        handles.drop(file.path)
        end = (at + len(samples)) / file.rate
        raise UserError(
            f"{file.path}: cut off: it ends at {end:.2f} s of the {file.seconds:.2f} s that it announces; "
            "repair the file or leave it out"
        )
    wrong = np.flatnonzero(~np.isfinite(samples).all(axis=1))
    if len(wrong):
        number = at + int(wrong[0])
        raise UserError(
            f"{file.path}: sample {number} ({number / file.rate:.3f} s) is NaN or infinite; repair the file or "
            "leave it out"
        )
    return samples.mean(axis=1, keepdims=True) if channels == 1 and file.channels > 1 else samples
