"""Drawing codes: temperature, the k likeliest, the likeliest up to a probability; one stream of numbers a clip.

    draws = Draws(temperature=0.95, top_p=0.99)
    streams = Streams([1, 2, 3])                           # seeds, one a clip
    codes, scores = draw(logits, streams.take(1)[0], draws)

What remains is chosen under the model's own distribution, `top_k` first, then `top_p` among the rest, which keeps
the first code that goes above it; the temperature acts last, on what remains. Codes come from inverting the
distribution at uniform numbers, in the order of the codes, so a clip depends on its own numbers and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from seqsuite.errors import UserError


@dataclass(frozen=True)
class Draws:
    """How codes are drawn.

    Args:
        temperature: Below 1 the likely codes become likelier; 0 takes the likeliest.
        top_k: Draw from the k likeliest codes; 0: from all.
        top_p: Draw from the likeliest codes that together reach this probability.

    Raises:
        UserError: One is out of range.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.temperature) and self.temperature >= 0):
            raise UserError(f"temperature must be 0 or above, not {self.temperature:g}")
        if self.top_k < 0:
            raise UserError(f"top_k must be 0 (all codes) or above, not {self.top_k}")
        if not 0 < self.top_p <= 1:
            raise UserError(f"top_p must be above 0 and at most 1, not {self.top_p:g}")


def draw(logits: Tensor, uniform: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
    """Draw one code a row.

    Args:
        logits: (B, codes).
        uniform: (B,) float64 from 0 to below 1.
        draws: How.

    Returns:
        Codes (B,) int64, and their log-likelihood (B,), natural, under the logits as they are.
    """
    log_p = torch.log_softmax(logits.double(), -1)
    if draws.temperature == 0:
        codes = log_p.argmax(-1)
    else:
        kept = truncated(log_p, draws)
        weights = torch.softmax(kept / draws.temperature, -1)
        reached = weights.cumsum(-1)
        wanted = uniform.to(reached)[:, None] * reached[:, -1:]
        codes = torch.searchsorted(reached, wanted, right=True)[:, 0]
        # Rounding may place the last number behind the last code that has any weight.
        last = weights.shape[1] - 1 - (weights > 0).flip(-1).int().argmax(-1)
        codes = torch.minimum(codes, last)
    return codes, log_p.gather(-1, codes[:, None])[:, 0].float()


def truncated(log_p: Tensor, draws: Draws) -> Tensor:
    """Return normalised log-probabilities (B, codes) with -inf where `top_k` and `top_p` leave a code out."""
    codes = log_p.shape[-1]
    if not 0 < draws.top_k < codes and draws.top_p >= 1:
        return log_p
    ranked, order = log_p.sort(stable=True, dim=-1, descending=True)
    keep = torch.ones_like(ranked, dtype=torch.bool)
    if draws.top_k:
        keep[:, draws.top_k :] = False
    mass = ranked.exp() * keep
    before = (mass.cumsum(-1) - mass) / mass.sum(-1, keepdim=True)
    keep &= before < draws.top_p
    keep[:, 0] = True
    return log_p.masked_fill(~torch.zeros_like(keep).scatter(-1, order, keep), -torch.inf)


class Streams:
    """Uniform numbers for clips, each from a generator of its own.

    Args:
        seeds: One a clip.
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def take(self, count: int) -> Tensor:
        """Return the next `count` numbers of each clip: (count, B) float64."""
        rows = [torch.rand(count, generator=one, dtype=torch.float64) for one in self._generators]
        return torch.stack(rows, 1)

    @property
    def generators(self) -> list[torch.Generator]:
        """The clips' generators."""
        return self._generators


def clip_seeds(seed: int, count: int) -> list[int]:
    """Return a seed for each clip; those of the first clips are the same however many follow."""
    generator = torch.Generator().manual_seed(seed)
    return [int(torch.randint(2**62, (), generator=generator)) for _ in range(count)]
