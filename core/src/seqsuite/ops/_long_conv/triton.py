"""Triton kernels of the long convolution: a two-stage Fourier transform by matrix products, channel-last.

Each stage is one launch of one kernel: a program takes 16 or 32 channels at one place of the other stage and
multiplies by the DFT matrix, so that loads run along channels. Two rows of the batch are the real and the
imaginary part of one complex sequence: their convolutions with real taps come out apart, and the products
that give the taps' gradient add up over both. Complex arrays are two planes (2, ...). The gradient of the
input is a convolution in the other direction, that of the taps a correlation: the same stages. Up to 16 taps
the short convolution's kernels serve.

Float32 inputs are multiplied in float32, half-precision inputs on tensor cores in TF32, summed in float32.
These kernels have NEVER RUN ON A GPU so far: their numbers are tested in Triton's interpreter, their
compilation (registers, no spills) offline for sm_90.
"""

# Kernels are Triton's language, not Python's: their arguments and reassignments have no Python types.
# mypy: disable-error-code="no-untyped-def, assignment"

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from seqsuite.ops._causal_conv1d import triton as shifted
from seqsuite.ops._kernels import KernelExample
from seqsuite.ops._long_conv.monarch import stages, tables
from seqsuite.ops._long_conv.portable import DIRECT_TAPS, as_window, used_taps


@triton.jit
def _times(re, im, by_re, by_im, CONJUGATE: tl.constexpr):
    """Multiply by a complex factor or by its conjugate."""
    if CONJUGATE:
        by_im = -by_im
    return re * by_re - im * by_im, re * by_im + im * by_re


@triton.jit
def stage_kernel(
    source_ptr, out_ptr, F_ptr, twiddle_ptr, filter_ptr, STEPS, ROWS, PAIRS, WIDTH,
    N: tl.constexpr, A: tl.constexpr, M: tl.constexpr, OVER: tl.constexpr, BESIDE: tl.constexpr,
    BK: tl.constexpr, BD: tl.constexpr, FROM_ROWS: tl.constexpr, TO_ROWS: tl.constexpr, INVERSE: tl.constexpr,
    HAS_TWIDDLE: tl.constexpr, HAS_FILTER: tl.constexpr, CONJUGATE: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Transform along an axis of A places, OVER apart: out[m] = twiddle[m] sum_a F[m, a] filter[a] source[a]."""
    d = (tl.program_id(0) * BD + tl.arange(0, BD))[None, :]
    beside = tl.program_id(1) * BESIDE
    pair = tl.program_id(2).to(tl.int64)
    mask_d = d < WIDTH
    plane = tl.full((), N, tl.int64) * PAIRS * WIDTH
    m = tl.arange(0, M)
    re = tl.zeros((M, BD), tl.float32)
    im = tl.zeros((M, BD), tl.float32)
    last = A
    if FROM_ROWS:
        last = tl.minimum(tl.cdiv(STEPS, OVER), A)  # behind the row all is zero
    for start in range(0, last, BK):
        a = start + tl.arange(0, BK)
        place = (a * OVER + beside)[:, None]
        if FROM_ROWS:
            at = (2 * pair * STEPS + place) * WIDTH + d
            mask = (place < STEPS) & mask_d
            x_re = tl.load(source_ptr + at, mask=mask, other=0.0).to(tl.float32)
            second = mask & (2 * pair + 1 < ROWS)
            x_im = tl.load(source_ptr + at + STEPS * WIDTH, mask=second, other=0.0).to(tl.float32)
        else:
            at = (pair * N + place) * WIDTH + d
            x_re = tl.load(source_ptr + at, mask=mask_d, other=0.0).to(tl.float32)
            x_im = tl.load(source_ptr + plane + at, mask=mask_d, other=0.0).to(tl.float32)
        if HAS_FILTER:
            by = filter_ptr + place * WIDTH + d
            by_re = tl.load(by, mask=mask_d, other=0.0)
            by_im = tl.load(by + N * WIDTH, mask=mask_d, other=0.0)
            x_re, x_im = _times(x_re, x_im, by_re, by_im, CONJUGATE)
        F = F_ptr + m[:, None] * A + a[None, :]
        F_re = tl.load(F)
        F_im = tl.load(F + A * A)
        if INVERSE:
            F_im = -F_im
        re = tl.dot(F_re, x_re, re, input_precision=PRECISION)
        re = tl.dot(F_im, -x_im, re, input_precision=PRECISION)
        im = tl.dot(F_re, x_im, im, input_precision=PRECISION)
        im = tl.dot(F_im, x_re, im, input_precision=PRECISION)
    to = (m * OVER + beside)[:, None]
    if HAS_TWIDDLE:
        re, im = _times(re, im, tl.load(twiddle_ptr + to), tl.load(twiddle_ptr + N + to), INVERSE)
    if TO_ROWS:
        at = (2 * pair * STEPS + to) * WIDTH + d
        mask = (to < STEPS) & mask_d
        tl.store(out_ptr + at, re * (1.0 / N), mask=mask)
        tl.store(out_ptr + at + STEPS * WIDTH, im * (1.0 / N), mask=mask & (2 * pair + 1 < ROWS))
    else:
        at = (pair * N + to) * WIDTH + d
        tl.store(out_ptr + at, re, mask=mask_d)
        tl.store(out_ptr + plane + at, im, mask=mask_d)


@triton.jit
def correlate_kernel(x_ptr, g_ptr, out_ptr, PAIRS, SIZE, BLOCK: tl.constexpr, CONJUGATE: tl.constexpr):
    """Add up conj(x) g, or its conjugate, over the pairs, of SIZE elements each."""
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = i < SIZE
    plane = tl.full((), SIZE, tl.int64) * PAIRS
    re = tl.zeros((BLOCK,), tl.float32)
    im = tl.zeros((BLOCK,), tl.float32)
    at = i
    for _ in range(0, PAIRS):
        g_re = tl.load(g_ptr + at, mask=mask, other=0.0)
        g_im = tl.load(g_ptr + plane + at, mask=mask, other=0.0)
        x_re = tl.load(x_ptr + at, mask=mask, other=0.0)
        x_im = tl.load(x_ptr + plane + at, mask=mask, other=0.0)
        p_re, p_im = _times(g_re, g_im, x_re, x_im, True)
        re += p_re
        im += p_im
        at += SIZE
    if CONJUGATE:
        im = -im
    tl.store(out_ptr + i, re, mask=mask)
    tl.store(out_ptr + SIZE + i, im, mask=mask)


class _Transform:
    """The stages for one length, on one device."""

    def __init__(self, u: Tensor, taps: int) -> None:
        sizes = stages(u.shape[1] + taps - 1)
        assert sizes is not None, "op.py refuses what is too long"
        self.first, self.second = sizes
        self.length = self.first * self.second
        self.F1, self.F2, self.twiddle = tables(self.first, self.second, u.device)
        self.precision = "ieee" if u.dtype == torch.float32 else "tf32"

    def forward(self, rows: Tensor) -> Tensor:
        """Return the spectra (2, ceil(B / 2), N, D) of rows (B, L, D), two and two."""
        batch, steps, width = rows.shape
        shape = (2, (batch + 1) // 2, self.length, width)
        out = torch.empty(shape, dtype=torch.float32, device=rows.device)
        self._stage(rows.contiguous(), out, 1, steps, batch, FROM_ROWS=True, HAS_TWIDDLE=True)
        self._stage(out, out, 2, steps, batch)  # in place: a program has read all before it writes
        return out

    def back(
        self, X: Tensor, rows: Tensor, filter: Tensor | None = None, *, conjugate: bool = False, keep: bool = False
    ) -> Tensor:
        """Write what the spectra X (2, P, N, D), times those of a filter (2, 1, N, D), stand for into rows (B, L, D).

        X is lost unless `keep`.
        """
        batch, steps, _ = rows.shape
        between = torch.empty_like(X) if keep else X
        options = {"INVERSE": True, "HAS_FILTER": filter is not None, "CONJUGATE": conjugate, "HAS_TWIDDLE": True}
        self._stage(X, between, 2, steps, batch, filter=filter, **options)
        self._stage(between, rows, 1, steps, batch, INVERSE=True, TO_ROWS=True)
        return rows

    def _stage(
        self, source: Tensor, out: Tensor, number: int, steps: int, batch: int, filter: Tensor | None = None, **on: bool
    ) -> None:
        """Launch one stage."""
        first, second, width = self.first, self.second, source.shape[-1]
        A, beside = (first, second) if number == 1 else (second, first)
        needed = triton.cdiv(steps, second) if on.get("TO_ROWS") else A
        flags = dict.fromkeys(("FROM_ROWS", "TO_ROWS", "INVERSE", "HAS_TWIDDLE", "HAS_FILTER", "CONJUGATE"), False)
        channels, block = (16, 16) if self.precision == "ieee" else (32, min(32, A))
        pairs = (batch + 1) // 2
        stage_kernel[triton.cdiv(width, channels), beside, pairs](
            source, out, self.F1 if number == 1 else self.F2, self.twiddle, filter,
            steps, batch, pairs, width, N=self.length, A=A, M=min(A, max(16, triton.next_power_of_2(needed))),
            OVER=second if number == 1 else 1, BESIDE=1 if number == 1 else second,
            BK=block, BD=channels, PRECISION=self.precision, **(flags | on), num_warps=8 if A >= 64 else 4,
        )  # fmt: skip


def forward(u: Tensor, k: Tensor, D: Tensor | None, reverse: bool, keep: bool) -> tuple[Tensor, Tensor, Tensor]:
    """As the portable path; the spectra are (2, ceil(B / 2), N, D) and (2, 1, N, D) in float32."""
    taps = used_taps(u, k, D)
    empty = torch.empty(0, dtype=torch.float32, device=u.device)
    if len(taps) <= DIRECT_TAPS:
        return shifted.forward(u, as_window(taps), None, None, None, False, reverse), empty, empty.clone()
    transform = _Transform(u, len(taps))
    y = torch.empty(u.shape, dtype=u.dtype, device=u.device)
    X, K = transform.forward(u), transform.forward(taps[None])
    transform.back(X, y, K, conjugate=reverse, keep=keep)
    return (y, X, K) if keep else (y, empty, empty.clone())


def backward(
    dy: Tensor, u: Tensor, k: Tensor, D: Tensor | None, u_f: Tensor, k_f: Tensor, reverse: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """As the portable path."""
    taps = used_taps(u, k, D)
    dk = torch.zeros(k.shape, dtype=torch.float32, device=u.device)
    if len(taps) <= DIRECT_TAPS:
        du, d_window, _, _ = shifted.backward(dy, u, as_window(taps), None, None, None, False, reverse)
        dk[: len(taps)] = d_window.t().flip(0)
    else:
        transform = _Transform(u, len(taps))
        X = u_f if u_f.numel() else transform.forward(u)
        K = k_f if k_f.numel() else transform.forward(taps[None])
        G = transform.forward(dy)
        both = torch.empty_like(K)
        size = both[0].numel()
        correlate_kernel[(triton.cdiv(size, 1024),)](X, G, both, X.shape[1], size, BLOCK=1024, CONJUGATE=reverse)
        transform.back(both, dk[None, : len(taps)])
        du = torch.empty(u.shape, dtype=u.dtype, device=u.device)
        transform.back(G, du, K, conjugate=not reverse)
    dD = u.new_empty(0) if D is None else dk[0].to(D.dtype, copy=True)
    return du, dk.to(k.dtype), dD


_FIRST = {"N": 16384, "A": 128, "OVER": 128, "BESIDE": 1, "CONJUGATE": False}
_SECOND = _FIRST | {"OVER": 1, "BESIDE": 128, "M": 128, "FROM_ROWS": False, "TO_ROWS": False}
_IEEE = {"PRECISION": "ieee", "BK": 16, "BD": 16}
_TF32 = {"PRECISION": "tf32", "BK": 32, "BD": 32}
_FROM_ROWS = _FIRST | {
    "M": 128, "FROM_ROWS": True, "TO_ROWS": False, "INVERSE": False, "HAS_TWIDDLE": True, "HAS_FILTER": False,
}  # fmt: skip
_MIDDLE = _SECOND | {"INVERSE": False, "HAS_TWIDDLE": False, "HAS_FILTER": False}
_FILTER = _SECOND | {"INVERSE": True, "HAS_TWIDDLE": True, "HAS_FILTER": True}
_TO_ROWS = _FIRST | {
    "M": 64, "FROM_ROWS": False, "TO_ROWS": True, "INVERSE": True, "HAS_TWIDDLE": False, "HAS_FILTER": False,
}  # fmt: skip
_FLOAT32 = dict.fromkeys(("source", "out", "F", "twiddle", "filter", "x", "g"), "fp32")
EXAMPLES = (
    KernelExample("stage_kernel", _FROM_ROWS | _IEEE, warps=8, types=_FLOAT32, label="float32 rows, first stage"),
    KernelExample("stage_kernel", _FILTER | _IEEE, warps=8, types=_FLOAT32, label="float32 filter, second stage back"),
    KernelExample("stage_kernel", _FROM_ROWS | _TF32, 8, 160, _FLOAT32 | {"source": "bf16"}, "rows, first stage"),
    KernelExample("stage_kernel", _MIDDLE | _TF32, 8, 160, _FLOAT32, "second stage"),
    KernelExample("stage_kernel", _FILTER | _TF32, 8, 160, _FLOAT32, "filter, second stage back"),
    KernelExample("stage_kernel", _TO_ROWS | _TF32, 8, 160, _FLOAT32 | {"out": "bf16"}, "first stage back, rows"),
    KernelExample("correlate_kernel", {"BLOCK": 1024, "CONJUGATE": False}, warps=4, registers=64, types=_FLOAT32),
)
