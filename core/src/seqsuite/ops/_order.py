"""Padding sorted behind what is valid, so that places in a row count valid positions only."""

from __future__ import annotations

import torch
from torch import Tensor

from seqsuite.ops._seq import Seq


def valid_first(seq: Seq | None) -> Tensor | None:
    """Return the order (B, L) that puts valid positions first; None where they already come first."""
    if seq is None or seq.valid is None or seq.side == "right":
        return None
    return torch.argsort((~seq.valid).to(torch.int8), dim=1, stable=True)


def reorder(x: Tensor, order: Tensor | None) -> Tensor:
    """Return (B, L, ...) with the positions in that order."""
    if order is None:
        return x
    return x.gather(1, order.view(*order.shape, *[1] * (x.ndim - 2)).expand(-1, -1, *x.shape[2:]))


def put_back(x: Tensor, order: Tensor | None) -> Tensor:
    """Return (B, L, ...) with the positions where they were before `reorder`."""
    return x if order is None else reorder(x, torch.argsort(order, dim=1))
