"""Exact bits of every sample of whole files, in bounded memory.

    scores = score_files(model, files, block_length=8000)
    sum(score.bits for score in scores) / sum(score.samples for score in scores)

A file is read in chunks, and the model's state is carried from each to the next: every sample is predicted from all
before it in its file, none twice, whatever the chunks. Nothing is kept but sums over blocks and over context.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

from seqaudio.data import AudioFile, read_audio, stream_audio
from seqaudio.training.tasks import shifted
from seqsuite.errors import UserError

if TYPE_CHECKING:
    from seqaudio.api import AudioModel

CONTEXTS = (0, 1, 16, 64, 256, 1024, 4096, 16384, 65536)
"""Where the groups of samples by context begin: a sample's context is the number of samples before it."""

_LOGITS_AT_ONCE = 1 << 24


@dataclass(frozen=True)
class FileBits:
    """Bits of one file.

    Attributes:
        path: The file.
        samples: Number of its samples at the model's rate.
        block_sums: Sum of the bits of each block of samples: (n,) float64; the last block may be shorter.
        context_sums: Sum of the bits of the samples in each group of `CONTEXTS`: (groups,) float64.
        context_counts: Number of those samples: (groups,) int64.
    """

    path: Path
    samples: int
    block_sums: np.ndarray = field(repr=False)
    context_sums: np.ndarray = field(repr=False)
    context_counts: np.ndarray = field(repr=False)

    @property
    def bits(self) -> float:
        """Bits of all its samples."""
        return float(self.block_sums.sum())

    @property
    def bits_per_sample(self) -> float:
        """Mean bits per sample."""
        return self.bits / self.samples


def score_files(
    model: AudioModel,
    files: Sequence[AudioFile],
    *,
    block_length: int,
    chunk: int = 8192,
    rows: int = 16,
    progress: Callable[[int], None] | None = None,
) -> list[FileBits]:
    """Measure a model of the next sample on whole files.

    Args:
        model: The model.
        files: The files; read at the model's rate, mixed to one channel.
        block_length: Samples of a block of `FileBits.block_sums`.
        chunk: Most samples of a file that run at once.
        rows: Most files that run side by side; those of like length do.
        progress: Called with the number of samples done.

    Returns:
        One result a file, in their order.

    Raises:
        UserError: The model predicts no next sample, or a file cannot be read.
        ValueError: A size is below 1.
    """
    if min(block_length, chunk, rows) < 1:
        raise ValueError(f"block_length {block_length}, chunk {chunk} and rows {rows} must be at least 1")
    if model.objective != "autoregressive":
        raise UserError(f"{model.name} is a model of {model.objective}; bits per sample take one of the next sample")
    assert model.quantizer is not None
    # The last tick of a group is as long as its longest file needs: files of like length waste little.
    order = sorted(range(len(files)), key=lambda number: files[number].frames_at(model.sample_rate))
    chunk = max(1, min(chunk, _LOGITS_AT_ONCE // model.quantizer.levels))
    rows = max(1, min(rows, _LOGITS_AT_ONCE // (model.quantizer.levels * chunk)))
    found: dict[int, FileBits] = {}
    done = 0
    for first in range(0, len(order), rows):
        group = order[first : first + rows]
        scores = _score_group(model, [files[number] for number in group], block_length, chunk)
        for number, bits in zip(group, scores, strict=True):
            found[number] = bits
            done += bits.samples
        if progress is not None:
            progress(done)
    return [found[number] for number in range(len(files))]


class _Tally:
    """Adds up the bits of one file as they come."""

    def __init__(self, file: AudioFile, samples: int, block_length: int) -> None:
        self.file, self.samples, self.block_length, self.done = file, samples, block_length, 0
        self.blocks = np.zeros(-(-samples // block_length))
        self.sums, self.counts = np.zeros(len(CONTEXTS)), np.zeros(len(CONTEXTS), dtype=np.int64)

    def add(self, bits: np.ndarray) -> None:
        """Take the bits (n,) of the next samples."""
        places = np.arange(self.done, self.done + len(bits))
        np.add.at(self.blocks, places // self.block_length, bits)
        groups = np.searchsorted(CONTEXTS, places, side="right") - 1
        self.sums += np.bincount(groups, weights=bits, minlength=len(CONTEXTS))
        self.counts += np.bincount(groups, minlength=len(CONTEXTS))
        self.done += len(bits)

    def result(self) -> FileBits:
        """Return the sums."""
        return FileBits(self.file.path, self.samples, self.blocks, self.sums, self.counts)


@torch.no_grad()
def _score_group(model: AudioModel, files: Sequence[AudioFile], block_length: int, chunk: int) -> list[FileBits]:
    """Run files side by side, chunk by chunk; one that has ended goes on as silence that is not counted."""
    assert model.quantizer is not None
    rate, zero = model.sample_rate, model.quantizer.zero
    tallies = [_Tally(file, file.frames_at(rate), block_length) for file in files]
    streams = [code_chunks(model, file, chunk) for file in files]
    state, last = None, torch.full((len(files),), zero)
    longest = max(tally.samples for tally in tallies)
    for first in range(0, longest, chunk):
        codes = torch.full((len(files), min(chunk, longest - first)), zero)
        sizes = []
        for row, stream in enumerate(streams):
            part = next(stream, np.zeros(0, dtype=np.int64))
            codes[row, : len(part)] = torch.from_numpy(part)
            sizes.append(len(part))
        inputs = shifted(codes, zero)
        inputs[:, 0] = last
        logits, state = model.model.prefill(inputs.to(model.device), state)  # type: ignore[operator]
        nats = F.cross_entropy(logits.float().flatten(0, 1), codes.to(model.device).flatten(), reduction="none")
        bits = nats.view(codes.shape).double().cpu().numpy() / math.log(2)
        for tally, row, size in zip(tallies, bits, sizes, strict=True):
            tally.add(row[:size])
        last = codes[:, -1]
    for tally in tallies:
        if tally.done != tally.samples:
            raise RuntimeError(f"{tally.file.path}: {tally.done} of {tally.samples} samples were read")
    return [tally.result() for tally in tallies]


def code_chunks(model: AudioModel, file: AudioFile, chunk: int) -> Iterator[np.ndarray]:
    """Yield the codes of a file, `chunk` at a time; a file whose level is changed is read whole for it."""
    rate = model.sample_rate
    if model.normalize == "none":
        for block in stream_audio(file, rate=rate, block_seconds=chunk / rate):
            yield model.codes(block[:, 0])
        return
    codes = file_codes(model, file)
    for first in range(0, len(codes), chunk):
        yield codes[first : first + chunk].astype(np.int64)


def file_codes(model: AudioModel, file: AudioFile) -> np.ndarray:
    """Return the codes of a whole file: (L,) uint16, which hold up to 16 bits."""
    return model.codes(read_audio(file, rate=model.sample_rate)[:, 0]).astype(np.uint16)
