"""The public `long_conv`: checks, choice of path, padding and packing, registration and gradient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from seqsuite.ops._debug import watched
from seqsuite.ops._dispatch import Operator, add_operator, choose
from seqsuite.ops._long_conv import monarch, portable
from seqsuite.ops._long_conv.reference import long_conv_reference
from seqsuite.ops._operands import require_floating
from seqsuite.ops._order import put_back, reorder, valid_first
from seqsuite.ops._registration import by_path, once, register
from seqsuite.ops._seq import Seq, check_seq

_OPERANDS = "Tensor u, Tensor k, Tensor? D"


@watched
def long_conv(
    u: Tensor,
    k: Tensor,
    *,
    D: Tensor | None = None,
    gate: Tensor | None = None,
    k_ahead: Tensor | None = None,
    reverse: bool = False,
    seq: Seq | None = None,
    recompute: bool = False,
    backend: str | None = None,
) -> Tensor:
    r"""Convolution with a filter as long as the sequence, by FFT (as in Hyena, https://arxiv.org/abs/2302.10866).

    .. math::
        y_{t,d} = g_{t,d} \Big(D_d\, u_{t,d} + \sum_{s \le t} k_{t-s,\,d}\, u_{s,d}
                  + \sum_{s > t} k^{\mathrm{ahead}}_{s-t-1,\,d}\, u_{s,d}\Big)

    Causal without `k_ahead`, whose term is a second convolution.

    Computed in float32 (float64 if `u` is float64), returned in the dtype of `u`. Differentiable once in every
    tensor. With more than 16 taps, an output carries rounding errors of the size of the whole row's, so it is
    causal to rounding only.

    Args:
        u: Input (B, L, D).
        k: Filter taps, the first one for the present step (K, D). K may be below L (later taps are zero) or above
            it (the rest is not used).
        D: Skip (D,).
        gate: Factor of the output (B, L, D).
        k_ahead: Taps that look ahead, the first one for the next step (K', D), as in S4's bidirectional form.
        reverse: From right to left: the sum over s >= t with taps k_{s-t}; equals flip, run, flip.
        seq: Padding, packing and resets. A padded step is skipped, as if the row were shorter, and yields 0; a
            document sees no other one. Documents are laid out by length, which depends on the data: packing does
            not trace into one graph under torch.compile.
        recompute: Keep no spectra for the backward pass: it takes up to two more FFTs and saves 8 L (B D + D)
            bytes, about twice that in float64 (on the Triton path also where L + K is just above a power of two).
        backend: "reference", "portable" or "triton" (up to 16384 steps and taps together); None chooses.

    Returns:
        y (B, L, D).

    Raises:
        TypeError: If an operand is not floating-point, or complex.
        ValueError: If shapes do not fit, or there is no step or no tap (no rows or channels are fine).
        seqsuite.errors.UserError: If the backend asked for cannot serve the call.
    """
    _check(u, k, D, gate, k_ahead)
    check_seq(seq, u)
    path = choose(_OPERATOR, u.device.type, u.dtype, _sizes(u, k), backend).backend
    if u.numel() == 0:
        path = "reference"  # there is no transform of nothing
    y = _convolve(u, k, D, seq, reverse, recompute, path)
    if k_ahead is not None:
        taps = torch.cat((torch.zeros_like(k_ahead[:1]), k_ahead))
        y = y + _convolve(u, taps, None, seq, not reverse, recompute, path)
    return y if gate is None else y * gate.to(y.dtype)


def _convolve(
    u: Tensor, k: Tensor, D: Tensor | None, seq: Seq | None, reverse: bool, recompute: bool, path: str
) -> Tensor:
    """Convolve in one direction, whatever the rows hold."""
    if seq is not None and seq.segment is not None:
        return _packed(u, k, D, seq, reverse, recompute, path)
    if seq is not None and seq.valid is not None:
        return _padded(u, k, D, seq, reverse, recompute, path)
    return _run(u, k, D, reverse, recompute, path)


def _run(u: Tensor, k: Tensor, D: Tensor | None, reverse: bool, recompute: bool, path: str) -> Tensor:
    """Convolve rows that are one document each."""
    if path == "reference":
        return long_conv_reference(u, k, D, reverse)
    learns = torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in (u, k, D))
    return _LongConv.apply(u, k, D, reverse, learns and not recompute, path)


def _padded(u: Tensor, k: Tensor, D: Tensor | None, seq: Seq, reverse: bool, recompute: bool, path: str) -> Tensor:
    """Blank padding at either end: distances between valid steps stay. Padding within a row is sorted to its end."""
    assert seq.valid is not None
    valid = seq.valid[..., None]
    u = u.masked_fill(~valid, 0)
    if seq.side is not None:
        return _run(u, k, D, reverse, recompute, path).masked_fill(~valid, 0)
    order = valid_first(seq)
    y = put_back(_run(reorder(u, order), k, D, reverse, recompute, path), order)
    return y.masked_fill(~valid, 0)


def _packed(u: Tensor, k: Tensor, D: Tensor | None, seq: Seq, reverse: bool, recompute: bool, path: str) -> Tensor:
    """Give every document a row of its own, those of similar length together, and bring the outputs back.

    The rows of one call are at least half full, so packing costs at most twice the work of its valid steps.
    """
    steps = _documents(u, seq)
    if not len(steps.at):
        return _padded(u, k, D, seq, reverse, recompute, path)  # zeros, of which the operands still have gradients
    flat = u.flatten(0, 1)[steps.at]  # (valid steps, D)
    parts, places = [], []
    for power in steps.powers.unique().tolist():
        here = steps.powers[steps.document] == power
        documents = steps.powers == power
        row = (documents.cumsum(0) - 1)[steps.document[here]]
        shape = (int(documents.sum()), int(steps.lengths[documents].max()), u.shape[2])
        index = (row, steps.place[here])
        rows = _run(flat.new_zeros(shape).index_put(index, flat[here]), k, D, reverse, recompute, path)
        parts.append(rows[index])
        places.append(steps.at[here])
    y = torch.zeros_like(u).flatten(0, 1)
    return y.index_copy(0, torch.cat(places), torch.cat(parts)).view_as(u)


@dataclass(frozen=True)
class _Documents:
    """The valid steps of a packed batch in order, and the documents that they belong to.

    Attributes:
        at: (S,) index of each valid step among all B L.
        document: (S,) number of its document.
        place: (S,) its place there.
        lengths: (N,) valid steps of each document.
        powers: (N,) smallest exponent of two that is not below the length.
    """

    at: Tensor
    document: Tensor
    place: Tensor
    lengths: Tensor
    powers: Tensor


def _documents(u: Tensor, seq: Seq) -> _Documents:
    """Find the documents of a batch with segments."""
    assert seq.segment is not None
    row = torch.arange(len(u), device=u.device)[:, None]
    key = (row * (u.shape[1] + 1) + seq.segment).flatten()
    at = torch.arange(key.numel(), device=u.device)
    at = at if seq.valid is None else at[seq.valid.flatten()]
    _, document, lengths = key[at].unique_consecutive(return_inverse=True, return_counts=True)
    place = torch.arange(len(at), device=u.device) - (lengths.cumsum(0) - lengths)[document]
    return _Documents(at, document, place, lengths, lengths.double().log2().ceil().long())


class _LongConv(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, u: Tensor, k: Tensor, D: Tensor | None, reverse: bool, keep: bool, backend: str) -> Tensor:
        y, u_f, k_f = _forward(u, k, D, reverse, keep, backend)
        ctx.options = (reverse, backend)
        ctx.save_for_backward(u, k, D, u_f, k_f)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors  # once: what recomputes activations refuses a second look
        with torch.no_grad():
            grads = _backward(dy, *saved, *ctx.options)
        needed = (g if need else None for g, need in zip(grads, ctx.needs_input_grad, strict=False))
        return *once("long_conv", saved[:3], needed), None, None, None


def _fake_forward(
    u: Tensor, k: Tensor, D: Tensor | None, reverse: bool, keep: bool, backend: str
) -> tuple[Tensor, ...]:
    kind, shapes = _spectra(u, k, backend)
    y = torch.empty(u.shape, dtype=u.dtype, device=u.device)
    return y, *(torch.empty(shape if keep else (0,), dtype=kind, device=u.device) for shape in shapes)


def _spectra(u: Tensor, k: Tensor, backend: str) -> tuple[torch.dtype, tuple[tuple[int, ...], ...]]:
    """Return dtype and shapes of the spectra that a path keeps of the input and of the taps."""
    batch, length, width = u.shape
    if backend == "triton":
        taps = min(k.shape[0], length)
        sizes = monarch.stages(length + taps - 1)
        if taps <= portable.DIRECT_TAPS or sizes is None:
            return torch.float32, ((0,), (0,))
        n = sizes[0] * sizes[1]
        return torch.float32, ((2, (batch + 1) // 2, n, width), (2, 1, n, width))
    kind = torch.complex128 if u.dtype == torch.float64 else torch.complex64
    half = portable.spectrum_length(u, k)[1]
    return kind, ((batch, half, width), (half, width)) if half else ((0,), (0,))


def _fake_backward(dy: Tensor, u: Tensor, k: Tensor, D: Tensor | None, *_: Any) -> tuple[Tensor, ...]:
    return tuple(
        dy.new_empty(0) if x is None else torch.empty(x.shape, dtype=x.dtype, device=x.device) for x in (u, k, D)
    )


_forward = register(
    f"long_conv_fwd({_OPERANDS}, bool reverse, bool keep, str backend) -> (Tensor, Tensor, Tensor)",
    by_path(__package__, "forward"),
    _fake_forward,
)
_backward = register(
    f"long_conv_bwd(Tensor dy, {_OPERANDS}, Tensor u_f, Tensor k_f, bool reverse, str backend)"
    " -> (Tensor, Tensor, Tensor)",
    by_path(__package__, "backward"),
    _fake_backward,
)


def _check(u: Tensor, k: Tensor, D: Tensor | None, gate: Tensor | None, k_ahead: Tensor | None) -> None:
    """Raise TypeError unless all are floating-point, ValueError unless shapes fit."""
    require_floating({"u": u, "k": k}, D=D, gate=gate, k_ahead=k_ahead)
    if u.ndim != 3 or u.shape[1] == 0:
        raise ValueError(f"u must be (B, L, D) with L > 0, got {tuple(u.shape)}")
    width = u.shape[2]
    for name, taps in (("k", k), ("k_ahead", k_ahead)):
        if taps is not None and (taps.ndim != 2 or taps.shape[1] != width or taps.shape[0] == 0):
            raise ValueError(f"{name} must be (K, D) with K > 0 and D = {width}, got {tuple(taps.shape)}")
    if gate is not None and gate.shape != u.shape:
        raise ValueError(f"gate must be like u, {tuple(u.shape)}, got {tuple(gate.shape)}")
    if D is not None and D.shape != (width,):
        raise ValueError(f"D must be ({width},), got {tuple(D.shape)}")


def _sizes(u: Tensor, k: Tensor, *_: Any, **__: Any) -> dict[str, int]:
    return {"length": u.shape[1], "width": u.shape[2], "taps": k.shape[0]}


def _limit(sizes: dict[str, int]) -> str | None:
    length, taps = sizes.get("length", 1), min(sizes.get("taps", 1), sizes.get("length", 1))
    if taps <= portable.DIRECT_TAPS or length + taps - 1 <= monarch.LONGEST:
        return None
    return f"{length} steps and {taps} taps exceed the kernels' {monarch.LONGEST} together; cuFFT serves them"


_OPERATOR = Operator(
    "long_conv", long_conv, "convolution with a filter as long as the sequence", limit=_limit, sizes=_sizes
)
add_operator(_OPERATOR)
