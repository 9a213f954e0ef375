"""The public `ssm_kernel`: the convolution kernel of a linear state space from its continuous parameters."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from seqsuite.ops._dispatch import Operator, add_operator, choose
from seqsuite.ops._long_conv.portable import fft_length
from seqsuite.ops._operands import COMPLEX, require_dtypes, require_floating, require_one_device
from seqsuite.ops._ssm_kernel.discrete import DiscreteSSM, Discretization, check_method, discretize, spread, within_band
from seqsuite.ops._ssm_kernel.products import cauchy, limit, vandermonde
from seqsuite.ops._ssm_kernel.reference import kernel_reference

_FARTHEST = 1e9
"""Where on the imaginary axis the last frequency lies instead of at infinity, far beyond the poles."""


def ssm_kernel(
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    length: int,
    *,
    P: Tensor | None = None,
    discretization: Discretization = "bilinear",
    rate: float = 1.0,
    bandlimit: float | None = None,
    attuned_to: int | None = None,
    states: Tensor | None = None,
    l_max: int | None = None,
    backend: str | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    r"""Convolution kernel of a state space in conjugate pairs of modes (S4, arXiv 2111.00396; S4D, arXiv 2206.11893).

    .. math::
        x'(t) &= (\mathrm{diag}(A) - P P^*)\, x(t) + B\, u(t), \qquad
        y(t) = 2\,\mathrm{Re} \sum_n C_n x_n(t) \\
        k_l &= 2\,\mathrm{Re} \sum_n C_n\, (\bar A^{\,l} \bar B)_n

    with :math:`\bar A, \bar B` the system discretised by a step `dt`. Each of the N modes stands for itself and its
    conjugate; P, where given, has r columns, which couple the modes. A diagonal system is a Vandermonde product.
    With P the generating function of the first n values is a Cauchy product at the n-th roots of unity, from which
    the r columns are eliminated (Woodbury), and one inverse FFT follows; it takes :math:`C(I - \bar A^n)`, made by
    squaring. Differentiable once.

    Without P all that is of size (H, N) is computed in double precision, all that grows with the length in that of C.
    With P everything is double: the elimination cancels digits wherever a frequency meets a pole of little damping.

    Args:
        dt: Step sizes (H,), or of each mode (H, N), real, positive.
        A: Diagonal (S, N), complex, negative real parts; head h uses row h % S.
        B: Input weights (S, N), complex.
        C: Output weights (C, H, N), complex.
        length: L.
        P: Low-rank factor (r, S, N), complex; None or r = 0 is a diagonal system.
        discretization: "zoh", "bilinear" or "dss"; with P "bilinear".
        rate: Factor on `dt`: 2 is the kernel for an input sampled half as often.
        bandlimit: Modes of at least bandlimit / 2 turns a step (before `rate`) count as zero.
        attuned_to: C is given as C (I - dA^attuned_to), as published S4 checkpoints hold it, dA being that of rate 1.
        states: Also answer to these states before the first step (R, H, N), complex.
        l_max: Number of values that "dss" normalises over.
        backend: "reference" (the recurrence), "portable" or "triton"; None chooses.

    Returns:
        k (C, H, L), real, in the precision of C; with `states` also (R, C, H, L), what each state adds to the output.

    Raises:
        TypeError: If an operand is not complex, or dt not floating-point.
        ValueError: If shapes or options do not fit.
        seqsuite.errors.UserError: If the backend asked for cannot serve the call.
    """
    _check(dt, A, B, C, P, states, length, discretization, rate, attuned_to, l_max)
    sizes = _sizes(dt, A, B, C, length, P=P, states=states)
    path = choose(_OPERATOR, C.device.type, C.dtype, sizes, backend).backend
    steps = dt.double().view(len(dt), -1)
    A, B = (spread(x.to(torch.complex128), len(dt)) for x in (A, B))
    P = None if P is None or not len(P) else spread(P.to(torch.complex128), len(dt))
    if bandlimit is not None:
        C = C * within_band(steps, A, bandlimit)
    system = discretize(steps * rate, A, B, P, method=discretization, l_max=l_max)
    kind = torch.complex128 if sizes["double"] else torch.complex64
    x = None if states is None else states.to(kind)
    unit = system
    if attuned_to is not None and rate != 1:
        unit = discretize(steps, A, B, P, method=discretization, l_max=l_max)
    if path == "reference" or P is None or C.numel() == 0:
        C = C if attuned_to is None else unit.detune(C, attuned_to)
        k = _by_modes(system, C.to(kind), x, length, path)
    else:
        C, n = _tuned(unit, C, length, rate, attuned_to)
        table = _table(_inputs(steps * rate, A, B, P, x), torch.cat((P.conj(), C)), steps * rate * A, n, path)
        k = torch.fft.irfft(_eliminate(table, len(P)) * _scale(n, C.device), n)[..., :length]
        k = k.to(torch.float64 if sizes["double"] else torch.float32)
    return k[-1] if states is None else (k[-1], k[:-1])


def _by_modes(system: DiscreteSSM, C: Tensor, states: Tensor | None, length: int, path: str) -> Tensor:
    """Return the kernels of the states and of the input (R + 1, C, H, L) by powers of the modes, or by the loop."""
    first = system.drive[None].to(C.dtype)
    if states is not None:
        first = torch.cat((system.move(states).to(C.dtype), first))
    if path == "reference" or C.numel() == 0:
        s = system.to(C.dtype)
        return kernel_reference(s.decay, s.left, s.right, first, C, length)
    return vandermonde(first[:, None] * C, system.log_decay, length, backend=path)


def _tuned(unit: DiscreteSSM, C: Tensor, length: int, rate: float, attuned_to: int | None) -> tuple[Tensor, int]:
    """Return C (I - dA^n), and n >= length in steps of the rate's."""
    if attuned_to is None:
        n = fft_length(length)
        return unit.attune(C, n), n
    while round(attuned_to / rate) < length:
        C, attuned_to = unit.double(C, attuned_to), 2 * attuned_to
    return C, round(attuned_to / rate)


def _inputs(dt: Tensor, A: Tensor, B: Tensor, P: Tensor, states: Tensor | None) -> Tensor:
    """Return dt (P, states, B), (r + R + 1, H, N); for a state what would lead to dA times it at the first step."""
    rows = [dt * P, (dt * B)[None]]
    if states is not None:
        x = states.to(A.dtype)
        moved = A * x - sum(p * (2 * (p.conj() * x).sum(-1, keepdim=True).real) for p in P)
        rows.insert(1, x + dt * moved / 2)
    return torch.cat(rows)


def _heights(n: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return half the angle of each root of unity and its place 2 tan(angle / 2) on the imaginary axis."""
    half = math.pi / n * torch.arange(n // 2 + 1, dtype=torch.float64, device=device)
    y = torch.where(2 * half < math.pi, 2 * torch.tan(half), _FARTHEST)  # tan(pi / 2) may round to either side
    return half, y.clamp(max=_FARTHEST)


def _table(inputs: Tensor, outputs: Tensor, poles: Tensor, n: int, path: str) -> Tensor:
    """Return the generating functions (r + R + 1, r + C, H, F) of all inputs at all outputs, without the coupling."""
    _, y = _heights(n, outputs.device)
    return cauchy(inputs[:, None] * outputs, torch.complex(torch.zeros_like(y), y), poles, backend=path)


def _scale(n: int, device: torch.device) -> Tensor:
    """Return 2 / (1 + omega) at the roots of unity."""
    half, y = _heights(n, device)
    return torch.polar(torch.sqrt(1 + y * y / 4), half)


def _eliminate(table: Tensor, rank: int) -> Tensor:
    """Eliminate the first `rank` rows and columns of 1 + table from the rest.

    Their block has a positive Hermitian part, so that no exchange of rows is needed.
    """
    for _ in range(rank):
        pivot, row, column = 1 + table[0, 0], table[0, 1:], table[1:, 0]
        table = table[1:, 1:] - column[:, None] * (row / pivot)
    return table


def _check(
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    P: Tensor | None,
    states: Tensor | None,
    length: int,
    discretization: str,
    rate: float,
    attuned_to: int | None,
    l_max: int | None,
) -> None:
    """Raise TypeError unless dtypes, ValueError unless shapes and options fit."""
    require_floating({"dt": dt})
    require_dtypes(COMPLEX, {"A": A, "B": B, "C": C}, P=P, states=states)
    require_one_device(dt=dt, A=A)
    if C.ndim != 3:
        raise ValueError(f"C must be (C, H, N), got {tuple(C.shape)}")
    heads, modes = C.shape[1:]
    if dt.shape not in ((heads,), (heads, 1), (heads, modes)):
        raise ValueError(f"dt must be ({heads},) or ({heads}, {modes}) as C, got {tuple(dt.shape)}")
    for name, tensor, ndim in (("A", A, 2), ("B", B, 2), ("P", P, 3)):
        if tensor is not None and (
            tensor.ndim != ndim or tensor.shape[-1] != modes or not tensor.shape[-2] or heads % tensor.shape[-2]
        ):
            shape = "(S, N)" if ndim == 2 else "(r, S, N)"
            raise ValueError(f"{name} must be {shape}, S dividing H = {heads}, N = {modes}; got {tuple(tensor.shape)}")
    if states is not None and (states.ndim != 3 or states.shape[1:] != (heads, modes)):
        raise ValueError(f"states must be (R, {heads}, {modes}), got {tuple(states.shape)}")
    for name, number in (("length", length), ("attuned_to", attuned_to), ("l_max", l_max)):
        if number is not None and not isinstance(number, int | torch.SymInt):
            raise TypeError(f"{name} must be an integer, not {number!r}")
        if number is not None and number < 1:
            raise ValueError(f"{name} must be at least 1, got {number!r}")
    if not 0 < rate < math.inf:
        raise ValueError(f"rate must be positive and finite, got {rate}")
    if attuned_to is not None and round(attuned_to / rate) < 1:
        raise ValueError(f"attuned_to must be at least one step at this rate, got {attuned_to} at rate {rate}")
    check_method("discretization", discretization, P, l_max)


def _limit(sizes: dict[str, int]) -> str | None:
    return limit(sizes | {"double": sizes.get("double", 0) and not sizes.get("rank")})


def _sizes(dt: Tensor, A: Tensor, B: Tensor, C: Tensor, *_: Any, **options: Any) -> dict[str, int]:
    P, states = options.get("P"), options.get("states")
    rank = 0 if P is None else len(P)
    rows = (rank + len(C)) * (rank + 1 + (0 if states is None else len(states))) if rank else 1
    kinds = (C.dtype, C.dtype if states is None else states.dtype)
    return {"state": C.shape[-1], "rank": rank, "rows": rows, "double": int(torch.complex128 in kinds)}


_OPERATOR = Operator(
    "ssm_kernel", ssm_kernel, "convolution kernels of state spaces (S4, S4D)", limit=_limit, sizes=_sizes, main="C"
)
add_operator(_OPERATOR)
