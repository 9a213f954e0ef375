"""One tile of chunks with one decay a head, none of them strong: decays become factors of values and outputs.

With s_i the sum of the chunk's log decays up to step i and m half of the chunk's whole sum, the decays between two
steps are the product of exp(s_i - m) and exp(m - s_j), whatever is between them, so within a chunk

    o_i = exp(s_i - m) (q_i E + sum_{j <= i} (q_i . k_j) w_j),   w_j = exp(m - s_j) v_j,   E = exp(m) S
    S'  = exp(m) (E + sum_j k_j w_j)

and every product is one of whole groups of heads; no matrix of decays is made. Both factors are rounded once, so
their product is as accurate as a decay of its own, as long as neither over- nor underflows: `LIMIT` bounds s.
Sums are taken in float64. Axes: R rows, C chunks, G groups, P heads a group, Q steps, N = R G.
"""

from __future__ import annotations

import torch
from torch import Tensor

LIMIT = 80.0
"""Sum of the log decays of a chunk, without sign, up to which this form is used; the factors are at most exp(40)."""


def weak_chunks(g: Tensor, chunk: int) -> Tensor:
    """Return for every row of g (B, L, H) and chunk whether its decays are weak for all heads, (B, chunks)."""
    padded = torch.nn.functional.pad(g.detach(), (0, 0, 0, -g.shape[1] % chunk))
    return (padded.unflatten(1, (-1, chunk)).abs().sum(2, dtype=torch.float32) <= LIMIT).all(2)


class WeakTile:
    """What a tile is made of."""

    def __init__(self, q: Tensor, k: Tensor, v: Tensor, g: Tensor) -> None:
        """Take q, k (R, C, Q, G, K), v (R, C, Q, G, P, V) and g (R, C, Q, G, P), views in any memory order."""
        self.rows, self.chunks, self.steps, self.groups, self.per, self.width = v.shape
        self.v = v
        self.q, self.k = (x.permute(1, 0, 3, 2, 4).reshape(-1, self.steps, x.shape[-1]) for x in (q, k))
        sums = g.cumsum(2, dtype=torch.float64)
        middle = sums[:, :, -1:] / 2
        sums -= middle
        self.prefix, self.suffix = (torch.exp(x).to(v.dtype).unsqueeze(-1) for x in (sums, -sums))
        middle = middle.reshape(self.rows, self.chunks, self.groups, 1, self.per, 1)
        self.enter = torch.exp(middle).to(v.dtype)
        # Their product is rounded once, or the rounding of two would add up from chunk to chunk.
        self.leave = (torch.exp(2 * middle) / self.enter.double()).to(v.dtype)
        self.scores = torch.bmm(self.q, self.k.mT).tril_()

    def run(self, states: Tensor, out: Tensor, keep: bool) -> None:
        """Fill o (R, C, Q, G, P, V) and the states (C + 1, R, G, K, P, V) behind the chunks, given the first.

        Unless to `keep` all of them, only the last one is filled. The state stays where it is and in the cache.
        """
        state = self._empty(self.q.shape[2], 1)[0]
        kept, read = self._empty(self.steps, 2)
        state_heads, kept_heads, read_heads = self._states(state), self._timed(kept), self._timed(read)
        between = torch.cat((self.enter[:, :1], self.enter[:, 1:] * self.leave[:, :-1]), 1)
        per_chunk = (x.unflatten(0, (self.chunks, -1)).unbind(0) for x in (self.q, self.k.mT, self.scores))
        by_chunk = (x.unbind(1) for x in (self.v, self.suffix, self.prefix, between, self.leave, out))
        ends = states[1:].unbind(0) if keep else [None] * (self.chunks - 1) + [states[-1]]
        state_heads.copy_(states[0])
        for q, k, scores, v, suffix, prefix, factor, leave, o, end in zip(*per_chunk, *by_chunk, ends, strict=True):
            torch.mul(v, suffix, out=kept_heads)
            state_heads.mul_(factor)
            torch.bmm(q, state, out=read)
            read.baddbmm_(scores, kept)
            torch.mul(read_heads, prefix, out=o)
            state.baddbmm_(k, kept)
            if end is not None:
                torch.mul(state_heads, leave, out=end)

    def gradients(self, starts: Tensor, dy: Tensor, dstate: Tensor, dv: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients of q, k, g and fill dv; `dstate` goes from that of the last state to the first's.

        The diagonal of the weights has no decay: it stays out of the gradients of decays, where it would cancel
        to rounding errors.
        """
        kept, asked = self._scaled(self.v, self.suffix), self._scaled(dy, self.prefix)
        states, ends, through = self._carry_back(starts, asked, dstate)
        strict = self.scores.tril(-1)
        work = torch.bmm(self.q, states).baddbmm_(strict, kept)
        rows = self._sums(work.mul_(asked))
        dkept = torch.bmm(self.k, ends)
        to_end = self._sums(torch.mul(dkept, kept, out=work))
        torch.bmm(strict.mT, asked, out=work)
        dkept += work
        columns = self._sums(work.mul_(kept))
        dg = (rows - columns).flip(2).cumsum(2).flip(2) + through.unsqueeze(2)
        dg[:, :, 1:] += to_end.cumsum(2)[:, :, :-1]
        own = self.scores.diagonal(dim1=1, dim2=2).unsqueeze(-1)
        torch.mul(self._tiled(dkept).transpose(2, 3), self.suffix, out=dv)
        dv.addcmul_(dy, self._tiled(own, 1).transpose(2, 3))
        dscores = torch.bmm(asked, kept.mT).tril_()
        dq = torch.bmm(asked, states.mT).baddbmm_(dscores, self.k)
        dk = torch.bmm(kept, ends.mT).baddbmm_(dscores.mT, self.q)
        dq, dk = (self._tiled(x, 1).squeeze(4).transpose(2, 3) for x in (dq, dk))
        return dq, dk, dg

    def _carry_back(self, starts: Tensor, asked: Tensor, dstate: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return what the chunks' queries read, E, the gradient of what leaves them, both (C N, K, P V), and more.

        The third is how much the outputs owe to the states that pass through the whole chunk, (R, C, G, P).
        """
        states, ends = self._empty(self.q.shape[2], self.chunks), self._empty(self.q.shape[2], self.chunks)
        torch.mul(starts, self.enter, out=self._tiled(states.flatten(0, 1)))
        more = torch.bmm(self.q.mT, asked).view_as(ends)
        for i in range(self.chunks - 1, -1, -1):
            torch.mul(dstate, self.leave[:, i], out=self._states(ends[i]))
            torch.mul(self._states(more[i].add_(ends[i])), self.enter[:, i], out=dstate)
        through = self._tiled(torch.mul(states, ends, out=more).flatten(0, 1)).sum((3, 5))
        return states.flatten(0, 1), ends.flatten(0, 1), through

    def _empty(self, size: int, count: int) -> Tensor:
        return self.v.new_empty(count, self.rows * self.groups, size, self.per * self.width)

    def _scaled(self, x: Tensor, factor: Tensor) -> Tensor:
        """Return x times factor, both (R, C, Q, G, P, ...), as (C N, Q, P V)."""
        out = self._empty(self.steps, self.chunks).flatten(0, 1)
        torch.mul(x, factor, out=self._tiled(out).transpose(2, 3))
        return out

    def _sums(self, x: Tensor) -> Tensor:
        """Return the sums over the values of (C N, Q, P V) as (R, C, Q, G, P)."""
        return self._tiled(x).sum(-1).transpose(2, 3)

    def _tiled(self, x: Tensor, per: int | None = None) -> Tensor:
        """(C N, X, P W) as (R, C, G, X, P, W)."""
        return x.view(self.chunks, self.rows, self.groups, x.shape[1], per or self.per, -1).transpose(0, 1)

    def _states(self, x: Tensor) -> Tensor:
        """(N, K, P V) as (R, G, K, P, V)."""
        return x.view(self.rows, self.groups, -1, self.per, self.width)

    def _timed(self, x: Tensor) -> Tensor:
        """(N, Q, P V) as (R, Q, G, P, V)."""
        return self._states(x).transpose(1, 2)
