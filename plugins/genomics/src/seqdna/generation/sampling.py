"""How a base is drawn from four probabilities: temperature, top-k, top-p, by an explicit uniform number."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from seqsuite.errors import UserError


@dataclass(frozen=True)
class Sampling:
    """Which of the four bases may be drawn, and how evenly.

    Args:
        temperature: Divides the log probabilities: below 1 the likely bases become likelier; 0 takes the likeliest.
        top_k: Only the k likeliest bases; 0: all four.
        top_p: Only the likeliest bases that together reach this probability, after temperature and top_k.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.temperature) and self.temperature >= 0):
            raise UserError(f"--temperature is {self.temperature}; it must be 0 or above.")
        if not 0 <= self.top_k <= 4:
            raise UserError(f"--top-k is {self.top_k}; there are four bases: give 1 to 4, or 0 for all.")
        if not 0 < self.top_p <= 1:
            raise UserError(f"--top-p is {self.top_p}; it must be above 0 and at most 1.")

    def probabilities(self, logp: np.ndarray) -> np.ndarray:
        """Return what is drawn from, given natural log probabilities (..., 4): (..., 4), summing to one.

        Where two bases are equally likely the one earlier in A, C, G, T comes first.
        """
        order = np.argsort(-logp, axis=-1, kind="stable")
        ranked = np.take_along_axis(logp, order, axis=-1)
        if self.temperature > 0:
            with np.errstate(over="ignore"):  # next to no temperature: minus infinity, which is no probability
                ranked = np.exp((ranked - ranked[..., :1]) / self.temperature)
        else:
            ranked = np.zeros_like(ranked)
            ranked[..., 0] = 1
        if self.top_k:
            ranked[..., self.top_k :] = 0
        ranked /= ranked.sum(-1, keepdims=True)
        before = np.cumsum(ranked, axis=-1) - ranked
        # A base stays if those before it do not reach top_p yet; the likeliest always stays.
        ranked = np.where(before < self.top_p, ranked, 0)
        out = np.empty_like(ranked)
        np.put_along_axis(out, order, ranked / ranked.sum(-1, keepdims=True), axis=-1)
        return out

    def draw(self, logp: np.ndarray, uniform: np.ndarray) -> np.ndarray:
        """Draw bases: log probabilities (..., 4) and uniform numbers in [0, 1) (...) to codes 0 .. 3 (...)."""
        reached = np.cumsum(self.probabilities(logp), axis=-1)
        codes: np.ndarray = (uniform[..., None] * reached[..., -1:] < reached).argmax(-1)
        return codes
