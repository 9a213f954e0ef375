"""What mixers with heads share: choosing sizes that divide, splitting, and normalising each head by itself."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from seqsuite.errors import UserError
from seqsuite.mixers.base import at_least_float32


def divisor(width: int, most: int, *also: int) -> int:
    """Return the largest number up to `most` that divides `width`, and every number in `also`."""
    return next(size for size in range(min(width, most), 0, -1) if not any(x % size for x in (width, *also)))


def most_heads(width: int, most: int, *, least: int) -> int:
    """Return the most heads, up to `most`, that divide a width and leave `least` channels to each; 1 if none do."""
    return max((heads for heads in range(1, min(most, width // least) + 1) if width % heads == 0), default=1)


def check_divides(owner: str, name: str, count: int, **widths: int) -> None:
    """Check that an option divides widths.

    Args:
        owner: What the option belongs to, for the message.
        name: The option.
        count: Its value.
        **widths: The widths by name.

    Raises:
        UserError: It does not divide one of them; one line names both.
    """
    for what, width in widths.items():
        if width % count:
            raise UserError(f"{owner}: {name} must divide {what}, {width}, and {count} does not")


def split_heads(x: Tensor, heads: int) -> Tensor:
    """Return (..., H P) as (..., H, P)."""
    return x.unflatten(-1, (heads, -1))


def unit(x: Tensor, epsilon: float = 1e-6) -> Tensor:
    """Return x / sqrt(|x|^2 + epsilon) along the last axis, computed in float32 at least."""
    wide = at_least_float32(x)
    return (wide * torch.rsqrt(wide.square().sum(-1, keepdim=True) + epsilon)).to(x.dtype)


def read(vector: Tensor, memory: Tensor) -> Tensor:
    """Return vector^T memory, (..., K) and (..., K, V) to (..., V); no matrix product, which autocast would round."""
    return (vector[..., None] * memory).sum(-2)


class HeadNorm(nn.Module):
    """Normalise each head of (..., H P) by itself, in float32 at least, and scale.

    Args:
        width: H P.
        heads: H.
        kind: "rms": by the root of the mean square; "layer": after taking off the mean.
        weight: A learned factor for each of the H P channels, the P of one head shared by all, or none.
        eps: Added to the mean square.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        kind: Literal["rms", "layer"],
        weight: Literal["channel", "shared", "none"] = "channel",
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.heads, self.kind, self.eps = heads, kind, eps
        self.shared = weight == "shared"
        size = {"channel": width, "shared": width // heads, "none": 0}[weight]
        self.weight = nn.Parameter(torch.ones(size)) if size else None

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Set the factors to 1."""
        if self.weight is not None:
            self.weight.fill_(1)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (..., H P)."""
        heads = split_heads(at_least_float32(x), self.heads)
        if self.kind == "layer":
            heads = heads - heads.mean(-1, keepdim=True)
        heads = heads * torch.rsqrt(heads.square().mean(-1, keepdim=True) + self.eps)
        if self.weight is not None and self.shared:
            heads = heads * self.weight
        out = heads.flatten(-2)
        if self.weight is not None and not self.shared:
            out = out * self.weight
        return out.to(x.dtype)
