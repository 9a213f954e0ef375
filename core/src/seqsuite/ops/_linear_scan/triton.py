"""Triton kernels of the linear recurrence: one program a row, chunk of steps and block of channels.

A state for each channel stays in registers. Where rows and channels alone would not fill the GPU, chunks run side
by side: `ends_kernel` gives each chunk's end from a zero state and the product of its factors, `carry_kernel` the
states at the chunks' starts, `scan_kernel` the states. The gradient is the same recurrence from the other end with
each factor one step later; what runs is its conjugate, whose factors need no conjugation. Complex tensors are
pairs of numbers, loads are upcast at once. These kernels have NEVER RUN ON A GPU so far: their numbers are tested
in Triton's interpreter, their compilation (registers, no spills) offline for sm_90.
"""

# Kernels are Triton's language, not Python's: their arguments and reassignments have no Python types.
# mypy: disable-error-code="no-untyped-def, assignment"

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from seqsuite.ops._kernels import KernelExample
from seqsuite.ops._linear_scan.portable import state_dtype

LEAST_CHUNK = 256
"""Steps below which a sequence is not cut: the operands of a cut one are read twice."""
PROGRAMS = 2048
"""As many as fill a large GPU."""
_BLOCK, _UNROLL, _WARPS = 64, 4, 2


@triton.jit
def _load(ptr, at, mask, other, COMPLEX: tl.constexpr):
    """Return real and imaginary part; the latter is zero where nothing is loaded."""
    if COMPLEX:
        real = tl.load(ptr + 2 * at, mask=mask, other=other).to(tl.float32)
        imaginary = tl.load(ptr + 2 * at + 1, mask=mask, other=0.0).to(tl.float32)
    else:
        real = tl.load(ptr + at, mask=mask, other=other).to(tl.float32)
        imaginary = tl.zeros_like(real)
    return real, imaginary


@triton.jit
def _store(ptr, at, real, imaginary, mask, COMPLEX: tl.constexpr, CONJUGATE: tl.constexpr):
    if COMPLEX:
        tl.store(ptr + 2 * at, real, mask=mask)
        tl.store(ptr + 2 * at + 1, -imaginary if CONJUGATE else imaginary, mask=mask)
    else:
        tl.store(ptr + at, real, mask=mask)


@triton.jit
def _step(a_r, a_i, x_r, x_i, b_r, b_i, COMPLEX: tl.constexpr):
    """Return a x + b."""
    if COMPLEX:
        return a_r * x_r - a_i * x_i + b_r, a_r * x_i + a_i * x_r + b_i
    else:
        return a_r * x_r + b_r, x_i


@triton.jit
def _place(i, row, L, WIDTH, d, REVERSE: tl.constexpr):
    """Return the offset of the i-th step of the run."""
    t = L - 1 - i if REVERSE else i
    return (row * L + t) * WIDTH + d


@triton.jit
def _operands(
    i, stop, a_ptr, b_ptr, c_r, c_i, row, L, WIDTH, d, mask, CONST: tl.constexpr, REVERSE: tl.constexpr,
    COMPLEX: tl.constexpr, ADJOINT: tl.constexpr,
):  # fmt: skip
    """Return factor and input of the i-th step of the run; from `stop` on, those of the identity.

    In the adjoint run the factor belongs to the step before; the first has none, so that the state enters as it is.
    """
    p = i - 1 if ADJOINT else i
    live = (i < stop) & (p >= 0)
    if CONST:
        a_r, a_i = tl.where(live, c_r, 1.0), tl.where(live, c_i, 0.0)
    else:
        a_r, a_i = _load(a_ptr, _place(p, row, L, WIDTH, d, REVERSE), mask & live, 1.0, COMPLEX)
    b_r, b_i = _load(b_ptr, _place(i, row, L, WIDTH, d, REVERSE), mask & (i < stop), 0.0, COMPLEX)
    return a_r, a_i, b_r, -b_i if ADJOINT else b_i


@triton.jit
def _program(CHUNKS, WIDTH, BD: tl.constexpr):
    """Return row, chunk, channels and their mask."""
    blocks = tl.cdiv(WIDTH, BD)
    program = tl.program_id(0)
    d = (program % blocks) * BD + tl.arange(0, BD)
    rest = program // blocks
    return (rest // CHUNKS).to(tl.int64), rest % CHUNKS, d, d < WIDTH


@triton.jit
def ends_kernel(
    a_ptr, b_ptr, ends_ptr, products_ptr, L, Q, CHUNKS, WIDTH, BD: tl.constexpr, U: tl.constexpr,
    CONST: tl.constexpr, REVERSE: tl.constexpr, COMPLEX: tl.constexpr, ADJOINT: tl.constexpr,
):  # fmt: skip
    row, chunk, d, mask = _program(CHUNKS, WIDTH, BD)
    x_r, x_i = tl.zeros((BD,), tl.float32), tl.zeros((BD,), tl.float32)
    p_r, p_i = tl.full((BD,), 1.0, tl.float32), tl.zeros((BD,), tl.float32)
    c_r, c_i = p_r, p_i
    if CONST:
        c_r, c_i = _load(a_ptr, d, mask, 1.0, COMPLEX)
    stop = min(L, (chunk + 1) * Q)
    for base in range(chunk * Q, stop, U):
        loaded = (
            _operands(base, stop, a_ptr, b_ptr, c_r, c_i, row, L, WIDTH, d, mask, CONST, REVERSE, COMPLEX, ADJOINT),
        )
        for j in tl.static_range(1, U):
            loaded = loaded + (
                _operands(
                    base + j, stop, a_ptr, b_ptr, c_r, c_i, row, L, WIDTH, d, mask, CONST, REVERSE, COMPLEX, ADJOINT
                ),
            )
        for j in tl.static_range(U):
            a_r, a_i, b_r, b_i = loaded[j]
            x_r, x_i = _step(a_r, a_i, x_r, x_i, b_r, b_i, COMPLEX)
            p_r, p_i = _step(a_r, a_i, p_r, p_i, 0.0, 0.0, COMPLEX)
    at = (row * CHUNKS + chunk) * WIDTH + d
    _store(ends_ptr, at, x_r, x_i, mask, COMPLEX, False)
    _store(products_ptr, at, p_r, p_i, mask, COMPLEX, False)


@triton.jit
def carry_kernel(
    first_ptr, ends_ptr, products_ptr, starts_ptr, CHUNKS, WIDTH, BD: tl.constexpr, COMPLEX: tl.constexpr,
):  # fmt: skip
    row, _, d, mask = _program(1, WIDTH, BD)
    x_r, x_i = _load(first_ptr, row * WIDTH + d, mask, 0.0, COMPLEX)
    for chunk in range(0, CHUNKS):
        at = (row * CHUNKS + chunk) * WIDTH + d
        _store(starts_ptr, at, x_r, x_i, mask, COMPLEX, False)
        p_r, p_i = _load(products_ptr, at, mask, 1.0, COMPLEX)
        e_r, e_i = _load(ends_ptr, at, mask, 0.0, COMPLEX)
        x_r, x_i = _step(p_r, p_i, x_r, x_i, e_r, e_i, COMPLEX)


@triton.jit
def scan_kernel(
    a_ptr, b_ptr, starts_ptr, h_ptr, h0_ptr, x_ptr, da_ptr, last_ptr, L, Q, CHUNKS, WIDTH, BD: tl.constexpr,
    U: tl.constexpr, CONST: tl.constexpr, REVERSE: tl.constexpr, COMPLEX: tl.constexpr, ADJOINT: tl.constexpr,
):  # fmt: skip
    row, chunk, d, mask = _program(CHUNKS, WIDTH, BD)
    at_chunk = (row * CHUNKS + chunk) * WIDTH + d
    x_r, x_i = _load(starts_ptr, at_chunk, mask, 0.0, COMPLEX)
    c_r, c_i = x_r, x_i
    sum_r, sum_i = tl.zeros((BD,), tl.float32), tl.zeros((BD,), tl.float32)
    if CONST:
        c_r, c_i = _load(a_ptr, d, mask, 1.0, COMPLEX)
    stop = min(L, (chunk + 1) * Q)
    for base in range(chunk * Q, stop, U):
        loaded = (
            _operands(base, stop, a_ptr, b_ptr, c_r, c_i, row, L, WIDTH, d, mask, CONST, REVERSE, COMPLEX, ADJOINT),
        )
        for j in tl.static_range(1, U):
            loaded = loaded + (
                _operands(
                    base + j, stop, a_ptr, b_ptr, c_r, c_i, row, L, WIDTH, d, mask, CONST, REVERSE, COMPLEX, ADJOINT
                ),
            )
        for j in tl.static_range(U):
            i = base + j
            valid = mask & (i < stop)
            at = _place(i, row, L, WIDTH, d, REVERSE)
            a_r, a_i, b_r, b_i = loaded[j]
            x_r, x_i = _step(a_r, a_i, x_r, x_i, b_r, b_i, COMPLEX)
            _store(x_ptr, at, x_r, x_i, valid, COMPLEX, ADJOINT)
            if ADJOINT:
                # The state before this step: the next one of this run, behind its end the one that entered.
                h_r, h_i = _load(h_ptr, _place(i + 1, row, L, WIDTH, d, REVERSE), valid & (i + 1 < L), 0.0, COMPLEX)
                e_r, e_i = _load(h0_ptr, row * WIDTH + d, valid & (i + 1 == L), 0.0, COMPLEX)
                g_r, g_i = _step(h_r + e_r, h_i + e_i, x_r, x_i, 0.0, 0.0, COMPLEX)
                if CONST:
                    sum_r += tl.where(valid, g_r, 0.0)
                    if COMPLEX:
                        sum_i += tl.where(valid, g_i, 0.0)
                else:
                    _store(da_ptr, at, g_r, g_i, valid, COMPLEX, True)
    ending = mask & (chunk == CHUNKS - 1)
    if ADJOINT:
        if CONST:
            _store(da_ptr, at_chunk, sum_r, sum_i, mask, COMPLEX, True)
        else:
            c_r, c_i = _load(a_ptr, _place(L - 1, row, L, WIDTH, d, REVERSE), ending, 1.0, COMPLEX)
        x_r, x_i = _step(c_r, c_i, x_r, x_i, 0.0, 0.0, COMPLEX)
    _store(last_ptr, row * WIDTH + d, x_r, x_i, ending, COMPLEX, ADJOINT)


def chunk_length(batch: int, length: int, width: int) -> int:
    """Return how many steps a program takes: all of them where rows and channels fill the GPU by themselves."""
    programs = batch * triton.cdiv(width, _BLOCK)
    chunks = min(max(1, PROGRAMS // programs), triton.cdiv(length, LEAST_CHUNK))
    return triton.cdiv(triton.cdiv(length, chunks), _UNROLL) * _UNROLL


def _flat(x: Tensor) -> Tensor:
    """Return a tensor in solid memory, a complex one as pairs."""
    x = x.resolve_conj().resolve_neg().contiguous()
    return torch.view_as_real(x) if x.is_complex() else x


def _run(
    a: Tensor, b: Tensor, first: Tensor, x: Tensor, reverse: bool, kept: tuple[Tensor, Tensor, Tensor] | None = None
) -> Tensor:
    """Fill `x` with the states from `first` (B, D) and return what is behind the last step.

    With `kept`, the states, the state that entered and room for the gradient of the factors, the run is the adjoint.
    """
    batch, length, width = b.shape
    steps = chunk_length(batch, length, width)
    chunks = triton.cdiv(length, steps)
    block = min(_BLOCK, triton.next_power_of_2(width))
    programs = batch * triton.cdiv(width, block)
    sizes: dict[str, Any] = {"L": length, "Q": steps, "CHUNKS": chunks, "WIDTH": width, "BD": block, "U": _UNROLL}
    sizes |= {"CONST": a.ndim == 1, "REVERSE": reverse, "COMPLEX": b.is_complex(), "ADJOINT": kept is not None}
    operands = (_flat(a), _flat(b))
    starts = first
    if chunks > 1:
        ends, products, starts = (torch.empty_like(first[:, None].expand(-1, chunks, -1)) for _ in range(3))
        ends, products, starts = (m.contiguous() for m in (ends, products, starts))
        ends_kernel[(programs * chunks,)](*operands, _flat(ends), _flat(products), **sizes, num_warps=_WARPS)
        carry_kernel[(programs,)](
            _flat(first), _flat(ends), _flat(products), _flat(starts), CHUNKS=chunks, WIDTH=width, BD=block,
            COMPLEX=b.is_complex(), num_warps=_WARPS,
        )  # fmt: skip
    last = torch.empty_like(first)
    h, entered, da = (first, first, first) if kept is None else kept
    if a.ndim == 1 and kept is not None:
        da = first.new_empty(batch, chunks, width)
    scan_kernel[(programs * chunks,)](
        *operands, _flat(starts), _flat(h), _flat(entered), _flat(x), _flat(da), _flat(last), **sizes,
        num_warps=_WARPS,
    )  # fmt: skip
    if a.ndim == 1 and kept is not None:
        kept[2].copy_(da.sum((0, 1)))
    return last


def forward(a: Tensor, b: Tensor, initial_state: Tensor | None, reverse: bool) -> tuple[Tensor, Tensor]:
    """As the portable path."""
    y = torch.empty(b.shape, dtype=b.dtype, device=b.device)
    return y, _run(a, b, _state(b, initial_state), y, reverse)


def backward(
    dy: Tensor, dfinal: Tensor, kept: Tensor, a: Tensor, initial_state: Tensor | None, reverse: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """As the portable path."""
    h = kept
    if kept.dtype != state_dtype(dy):
        h = torch.empty(kept.shape, dtype=state_dtype(dy), device=dy.device)
        _run(a, kept, _state(dy, initial_state), h, reverse)
    da = torch.empty(a.shape, dtype=a.dtype, device=a.device)
    db = torch.empty(dy.shape, dtype=dy.dtype, device=dy.device)
    first = dfinal.conj_physical().contiguous()
    dstate = _run(a, dy, first, db, not reverse, (h, _state(dy, initial_state), da))
    return da, db, dstate


def _state(b: Tensor, initial_state: Tensor | None) -> Tensor:
    """Return the state before the first step, (B, D) in solid memory and compute precision."""
    if initial_state is None:
        return torch.zeros(b.shape[0], b.shape[2], dtype=state_dtype(b), device=b.device)
    return initial_state.to(state_dtype(b)).contiguous()


_SIZES = {"BD": _BLOCK, "U": _UNROLL, "REVERSE": False}
_FLOAT32 = dict.fromkeys("first ends products starts h h0 last".split(), "fp32")
_ALL_FLOAT32 = _FLOAT32 | dict.fromkeys("a b x da".split(), "fp32")
EXAMPLES = (
    KernelExample("carry_kernel", {"BD": _BLOCK, "COMPLEX": True}, warps=_WARPS, registers=64, types=_FLOAT32),
    *(
        KernelExample(
            kernel,
            _SIZES | {"COMPLEX": numbers == "complex", "ADJOINT": adjoint, "CONST": constant},
            warps=_WARPS,
            registers=128,
            types=_ALL_FLOAT32 if numbers == "complex" else _FLOAT32,
            label=f"{numbers}, {'adjoint' if adjoint else 'forward'}, {'constant' if constant else 'varying'}",
        )
        for kernel in ("ends_kernel", "scan_kernel")
        for numbers in ("real", "complex")
        for adjoint in (False, True)
        for constant in (False, True)
    ),
)
