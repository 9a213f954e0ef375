"""How the portable selective scan is cut into cache-sized tiles, and sums over a tile's axes.

Inside a tile a tensor is (R, T, G, N, P): row, step, group of channels, state, channel of the group.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

STEP = 32768
"""Elements of one step's state that one thread takes at a time, about."""
TILE = 524288
"""Elements of a tile a thread, about: few calls, and three such buffers still stay in the cache."""


def chunk_length(batch: int, length: int, width: int, state: int) -> int:
    """Return how many steps a tile holds."""
    step = min(batch * width * state, max(STEP, width * state))
    return min(length, max(8, min(1024, TILE // step)))


def row_slices(batch: int, width: int, state: int) -> list[slice]:
    """Cut the batch evenly into groups of rows whose states fill the cache."""
    rows = max(1, torch.get_num_threads() * STEP // (width * state))
    rows = -(-batch // -(-batch // rows))
    return [slice(at, min(at + rows, batch)) for at in range(0, batch, rows)]


def time_sizes(length: int, chunk: int, reverse: bool) -> list[int]:
    """Cut the time axis into tiles, left to right; the short one is the last that the recurrence meets."""
    whole, rest = divmod(length, chunk)
    short = [rest] if rest else []
    return short + [chunk] * whole if reverse else [chunk] * whole + short


@dataclass(frozen=True)
class Layout:
    """How channels fall into groups, and the precision of the computation."""

    groups: int
    dtype: torch.dtype

    def channels(self, part: Tensor) -> Tensor:
        """Return (R, T, D) as (R, T, G, 1, P)."""
        return part.unflatten(-1, (self.groups, 1, -1))

    def states(self, matrix: Tensor) -> Tensor:
        """Return (..., D, N) as contiguous (..., G, N, P)."""
        return matrix.to(self.dtype).unflatten(-2, (self.groups, -1)).transpose(-1, -2).contiguous()

    def flat(self, states: Tensor) -> Tensor:
        """Return (..., G, N, P) as a new contiguous (..., D, N)."""
        return states.transpose(-1, -2).flatten(-3, -2).clone(memory_format=torch.contiguous_format)


def sum_states(states: Tensor, weights: Tensor, scratch: Tensor, out: Tensor) -> Tensor:
    """Sum states times weights over N into out (R, T, D): (R, T, G, N, P) by (R, T, G, N, 1) or (G, N, P)."""
    n, p = states.shape[-2:]
    total = out.view(*states.shape[:3], p)
    if n <= 4 or (n <= 8 and n * p < 400):  # below 400 products torch.bmm leaves the fast library
        pairs = list(zip(states.unbind(-2), weights.unbind(-2), strict=True))
        torch.mul(*pairs[0], out=total)
        for state, weight in pairs[1:]:
            total.addcmul_(state, weight)
    elif weights.ndim == 3 or p % 16:  # torch.bmm rounds by where in memory an unaligned matrix lies
        torch.sum(torch.mul(states, weights, out=scratch), -2, out=total)
    else:
        torch.bmm(weights.reshape(-1, 1, n), states.view(-1, n, p), out=total.view(-1, 1, p))
    return out


def sum_channels(left: Tensor, states: Tensor) -> Tensor:
    """Sum over P: (R, T, G, 1, P) times (R, T, G, N, P) to (R, T, G, N)."""
    n, p = states.shape[-2:]
    return torch.bmm(left.reshape(-1, 1, p), states.view(-1, n, p).transpose(1, 2)).view(*states.shape[:3], n)


def add_sum(total: Tensor, part: Tensor) -> None:
    """Add part (R, T, ...) summed over rows and steps to total (...)."""
    terms = part.shape[0] * part.shape[1]
    total.view(1, -1).addmm_(part.new_ones(1, terms), part.reshape(terms, -1))
