"""The Fourier transform in two stages of matrix products (the Monarch form): sizes and tables, no kernels.

With n = N2 n1 + n2 and k = k1 + N1 k2, a transform of length N = N1 N2 is

    X[k1, k2] = sum_n2 w_N2^{n2 k2} ( w_N^{n2 k1} ( sum_n1 w_N1^{n1 k1} x[n1, n2] ) )       w_M = exp(-2 pi i / M)

that is, a DFT matrix along n1, twiddle factors, a DFT matrix along n2 (Fu et al. 2023,
https://arxiv.org/abs/2311.05908). Frequencies come out as [k1, k2], in which order a product of two spectra
does not care. The inverse conjugates everything and runs the other way round.
"""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor

LEAST, LARGEST = 16, 128
"""Sizes of a stage: what a matrix product needs at least, and what fits into registers."""
LONGEST = LARGEST * LARGEST
"""The longest transform."""


def stages(least: int) -> tuple[int, int] | None:
    """Return (N1, N2), powers of two with N1 in (N2, 2 N2), of the shortest transform from `least` on; None: too long.

    Args:
        least: Steps and taps less one: the length at which nothing wraps around.
    """
    if least > LONGEST:
        return None
    power = max(2 * int(math.log2(LEAST)), math.ceil(math.log2(least)))
    second = power // 2
    return 2 ** (power - second), 2**second


@cache
def tables(first: int, second: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Return the DFT matrices (2, N1, N1) and (2, N2, N2) and the twiddle factors (2, N1, N2): cosines, -sines.

    Each angle is reduced to one turn in integers, so that the values are exact to rounding.
    """
    length = first * second

    def wave(rows: int, columns: int, turn: int) -> Tensor:
        index = torch.arange(rows)[:, None] * torch.arange(columns) % turn
        angle = index.double() * (2 * math.pi / turn)
        return torch.stack((angle.cos(), -angle.sin())).float().to(device)

    return wave(first, first, first), wave(second, second, second), wave(first, second, length)
