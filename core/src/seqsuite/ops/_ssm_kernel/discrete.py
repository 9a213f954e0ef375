"""The discrete state space x_t = dA x_{t-1} + dB u_t behind a kernel: powers, steps, states of whole sequences.

dA is diagonal less a low rank, on modes that stand for themselves and their conjugates:

    dA x = decay x - sum_i left_i 2 Re sum_n right_{i,n} x_n            y = 2 Re sum_n C_n x_n

Everything here is in double precision and small: (H, N) or (H, 2N, 2N). S4: arXiv 2111.00396, appendix
C; the stable form A = Lambda - P P^*: SaShiMi, arXiv 2202.09729. Differentiable.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from seqsuite.ops._registration import once
from seqsuite.ops._ssm_kernel.products import power_sums

Discretization = Literal["zoh", "bilinear", "dss"]
_BLOCK = 64
"""Steps that one matrix product takes into a state of the low-rank form."""
_ROOM = 1 << 22
"""Elements of a group's matrices whose powers are kept for a backward pass, about."""


@dataclass(frozen=True)
class DiscreteSSM:
    """One discrete system a head.

    Attributes:
        decay: (H, N) complex128.
        drive: dB (H, N) complex128.
        left: (r, H, N) complex128; r is 0 for a diagonal system.
        right: (r, H, N) complex128.
        log_decay: log(decay) (H, N); its imaginary part may exceed pi.
    """

    decay: Tensor
    drive: Tensor
    left: Tensor
    right: Tensor
    log_decay: Tensor

    @property
    def rank(self) -> int:
        """Rank r of what is not diagonal."""
        return len(self.left)

    def to(self, dtype: torch.dtype) -> DiscreteSSM:
        """Return the same in another complex precision."""
        names = ("decay", "drive", "left", "right", "log_decay")
        return replace(self, **{name: getattr(self, name).to(dtype) for name in names})

    def move(self, x: Tensor) -> Tensor:
        """Take a step without input.

        Args:
            x: States (..., H, N), complex.

        Returns:
            dA x, likewise.
        """
        y = self.decay * x
        for left, right in zip(self.left, self.right, strict=True):
            y = y - left * (2 * (right * x).sum(-1, keepdim=True).real)
        return y

    def matrix(self) -> Tensor:
        """Return dA as a real matrix (H, 2N, 2N) on (Re x, Im x)."""
        re, im = torch.diag_embed(self.decay.real), torch.diag_embed(self.decay.imag)
        dense = torch.cat((torch.cat((re, -im), -1), torch.cat((im, re), -1)), -2)
        if not self.rank:
            return dense
        left = torch.cat((self.left.real, self.left.imag), -1)  # (r, H, 2N)
        right = 2 * torch.cat((self.right.real, -self.right.imag), -1)
        return dense - torch.einsum("rhm,rhn->hmn", left, right)

    def attune(self, C: Tensor, length: int) -> Tensor:
        """Return C (I - dA^length) for C (C, H, N): what a generating function of that many terms takes."""
        C = C.to(self.decay.dtype)
        return C - self._rows_times_power(C, length)

    def detune(self, C: Tensor, length: int) -> Tensor:
        """Return C (I - dA^length)^-1: what `attune` made of it, undone."""
        if not self.rank:
            return C / (1 - torch.exp(self.log_decay * length))
        power = torch.linalg.matrix_power(self.matrix(), length)
        unit = torch.eye(power.shape[-1], dtype=power.dtype, device=power.device)
        rows = _as_row(C.to(self.decay.dtype)).permute(1, 2, 0)  # (H, 2N, C)
        return _from_row(torch.linalg.solve((unit - power).mT, rows).permute(2, 0, 1))

    def double(self, C: Tensor, length: int) -> Tensor:
        """Return C (I - dA^(2 length)) for C (I - dA^length)."""
        C = C.to(self.decay.dtype)
        return C + self._rows_times_power(C, length)

    def _rows_times_power(self, C: Tensor, length: int) -> Tensor:
        if not self.rank:
            return C * torch.exp(self.log_decay * length)
        counts = torch.full((len(C),), length, device=C.device)
        return _from_row(_RowsTimesPower.apply(_as_row(C), self.matrix(), counts, length.bit_length()))

    def advance(self, x: Tensor, steps: Tensor) -> Tensor:
        """Take steps without input, of each row its own number.

        Args:
            x: States (B, H, N), complex.
            steps: (B,) whole numbers, at least 0.

        Returns:
            dA^steps x, (B, H, N).
        """
        if not self.rank:
            return x * torch.exp(self.log_decay * steps[:, None, None])
        columns = torch.cat((x.real, x.imag), -1)
        bits = int(steps.max()).bit_length() if len(steps) else 0
        return torch.complex(*_RowsTimesPower.apply(columns, self.matrix().mT, steps, bits).chunk(2, -1))

    def gather(self, u: Tensor) -> Tensor:
        """Return the state behind a sequence, from a zero state; zeros in front of it change nothing.

        Args:
            u: Inputs (B, H, L), real.

        Returns:
            The state (B, H, N), complex.

        The diagonal form takes two levels of sums (`power_sums`); the other one takes blocks of steps by a matrix
        product each and then pairs of blocks, so that nothing is as large as all states of a sequence.
        """
        if not self.rank:
            return self.drive * power_sums(u.flip(-1), self.log_decay)
        power = self.matrix()
        reach = torch.cat((self.drive.real, self.drive.imag), -1)[..., None]  # (H, 2N, Q)
        while reach.shape[-1] < min(_BLOCK, u.shape[-1]):
            reach, power = torch.cat((power @ reach, reach), -1), power @ power
        size = reach.shape[-1]
        blocks = 1 << (-(-u.shape[-1] // size) - 1).bit_length()
        u = F.pad(u, (blocks * size - u.shape[-1], 0)).unflatten(-1, (blocks, size)).transpose(0, 1)
        x = torch.einsum("hbps,hns->hnbp", u, reach.to(u.dtype))  # (H, 2N, B, P)
        while x.shape[-1] > 1:
            older, newer = x[..., ::2], x[..., 1::2]
            x = (power.to(u.dtype) @ older.flatten(2)).view(newer.shape) + newer
            power = power @ power
        return torch.complex(*x[..., 0].permute(2, 0, 1).chunk(2, -1))


def discretize(
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    P: Tensor | None = None,
    *,
    method: Discretization = "bilinear",
    l_max: int | None = None,
) -> DiscreteSSM:
    """Discretise x' = (diag(A) - P P^*) x + B u with a step size for each head or mode.

    Args:
        dt: Step sizes (H, 1) or (H, N).
        A: Diagonal (H, N), complex.
        B: Input weights (H, N), complex.
        P: Low-rank factor (r, H, N), complex; only with "bilinear".
        method: "zoh" (input held over a step), "bilinear" (trapezoidal) or "dss" (zoh, scaled so that the first
            `l_max` values of each mode's kernel add up to 1 / A; half of it, for there are no conjugates in it:
            arXiv 2203.14343).
        l_max: For "dss".

    Returns:
        The system, in double precision.

    Raises:
        ValueError: If shapes or options do not fit.
    """
    check_method("method", method, P, l_max)
    _check_shapes(dt, A, B, P)
    dt, A, B = dt.double(), A.to(torch.complex128), B.to(torch.complex128)
    a, b = dt * A, dt * B
    none = a.new_zeros(0, *a.shape)
    if method == "zoh":
        return DiscreteSSM(torch.exp(a), b * _expm1_over(a), none, none, a)
    if method == "dss" and l_max is not None:
        x = torch.expm1(a * l_max) * A
        drive = 0.5 * B * torch.expm1(a) * x.conj() / (x.abs().square() + 1e-7)
        return DiscreteSSM(torch.exp(a), drive, none, none, a)
    D = 1 / (1 - a / 2)
    decay = (1 + a / 2) * D
    log_decay = torch.log(torch.where(decay.abs() < 1e-30, 1e-30, decay))  # a decay of zero has no logarithm
    if P is None or not len(P):
        return DiscreteSSM(decay, D * b, none, none, log_decay)
    P = P.to(torch.complex128)
    left = D * dt * P
    row = P.conj() * D
    inner = torch.einsum("ihn,jhn->hij", row, dt * P).real + torch.eye(len(P), dtype=dt.dtype, device=dt.device)
    right = torch.linalg.solve(inner.to(row.dtype), row.transpose(0, 1)).transpose(0, 1)
    drive = D * b - (left * (right * b).sum(-1, keepdim=True).real).sum(0)
    return DiscreteSSM(decay, drive, left, right, log_decay)


def check_method(name: str, method: str, P: Tensor | None, l_max: int | None) -> None:
    """Raise ValueError, naming the argument, unless the discretisation is known and goes with the other options."""
    if method not in get_args(Discretization):
        raise ValueError(f"{name} must be 'zoh', 'bilinear' or 'dss', got {method!r}")
    if P is not None and len(P) and method != "bilinear":
        raise ValueError(f"{name} must be 'bilinear' with P, got {method!r}")
    if method == "dss" and l_max is None:
        raise ValueError(f"l_max must be given with {name} 'dss'")


def _check_shapes(dt: Tensor, A: Tensor, B: Tensor, P: Tensor | None) -> None:
    """Raise ValueError unless all fit A (H, N)."""
    if A.ndim != 2:
        raise ValueError(f"A must be (H, N), got {tuple(A.shape)}")
    heads, modes = A.shape
    allowed: dict[str, tuple[Tensor | None, list[tuple[int, ...]]]] = {
        "dt": (dt, [(heads, 1), (heads, modes)]),
        "B": (B, [(heads, modes)]),
        "P": (P, [] if P is None else [(len(P), heads, modes)]),
    }
    for name, (x, shapes) in allowed.items():
        if x is not None and tuple(x.shape) not in shapes:
            raise ValueError(f"{name} must be {' or '.join(map(str, shapes))}, got {tuple(x.shape)}")


def spread(x: Tensor, heads: int) -> Tensor:
    """Return (..., S, N) as (..., H, N): head h has row h % S."""
    return x if x.shape[-2] == heads else x.repeat(*[1] * (x.ndim - 2), heads // x.shape[-2], 1)


def within_band(dt: Tensor, A: Tensor, bandlimit: float) -> Tensor:
    """Return which modes turn less than bandlimit / 2 in a step, (H, N), for dt (H, 1) or (H, N) and A (H, N)."""
    return dt * A.imag.abs() / (2 * math.pi) < bandlimit / 2


def _expm1_over(a: Tensor) -> Tensor:
    """Return (e^a - 1) / a, 1 at zero."""
    small = a.abs() < 1e-8
    return torch.where(small, 1 + a / 2, torch.expm1(torch.where(small, 1, a)) / torch.where(small, 1, a))


def _as_row(C: Tensor) -> Tensor:
    """Return the real row (C, H, 2N) with 2 Re sum C x = row (Re x, Im x)."""
    return 2 * torch.cat((C.real, -C.imag), -1)


def _from_row(row: Tensor) -> Tensor:
    re, im = (row / 2).chunk(2, -1)
    return torch.complex(re, -im)


class _RowsTimesPower(torch.autograd.Function):
    """rows (R, H, K) times matrices (H, K, K) to the powers `steps` (R,) of so many bits, by squaring.

    The squares are made anew for the backward pass, a group of heads at a time.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, matrix: Tensor, steps: Tensor, bits: int) -> Tensor:
        ctx.save_for_backward(rows, matrix, steps)
        ctx.bits = bits
        out = torch.empty_like(rows)
        for part in _heads(matrix):
            *_, last = [x for x, _ in _walk(rows[:, part], matrix[part], steps, bits)]
            out[:, part] = last.transpose(0, 1)
        return out

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        rows, matrix, steps = ctx.saved_tensors
        with torch.no_grad():
            d_rows, d_matrix = torch.empty_like(rows), torch.empty_like(matrix)
            for part in _heads(matrix):
                states = list(_walk(rows[:, part], matrix[part], steps, ctx.bits))
                grad, d_power = g[:, part].transpose(0, 1), torch.zeros_like(matrix[part])
                for index in range(len(states) - 2, -1, -1):
                    x, power = states[index]
                    if index < len(states) - 2:
                        d_power = d_power @ power.mT + power.mT @ d_power
                    taken = _bit(steps, index)
                    d_power = d_power + (x * taken).mT @ grad
                    grad = torch.where(taken, grad @ power.mT, grad)
                d_rows[:, part], d_matrix[part] = grad.transpose(0, 1), d_power
        return *once("the power of a state space", (rows, matrix), (d_rows, d_matrix)), None, None


def _heads(matrix: Tensor) -> Iterator[slice]:
    count = max(1, _ROOM // (16 * matrix[0].numel()))
    for at in range(0, len(matrix), count):
        yield slice(at, at + count)


def _bit(steps: Tensor, index: int) -> Tensor:
    """Return which rows take the power 2^index, (R, 1)."""
    return ((steps >> index) & 1).bool()[:, None]


def _walk(rows: Tensor, matrix: Tensor, steps: Tensor, bits: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the rows (H, R, K) before each bit of the exponent with the matrix' power, and after the last."""
    x, power = rows.transpose(0, 1), matrix
    for index in range(bits):
        yield x, power
        x = torch.where(_bit(steps, index), x @ power, x)
        power = power @ power if index + 1 < bits else power
    yield x, power
