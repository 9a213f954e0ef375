"""EinFFT as its formula: transform, two complex layers within each block, shrink, transform back."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from seqsuite.ops._operands import compute_dtype


def spectrum(x: Tensor, blocks: int) -> Tensor:
    """Return the transform over steps and blocks of an input (B, L, G K): complex (B, L, G, K)."""
    return torch.fft.fft2(x.to(compute_dtype(x)).unflatten(-1, (blocks, -1)), dim=(1, 2), norm="ortho")


def einfft_reference(
    x: Tensor, weight1: Tensor, bias1: Tensor, weight2: Tensor, bias2: Tensor, threshold: float
) -> Tensor:
    """Return y (B, L, G K) for weights (2, G, K, M), (2, G, M, K) and biases (2, G, M), (2, G, K)."""
    (W1, b1, W2, b2) = (m.to(compute_dtype(x)) for m in (weight1, bias1, weight2, bias2))
    X = spectrum(x, weight1.shape[1])
    real = F.relu(_product(X.real, W1[0]) - _product(X.imag, W1[1]) + b1[0])
    imag = F.relu(_product(X.real, W1[1]) + _product(X.imag, W1[0]) + b1[1])
    Y_real = F.softshrink(_product(real, W2[0]) - _product(imag, W2[1]) + b2[0], threshold)
    Y_imag = F.softshrink(_product(real, W2[1]) + _product(imag, W2[0]) + b2[1], threshold)
    y = torch.fft.ifft2(torch.complex(Y_real, Y_imag), dim=(1, 2), norm="ortho").real
    return y.flatten(-2).to(x.dtype)


def _product(X: Tensor, W: Tensor) -> Tensor:
    """Multiply (B, L, G, K) by each block's own matrix (G, K, M)."""
    return torch.einsum("blgk,gkm->blgm", X, W)
