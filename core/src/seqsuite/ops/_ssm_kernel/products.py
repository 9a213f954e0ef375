"""The public products behind `ssm_kernel`: `vandermonde`, its transpose `power_sums`, and `cauchy`.

Checks, choice of path, registration and gradients. Complex tensors outside, pairs (..., 2) inside the
registered operators. The precision of the first operand decides that of the result; the exponents and
poles may be given in double precision beside it, which costs little and keeps long kernels accurate.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from seqsuite.ops._dispatch import Operator, add_operator, choose
from seqsuite.ops._operands import COMPLEX, require_dtypes, require_one_device
from seqsuite.ops._registration import by_path, once, register
from seqsuite.ops._ssm_kernel import reference

MAX_ROWS = 64
"""Rows of a Cauchy product that the Triton kernel takes."""


def vandermonde(c: Tensor, log_a: Tensor, length: int, *, backend: str | None = None) -> Tensor:
    r"""Sums of complex exponentials, the convolution kernel of a diagonal state space (S4D, arXiv 2206.11893).

    .. math::
        k_{l} = 2\,\mathrm{Re} \sum_{n} c_{n}\, e^{a_{n} l}, \qquad l = 0, \dots, L - 1

    Takes O(L N) operations and memory for the result and factors of about sqrt(L) steps: no (L, N) tensor.
    Differentiable once in c and log_a.

    Args:
        c: Weights (..., H, N), complex.
        log_a: Exponents a (H, N), complex, in radians a step; double precision keeps long kernels accurate.
        length: L.
        backend: "reference", "portable" or "triton"; None chooses.

    Returns:
        k (..., H, L), real, in the precision of `c`.

    Raises:
        TypeError: If an operand is not complex.
        ValueError: If shapes do not fit, or the length is below 1.
        seqsuite.errors.UserError: If the backend asked for cannot serve the call.
    """
    _check_pair("c", c, "log_a", log_a)
    if length < 1:
        raise ValueError(f"length must be at least 1, got {length}")
    path = choose(_VANDERMONDE, c.device.type, c.dtype, _vandermonde_sizes(c, log_a, length), backend).backend
    rows = _rows(c)
    if path == "reference" or c.numel() == 0:
        k = reference.vandermonde_reference(rows, log_a, length)
    else:
        k = _Vandermonde.apply(pairs(rows), pairs(log_a), length, path)
    return k.view(*c.shape[:-1], length)


def power_sums(u: Tensor, log_a: Tensor, *, backend: str | None = None) -> Tensor:
    r"""The transpose of `vandermonde`: the state that a sequence leaves in a diagonal state space.

    .. math::
        s_{n} = \sum_{l=0}^{L-1} u_{l}\, e^{a_{n} l}

    Differentiable once in u and log_a.

    Args:
        u: Numbers (..., H, L), real, float32 or float64.
        log_a: Exponents a (H, N), complex.
        backend: "reference", "portable" or "triton"; None chooses.

    Returns:
        s (..., H, N), complex, in the precision of `u`.

    Raises:
        TypeError: If `u` is not float32 or float64, or `log_a` not complex.
        ValueError: If shapes do not fit, or there is no step.
        seqsuite.errors.UserError: If the backend asked for cannot serve the call.
    """
    require_dtypes((torch.float32, torch.float64), {"u": u})
    require_dtypes(COMPLEX, {"log_a": log_a})
    require_one_device(u=u, log_a=log_a)
    if log_a.ndim != 2 or u.ndim < 2 or u.shape[-2] != log_a.shape[0] or u.shape[-1] == 0:
        raise ValueError(
            f"u must be (..., H, L) with L > 0 and log_a (H, N), got {tuple(u.shape)}, {tuple(log_a.shape)}"
        )
    sizes = {"state": log_a.shape[1], "double": int(u.dtype == torch.float64)}
    path = choose(_VANDERMONDE, u.device.type, u.dtype, sizes, backend).backend
    rows = _rows(u)
    if path == "reference" or u.numel() == 0 or log_a.numel() == 0:
        s = reference.power_sums_reference(rows, log_a)
    else:
        s = torch.view_as_complex(_PowerSums.apply(rows, pairs(log_a), path))
    return s.view(*u.shape[:-1], log_a.shape[1])


def cauchy(v: Tensor, z: Tensor, w: Tensor, *, backend: str | None = None) -> Tensor:
    r"""Sums of poles in conjugate pairs, the generating function of a diagonal state space (S4, arXiv 2111.00396).

    .. math::
        r(z) = \sum_{n} \frac{v_{n}}{z - w_{n}} + \frac{\bar v_{n}}{z - \bar w_{n}}

    Takes O(F N) operations and memory for the result and one cache-sized tile: no (F, N) tensor. Single precision
    holds for ``|z|``, ``|w|`` up to 10^9. Differentiable once in v and w.

    Args:
        v: Weights (..., H, N), complex.
        z: Points (F,), complex, without gradient.
        w: Poles (H, N), complex; z and w in double precision keep the differences accurate near a pole.
        backend: "reference", "portable" or "triton"; None chooses.

    Returns:
        r (..., H, F), complex, in the precision of `v`.

    Raises:
        TypeError: If an operand is not complex.
        ValueError: If shapes do not fit, or z requires a gradient.
        seqsuite.errors.UserError: If the backend asked for cannot serve the call.
    """
    _check_pair("v", v, "w", w)
    require_dtypes(COMPLEX, {"v": v, "z": z})
    if z.ndim != 1 or z.requires_grad:
        raise ValueError(f"z must be (F,) without gradient, got {tuple(z.shape)}, requires_grad={z.requires_grad}")
    path = choose(_CAUCHY, v.device.type, v.dtype, _cauchy_sizes(v, z, w), backend).backend
    rows = _rows(v)
    if path == "reference" or v.numel() == 0 or len(z) == 0:
        r = reference.cauchy_reference(rows, z, w)
    else:
        r = torch.view_as_complex(_Cauchy.apply(pairs(rows), pairs(z), pairs(w), path))
    return r.view(*v.shape[:-1], len(z))


class _Vandermonde(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, c: Tensor, log_a: Tensor, length: int, backend: str) -> Tensor:
        ctx.backend = backend
        ctx.save_for_backward(c, log_a)
        return _vandermonde_forward(c, log_a, length, backend)

    @staticmethod
    def backward(ctx: Any, dk: Tensor) -> tuple[Tensor | None, ...]:
        c, log_a = ctx.saved_tensors
        with torch.no_grad():
            grads = _vandermonde_backward(dk.contiguous(), c, log_a, ctx.backend)
        return *once("vandermonde", (c, log_a), _needed(grads, ctx)), None, None


class _PowerSums(torch.autograd.Function):
    """Both passes are the Vandermonde product's: its backward pass makes the sums, its forward pass their gradient."""

    @staticmethod
    def forward(ctx: Any, u: Tensor, log_a: Tensor, backend: str) -> Tensor:
        ctx.backend = backend
        ctx.save_for_backward(u, log_a)
        blank = u.new_zeros(*u.shape[:2], log_a.shape[1], 2)
        doubled, _ = _vandermonde_backward(u.contiguous(), blank, log_a, backend)
        return doubled * doubled.new_tensor([0.5, -0.5])

    @staticmethod
    def backward(ctx: Any, ds: Tensor) -> tuple[Tensor | None, ...]:
        u, log_a = ctx.saved_tensors
        with torch.no_grad():
            c = ds * ds.new_tensor([0.5, -0.5])  # half the conjugate
            du = _vandermonde_forward(c, log_a, u.shape[-1], ctx.backend)
            _, d_log = _vandermonde_backward(u.contiguous(), c, log_a, ctx.backend)
        return *once("power_sums", (u, log_a), _needed((du, d_log), ctx)), None


class _Cauchy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, v: Tensor, z: Tensor, w: Tensor, backend: str) -> Tensor:
        ctx.backend = backend
        ctx.save_for_backward(v, z, w)
        return _cauchy_forward(v, z, w, backend)

    @staticmethod
    def backward(ctx: Any, dr: Tensor) -> tuple[Tensor | None, ...]:
        v, z, w = ctx.saved_tensors
        with torch.no_grad():
            dv, dw = _cauchy_backward(dr.contiguous(), v, z, w, ctx.backend)
        return *once("cauchy", (v, z, w), _needed((dv, None, dw), ctx)), None


def pairs(x: Tensor) -> Tensor:
    """Return a complex tensor as real pairs (..., 2)."""
    return torch.view_as_real(x.resolve_conj()).contiguous()


def _rows(x: Tensor) -> Tensor:
    """Return (..., H, N) as (M, H, N)."""
    return x.reshape(x.shape[:-2].numel(), *x.shape[-2:])


def _needed(grads: tuple[Tensor | None, ...], ctx: Any) -> tuple[Tensor | None, ...]:
    return tuple(g if need else None for g, need in zip(grads, ctx.needs_input_grad, strict=False))


def _forward_shape(c: Tensor, log_a: Tensor, length: int, backend: str) -> Tensor:
    return c.new_empty(*c.shape[:2], length)


def _cauchy_shape(v: Tensor, z: Tensor, w: Tensor, backend: str) -> Tensor:
    return v.new_empty(*v.shape[:2], len(z), 2)


def _vandermonde_grads(dk: Tensor, c: Tensor, log_a: Tensor, backend: str) -> tuple[Tensor, Tensor]:
    return torch.empty_like(c), torch.empty_like(log_a)


def _cauchy_grads(dr: Tensor, v: Tensor, z: Tensor, w: Tensor, backend: str) -> tuple[Tensor, Tensor]:
    return torch.empty_like(v), torch.empty_like(w)


_vandermonde_forward = register(
    "vandermonde_fwd(Tensor c, Tensor log_a, int length, str backend) -> Tensor",
    by_path(__package__, "vandermonde_forward"),
    _forward_shape,
)
_vandermonde_backward = register(
    "vandermonde_bwd(Tensor dk, Tensor c, Tensor log_a, str backend) -> (Tensor, Tensor)",
    by_path(__package__, "vandermonde_backward"),
    _vandermonde_grads,
)
_cauchy_forward = register(
    "cauchy_fwd(Tensor v, Tensor z, Tensor w, str backend) -> Tensor",
    by_path(__package__, "cauchy_forward"),
    _cauchy_shape,
)
_cauchy_backward = register(
    "cauchy_bwd(Tensor dr, Tensor v, Tensor z, Tensor w, str backend) -> (Tensor, Tensor)",
    by_path(__package__, "cauchy_backward"),
    _cauchy_grads,
)


def _check_pair(first: str, x: Tensor, second: str, y: Tensor) -> None:
    """Raise unless x is complex (..., H, N) and y complex (H, N)."""
    require_dtypes(COMPLEX, {first: x, second: y})
    if y.ndim != 2 or x.ndim < 2 or x.shape[-2:] != y.shape:
        raise ValueError(f"{first} must be (..., H, N) and {second} (H, N), got {tuple(x.shape)} and {tuple(y.shape)}")


def _vandermonde_sizes(c: Tensor, log_a: Tensor, *_: Any, **__: Any) -> dict[str, int]:
    return {"state": c.shape[-1], "double": int(c.dtype == torch.complex128)}


def _cauchy_sizes(v: Tensor, *_: Any, **__: Any) -> dict[str, int]:
    rows = v.shape[:-2].numel()
    return {"rows": rows, "state": v.shape[-1]}


def limit(sizes: dict[str, int]) -> str | None:
    """Return why the Triton kernels cannot serve a call of these sizes, or None."""
    if sizes.get("double"):
        return "the Triton kernel computes in float32, the weights are in double precision"
    if sizes.get("rows", 1) > MAX_ROWS:
        return f"{sizes['rows']} rows exceed the Cauchy kernel's {MAX_ROWS}"
    return None


_VANDERMONDE = Operator(
    "vandermonde", vandermonde, "sums of complex exponentials (kernels of S4D)", limit=limit, sizes=_vandermonde_sizes
)
_CAUCHY = Operator("cauchy", cauchy, "sums of conjugate poles (kernels of S4)", limit=limit, sizes=_cauchy_sizes)
add_operator(_VANDERMONDE)
add_operator(_CAUCHY)
