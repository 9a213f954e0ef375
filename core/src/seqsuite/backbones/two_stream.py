"""Two-stream attention with relative positions: the layers of XLNet (Yang et al. 2019).

https://arxiv.org/abs/1906.08237; the relative positions are Transformer-XL's, https://arxiv.org/abs/1901.02860.

The content stream h knows each token, the query stream g only where a token stands. Both ask the same keys and values,
those of h, so they run through a layer as one tensor: T rows of h, then P rows of g, (B, T + P, D).

    score(i, j) = ((q_i + r_w_bias) . k_j + (q_i + r_r_bias) . r(i - j) + segments) / sqrt(K)

g may be had at chosen positions only, which is what training on a few masked tokens needs. Parameters are named and
shaped as the published PyTorch models have them. In training the encodings of distances are dropped out once a batch,
not once a row, so that they are projected once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from seqsuite.backbones.mlp_block import _ACTIVATIONS, Activation


@dataclass(frozen=True)
class TwoStreamRows:
    """What all layers need to know of a batch.

    Attributes:
        length: T, rows of the content stream, which come first.
        distances: (G, R, D) encodings of the distances M + T down to 1 - T, R = M + 2 T of them, M memories; G is 1,
            or 2 where the second half of the batch reads from right to left.
        bias: (B or 1, N, M + T), added to the scores of the N rows: 0, or a large negative number where a row may not
            see a token; None: all see all.
        places: (B, P) positions of the query stream's rows; None: they are all T positions in order, or there is none.
        mapping: (B, P, T) in place of positions: weights with which a row stands at each position.
        other_segment: (B, N, M + T) True where a row and a token belong to different segments.
    """

    length: int
    distances: Tensor
    bias: Tensor | None = None
    places: Tensor | None = None
    mapping: Tensor | None = None
    other_segment: Tensor | None = None

    def queries_only(self) -> TwoStreamRows:
        """Return the same without the rows of the content stream."""
        cut = [None if part is None else part[:, self.length :] for part in (self.bias, self.other_segment)]
        return TwoStreamRows(self.length, self.distances, cut[0], self.places, self.mapping, cut[1])


def distance_encodings(
    length: int, memory: int, width: int, *, clamp: int = -1, both_ways: bool = False, like: Tensor
) -> Tensor:
    """Return sinusoids (G, R, D) of the distances M + T, ..., 1 - T: all sines, then all cosines.

    Args:
        length: T.
        memory: M, tokens in front of them.
        width: D.
        clamp: Distances beyond count as this one, where it is positive.
        both_ways: G = 2; the second ones are those of a reader from right to left.
        like: Gives device and dtype.
    """
    options: Any = {"device": like.device, "dtype": torch.float64 if like.dtype == torch.float64 else torch.float32}
    distance = torch.arange(memory + length, -length, -1, **options)
    if clamp > 0:
        distance = distance.clamp(-clamp, clamp)
    distances = torch.stack((distance, -distance)) if both_ways else distance[None]
    frequency = 1 / 10000 ** (torch.arange(0, width, 2, **options) / width)
    angle = distances[..., None] * frequency  # (G, R, ceil(D / 2))
    return torch.cat((angle.sin(), angle.cos()), -1)[..., :width].to(like.dtype)


class _Weights(torch.autograd.Function):
    """Attention weights (H, B, N, S) from the parts of the scores, in as few passes over (N, S) as there can be.

    The scores by distance (H, B, N, R) are read along their diagonals: row i wants the columns T - i, T - i + 1, ...,
    which is a view with a stride one shorter for the rows that stand in order, and a gather for the others.
    """

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any,
        q: Tensor,
        k: Tensor,
        by_distance: Tensor,
        segments: Tensor | None,
        bias: Tensor | None,
        length: int,
        places: Tensor | None,
    ) -> Tensor:
        scores = q.new_empty(*q.shape[:3], k.shape[2])
        for ours, theirs in _diagonals(scores, by_distance, length, places):
            ours.copy_(theirs)
        if places is not None:
            start = q.shape[2] - places.shape[1]
            scores[:, :, start:] = by_distance[:, :, start:].gather(3, _columns(places, length, scores))
        scores.flatten(0, 1).baddbmm_(q.flatten(0, 1), k.flatten(0, 1).mT)
        for part in (segments, bias):
            if part is not None:
                scores += part
        weights = torch.softmax(scores, -1)
        ctx.save_for_backward(q, k, weights, places)
        ctx.length, ctx.distances, ctx.segments = length, by_distance.shape[3], segments is not None
        return weights

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        q, k, weights, places = ctx.saved_tensors
        scores = torch._softmax_backward_data(grad.to(weights.dtype), weights, -1, weights.dtype).to(q.dtype)
        by_distance = scores.new_zeros(*scores.shape[:3], ctx.distances)
        for ours, theirs in _diagonals(scores, by_distance, ctx.length, places):
            theirs.copy_(ours)
        if places is not None:
            start = q.shape[2] - places.shape[1]
            rows = scores[:, :, start:]
            by_distance[:, :, start:].scatter_(3, _columns(places, ctx.length, scores), rows)
        flat = scores.flatten(0, 1)
        q_grad = torch.bmm(flat, k.flatten(0, 1)).view_as(q)
        k_grad = torch.bmm(flat.mT, q.flatten(0, 1)).view_as(k)
        return q_grad, k_grad, by_distance, scores if ctx.segments else None, None, None, None


def _diagonals(scores: Tensor, by_distance: Tensor, length: int, places: Tensor | None) -> list[tuple[Tensor, Tensor]]:
    """Return the blocks of T rows in order: of (H, B, N, S), and of (H, B, N, R) the view that belongs to it."""
    heads, batch, rows, width = by_distance.shape
    ordered = rows - (0 if places is None else places.shape[1])
    strides = (batch * rows * width, rows * width, width - 1, 1)
    size = (heads, batch, length, scores.shape[3])
    return [
        (scores[:, :, start : start + length], by_distance.as_strided(size, strides, start * width + length))
        for start in range(0, ordered, length)
    ]


def _columns(places: Tensor, length: int, scores: Tensor) -> Tensor:
    """Return which distance (H, B, P, S) each token has from rows at (B, P) positions."""
    columns = (length - places)[..., None] + torch.arange(scores.shape[3], device=places.device)
    return columns.expand(len(scores), -1, -1, -1)


class RelativeAttention(nn.Module):
    """Attention of both streams with residual and layer norm behind it.

    Args:
        d_model: Width D.
        n_head: Heads H; they divide D.
        dropout: On the attention weights and on the branch.
        layer_norm_eps: Of the layer norm.
    """

    def __init__(self, d_model: int, n_head: int, *, dropout: float, layer_norm_eps: float) -> None:
        super().__init__()
        self.n_head, self.d_head, self.rate = n_head, d_model // n_head, dropout
        shape = (d_model, n_head, self.d_head)
        self.q, self.k, self.v, self.o, self.r = (nn.Parameter(torch.empty(shape)) for _ in range(5))
        self.r_r_bias, self.r_s_bias, self.r_w_bias = (nn.Parameter(torch.empty(shape[1:])) for _ in range(3))
        self.seg_embed = nn.Parameter(torch.empty(2, *shape[1:]))
        self.layer_norm = nn.LayerNorm(d_model, eps=layer_norm_eps)

    def forward(self, rows: Tensor, content: Tensor, streams: TwoStreamRows) -> Tensor:
        """Attend.

        Args:
            rows: (B, N, D) that ask: the content stream, the query stream, or both.
            content: (B, M + T, D) that is asked: memories and the content stream.
            streams: About these rows.

        Returns:
            (B, N, D).
        """
        q = self._placed((rows @ self.q.flatten(1)).unflatten(-1, (self.n_head, -1)), streams)
        k, v = (self._heads(content @ weight.flatten(1)) for weight in (self.k, self.v))
        weights = self._weights(q, k, streams)
        weights = F.dropout(weights, self.rate, self.training)
        mixed = self._gathered(torch.matmul(weights, v).permute(1, 2, 0, 3), streams)  # (B, N, H, K)
        branch = F.linear(mixed.flatten(2), self.o.flatten(1))
        return self.layer_norm(F.dropout(branch, self.rate, self.training) + rows)

    def _weights(self, q: Tensor, k: Tensor, streams: TwoStreamRows) -> Tensor:
        """Return the attention weights (H, B, N, S) of queries (H, B, N, K) for keys (H, B, S, K)."""
        heads, batch, rows, width = q.shape
        scale = 1 / math.sqrt(width)

        def biased(bias: Tensor) -> Tensor:
            return torch.add((bias * scale).to(q.dtype)[:, None, None], q, alpha=scale)

        distances = streams.distances
        far = (distances.to(self.r.dtype) @ self.r.flatten(1)).unflatten(-1, (heads, width))  # (G, R, H, K)
        asked = biased(self.r_r_bias).view(heads, len(distances), batch * rows // len(distances), width)
        by_distance = torch.matmul(asked, far.permute(2, 0, 3, 1)).view(heads, batch, rows, far.shape[1])
        segments = None
        if streams.other_segment is not None:
            each = torch.matmul(biased(self.r_s_bias), self.seg_embed.to(q.dtype).permute(1, 2, 0)[:, None])
            segments = torch.where(streams.other_segment, each[..., 1:], each[..., :1])
        return _Weights.apply(
            biased(self.r_w_bias), k, by_distance, segments, streams.bias, streams.length, streams.places
        )

    def _heads(self, x: Tensor) -> Tensor:
        """(B, S, H K) to (H, B, S, K)."""
        return x.unflatten(-1, (self.n_head, -1)).permute(2, 0, 1, 3).contiguous()

    def _placed(self, q: Tensor, streams: TwoStreamRows) -> Tensor:
        """Queries (B, N, H, K) as (H, B, N, K); through a mapping, the query stream's rows become T."""
        if streams.mapping is None:
            return q.permute(2, 0, 1, 3).contiguous()
        start = q.shape[1] - streams.mapping.shape[1]
        moved = torch.einsum("bphk,bpt->hbtk", q[:, start:], streams.mapping.to(q.dtype))
        return torch.cat((q[:, :start].permute(2, 0, 1, 3), moved), 2)

    def _gathered(self, mixed: Tensor, streams: TwoStreamRows) -> Tensor:
        """Undo `_placed` behind the attention: (B, T + T, H, K) to (B, T + P, H, K) through a mapping."""
        if streams.mapping is None:
            return mixed
        start = mixed.shape[1] - streams.mapping.shape[2]
        back = torch.einsum("bthk,bpt->bphk", mixed[:, start:], streams.mapping.to(mixed.dtype))
        return torch.cat((mixed[:, :start], back), 1)


class FeedForward(nn.Module):
    """Two linear layers, residual and layer norm.

    Args:
        d_model: Width D.
        d_inner: Width between the layers.
        activation: Between them.
        dropout: Behind each of them.
        layer_norm_eps: Of the layer norm.
    """

    def __init__(
        self, d_model: int, d_inner: int, *, activation: Activation, dropout: float, layer_norm_eps: float
    ) -> None:
        super().__init__()
        self.rate, self.activation = dropout, activation
        self.layer_norm = nn.LayerNorm(d_model, eps=layer_norm_eps)
        self.layer_1 = nn.Linear(d_model, d_inner)
        self.layer_2 = nn.Linear(d_inner, d_model)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., D) to (..., D)."""
        inner = F.dropout(_ACTIVATIONS[self.activation](self.layer_1(x)), self.rate, self.training)
        return self.layer_norm(F.dropout(self.layer_2(inner), self.rate, self.training) + x)


class TwoStreamLayer(nn.Module):
    """Attention and feed-forward over both streams; arguments as those of its two parts."""

    def __init__(
        self, d_model: int, n_head: int, d_inner: int, *, activation: Activation, dropout: float, layer_norm_eps: float
    ) -> None:
        super().__init__()
        self.rel_attn = RelativeAttention(d_model, n_head, dropout=dropout, layer_norm_eps=layer_norm_eps)
        self.ff = FeedForward(d_model, d_inner, activation=activation, dropout=dropout, layer_norm_eps=layer_norm_eps)

    def forward(
        self, rows: Tensor, streams: TwoStreamRows, memory: Tensor | None = None, *, queries_only: bool = False
    ) -> Tensor:
        """Run the layer.

        Args:
            rows: (B, T + P, D), the content stream's rows first.
            streams: About these rows.
            memory: (B, M, D) content of the tokens before.
            queries_only: The content stream is asked but not continued.

        Returns:
            (B, T + P, D), or (B, P, D) of the query stream only.
        """
        content = rows[:, : streams.length]
        if memory is not None:
            content = torch.cat((memory.to(content.dtype), content), 1)
        if queries_only:
            rows, streams = rows[:, streams.length :], streams.queries_only()
        return self.ff(self.rel_attn(rows, content, streams))
