"""How tokens are drawn from logits: filters, generators of its own for every environment, and replay.

    draws = RandomDraws([np.random.default_rng(0), np.random.default_rng(1)])     # two environments
    plan = beam_plan(model, discretizer, prefix, options, draws=draws)
    again = beam_plan(model, discretizer, prefix, options, draws=Replay(draws.drawn))

One uniform number a candidate is turned into a token through the cumulative probabilities, so that what an environment
draws does not depend on its neighbours. The filters are those of the Trajectory Transformer's planner.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

REMOVED = -1000.0
"""Logit of a token that `filter_cdf` takes out."""


def filter_top_k(logits: Tensor, k: int) -> Tensor:
    """Return logits (..., V) with all but the k largest at minus infinity; equals of the k-th stay."""
    if k >= logits.shape[-1]:
        return logits
    least = logits.topk(k, dim=-1).values[..., -1:]
    return logits.masked_fill(logits < least, -torch.inf)


def filter_cdf(logits: Tensor, threshold: float) -> Tensor:
    """Return logits (..., V) without the unlikeliest tokens; those taken out get `REMOVED`.

    Probabilities are summed from the smallest on; with p the last one whose sum is still below the threshold (the
    smallest if there is none), every token of probability p or less goes.

    Args:
        logits: (..., V).
        threshold: Between 0 and 1.
    """
    probabilities = logits.softmax(-1)
    ordered = probabilities.sort(dim=-1).values
    below = (ordered.cumsum(-1) < threshold).sum(-1, keepdim=True)  # sums rise: the first ones are below
    last = ordered.gather(-1, (below - 1).clamp(min=0))
    return logits.masked_fill(probabilities <= last, REMOVED)


class Draws(Protocol):
    """What a search asks for tokens."""

    def __call__(self, logits: Tensor, *, top_k: int | None = None, cdf: float | None = None) -> Tensor:
        """Return (N, C) int64, one token for each candidate of (N, C, V) logits."""
        ...


class RandomDraws:
    """Draws from filtered logits; with `top_k` 1 it takes the likeliest token and no random number.

    Args:
        generators: One for each environment.

    Attributes:
        drawn: Every call's tokens (N, C), in order.
    """

    def __init__(self, generators: Sequence[np.random.Generator]) -> None:
        self.generators = list(generators)
        self.drawn: list[Tensor] = []

    def __call__(self, logits: Tensor, *, top_k: int | None = None, cdf: float | None = None) -> Tensor:
        """Return (N, C) tokens of logits (N, C, V)."""
        self.drawn.append(self._draw(logits, top_k, cdf))
        return self.drawn[-1]

    def _draw(self, logits: Tensor, top_k: int | None, cdf: float | None) -> Tensor:
        if len(logits) != len(self.generators):
            raise ValueError(f"draws for {len(self.generators)} environments, asked for {len(logits)}")
        if top_k == 1:
            return logits.argmax(-1)
        if cdf is not None:
            logits = filter_cdf(logits, cdf)
        if top_k is not None:
            logits = filter_top_k(logits, top_k)
        cumulative = logits.softmax(-1).double().cumsum(-1)
        uniforms = np.stack([generator.random(logits.shape[1]) for generator in self.generators])
        mark = torch.from_numpy(uniforms).to(logits.device)[..., None] * cumulative[..., -1:]
        return (cumulative <= mark).sum(-1).clamp(max=logits.shape[-1] - 1)


class Replay:
    """Draws what was drawn before.

    Args:
        drawn: Every call's tokens, (N, C) or for one environment (C,).
    """

    def __init__(self, drawn: Iterable[Tensor]) -> None:
        self.drawn = [tokens if tokens.ndim == 2 else tokens[None] for tokens in drawn]
        self._next = 0

    def __call__(self, logits: Tensor, *, top_k: int | None = None, cdf: float | None = None) -> Tensor:
        """Return the next call's tokens (N, C).

        Raises:
            ValueError: There are none left, or they were drawn for another search.
        """
        if self._next == len(self.drawn):
            raise ValueError(f"replay: the record ends after {self._next} calls")
        tokens = self.drawn[self._next].to(logits.device)
        if tokens.shape != logits.shape[:2]:
            raise ValueError(
                f"replay: call {self._next} drew {tuple(tokens.shape)} tokens, not {tuple(logits.shape[:2])}"
            )
        self._next += 1
        return tokens
