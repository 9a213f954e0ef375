"""Where the randomness of a batch comes from: one generator for all rows, or one for each of them.

With a generator a row, what is drawn for a row does not depend on the rest of its batch, nor on how far the
batch is padded: numbers are drawn position by position, so a longer row only draws more of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

Draws = torch.Generator | Sequence[torch.Generator]
"""One generator for a batch, or one for each row."""


def uniforms(shape: Sequence[int], draws: Draws | None, device: torch.device | str = "cpu") -> Tensor:
    """Return uniform numbers in [0, 1), float64, of a shape whose first axis is the rows.

    Raises:
        ValueError: There is no generator, or not one for each row.
    """
    if draws is None:
        raise ValueError("a generator must be given: nothing is drawn from the global one")
    if isinstance(draws, torch.Generator):
        return torch.rand(*shape, generator=draws, device=draws.device, dtype=torch.float64).to(device)
    if len(draws) != shape[0]:
        raise ValueError(f"{len(draws)} generators for {shape[0]} rows")
    rows = [torch.rand(*shape[1:], generator=one, device=one.device, dtype=torch.float64) for one in draws]
    return torch.stack(rows).to(device)


def permutations(rows: int, count: int, draws: Draws | None) -> Tensor:
    """Return one random permutation of `count` numbers for each row, (rows, count) int64, drawn row by row.

    Raises:
        ValueError: There is no generator, or not one for each row.
    """
    if draws is None:
        raise ValueError("a generator must be given: nothing is drawn from the global one")
    each = [draws] * rows if isinstance(draws, torch.Generator) else list(draws)
    if len(each) != rows:
        raise ValueError(f"{len(each)} generators for {rows} rows")
    return torch.stack([torch.randperm(count, generator=one, device=one.device) for one in each])
