"""Sound from a model of samples, piece by piece while it is made.

    for piece in stream(model, seconds=10, n=4, prompt=samples):      # (4, frames) float32
        play(piece)

`pieces` gives codes and likelihoods too. A clip depends on the seed and its own number alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from seqaudio.generation.engine import Compile, Engine
from seqaudio.generation.sampling import Draws, Streams, clip_seeds
from seqaudio.models.base import SampleModel
from seqsuite.errors import UserError

if TYPE_CHECKING:
    from seqaudio.api import AudioModel

PIECE_SECONDS = 0.1
"""Length of a piece."""


@dataclass(frozen=True)
class Piece:
    """The next samples of a batch.

    Attributes:
        samples: (B, frames) float32.
        codes: (B, frames) int64: what was drawn. Samples do not tell it: a code's sample lies on its cell's edge.
        scores: (B,) float64: the sum of their log-likelihoods, natural, under the model's own distribution.
        path: How the model ran; see `Engine.path`.
        why: Why it did not run as machine code; see `Engine.why`.
    """

    samples: np.ndarray
    codes: np.ndarray
    scores: np.ndarray
    path: str
    why: str


def stream(
    model: AudioModel,
    *,
    seconds: float = 1.0,
    n: int = 1,
    prompt: np.ndarray | None = None,
    draws: Draws | None = None,
    seed: int = 0,
    compile: Compile = "auto",
    piece_seconds: float = PIECE_SECONDS,
) -> Iterator[np.ndarray]:
    """Yield new sound as it is made: pieces (n, frames) float32.

    Args:
        model: Of samples.
        seconds: New sound in all.
        n: Clips, in one batch.
        prompt: (frames,) at the model's rate, to be continued; it is not repeated in the pieces.
        draws: How codes are drawn.
        seed: Of the draws.
        compile: See `Engine`.
        piece_seconds: Length of a piece.

    Raises:
        UserError: The model makes no samples one by one, or an option is out of range.
    """
    frames = round(seconds * model.sample_rate)
    if n < 1 or frames < 1:
        raise UserError(f"n must be at least 1 and the length at least a sample, not {n} and {seconds:g} s")
    codes = prompt_codes(model, prompt)
    seeds, size = clip_seeds(seed, n), max(round(piece_seconds * model.sample_rate), 1)
    for piece in pieces(model, frames, seeds, codes, draws or Draws(), compile=compile, size=size):
        yield piece.samples


def prompt_codes(model: AudioModel, prompt: np.ndarray | None) -> np.ndarray:
    """Return the codes (P,) of a prompt (frames,); none for None."""
    if prompt is None:
        return np.zeros(0, dtype=np.int64)
    prompt = np.asarray(prompt, dtype=np.float32)
    if prompt.ndim != 1:
        raise UserError(f"a prompt is (frames,) of one channel, not {prompt.shape}")
    if not np.isfinite(prompt).all():
        raise UserError("the prompt holds NaN or infinite samples")
    return model.codes(prompt) if len(prompt) else np.zeros(0, dtype=np.int64)


def pieces(
    model: AudioModel,
    frames: int,
    seeds: Sequence[int],
    prompt: np.ndarray,
    draws: Draws,
    *,
    compile: Compile = "auto",
    size: int,
) -> Iterator[Piece]:
    """Yield pieces of `size` samples, the last may be shorter, until there are `frames`.

    Args:
        model: Of samples.
        frames: New samples of each clip.
        seeds: One a clip.
        prompt: Codes (P,) in front of every clip; P may be 0.
        draws: How codes are drawn.
        compile: See `Engine`.
        size: Samples of a piece.

    Raises:
        UserError: The model does not make samples, or no longer makes numbers.
    """
    network, quantizer = model.model, model.quantizer
    if not isinstance(network, SampleModel) or quantizer is None or network.config.head != "next_sample":
        raise UserError(f"{model.name} does not predict the next sample: its objective is {model.objective!r}")
    engine = Engine(network, len(seeds), compile=compile)
    inputs = np.concatenate(([quantizer.zero], prompt))
    if len(prompt):
        engine.prefill(torch.from_numpy(inputs[None, :-1]))
    codes, streams = torch.full((len(seeds),), int(inputs[-1])), Streams(seeds)
    for at in range(0, frames, size):
        drawn, scores = engine.run(codes, streams.take(min(size, frames - at)), draws)
        totals = scores.double().sum(0).numpy()
        if not np.isfinite(totals).all():
            row, second = int(np.flatnonzero(~np.isfinite(totals))[0]), at / model.sample_rate
            raise UserError(f"clip {row + 1}, {second:.2f} s: the model gives NaN; its weights are damaged")
        codes = drawn[-1]
        rows = drawn.T.contiguous().numpy()
        yield Piece(quantizer.decode(rows), rows, totals, engine.path, engine.why)
