"""Rows and states of a pooled backbone: lengths of padded rows, steps by index, states as trees of tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from seqsuite.errors import UserError
from seqsuite.mixers.base import State
from seqsuite.ops import Seq


def row_lengths(seq: Seq | None, x: Tensor) -> Tensor | None:
    """Return (B,) the lengths of rows padded on the right; None where no row is padded.

    Raises:
        UserError: Rows are padded elsewhere, or packed.
    """
    if seq is None:
        return None
    seq.check(*x.shape[:2])
    if seq.segment is not None or (seq.valid is not None and seq.side != "right"):
        raise UserError("a pooled backbone takes rows padded on the right; packed or otherwise padded rows do not pool")
    return None if seq.valid is None else seq.valid.sum(1)


def within(lengths: Tensor, steps: int) -> Tensor:
    """Return (B, steps), True within a row."""
    return torch.arange(steps, device=lengths.device) < lengths[:, None]


def right_padded(lengths: Tensor | None, steps: int) -> Seq | None:
    """Return the `Seq` of rows with these lengths."""
    return None if lengths is None else Seq(within(lengths, steps), None, "right")


def gather(x: Tensor, index: Tensor) -> Tensor:
    """Return the steps of (B, L, D) that an index (B, N) names: (B, N, D)."""
    return x.gather(1, index[..., None].expand(-1, -1, x.shape[2]))


def replace_rows(old: Tensor, new: Tensor, *, rows: Tensor | None) -> Tensor:
    """Return `old` with these rows replaced; None: all."""
    return new if rows is None else old.index_copy(0, rows, new)


def on_trees(function: Callable[..., Tensor], *trees: Any) -> Any:
    """Apply a function to the tensors at the same place of states of one shape."""
    first = trees[0]
    if isinstance(first, Tensor):
        return function(*trees)
    parts = [on_trees(function, *same) for same in zip(*trees, strict=True)]
    return type(first)(*parts) if hasattr(first, "_fields") else tuple(parts)


def first_states(
    blocks: Any, *, batch_size: int, device: Any, dtype: torch.dtype, steps: int | None, rate: int
) -> tuple[State, ...]:
    """Return the blocks' states before the first step; `rate`: steps of the sequence in one of theirs."""
    longest = None if steps is None else -(-steps // rate)
    return tuple(block.init_state(batch_size, device=device, dtype=dtype, max_length=longest) for block in blocks)


class Recorder:
    """Runs block after block in a view with a state, and keeps the states behind them."""

    def __init__(self, view: str, states: Sequence[State], *, fresh: bool = False, **options: Any) -> None:
        # Mixers save work where nothing went before.
        self.view, self.before, self.options = view, iter([None] * len(states) if fresh else states), options
        self.after: list[State] = []

    def __call__(self, block: nn.Module, x: Tensor) -> Tensor:
        y, after = getattr(block, self.view)(x, next(self.before), **self.options)
        self.after.append(after)
        return y
