"""How the steps of a chunk see each other, and how they see the chunk's ends, through decays between them.

Step t reads what step s wrote, decayed by the steps in between. Decays are only ever multiplied, never
divided nor subtracted as logarithms: a binary tree joins neighbouring halves, and what the right half
reads from the left one is one product of matrices, each row decayed to their common border. So resets
(a decay of exactly zero) and underflow need no special case, and the gradient is the tree walked back.

Chunks are (..., C, K), C a power of two. `q` reads behind its own step's decay and write, `b` before both.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor

Tensors = list[Tensor]


class _Level(NamedTuple):
    reads: Tensors
    writes: Tensors
    total: Tensor


class Tree:
    """Decayed products of reading and writing rows, below the diagonal.

    Attributes:
        lower: ``lower[i][j][..., t, s]`` (..., C, C), reads i times writes j over the decays of the steps between
            s and t, the latter not included; zero for s >= t.
        reads: Rows decayed from the chunk's start.
        writes: Rows decayed to the chunk's end.
        total: Product of the chunk's decays (..., 1, K).
    """

    def __init__(self, reads: Sequence[Tensor], writes: Sequence[Tensor], decay: Tensor, *, keep: bool) -> None:
        """Build the tree.

        Args:
            reads: Rows (..., C, K).
            writes: Rows (..., C, K).
            decay: Decay of each step (..., C, K), at most 1.
            keep: Keep the levels for the way back.
        """
        size = decay.shape[-2]
        self.reads, self.writes = ([x.clone() for x in rows] for rows in (reads, writes))
        self.lower = [[decay.new_zeros(*decay.shape[:-1], size) for _ in writes] for _ in reads]
        self._levels: list[_Level] = []
        total = decay
        half = 1
        while half < size:
            if keep:
                reads_here, writes_here = ([x.clone() for x in m] for m in (self.reads, self.writes))
                self._levels.append(_Level(reads_here, writes_here, total))
            left, right = total.unflatten(-2, (-1, 2)).unbind(-2)  # (..., blocks, K)
            late = [_halves(x, half)[1] for x in self.reads]
            early = [_halves(x, half)[0] for x in self.writes]
            for i, j in product(range(len(late)), range(len(early))):
                _joints(self.lower[i][j], half).copy_(_outer(late[i], early[j]))
            for x in late:
                x.mul_(left.unsqueeze(-2))
            for x in early:
                x.mul_(right.unsqueeze(-2))
            total = left * right
            half *= 2
        self.total = total

    def backward(
        self, d_lower: Sequence[Sequence[Tensor]], d_reads: Tensors, d_writes: Tensors, d_total: Tensor
    ) -> tuple[Tensors, Tensors, Tensor]:
        """Return the gradients of reads, writes and decay from those of the attributes; overwrites both lists."""
        half = d_reads[0].shape[-2]
        for level in reversed(self._levels):
            half //= 2
            left, right = level.total.unflatten(-2, (-1, 2)).unbind(-2)
            late, d_late = ([_halves(x, half)[1] for x in m] for m in (level.reads, d_reads))
            early, d_early = ([_halves(x, half)[0] for x in m] for m in (level.writes, d_writes))
            d_left, d_right = d_total * right, d_total * left
            for x, dx in zip(late, d_late, strict=True):
                d_left += (x * dx).sum(-2)
                dx.mul_(left.unsqueeze(-2))
            for x, dx in zip(early, d_early, strict=True):
                d_right += (x * dx).sum(-2)
                dx.mul_(right.unsqueeze(-2))
            for i, j in product(range(len(late)), range(len(early))):
                joint = _joints(d_lower[i][j], half)
                d_late[i] += joint @ early[j]
                d_early[j] += joint.mT @ late[i]
            d_total = torch.stack((d_left, d_right), -2).flatten(-3, -2)
        return d_reads, d_writes, d_total


def _outer(late: Tensor, early: Tensor) -> Tensor:
    """Return late early^T; over a single channel a product of elements is quicker."""
    return late * early.mT if late.shape[-1] == 1 else late @ early.mT


def _halves(x: Tensor, half: int) -> tuple[Tensor, Tensor]:
    """Views of the left and the right halves of every block of two halves: (..., blocks, half, K)."""
    left, right = x.unflatten(-2, (-1, 2, half)).unbind(-3)
    return left, right


def _joints(matrix: Tensor, half: int) -> Tensor:
    """A view of what right halves read from left ones, (..., blocks, half, half), in a (..., C, C) matrix."""
    blocks = matrix.unflatten(-1, (-1, 2, half)).unflatten(-4, (-1, 2, half))
    return blocks.diagonal(dim1=-6, dim2=-3)[..., 1, :, 0, :, :].movedim(-1, -3)


class Pairs:
    """What the steps of a chunk read from each other and from its ends, for each kind of decay.

    Attributes:
        q_lower: For each kind of write (..., C, C): what q at t reads of the write at s <= t.
        b_lower: The same for b, s < t.
        q: Rows decayed from the chunk's start.
        b: Rows decayed from the chunk's start.
        writes: Rows decayed to the chunk's end.
        total: Product of the chunk's decays, (..., 1, K) or (..., 1, 1); None without decay.
    """

    q_lower: Tensors
    b_lower: Tensors
    q: Tensor
    b: Tensor
    writes: Tensors
    total: Tensor | None

    def backward(
        self, d_q_lower: Tensors, d_b_lower: Tensors, d_q: Tensor, d_b: Tensor, d_writes: Tensors, d_total: Tensor
    ) -> tuple[Tensor, Tensor, Tensors, Tensor | None]:
        """Return the gradients of q, b, writes and decay from those of the attributes, which are overwritten.

        `d_total` is (..., 1, K) for either kind of decay.
        """
        raise NotImplementedError


class NoDecay(Pairs):
    """Without decay: plain products."""

    def __init__(self, q: Tensor, b: Tensor, writes: Tensors) -> None:
        self.q, self.b, self.writes, self.total = q, b, writes, None
        self.q_lower = [(q @ w.mT).tril_() for w in writes]
        self.b_lower = [(b @ w.mT).tril_(-1) for w in writes]

    def backward(
        self, d_q_lower: Tensors, d_b_lower: Tensors, d_q: Tensor, d_b: Tensor, d_writes: Tensors, d_total: Tensor
    ) -> tuple[Tensor, Tensor, Tensors, Tensor | None]:
        """See `Pairs.backward`."""
        for j, w in enumerate(self.writes):
            to_q, to_b = d_q_lower[j].tril_(), d_b_lower[j].tril_(-1)
            _add_products(to_q, to_b, (self.q, self.b, w), (d_q, d_b, d_writes[j]))
        return d_q, d_b, d_writes, None


class HeadDecay(Pairs):
    """One decay a step, (..., C, 1): plain products under the products of decays, which are a tree over ones."""

    def __init__(self, q: Tensor, b: Tensor, writes: Tensors, decay: Tensor, late: bool, *, keep: bool) -> None:
        """Build; `late` if b, too, reads behind its step's decay."""
        ones = torch.ones_like(decay)
        self._rows, self._late = (q, b, writes), late
        self._tree = tree = Tree([decay] if late else [decay, ones], [ones], decay, keep=keep)
        self._b_mask = tree.lower[-1][0]
        self._q_mask = self._b_mask.clone() if late else tree.lower[0][0]
        self._q_mask.diagonal(dim1=-2, dim2=-1).fill_(1.0)
        self.q, self.b = q * tree.reads[0], b * tree.reads[-1]
        self.writes, self.total = [w * tree.writes[0] for w in writes], tree.total
        self.q_lower = [(q @ w.mT).mul_(self._q_mask) for w in writes]
        self.b_lower = [(b @ w.mT).mul_(self._b_mask) for w in writes]

    def backward(
        self, d_q_lower: Tensors, d_b_lower: Tensors, d_q: Tensor, d_b: Tensor, d_writes: Tensors, d_total: Tensor
    ) -> tuple[Tensor, Tensor, Tensors, Tensor | None]:
        """See `Pairs.backward`."""
        (q, b, writes), tree = self._rows, self._tree
        d_reads = [(x * dx).sum(-1, keepdim=True) for x, dx in ((q, d_q), (b, d_b))]
        d_ends = [(w * dw).sum(-1, keepdim=True) for w, dw in zip(writes, d_writes, strict=True)]
        d_q.mul_(tree.reads[0])
        d_b.mul_(tree.reads[-1])
        d_masks = [torch.zeros_like(self._q_mask) for _ in range(2)]
        for j, w in enumerate(writes):
            d_masks[0].addcmul_(d_q_lower[j], q @ w.mT)
            d_masks[1].addcmul_(d_b_lower[j], b @ w.mT)
            to_q, to_b = d_q_lower[j].mul_(self._q_mask), d_b_lower[j].mul_(self._b_mask)
            _add_products(to_q, to_b, (q, b, w), (d_q, d_b, d_writes[j].mul_(tree.writes[0])))
        if self._late:
            d_reads, d_masks = [d_reads[0] + d_reads[1]], [d_masks[0] + d_masks[1]]
        d_total = d_total.sum(-1, keepdim=True)
        d_ends = [torch.stack(d_ends).sum(0)]
        d_late, _, d_decay = tree.backward([[m] for m in d_masks], d_reads, d_ends, d_total)
        return d_q, d_b, d_writes, d_decay + d_late[0]


class KeyDecay(Pairs):
    """One decay a step and key channel, (..., C, K): a tree over the rows themselves."""

    def __init__(self, q: Tensor, b: Tensor, writes: Tensors, decay: Tensor, late: bool, *, keep: bool) -> None:
        """Build; `late` if b, too, reads behind its step's decay."""
        self._rows = (q, b, decay, writes)
        self._late = late
        self._tree = tree = Tree([q * decay, b * decay if late else b], writes, decay, keep=keep)
        (self.q, self.b), self.writes, self.total = tree.reads, tree.writes, tree.total
        self.q_lower, self.b_lower = tree.lower
        for w, lower in zip(writes, self.q_lower, strict=True):
            lower.diagonal(dim1=-2, dim2=-1).copy_((q * w).sum(-1))

    def backward(
        self, d_q_lower: Tensors, d_b_lower: Tensors, d_q: Tensor, d_b: Tensor, d_writes: Tensors, d_total: Tensor
    ) -> tuple[Tensor, Tensor, Tensors, Tensor | None]:
        """See `Pairs.backward`."""
        q, b, decay, writes = self._rows
        (d_q, d_b), d_writes, d_decay = self._tree.backward([d_q_lower, d_b_lower], [d_q, d_b], d_writes, d_total)
        d_decay = torch.addcmul(d_decay, d_q, q)
        d_q.mul_(decay)
        if self._late:
            d_decay.addcmul_(d_b, b)
            d_b.mul_(decay)
        for j, w in enumerate(writes):
            own = d_q_lower[j].diagonal(dim1=-2, dim2=-1).unsqueeze(-1)
            d_q.addcmul_(own, w)
            d_writes[j].addcmul_(own, q)
        return d_q, d_b, d_writes, d_decay


def _add_products(to_q: Tensor, to_b: Tensor, rows: tuple[Tensor, ...], grads: tuple[Tensor, ...]) -> None:
    """Add to the gradients of q, b and a write what flows through the products q w^T and b w^T."""
    q, b, w = rows
    d_q, d_b, d_w = grads
    for out, left, right in ((d_q, to_q, w), (d_b, to_b, w), (d_w, to_q.mT, q), (d_w, to_b.mT, b)):
        out.flatten(0, -3).baddbmm_(left.flatten(0, -3), right.flatten(0, -3))
