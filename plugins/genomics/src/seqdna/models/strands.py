"""Reverse-complement equivariance: one module for both strands of DNA (Schiff et al. 2024, section 3).

Channels come in two halves, (B, L, 2D): the first is the given strand, the second the other one stored
backwards, rc(t) = t flipped in length and channels. The lifted module is M(a) beside rc(M(rc(b))).
Unfolded, both strands are natural sequences read from their own 5' end, so they run as one batch of
2B rows, strand after strand; nothing is flipped between the embedding and the head, and exchanging
the strands of the input exchanges the rows and nothing else: equivariance is exact.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from seqsuite.backbones.residual import Block
from seqsuite.mixers.base import Mixer, Scratch, chunks, reverse_seq
from seqsuite.ops import Seq


def rc_features(x: Tensor) -> Tensor:
    """Reverse-complement features (..., L, C): flip length and channels. Its own inverse."""
    return x.flip(-2, -1)


def rc_ids(input_ids: Tensor, complement: Tensor) -> Tensor:
    """Reverse-complement token ids (B, L) by a complement table (V,)."""
    return complement[input_ids].flip(-1)


def to_strands(x: Tensor) -> Tensor:
    """Unfold two halves (B, L, 2D) into the rows of both strands (2B, L, D)."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first, rc_features(second)))


def from_strands(rows: Tensor) -> Tensor:
    """Fold the rows of both strands (2B, L, D) into two halves (B, L, 2D)."""
    given, other = rows.chunk(2)
    return torch.cat((given, rc_features(other)), dim=-1)


def lanes(features: Tensor, *, average: bool) -> Tensor:
    """Bring both halves (..., 2D) of an equivariant model's features into one order of channels.

    Args:
        features: As `from_strands` folds them.
        average: Return their mean (..., D) instead of both side by side (..., 2D).
    """
    given, other = features.chunk(2, dim=-1)
    other = other.flip(-1)
    return (given + other) / 2 if average else torch.cat((given, other), dim=-1)


def swap_strands(rows: Tensor) -> Tensor:
    """Exchange the halves of the folded form, on rows (2B, L, D): each strand gets rc of the other."""
    return rows.unflatten(0, (2, -1)).flip(0, -2, -1).flatten(0, 1)


def seq_of_strands(seq: Seq | None) -> Seq | None:
    """Return the `Seq` of the rows of both strands of a batch."""
    if seq is None:
        return None
    other = reverse_seq(seq)
    assert other is not None
    valid = None if seq.valid is None or other.valid is None else torch.cat((seq.valid, other.valid))
    segment = None if seq.segment is None or other.segment is None else torch.cat((seq.segment, other.segment))
    return Seq(valid, segment, "right" if valid is None else None)


def seq_of_given(seq: Seq) -> Seq:
    """Return the `Seq` of the given strand's rows: the first half of what `seq_of_strands` made."""
    valid, segment = (None if each is None else each.chunk(2)[0] for each in (seq.valid, seq.segment))
    return Seq(valid, segment, "right" if valid is None else None)


class RCLift(nn.Module):
    """Lift a module (B, L, D) to (B, L, D) to an RC-equivariant one (B, L, 2D) to (B, L, 2D).

    Args:
        module: Any mixer, norm or position-wise layer; its parameters serve both strands.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor, *, seq: Seq | None = None) -> Tensor:
        """Apply the module to both strands of (B, L, 2D)."""
        rows = to_strands(x)
        if isinstance(self.module, Mixer):
            return from_strands(self.module(rows, seq=seq_of_strands(seq)))
        return from_strands(self.module(rows))


class StrandBlock(Block):
    """A residual block over the rows of both strands.

    Args:
        mixer: As in `Block`.
        norm: As in `Block`.
        residual_in_fp32: As in `Block`.
        swap_halves: Exchange the halves of the residual stream in front of the norm. The published fused
            kernel's blocks do so; equivariance holds either way, the functions differ.
    """

    def __init__(
        self, mixer: Mixer, norm: nn.Module, *, residual_in_fp32: bool = False, swap_halves: bool = False
    ) -> None:
        super().__init__(mixer, norm, residual_in_fp32=residual_in_fp32)
        self.swap_halves = swap_halves

    def add(self, hidden: Tensor, residual: Tensor | None) -> Tensor:
        """Return the stream with the branch added, and the halves exchanged where asked for."""
        total = super().add(hidden, residual)
        return swap_strands(total) if self.swap_halves else total

    @property
    def recurrent(self) -> bool:
        """Whether the block can run chunk after chunk: not if the strands, read from opposite ends, are exchanged."""
        return super().recurrent and not self.swap_halves

    def add_on_disk(
        self, hidden: Tensor, residual: Tensor | None, *, chunk: int, scratch: Scratch
    ) -> tuple[Tensor, Tensor]:
        """`add` for tensors on disk: the exchange takes a chunk of one strand and the opposite one of the other."""
        hidden, total = super().add_on_disk(hidden, residual, chunk=chunk, scratch=scratch)
        if self.swap_halves:
            given, other = total.chunk(2)
            length = total.shape[1]
            for start, end in chunks(length, chunk):
                there = slice(length - end, length - start)
                kept = given[:, start:end].clone()
                given[:, start:end] = rc_features(other[:, there])
                other[:, there] = rc_features(kept)
        return hidden, total
