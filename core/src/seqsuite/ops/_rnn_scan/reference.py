"""The recurrent cells as their formulas: a loop over time, autograd by PyTorch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from seqsuite.ops._operands import compute_dtype

States = tuple[Tensor, ...]


def lstm(x: tuple[Tensor, ...], r: tuple[Tensor, ...], state: States) -> States:
    """One step from (h, c); `x` and `r` are the input's and the recurrent part of the gates i, f, g, o."""
    i, f, g, o = (a + b for a, b in zip(x, r, strict=True))
    c = f.sigmoid() * state[1] + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


def gru(x: tuple[Tensor, ...], r: tuple[Tensor, ...], state: States) -> States:
    """One step from (h,); gates r, z, n, the reset gate behind the recurrent matrix."""
    reset, update = (x[0] + r[0]).sigmoid(), (x[1] + r[1]).sigmoid()
    n = (x[2] + reset * r[2]).tanh()
    return ((1 - update) * n + update * state[0],)


def slstm(x: tuple[Tensor, ...], r: tuple[Tensor, ...], state: States) -> States:
    """One step from (h, c, n, m); gates i, f, z, o; where n is 0 nothing has been seen and m does not count."""
    i, f, z, o = (a + b for a, b in zip(x, r, strict=True))
    _, c, n, m = state
    kept = torch.where(n == 0, -torch.inf, F.logsigmoid(f) + m)
    m = torch.where(kept >= i, kept, i)
    forget, take = (kept - m).exp(), (i - m).exp()
    c, n = forget * c + take * z.tanh(), forget * n + take
    return o.sigmoid() * c / n, c, n, m


CELLS = {"lstm": (lstm, 2), "gru": (gru, 1), "slstm": (slstm, 4)}


def rnn_scan_reference(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    initial: Tensor | None,
    reset: Tensor | None,
    valid: Tensor | None,
    cell: str,
    reverse: bool,
) -> tuple[Tensor, Tensor]:
    """Return y (B, L, D) and the last state (B, S, D); `reset` and `valid` are (B, L) bool."""
    step, parts = CELLS[cell]
    dtype = compute_dtype(x)
    batch, length, gates, width = x.shape
    matrix = weight.to(dtype)
    added = torch.zeros((), dtype=dtype, device=x.device) if bias is None else bias.to(dtype)
    state = x.new_zeros(batch, parts, width, dtype=dtype) if initial is None else initial.to(dtype)
    outputs = []
    inputs = list(x.to(dtype).unbind(1))
    for t in range(length)[:: -1 if reverse else 1]:
        if reset is not None:
            state = torch.where(reset[:, t, None, None], 0, state)
        h = state[:, 0].unflatten(1, (len(weight), -1))  # (B, H, P)
        r = torch.einsum("hgpq,bhq->bghp", matrix, h).reshape(batch, gates, width) + added
        after = torch.stack(step(inputs[t].unbind(1), r.unbind(1), state.unbind(1)), 1)
        state = after if valid is None else torch.where(valid[:, t, None, None], after, state)
        outputs.append(state[:, 0])
    if cell == "slstm":
        h, c, n, m = state.unbind(1)
        state = torch.stack((h, c, n, torch.where(n == 0, 0, m)), 1)
    return torch.stack(outputs[::-1] if reverse else outputs, 1).to(x.dtype), state
