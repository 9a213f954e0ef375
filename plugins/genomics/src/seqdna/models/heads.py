"""The convolutional heads: of a whole sequence, and of every position or bin of one.

A linear head sees one pooled vector; `ConvHead` (three convolutions, then the strongest response in each part of a
sequence) sees where along the sequence something stands, which is what splice sites and promoters are told by.
`PositionHead` is the downstream network of BEND (Marin et al., ICLR 2024). Both read features, one-hot bases, or
both side by side.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PARTS = 8
"""Parts of a sequence whose strongest responses are kept."""

KERNELS = (11, 7, 5)


class ConvHead(nn.Module):
    """Outputs of a sequence from vectors at its positions: (R, L, D) to (R, K).

    Rows may be padded on either side or both: what a row gives does not depend on its padding.

    Args:
        d_model: D.
        outputs: K.
        channels: Channels of the convolutions.
        dropout: On the input and in front of the last layer.
        norm: Normalise the input over its channels; not for one-hot bases.
    """

    def __init__(
        self, d_model: int, outputs: int, *, channels: int = 64, dropout: float = 0.2, norm: bool = True
    ) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(d_model) if norm else None
        self.layers = nn.ModuleList(
            nn.Conv1d(channels if number else d_model, channels, kernel, padding=kernel // 2)
            for number, kernel in enumerate(KERNELS)
        )
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(channels * PARTS, outputs)

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Return (R, K).

        Args:
            x: (R, L, D).
            valid: (R, L) boolean, one run of positions a row; None: all.
        """
        if self.norm is not None:
            x = self.dropout(self.norm(x))
        x, count = _aligned(x, valid)
        x = x.transpose(1, 2)  # (R, D, L)
        for number, layer in enumerate(self.layers):
            x = _kept(F.relu(layer(x)), count)
            if number + 1 < len(KERNELS):
                # What lies beyond a row is zero, and nothing within is below zero: a half window is its one member.
                x, count = F.max_pool1d(x, 2, ceil_mode=True), (count + 1) // 2
        return self.out(self.dropout(_strongest(x, count).flatten(1)))


class PositionHead(nn.Module):
    """Outputs at every position, or of every bin of positions: (R, L, D) to (R, L // bin, K).

    Two convolutions of three positions with GELU, the mean over each bin, a linear layer. What a position gives does
    not depend on padding, as long as the length of each row is a multiple of the bin.

    Args:
        d_model: D.
        outputs: K.
        bin: Positions that one output stands for.
        channels: Channels of the convolutions.
    """

    def __init__(self, d_model: int, outputs: int, *, bin: int = 1, channels: int = 64) -> None:
        super().__init__()
        self.bin = bin
        self.layers = nn.ModuleList(
            nn.Conv1d(channels if number else d_model, channels, 3, padding=1) for number in range(2)
        )
        self.out = nn.Linear(channels, outputs)

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Return (R, L // bin, K).

        Args:
            x: (R, L, D).
            valid: (R, L) boolean, one run of positions a row; None: all.
        """
        x = x.transpose(1, 2)  # (R, D, L)
        for layer in self.layers:
            x = F.gelu(layer(x if valid is None else x.masked_fill(~valid[:, None], 0)))
        if self.bin > 1:
            x = F.avg_pool1d(x, self.bin)
        outputs: Tensor = self.out(x.transpose(1, 2))
        return outputs


def _aligned(x: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
    """Move each row's valid positions to its beginning, zeros behind them; return (R, L, D) and their number (R,)."""
    rows, length = x.shape[:2]
    if valid is None:
        return x, torch.full((rows,), length, device=x.device)
    places = torch.arange(length, device=x.device)
    count = valid.sum(1)
    first = places.expand_as(valid).masked_fill(~valid, length).amin(1)
    x = x.take_along_dim((first[:, None] + places).clamp(max=length - 1)[..., None], dim=1)
    return x.masked_fill((places >= count[:, None])[..., None], 0), count


def _kept(x: Tensor, count: Tensor) -> Tensor:
    """Return (R, C, L) with zeros behind the first `count` positions of each row."""
    beyond = torch.arange(x.shape[-1], device=x.device) >= count[:, None]
    return x.masked_fill(beyond[:, None], 0)


def _strongest(x: Tensor, count: Tensor) -> Tensor:
    """Return the maximum of (R, C, L), nowhere below zero, in each of the parts of a row: (R, C, parts)."""
    places = torch.arange(x.shape[-1], device=x.device)
    part = (places * PARTS // count[:, None].clamp(min=1)).clamp(max=PARTS - 1)
    zeros = x.new_zeros(*x.shape[:2], PARTS)
    return zeros.scatter_reduce(2, part[:, None].expand_as(x), x, "amax")
