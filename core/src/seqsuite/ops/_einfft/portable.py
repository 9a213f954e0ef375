"""EinFFT over half of the frequencies, its complex products as real matrix products, block by block.

The input is real, so X at minus a frequency is the conjugate of X there; of the output only the real
part is kept, so what counts is Y at a frequency plus the conjugate of Y at minus that frequency. Both
come from the same X: the second takes the weights of the mirrored block, with the signs of the two
conjugations put into the weights (softshrink is odd). So real FFTs serve, at half the work and memory.
Complex numbers lie as pairs (re, im); a complex matrix (K, M) is a real one (2 K, 2 M).

The backward pass keeps the half spectrum of the input alone and makes the hidden layers anew.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from seqsuite.ops._operands import compute_dtype

_aten = torch.ops.aten


class _Layers(NamedTuple):
    """Both layers as real matrices."""

    W1: Tensor  # (G, 2 K, 2 M)
    b1: Tensor  # (G, 1, 2 M)
    W2: Tensor  # (G, 2 M, 2 K)
    b2: Tensor  # (G, 1, 2 K)


def forward(
    x: Tensor, weight1: Tensor, bias1: Tensor, weight2: Tensor, bias2: Tensor, threshold: float, keep: bool
) -> tuple[Tensor, Tensor]:
    """Return y (B, L, G K), and if `keep` the half spectrum (B, L // 2 + 1, G, K) of the input, else empty."""
    X = _transform(x, weight1.shape[1])
    flat = _by_block(X)
    total: Tensor | None = None
    for mirrored in (False, True):
        _, z = _hidden(flat, _layers(x, weight1, bias1, weight2, bias2, mirrored))
        z = _aten.softshrink.out(z, threshold, out=z)
        total = z if total is None else total.add_(z)
    assert total is not None
    y = _transform_back(_by_step(total.mul_(0.5), X), x)
    return y, X if keep else X.new_empty(0)


def backward(
    dy: Tensor,
    x: Tensor,
    weight1: Tensor,
    bias1: Tensor,
    weight2: Tensor,
    bias2: Tensor,
    X: Tensor,
    threshold: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return the gradients of x, the weights and the biases. A spectrum X that is empty is made anew."""
    X = X if X.numel() else _transform(x, weight1.shape[1])
    flat = _by_block(X)
    # A frequency within the half counts twice in the output, the first (and for even L the last) once.
    dY = _transform(dy, weight1.shape[1], compute_dtype(x))
    dY = _by_block(_scale_ends(dY, x.shape[1], 0.5))
    dX = torch.zeros_like(flat)
    grads: list[Tensor] = []
    for mirrored in (False, True):
        layers = _layers(x, weight1, bias1, weight2, bias2, mirrored)
        h, z = _hidden(flat, layers)
        dz = dY.masked_fill(z.abs() <= threshold, 0)
        dh = torch.bmm(dz, layers.W2.mT).masked_fill_(h <= 0, 0)
        dX.baddbmm_(dh, layers.W1.mT)
        found = (torch.bmm(flat.mT, dh), dh.sum(1, True), torch.bmm(h.mT, dz), dz.sum(1, True))
        parts = _pairs_of(_Layers(*found), mirrored)
        grads = [a + b for a, b in zip(grads, parts, strict=True)] if grads else parts
    dx = _transform_back(_scale_ends(_by_step(dX, X).mul_(0.5), x.shape[1], 2.0), x)
    return dx, *(g.to(w.dtype) for g, w in zip(grads, (weight1, bias1, weight2, bias2), strict=True))  # type: ignore


def _transform(x: Tensor, blocks: int, dtype: torch.dtype | None = None) -> Tensor:
    """Return the half spectrum (B, L // 2 + 1, G, K) of (B, L, G K)."""
    real = x.to(dtype or compute_dtype(x)).unflatten(-1, (blocks, -1))
    return torch.fft.rfftn(real, dim=(2, 1), norm="ortho")


def _transform_back(Y: Tensor, like: Tensor) -> Tensor:
    """Return (B, L, G K) in the input's dtype."""
    y = torch.fft.irfftn(Y, s=(Y.shape[2], like.shape[1]), dim=(2, 1), norm="ortho")
    return y.reshape(like.shape).to(like.dtype, memory_format=torch.contiguous_format)


def _scale_ends(Y: Tensor, length: int, factor: float) -> Tensor:
    """Scale, in place, the frequencies that are their own mirror image."""
    Y[:, 0].mul_(factor)
    if length % 2 == 0:
        Y[:, -1].mul_(factor)
    return Y


def _by_block(X: Tensor) -> Tensor:
    """Bring (B, F, G, K) complex into (G, B F, 2 K) real."""
    return torch.view_as_real(X).flatten(-2).flatten(0, 1).transpose(0, 1).contiguous()


def _by_step(Y: Tensor, like: Tensor) -> Tensor:
    """Bring (G, B F, 2 K) real into (B, F, G, K) complex."""
    pairs = Y.transpose(0, 1).reshape(*like.shape, 2)
    return torch.view_as_complex(pairs)


def _hidden(X: Tensor, layers: _Layers) -> tuple[Tensor, Tensor]:
    """Return the hidden layer (G, B F, 2 M) behind its relu, and the second (G, B F, 2 K) before shrinking."""
    h = torch.baddbmm(layers.b1, X, layers.W1).relu_()
    return h, torch.baddbmm(layers.b2, h, layers.W2)


def _layers(x: Tensor, weight1: Tensor, bias1: Tensor, weight2: Tensor, bias2: Tensor, mirrored: bool) -> _Layers:
    """Return the layers as real matrices; `mirrored`: those that take X to the conjugate of Y at minus it."""
    dtype = compute_dtype(x)
    W1, W2 = _matrix(weight1.to(dtype)), _matrix(weight2.to(dtype))
    b1, b2 = (b.to(dtype).permute(1, 2, 0).flatten(1)[:, None] for b in (bias1, bias2))
    layers = _Layers(W1, b1, W2, b2)
    return _mirror(layers) if mirrored else layers


def _mirror(layers: _Layers) -> _Layers:
    """Take each block's opposite, conjugate what goes in and what comes out. Its own inverse."""
    W1, b1, W2, b2 = (torch.cat((m[:1], m[1:].flip(0))) for m in layers)
    W1[:, 1::2].neg_()
    W2[:, :, 1::2].neg_()
    b2[:, :, 1::2].neg_()
    return _Layers(W1, b1, W2, b2)


def _matrix(W: Tensor) -> Tensor:
    """Return complex matrices given as (2, G, K, M) as real ones (G, 2 K, 2 M) on pairs (re, im)."""
    real, imag = W
    rows = torch.stack((torch.stack((real, imag), -1), torch.stack((-imag, real), -1)), 2)  # (G, K, 2, M, 2)
    return rows.flatten(3).flatten(1, 2)


def _pairs_of(grads: _Layers, mirrored: bool) -> list[Tensor]:
    """Return gradients of the real matrices as gradients of the (2, ...) weights and biases."""
    W1, b1, W2, b2 = _mirror(grads) if mirrored else grads

    def weight(d: Tensor) -> Tensor:
        d = d.unflatten(2, (-1, 2)).unflatten(1, (-1, 2))  # (G, K, 2, M, 2)
        return torch.stack((d[:, :, 0, :, 0] + d[:, :, 1, :, 1], d[:, :, 0, :, 1] - d[:, :, 1, :, 0]))

    bias1, bias2 = (b[:, 0].unflatten(1, (-1, 2)).permute(2, 0, 1).contiguous() for b in (b1, b2))
    return [weight(W1), bias1, weight(W2), bias2]
