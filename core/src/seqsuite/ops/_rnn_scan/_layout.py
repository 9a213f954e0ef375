"""Between the public layout (B, L, ...) and that of the paths: steps in the run's order, heads first.

Within the paths the stabiliser m of an sLSTM state is -inf where nothing has been seen (n is 0): the maximum and
the exponentials then need no special case.
"""

from __future__ import annotations

import torch
from torch import Tensor


def steps_of(mask: Tensor, reverse: bool) -> Tensor:
    """Return a (B, L) mask as (L, B, 1) in the run's order."""
    return (mask.flip(1) if reverse else mask).t().unsqueeze(2)


def stretch(x: Tensor, begin: int, end: int, reverse: bool) -> Tensor:
    """Return the view of (B, L, ...) that holds the run's steps begin .. end - 1; turned if `reverse`."""
    return x[:, x.shape[1] - end : x.shape[1] - begin] if reverse else x[:, begin:end]


def turn(x: Tensor, reverse: bool) -> Tensor:
    """Return (.., T, ...) with its second axis turned if `reverse`."""
    return x.flip(1) if reverse else x


def split(state: Tensor, heads: int) -> Tensor:
    """Return a state (B, S, D) as (S, H, B, P), a view."""
    return state.unflatten(2, (heads, -1)).permute(1, 2, 0, 3)


def join(state: Tensor) -> Tensor:
    """Return a state (S, H, B, P) as (B, S, D)."""
    return state.permute(2, 0, 1, 3).flatten(2)


def start(initial: Tensor | None, cell: str, states: Tensor) -> Tensor:
    """Return the state before the first step (S, H, B, P), like those of `states` (S, H, L, B, P)."""
    parts, heads, _, batch, p = states.shape
    if initial is None:
        state = torch.zeros(parts, heads, batch, p, dtype=states.dtype, device=states.device)
    else:
        state = split(initial.to(states.dtype), heads).clone(memory_format=torch.contiguous_format)
    if cell == "slstm":
        state[3].masked_fill_(state[2] == 0, -torch.inf)
    return state


def blank(state: Tensor, reset: Tensor, cell: str) -> Tensor:
    """Return states (S, H, ..., P) with the zero state where `reset` (..., 1)."""
    state = state.masked_fill(reset, 0)
    if cell == "slstm":
        state[3].masked_fill_(reset, -torch.inf)
    return state


def entering(
    states: Tensor, first: Tensor, reset: Tensor | None, cell: str, reverse: bool, begin: int, end: int
) -> Tensor:
    """Return the states before the steps begin .. end - 1: (S, H, T, B, P)."""
    if begin:
        before = states[:, :, begin - 1 : end - 1]
    else:
        before = torch.cat((first.unsqueeze(2), states[:, :, : end - 1]), 2)
    return before if reset is None else blank(before, steps_of(reset, reverse)[begin:end], cell)


def finish(state: Tensor, cell: str) -> Tensor:
    """Return the last state (S, H, B, P) as (B, S, D), m being 0 where nothing has been seen."""
    state = join(state).clone()
    if cell == "slstm":
        state[:, 3].masked_fill_(state[:, 2] == 0, 0)
    return state


def finish_gradient(dfinal: Tensor, states: Tensor, cell: str) -> Tensor:
    """Return the gradient (S, H, B, P) of the last of `states` from that of the last state (B, S, D)."""
    grad = split(dfinal.to(states.dtype), states.shape[1]).clone(memory_format=torch.contiguous_format)
    if cell == "slstm":
        grad[3].masked_fill_(states[2, :, -1] == 0, 0)
    return grad


def start_gradient(grad: Tensor, first: Tensor, cell: str) -> Tensor:
    """Return the gradient (B, S, D) of the initial state from that of the state before the first step."""
    if cell == "slstm":
        grad[3].masked_fill_(first[2] == 0, 0)
    return join(grad)
