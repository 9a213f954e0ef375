"""Restoring a signal of any length in constant memory of the model: chunks with a linear cross-fade.

    restored = restore(model, samples, rate)        # (frames,) or (frames, channels), the same shape

Consecutive chunks overlap. The outer quarter at either side of an overlap is context that is thrown away, the
middle half is cross-faded linearly, so a sample comes from positions at least a quarter of the overlap inside a
chunk. A model that looks no farther gives exactly what it gives on the whole file; a state space looks farther,
ever more faintly, and differs by as much as that tail, most near seams. Chunks start on the model's frame grid.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from seqsuite.errors import UserError


def restore(
    model: nn.Module,
    samples: np.ndarray,
    rate: int,
    *,
    chunk_seconds: float = 10.0,
    overlap_seconds: float = 1.0,
    batch: int = 4,
    name: str = "the clip",
) -> np.ndarray:
    """Restore samples with a model of `seqaudio.models.restoration`.

    Args:
        model: From (R, L) to (R, L); its `config` has `sample_rate` and `hop`.
        samples: (frames,) or (frames, channels), in [-1, 1]; channels are independent.
        rate: Samples a second; the model's.
        chunk_seconds: Length of a chunk; at least twice the overlap.
        overlap_seconds: What consecutive chunks share.
        batch: Chunks that run at once, over all channels.
        name: What messages call the samples.

    Returns:
        float32 of the shape of `samples`.

    Raises:
        UserError: Another rate, no sample, a value that is not finite, or lengths that do not fit together; the
            model's result is not finite or not as long.
    """
    _check(samples, rate, model, name)
    config: Any = model.config
    grid = int(config.hop)
    chunk, overlap = (_on_grid(seconds, rate, grid) for seconds in (chunk_seconds, overlap_seconds))
    if overlap < 0 or chunk < max(2 * overlap, grid):
        raise UserError(
            f"chunks of {chunk_seconds:g} s with {overlap_seconds:g} s of overlap do not fit: a chunk must be at "
            "least twice as long as the overlap, which is at least 0"
        )
    if batch < 1:
        raise UserError(f"batch is {batch}; it must be at least 1")
    rows = np.ascontiguousarray(samples.reshape(len(samples), -1).T, dtype=np.float32)  # (channels, frames)
    spans = plan(rows.shape[1], chunk, overlap)
    pieces = [(row, *span) for row in range(len(rows)) for span in spans]
    out = np.empty_like(rows)
    for first, last in _batches(pieces, batch):
        part = pieces[first:last]
        made = _run(model, np.stack([rows[row, start:end] for row, start, end in part]), name)
        for (row, start, end), piece in zip(part, made, strict=True):
            _blend(out[row, start:end], piece, overlap if start else 0)
    return out.T.reshape(samples.shape)


def plan(frames: int, chunk: int, overlap: int) -> list[tuple[int, int]]:
    """Return (start, end) of chunks that cover `frames`; each but the first begins `overlap` before the last's end."""
    step, spans = chunk - overlap, [(0, min(chunk, frames))]
    while spans[-1][1] < frames:
        start = spans[-1][0] + step
        spans.append((start, min(start + chunk, frames)))
    return spans


def fade_in(overlap: int) -> np.ndarray:
    """Return the later chunk's weights (overlap,): 0 over the first quarter, 1 over the last, linear between."""
    edge = overlap // 4
    ramp = (np.arange(overlap - 2 * edge) + 0.5) / max(1, overlap - 2 * edge)
    return np.concatenate((np.zeros(edge), ramp, np.ones(edge))).astype(np.float32)


def _blend(out: np.ndarray, piece: np.ndarray, overlap: int) -> None:
    """Lay a chunk over what the chunk before it wrote; in place."""
    weight = fade_in(overlap)
    out[:overlap] += weight * (piece[:overlap] - out[:overlap])
    out[overlap:] = piece[overlap:]


def _on_grid(seconds: float, rate: int, grid: int) -> int:
    return round(seconds * rate / grid) * grid


def _batches(pieces: list[tuple[int, int, int]], batch: int) -> list[tuple[int, int]]:
    """Return (first, last) of consecutive pieces of one length, at most `batch`."""
    bounds, first = [], 0
    for number, (_, start, end) in enumerate(pieces):
        _, head, tail = pieces[first]
        if end - start != tail - head or number - first == batch:
            bounds.append((first, number))
            first = number
    return [*bounds, (first, len(pieces))]


@torch.no_grad()
def _run(model: nn.Module, rows: np.ndarray, name: str) -> np.ndarray:
    """Run the model in evaluation mode over (R, L), and look at what it gives."""
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    was_training = model.training
    model.eval()
    try:
        made: Tensor = model(torch.from_numpy(rows).to(device))
    finally:
        model.train(was_training)
    if made.shape != rows.shape:
        raise UserError(
            f"{name}: the model gives {tuple(made.shape)} for {rows.shape}; it does not keep the number of frames"
        )
    if not bool(made.isfinite().all()):
        raise UserError(f"{name}: the model's result holds NaN or infinity; its training went wrong")
    return made.float().cpu().numpy()


def _check(samples: np.ndarray, rate: int, model: nn.Module, name: str) -> None:
    config: Any = model.config
    wanted = config.sample_rate
    if rate != wanted:
        raise UserError(f"{name} has {rate} samples a second, the model wants {wanted}; resample it first (--resample)")
    check_samples(samples, name)


def check_samples(samples: np.ndarray, name: str) -> None:
    """Raise a one-line error unless samples are (frames,) or (frames, channels), some, and finite."""
    if samples.ndim not in (1, 2):
        raise UserError(f"{name} has the shape {samples.shape}; give (frames,) or (frames, channels)")
    if samples.size == 0:
        raise UserError(f"{name} holds no sample")
    if not np.isfinite(samples).all():
        place = int(np.flatnonzero(~np.isfinite(samples.reshape(len(samples), -1)).all(1))[0])
        raise UserError(f"{name}: frame {place} is NaN or infinite; mend or leave out the file")
