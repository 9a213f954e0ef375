"""One tile of chunks with one decay a head: products of decays, then matrix products.

Within a chunk, with D_ij the product of the decays behind step j up to step i (1 for i = j),

    o_i = prefix_i q_i S + sum_{j <= i} D_ij (q_i . k_j) v_j,      S' = total S + sum_j suffix_j k_j v_j

where prefix_i is the product from the chunk's first step up to i, suffix_j = D_{Q-1, j}. D grows row by
row, D_i = a_i D_{i-1}: no exponentials of differences of sums, so decays that underflow or are exactly
zero cost no accuracy elsewhere. What goes from chunk to chunk is the exponential of a sum: over many chunks
the rounding of each decay would add up. Axes: R rows, C chunks, G groups, P heads a group, Q steps.
"""

from __future__ import annotations

import torch
from torch import Tensor

from seqsuite.ops._recurrence import _chain_products


class ScalarTile:
    """What a tile is made of; `total` is (R, C, G, 1, P, 1)."""

    def __init__(self, q: Tensor, k: Tensor, v: Tensor, g: Tensor) -> None:
        """Take q, k (R, C, Q, G, K), v (R, C, Q, G, P, V) and g (R, C, Q, G, P), views in any memory order."""
        self.rows, self.chunks, self.steps, self.groups, self.per, self.width = v.shape
        self.v = v
        self.q, self.k = (x.transpose(2, 3).reshape(-1, self.steps, x.shape[-1]) for x in (q, k))
        self.decay = torch.exp(g.permute(0, 1, 3, 4, 2)).contiguous()  # (R, C, G, P, Q)
        self.matrix = decay_matrix(self.decay.view(-1, self.steps))
        behind = torch.cat((g[:, :, 1:], torch.zeros_like(g[:, :, :1])), 2).flip(2).cumsum(2).flip(2)
        prefix = torch.exp(g.cumsum(2)).unsqueeze(-1)
        self.prefix, self.suffix = prefix, torch.exp(behind).unsqueeze(-1)  # (R, C, Q, G, P, 1)
        self.total = prefix[:, :, -1].unsqueeze(3)
        self.scores = torch.bmm(self.q, self.k.mT).tril_()
        self.kept = self._grouped(v, self.suffix)

    def increments(self) -> Tensor:
        """Return what the chunks add to the state (R, C, G, K, P, V)."""
        return self._states(torch.bmm(self.k.mT, self.kept))

    def output(self, starts: Tensor, out: Tensor) -> None:
        """Fill o (R, C, Q, G, P, V) for the states at the chunks' starts."""
        read = self._timed(torch.bmm(self.q, self._flat(starts)))
        inside = torch.bmm(self._weights(), self._headed(self.v))
        torch.addcmul(self._unheaded(inside), read, self.prefix, out=out)

    def readings(self, dy: Tensor) -> Tensor:
        """Return the gradient of the chunks' starts through their outputs."""
        self.dy = dy
        self.asked = self._grouped(dy, self.prefix)
        return self._states(torch.bmm(self.q.mT, self.asked))

    def gradients(self, starts: Tensor, ends: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the gradients of q, k, v, g, given `readings`, the starts and the gradients of the ends."""
        flat_starts, flat_ends = self._flat(starts), self._flat(ends)
        dy, v = self._headed(self.dy), self._headed(self.v)
        weights = self._weights()
        dv = torch.bmm(weights.mT, dy)
        dweights = torch.bmm(dy, v.mT)
        g_log = self._within(weights.mul_(dweights))
        dscores = dweights.mul_(self.matrix).view(-1, self.per, self.steps, self.steps).sum(1).tril_()
        dq = torch.baddbmm(torch.bmm(self.asked, flat_starts.mT), dscores, self.k)
        dk = torch.baddbmm(torch.bmm(self.kept, flat_ends.mT), dscores.mT, self.q)
        kept = self._timed(torch.bmm(self.k, flat_ends))
        read = self._timed(torch.bmm(self.q, flat_starts))
        to_prefix = (self._timed(self.asked) * read).sum(-1)  # (R, C, Q, G, P)
        to_suffix = (self._timed(self.kept) * kept).sum(-1)
        to_total = self.total[:, :, :, 0, :, 0] * (starts * ends).sum((3, 5))
        # A prefix holds the decays up to its step, a suffix those behind it, the total all of them.
        g_log += to_prefix
        g_log = g_log.flip(2).cumsum(2).flip(2) + to_total[:, :, None]
        g_log[:, :, 1:] += to_suffix.cumsum(2)[:, :, :-1]
        g_log.masked_fill_((self.decay == 0).permute(0, 1, 4, 2, 3), 0)
        dv = torch.addcmul(self._unheaded(dv), kept, self.suffix)
        return self._ungrouped(dq), self._ungrouped(dk), dv, g_log

    def _within(self, products: Tensor) -> Tensor:
        """Return, by step (R, C, Q, G, P), how many more weights end there than begin there, in log-gradient.

        `products` (N, Q, Q) are the weights times their gradients. The diagonal holds no decay: with it, the
        two sums would cancel to rounding errors where decays are strong.
        """
        products.diagonal(dim1=1, dim2=2).zero_()
        change = products.sum(2) - products.sum(1)
        return change.view(self.decay.shape).permute(0, 1, 4, 2, 3)

    def _weights(self) -> Tensor:
        """Return D times scores, (R C G P, Q, Q); above the diagonal the scores are zero."""
        by_group = self.matrix.view(-1, self.per, self.steps, self.steps)
        return (by_group * self.scores.unsqueeze(1)).view(-1, self.steps, self.steps)

    def _grouped(self, x: Tensor, factor: Tensor) -> Tensor:
        """Return x times factor, both (R, C, Q, G, P, ...), as (R C G, Q, P V)."""
        out = x.new_empty(self.rows, self.chunks, self.groups, self.steps, self.per, self.width)
        torch.mul(x, factor, out=out.transpose(2, 3))
        return out.view(-1, self.steps, self.per * self.width)

    def _timed(self, x: Tensor) -> Tensor:
        """(R C G, Q, P V) as (R, C, Q, G, P, V)."""
        shape = (self.rows, self.chunks, self.groups, self.steps, self.per, self.width)
        return x.view(shape).transpose(2, 3)

    def _headed(self, x: Tensor) -> Tensor:
        """(R, C, Q, G, P, V) as (R C G P, Q, V)."""
        return x.permute(0, 1, 3, 4, 2, 5).reshape(-1, self.steps, self.width)

    def _unheaded(self, x: Tensor) -> Tensor:
        shape = (self.rows, self.chunks, self.groups, self.per, self.steps, self.width)
        return x.view(shape).permute(0, 1, 4, 2, 3, 5)

    def _ungrouped(self, x: Tensor) -> Tensor:
        """(R C G, Q, K) as (R, C, Q, G, K)."""
        return x.view(self.rows, self.chunks, self.groups, self.steps, -1).transpose(2, 3)

    def _states(self, x: Tensor) -> Tensor:
        """(R C G, K, P V) as (R, C, G, K, P, V)."""
        return x.view(self.rows, self.chunks, self.groups, -1, self.per, self.width)

    def _flat(self, states: Tensor) -> Tensor:
        return states.reshape(-1, states.shape[3], self.per * self.width)


def decay_matrix(decay: Tensor) -> Tensor:
    """Return D (N, Q, Q) of decays (N, Q); what lies above the diagonal is finite and means nothing."""
    steps = decay.shape[1]
    matrix = decay.unsqueeze(2).expand(-1, -1, steps).clone(memory_format=torch.contiguous_format)
    matrix.diagonal(dim1=1, dim2=2).fill_(1)
    rows = matrix.unbind(1)
    _chain_products(
        [row[:, :i] for i, row in enumerate(rows)][2:], [row[:, : i + 1] for i, row in enumerate(rows)][1:-1]
    )
    return matrix
