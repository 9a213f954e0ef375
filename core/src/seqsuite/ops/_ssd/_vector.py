"""One tile of chunks with a decay for every key: a binary tree of blocks.

Within a chunk the weight of step j in step i is the sum over keys of q_i k_j and the product of the decays
behind j up to i. Two neighbouring blocks of b steps meet in their border: that product is the prefix of i
within the right block times the suffix of j within the left one, so their weights are one matrix product.
Prefixes and suffixes of the next level are those of this one times a block's total. Every factor is a
product of decays, at most 1: nothing is divided, no exponential can overflow, and decays that underflow
or are exactly zero cost no accuracy elsewhere. Axes: R rows, C chunks, H heads, Q steps (a power of two).
"""

from __future__ import annotations

import torch
from torch import Tensor


class VectorTile:
    """What a tile is made of; `total` is (R, C, H, K, 1, 1)."""

    def __init__(self, q: Tensor, k: Tensor, v: Tensor, g: Tensor, keep: bool) -> None:
        """Take q, k, g (R, C, Q, H, K) and v (R, C, Q, H, 1, V); `keep` what `gradients` needs."""
        self.rows, self.chunks, self.steps, self.heads, _, self.width = v.shape
        self.q, self.k, self.v = (self._headed(x) for x in (q, k, v.squeeze(4)))
        logs = self._headed(g)
        self.decay = torch.exp(logs)
        self.prefix, self.suffix = self.decay.clone(), torch.ones_like(self.decay)
        self.weights = self.q.new_zeros(len(self.q), self.steps, self.steps)
        self.weights.diagonal(dim1=1, dim2=2).copy_((self.q * self.k).sum(2))
        self.levels: list[tuple[Tensor, ...]] = []
        half = 1
        while half < self.steps:
            self._join(half, keep)
            half *= 2
        # Over many chunks the rounding of each decay would add up: the total is rounded once.
        self.total = torch.exp(logs.sum(1)).view(self.rows, self.chunks, self.heads, -1, 1, 1)
        self.read = self.q * self.prefix
        self.kept = self.k * self.suffix

    def _join(self, half: int, keep: bool) -> None:
        """Fill the weights between neighbouring blocks of `half` steps and make them one."""
        q, k, prefix, suffix = (self._halves(x, half) for x in (self.q, self.k, self.prefix, self.suffix))
        left, right = suffix[:, :, 0], prefix[:, :, 1]  # (N, blocks, half, K)
        right_q, left_k = q[:, :, 1] * right, k[:, :, 0] * left
        border = torch.bmm(right_q.flatten(0, 1), left_k.flatten(0, 1).mT)
        self._border(self.weights, half).copy_(border.unflatten(0, (len(self.q), -1)).permute(0, 2, 3, 1))
        if keep:
            self.levels.append((right_q, left_k, right.clone(), left.clone()))
        left.mul_(prefix[:, :, 1, -1:])
        right.mul_(prefix[:, :, 0, -1:])

    def increments(self) -> Tensor:
        """Return what the chunks add to the state (R, C, H, K, 1, V)."""
        return self._states(torch.bmm(self.kept.mT, self.v))

    def output(self, starts: Tensor, out: Tensor) -> None:
        """Fill o (R, C, Q, H, 1, V) for the states at the chunks' starts."""
        o = torch.baddbmm(torch.bmm(self.weights, self.v), self.read, self._flat(starts))
        out.copy_(self._timed(o).unsqueeze(4))

    def readings(self, dy: Tensor) -> Tensor:
        """Return the gradient of the chunks' starts through their outputs."""
        self.dy = self._headed(dy.squeeze(4))
        return self._states(torch.bmm(self.read.mT, self.dy))

    def gradients(self, starts: Tensor, ends: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the gradients of q, k, v, g, given `readings`, the starts and the gradients of the ends."""
        dread = torch.bmm(self.dy, self._flat(starts).mT)
        dkept = torch.bmm(self.v, self._flat(ends).mT)
        dv = torch.baddbmm(torch.bmm(self.weights.mT, self.dy), self.kept, self._flat(ends))
        dweights = torch.bmm(self.dy, self.v.mT)
        own = dweights.diagonal(dim1=1, dim2=2).unsqueeze(2)
        dq = torch.addcmul(dread * self.prefix, own, self.k)
        dk = torch.addcmul(dkept * self.suffix, own, self.q)
        log_prefix, log_suffix = dread.mul_(self.read), dkept.mul_(self.kept)
        log_prefix[:, -1] += (self.total * (starts * ends).sum(5, keepdim=True)).view(len(self.q), -1)
        for level in range(len(self.levels) - 1, -1, -1):
            self._part(level, dweights, dq, dk, log_prefix, log_suffix)
        dg = log_prefix.masked_fill_(self.decay == 0, 0)
        return self._timed(dq), self._timed(dk), self._timed(dv).unsqueeze(4), self._timed(dg)

    def _part(
        self, level: int, dweights: Tensor, dq: Tensor, dk: Tensor, log_prefix: Tensor, log_suffix: Tensor
    ) -> None:
        """Undo `_join`: add a border's part to dq and dk, turn the gradients of log products into those below."""
        half = 2**level
        right_q, left_k, right, left = self.levels[level]
        dq, dk, log_prefix, log_suffix = (self._halves(x, half) for x in (dq, dk, log_prefix, log_suffix))
        log_prefix[:, :, 0, -1] += log_prefix[:, :, 1].sum(2)
        log_prefix[:, :, 1, -1] += log_suffix[:, :, 0].sum(2)
        border = self._border(dweights, half).permute(0, 3, 1, 2).flatten(0, 1)
        dright = torch.bmm(border, left_k.flatten(0, 1)).view_as(right_q)
        dleft = torch.bmm(border.mT, right_q.flatten(0, 1)).view_as(left_k)
        dq[:, :, 1].addcmul_(dright, right)
        dk[:, :, 0].addcmul_(dleft, left)
        log_prefix[:, :, 1].addcmul_(dright, right_q)
        log_suffix[:, :, 0].addcmul_(dleft, left_k)

    def _halves(self, x: Tensor, half: int) -> Tensor:
        """(N, Q, K) as (N, blocks, 2, half, K)."""
        return x.view(len(x), -1, 2, half, x.shape[2])

    def _border(self, weights: Tensor, half: int) -> Tensor:
        """The weights of right halves' steps for left halves' steps of the same block: (N, half, half, blocks)."""
        blocks = self.steps // (2 * half)
        parts = weights.view(len(weights), blocks, 2, half, blocks, 2, half)
        return parts[:, :, 1, :, :, 0].diagonal(dim1=1, dim2=3)

    def _headed(self, x: Tensor) -> Tensor:
        """(R, C, Q, H, W) as (R C H, Q, W)."""
        return x.transpose(2, 3).reshape(-1, self.steps, x.shape[-1])

    def _timed(self, x: Tensor) -> Tensor:
        return x.view(self.rows, self.chunks, self.heads, self.steps, -1).transpose(2, 3)

    def _states(self, x: Tensor) -> Tensor:
        """(R C H, K, V) as (R, C, H, K, 1, V)."""
        return x.view(self.rows, self.chunks, self.heads, -1, 1, self.width)

    def _flat(self, states: Tensor) -> Tensor:
        return states.reshape(-1, states.shape[3], self.width)
