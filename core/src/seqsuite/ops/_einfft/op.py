"""The public `einfft`: checks, choice of path, registration and gradient."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from seqsuite.ops._debug import watched
from seqsuite.ops._dispatch import Operator, add_operator, choose
from seqsuite.ops._einfft import portable
from seqsuite.ops._einfft.reference import einfft_reference, spectrum
from seqsuite.ops._operands import require_floating
from seqsuite.ops._registration import once, register

_NO_KERNEL = "einfft has no Triton kernel; on a GPU the portable path runs it on cuFFT and batched matrix products"


@watched
def einfft(
    x: Tensor,
    weight1: Tensor,
    bias1: Tensor,
    weight2: Tensor,
    bias2: Tensor,
    *,
    threshold: float = 0.01,
    backend: str | None = None,
) -> Tensor:
    r"""Mix channels in the frequency domain (EinFFT of SiMBA, https://arxiv.org/abs/2403.15360).

    The D channels are G blocks of K. With the unitary transform over steps and blocks (channels within a block
    are not transformed), frequency f of the steps and g of the blocks:

    .. math::
        X = \mathrm{FFT}_{l,g}(x), \quad
        H_{f,g} = \mathrm{relu}(X_{f,g} W^1_g + b^1_g), \quad
        Y_{f,g} = \mathrm{shrink}_\lambda(H_{f,g} W^2_g + b^2_g), \quad
        y = \mathrm{Re}\,\mathrm{FFT}^{-1}_{l,g}(Y)

    relu and :math:`\mathrm{shrink}_\lambda(v) = \mathrm{sign}(v) \max(|v| - \lambda, 0)` act on real and imaginary
    parts apart. Every step sees every other: the operator is not causal, has no state, and takes no padding
    (a padded row would have other frequencies: run rows of one length together). Computed in float32 (float64
    if `x` is float64), returned in the dtype of `x`. Differentiable once in every tensor.

    Args:
        x: Input (B, L, D).
        weight1: First layer, real parts and imaginary parts (2, G, K, M), with G K = D.
        bias1: Its bias (2, G, M).
        weight2: Second layer (2, G, M, K).
        bias2: Its bias (2, G, K).
        threshold: The shrinkage, at least 0.
        backend: "reference" or "portable"; None chooses. There is no Triton path.

    Returns:
        y (B, L, D).

    Raises:
        TypeError: If an operand is not floating-point, or complex.
        ValueError: If shapes do not fit, there is no step, or the threshold is negative.
        seqsuite.errors.UserError: If the backend asked for cannot serve the call.
    """
    _check(x, weight1, bias1, weight2, bias2, threshold)
    path = choose(_OPERATOR, x.device.type, x.dtype, _sizes(x, weight1), backend).backend
    if x.numel() == 0:  # there is no transform of nothing; the gradients are zeros
        return x * torch.stack([m.sum().to(x.dtype) for m in (weight1, bias1, weight2, bias2)]).sum()
    if path == "reference":
        return einfft_reference(x, weight1, bias1, weight2, bias2, threshold)
    return _EinFFT.apply(x, weight1, bias1, weight2, bias2, threshold)


def einfft_spectrum(x: Tensor, blocks: int) -> Tensor:
    """Return what `einfft` sees of its input: the unitary transform over steps and blocks.

    Args:
        x: Input (B, L, D).
        blocks: G, which divides D.

    Returns:
        Complex (B, L, G, D / G).

    Raises:
        TypeError: If `x` is not floating-point, or complex.
        ValueError: If `x` is not (B, L, D), there is no step, or D is no multiple of the blocks.
    """
    require_floating({"x": x})
    if x.ndim != 3 or x.shape[1] == 0 or blocks < 1 or x.shape[2] % blocks:
        raise ValueError(f"x must be (B, L, D) with L > 0 and D a multiple of {blocks} blocks, got {tuple(x.shape)}")
    return spectrum(x, blocks)


class _EinFFT(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *args: Any) -> Tensor:
        *operands, threshold = args
        y, X = _forward(*operands, threshold, any(ctx.needs_input_grad))
        ctx.threshold = threshold
        ctx.save_for_backward(*operands, X)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors  # once: what recomputes activations refuses a second look
        with torch.no_grad():
            grads = _backward(dy, *saved, ctx.threshold)
        needed = (g if need else None for g, need in zip(grads, ctx.needs_input_grad, strict=False))
        return *once("einfft", saved[:5], needed), None


def _fake_forward(x: Tensor, weight1: Tensor, *args: Any) -> tuple[Tensor, Tensor]:
    keep = args[-1]
    groups, size = weight1.shape[1:3]
    kind = torch.complex128 if x.dtype == torch.float64 else torch.complex64
    shape = (x.shape[0], x.shape[1] // 2 + 1, groups, size) if keep else (0,)
    return torch.empty(x.shape, dtype=x.dtype, device=x.device), torch.empty(shape, dtype=kind, device=x.device)


def _fake_backward(dy: Tensor, *args: Any) -> tuple[Tensor, ...]:
    return tuple(torch.empty(x.shape, dtype=x.dtype, device=x.device) for x in args[:5])


_OPERANDS = "Tensor x, Tensor weight1, Tensor bias1, Tensor weight2, Tensor bias2"
_forward = register(
    f"einfft_fwd({_OPERANDS}, float threshold, bool keep) -> (Tensor, Tensor)", portable.forward, _fake_forward
)
_backward = register(
    f"einfft_bwd(Tensor dy, {_OPERANDS}, Tensor X, float threshold) -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
    portable.backward,
    _fake_backward,
)


def _check(x: Tensor, weight1: Tensor, bias1: Tensor, weight2: Tensor, bias2: Tensor, threshold: float) -> None:
    """Raise TypeError unless all are floating-point, ValueError unless shapes fit and the threshold is one."""
    require_floating({"x": x, "weight1": weight1, "bias1": bias1, "weight2": weight2, "bias2": bias2})
    if x.ndim != 3 or x.shape[1] == 0:
        raise ValueError(f"x must be (B, L, D) with L > 0, got {tuple(x.shape)}")
    width = x.shape[2]
    if weight1.ndim != 4 or weight1.shape[0] != 2 or weight1.shape[1] * weight1.shape[2] != width:
        raise ValueError(f"weight1 must be (2, G, K, M) with G K = D = {width}, got {tuple(weight1.shape)}")
    _, groups, size, hidden = weight1.shape
    expected = {"bias1": (2, groups, hidden), "weight2": (2, groups, hidden, size), "bias2": (2, groups, size)}
    for (name, shape), given in zip(expected.items(), (bias1, weight2, bias2), strict=True):
        if given.shape != shape:
            raise ValueError(f"{name} must be {shape}, got {tuple(given.shape)}")
    if not 0 <= threshold < math.inf:
        raise ValueError(f"threshold must be at least 0 and finite, got {threshold}")


def _sizes(x: Tensor, weight1: Tensor, *_: Any, **__: Any) -> dict[str, int]:
    return {"length": x.shape[1], "width": x.shape[2], "blocks": weight1.shape[1]}


class _WithoutTriton(Operator):
    """An operator that has no Triton kernel, whatever is installed."""

    def refuse(self, backend: str, device: str, dtype: torch.dtype, sizes: dict[str, int]) -> str | None:
        """Return why `backend` cannot serve such a call, or None if it can."""
        return self.limit(sizes) if backend == "triton" else None


_OPERATOR = _WithoutTriton(
    "einfft", einfft, "block-diagonal complex MLP over frequencies", limit=lambda _: _NO_KERNEL, sizes=_sizes
)
add_operator(_OPERATOR)
