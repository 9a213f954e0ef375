"""`Seq`: unequal lengths, packing and resets of a batch, built once and shared by every layer.

A padded step is the identity: recurrent states pass through it, convolutions do not see it, and
outputs there are zero. A document starts from a zero state and sees no other document. Both hold in
either direction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor


@dataclass(frozen=True)
class Seq:
    """What is valid and what belongs together in a (B, L) batch.

    A state that enters the row belongs to the document at the end where it enters. Build with one of the
    constructors.

    Attributes:
        valid: (B, L) bool, False at padding; None if every position is valid.
        segment: (B, L) int64, number of the document of each position, not decreasing along a row,
            0 continues the state that enters from the left; padding belongs to its left neighbour's
            document. None if each row is one document that continues the entering state.
        side: Where the padding is: "right", "left", or None if anywhere.
    """

    valid: Tensor | None = None
    segment: Tensor | None = None
    side: Literal["right", "left"] | None = "right"

    @classmethod
    def from_lengths(
        cls, lengths: Tensor | Sequence[int], length: int, *, side: Literal["right", "left"] = "right"
    ) -> Seq:
        """Rows of unequal lengths padded to `length`.

        Args:
            lengths: (B,) number of valid positions of each row.
            length: L, the padded length.
            side: Where the padding is.

        Raises:
            ValueError: If a length is no integer or beyond L, or the side is unknown.
        """
        if side not in ("right", "left"):
            raise ValueError(f"side must be 'right' or 'left', got {side!r}")
        counts = torch.as_tensor(lengths)
        whole = counts.ndim == 1 and (len(counts) == 0 or not counts.is_floating_point())
        if not whole or bool((counts < 0).any()) or bool((counts > length).any()):
            raise ValueError(f"lengths must be (B,) integers between 0 and {length}, got {lengths}")
        place = torch.arange(length, device=counts.device)
        counts = counts[:, None]
        return cls(place < counts if side == "right" else place >= length - counts, None, side)

    @classmethod
    def from_mask(cls, mask: Tensor) -> Seq:
        """Padding anywhere.

        Args:
            mask: (B, L), nonzero or True where a position is valid.

        Raises:
            ValueError: If it has another number of axes.
        """
        mask = torch.as_tensor(mask)
        if mask.ndim != 2:
            raise ValueError(f"mask must be (B, L), got shape {tuple(mask.shape)}")
        valid = mask.bool()
        rises = valid[:, 1:] & ~valid[:, :-1]
        falls = ~valid[:, 1:] & valid[:, :-1]
        side: Literal["right", "left"] | None = "right" if not rises.any() else "left" if not falls.any() else None
        return cls(valid, None, side)

    @classmethod
    def from_resets(cls, resets: Tensor, *, valid: Tensor | None = None) -> Seq:
        """Documents packed into rows, each starting where `resets` (B, L) is True.

        Args:
            resets: True at the first position of each document; a row whose first position is False
                continues the state that enters from the left.
            valid: (B, L) bool, False at padding.

        Raises:
            ValueError: If they are not (B, L), both.
        """
        resets = torch.as_tensor(resets)
        if resets.ndim != 2:
            raise ValueError(f"resets must be (B, L), got shape {tuple(resets.shape)}")
        base = cls() if valid is None else cls.from_mask(valid)
        if base.valid is not None and base.valid.shape != resets.shape:
            raise ValueError(f"valid must be {tuple(resets.shape)} like resets, got {tuple(base.valid.shape)}")
        return cls(base.valid, resets.bool().cumsum(1), base.side)

    @classmethod
    def from_cu_seqlens(cls, cu_seqlens: Sequence[Tensor | Sequence[int]], length: int) -> Seq:
        """Documents packed into rows by their boundaries.

        Args:
            cu_seqlens: For each row the cumulative lengths ``[0, l1, l1 + l2, ...]``; what lies behind
                the last boundary is padding. Every document starts from a zero state, also the first.
            length: L, the padded length.

        Raises:
            ValueError: If a row's boundaries are not integers that rise from 0 to at most L.
        """
        rows = [torch.as_tensor(row) for row in cu_seqlens]
        if not rows or any(row.ndim != 1 or not len(row) or row.is_floating_point() for row in rows):
            raise ValueError(f"cu_seqlens must hold the boundaries of each row, integers from 0 on, got {cu_seqlens}")
        resets = torch.zeros(len(rows), length, dtype=torch.bool, device=rows[0].device)
        valid = torch.zeros_like(resets)
        for index, row in enumerate(rows):
            if int(row[0]) != 0 or int(row[-1]) > length or bool((row.diff() <= 0).any()):
                raise ValueError(f"cu_seqlens of row {index} must rise from 0 to at most {length}, got {row.tolist()}")
            resets[index, row[:-1]] = True
            valid[index, : int(row[-1])] = True
        return cls.from_resets(resets, valid=None if bool(valid.all()) else valid)

    def to(self, device: torch.device | str) -> Seq:
        """Return the same on another device."""
        valid, segment = (None if x is None else x.to(device) for x in (self.valid, self.segment))
        return Seq(valid, segment, self.side)

    def resets(self, *, reverse: bool = False) -> Tensor | None:
        """Return (B, L) bool, True where a scan in that direction starts from a zero state; None if nowhere."""
        if self.segment is None:
            return None
        if reverse:
            return torch.cat((self.segment, self.segment[:, -1:]), 1).diff(dim=1) != 0
        return torch.cat((torch.zeros_like(self.segment[:, :1]), self.segment), 1).diff(dim=1) != 0

    def check(self, batch: int, length: int, device: torch.device | None = None) -> None:
        """Raise ValueError unless this describes a (batch, length) input, on that device if one is given."""
        for name, mask in (("valid", self.valid), ("segment", self.segment)):
            if mask is not None and mask.shape != (batch, length):
                raise ValueError(f"seq.{name} is {tuple(mask.shape)}, the input is ({batch}, {length})")
            if mask is not None and device is not None and mask.device != device:
                raise ValueError(f"seq.{name} is on {mask.device}, the input on {device}; use seq.to({str(device)!r})")


def check_seq(seq: Seq | None, x: Tensor) -> None:
    """Refuse what is no `Seq`, or not one of the rows and steps of x (B, L, ...).

    Raises:
        TypeError: It is something else, such as a mask.
        ValueError: It has another shape or is on another device.
    """
    if seq is None:
        return
    if not isinstance(seq, Seq):
        raise TypeError(f"seq must be a Seq (Seq.from_mask makes one of a mask), not {type(seq).__name__}")
    batch, length = x.shape[:2]
    seq.check(batch, length, x.device)
