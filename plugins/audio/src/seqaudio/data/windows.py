"""Windows of sound files as a map-style data set that decodes nothing but the window.

    train = Windows(files, length=16000, rate=16000, train=True, seed=0, quantizer=Quantizer(8))
    train[123_456]      # {"codes": (L,) int64, "valid": (L,) bool}, a pure function of (seed, position)
    test = Windows(files, length=16000, rate=16000, train=False, quantizer=Quantizer(8))

A training window depends on the seed and its position alone, so that a run goes on at any position, in the middle of
an epoch, with any number of workers. Held-out windows lie end to end and cover each sample of each file once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from seqaudio.data.files import AudioFile, OnError
from seqaudio.data.reading import OpenFiles, check_channels, read_window
from seqaudio.quantization import Normalization, Quantizer, normalize
from seqsuite.data.order import ShuffledOrder, item_rng
from seqsuite.errors import UserError, unknown_name

Short = Literal["raise", "skip", "pad"]
_START = 1
_TRIES = 16
_MOST_PADDING = 16


@dataclass(frozen=True)
class Place:
    """Where a window lies.

    Attributes:
        file: Index into `Windows.files`.
        first: First sample, at the rate of the windows.
        count: Samples of the window that are inside the file.
    """

    file: int
    first: int
    count: int


class Windows(Dataset[dict[str, Tensor]]):
    """Windows of files by position, as codes or as samples.

    An item is ``{"codes": (L,) int64, "valid": (L,) bool}``, without a quantizer ``{"samples": (L, channels) float32,
    "valid": (L,) bool}``. What lies behind the end of a file is silent and not valid.

    For training, an epoch has as many windows as fit into the files end to end, in an order that changes with the
    epoch. A file with n windows is divided into n ranges of starts; each range gives one window an epoch, from a
    random start: any start is equally likely, and each epoch goes over the whole file. There is no last position.
    Held out, position i is the i-th window in the files' order.

    Args:
        files: The files or stretches.
        length: Samples of a window.
        rate: Samples a second of the windows.
        train: Random windows without end, or each part of each file once.
        seed: Of order and starts.
        channels: Channels of samples without a quantizer: 1 is the mean; see `read_audio`.
        quantizer: Makes codes; it takes one channel.
        normalize: Level of each window, see `seqaudio.quantization.normalize`; a window of codes is its clip.
        short: What a file shorter than a window does in training: ``"raise"`` an error, ``"skip"`` it, or ``"pad"``
            it. Held-out files are padded.
        on_error: What a window that cannot be read does: ``"raise"`` an error, or ``"skip"``: in training another
            window takes its place, held out none of its samples is valid; `skipped` lists the files.
        open_files: Most files kept open at a time in each process.

    Attributes:
        files: The files that are used.
        too_short: Path and reason of each file left out by ``short="skip"``.

    Raises:
        UserError: There is no file, one is shorter than a window, or has other channels.
    """

    def __init__(
        self,
        files: Sequence[AudioFile],
        *,
        length: int,
        rate: int,
        train: bool,
        seed: int = 0,
        channels: int = 1,
        quantizer: Quantizer | None = None,
        normalize: Normalization = "none",
        short: Short = "raise",
        on_error: OnError = "raise",
        open_files: int = 8,
    ) -> None:
        if length < 1 or rate < 1:
            raise UserError(f"a window has at least one sample and a rate above 0, got {length} samples at {rate} Hz")
        if quantizer is not None and channels != 1:
            raise UserError(f"codes are made of one channel, not of {channels}")
        for what, value, known in (
            ("policy for short files", short, ["raise", "skip", "pad"]),
            ("on_error", on_error, ["raise", "skip"]),
            ("normalization", normalize, ["none", "peak", "minmax"]),
        ):
            if value not in known:
                raise unknown_name(what, value, known)
        self.length, self.rate, self.train, self.seed, self.channels = length, rate, train, seed, channels
        self.quantizer, self.normalize, self.on_error = quantizer, normalize, on_error
        self.files, self.too_short = self._long_enough(files, short if train else "pad")
        for file in self.files:
            check_channels(file, channels)
        self._frames = np.array([file.frames_at(rate) for file in self.files], dtype=np.int64)
        counts = np.maximum(self._frames // length, 1) if train else -(-self._frames // length)
        self._before = np.concatenate(([0], np.cumsum(counts)))
        self._order = ShuffledOrder(len(self), seed)
        self._open = OpenFiles(open_files)
        # Workers write here too; 0 is a file without fault, otherwise 1 + the start of a window that failed.
        self._faults = torch.zeros(len(self.files), dtype=torch.int64)
        if on_error == "skip":
            self._faults.share_memory_()

    def _long_enough(
        self, files: Sequence[AudioFile], short: Short
    ) -> tuple[tuple[AudioFile, ...], tuple[tuple[Path, str], ...]]:
        kept, left_out = [], []
        for file in files:
            if short == "pad" or file.frames_at(self.rate) >= self.length:
                kept.append(file)
                continue
            window = f"{self.length / self.rate:.3g} s"
            why = f"{file.path} is {file.seconds:.3g} s long, shorter than a window of {window}"
            if short == "raise":
                raise UserError(f"{why}; choose a shorter --length, or --short skip or pad")
            left_out.append((file.path, why))
        if left_out and not kept:
            raise UserError(
                f"none of the {len(left_out)} sound files is as long as a window; the first: {left_out[0][1]}; choose "
                "a shorter --length"
            )
        if not kept:
            raise UserError("there is no sound file to take windows from")
        longest = max(file.frames_at(self.rate) for file in kept)
        if self.train and self.length > _MOST_PADDING * longest:
            raise UserError(
                f"a window of {self.length:,} samples would be mostly padding: the longest training file has "
                f"{longest:,}; choose a shorter --length"
            )
        return tuple(kept), tuple(left_out)

    def __len__(self) -> int:
        """Number of windows; in training, of an epoch."""
        return int(self._before[-1])

    def __getitem__(self, position: int) -> dict[str, Tensor]:
        if not self.train:
            place = self.place(position)
            try:
                return self._item(place)
            except UserError as error:
                self._note(place, error)
                return self._finish(np.zeros((0, self.channels), dtype=np.float32))
        for attempt in range(_TRIES):
            place = self.place(position, attempt)
            try:
                return self._item(place)
            except UserError as error:
                self._note(place, error)
                last = error
        raise UserError(f"{_TRIES} windows in a row cannot be read; the last: {last}")

    def place(self, position: int, attempt: int = 0) -> Place:
        """Return where the window of a position lies; nothing is read.

        Args:
            position: From 0 on; held out, below ``len(self)``.
            attempt: Number of windows in its place that could not be read, in training.

        Raises:
            IndexError: There is no such position.
        """
        position = int(position)
        if position < 0 or (not self.train and position >= len(self)):
            raise IndexError(f"position {position} of {len(self)} windows")
        rng = item_rng(self.seed, position, _START, attempt)
        if not self.train:
            index = position
        else:
            index = int(rng.integers(len(self))) if attempt else self._order.locate(position)[1]
        number = int(np.searchsorted(self._before, index, side="right")) - 1
        tile, frames = index - int(self._before[number]), int(self._frames[number])
        if not self.train:
            first = tile * self.length
        else:
            tiles, starts = max(frames // self.length, 1), max(frames - self.length, 0) + 1
            first = int(rng.integers(tile * starts // tiles, (tile + 1) * starts // tiles))
        return Place(number, first, min(self.length, frames - first))

    @property
    def skipped(self) -> tuple[tuple[Path, str], ...]:
        """Path and reason of each file in which a window could not be read so far, by any worker; reads it again."""
        found = []
        for number in self._faults.nonzero()[:, 0].tolist():
            file, first = self.files[number], int(self._faults[number]) - 1
            why = f"{file.path}: could not be read at {first / self.rate:.2f} s"
            try:
                self._read(Place(number, first, min(self.length, int(self._frames[number]) - first)))
            except UserError as error:
                why = str(error)
            found.append((file.path, why))
        return tuple(found)

    def _note(self, place: Place, error: UserError) -> None:
        """Take down a window that failed, or let the error go on."""
        if self.on_error == "raise":
            raise error
        self._faults[place.file] = 1 + place.first

    def _read(self, place: Place) -> np.ndarray:
        return read_window(
            self.files[place.file],
            place.first,
            place.count,
            rate=self.rate,
            channels=self.channels,
            open_files=self._open,
        )

    def _item(self, place: Place) -> dict[str, Tensor]:
        return self._finish(normalize(self._read(place), self.normalize))

    def _finish(self, samples: np.ndarray) -> dict[str, Tensor]:
        """Return the item of the samples of a window, (count, channels), padded with silence."""
        valid = torch.arange(self.length) < len(samples)
        if self.quantizer is None:
            padded = torch.zeros(self.length, self.channels)
            padded[: len(samples)] = torch.from_numpy(samples)
            return {"samples": padded, "valid": valid}
        codes = torch.full((self.length,), self.quantizer.zero)
        codes[: len(samples)] = self.quantizer.encode(torch.from_numpy(samples[:, 0]))
        return {"codes": codes, "valid": valid}
