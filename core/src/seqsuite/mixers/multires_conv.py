"""MultiresConv: a tree of dilated convolutions with shared filters (Shi et al. 2023, https://arxiv.org/abs/2305.01638).

    a_0 = x;  a_j, b_j = dilated convolutions of a_{j-1} with h0 and h1, dilation 2^{j-1}      j = 1..J
    y = w_0 a_J + sum_j w_{J+1-j} b_j + w_{J+1} x
    out = glu(out_proj(gelu(y)))

All filters are causal and depthwise; h0 (low-pass) and h1 (high-pass) serve every level, as in a wavelet
transform. An output sees (K - 1)(2^J - 1) + 1 steps. The recurrent state holds, for each level, the inputs that
its filters reach back to. float32 agrees with float64 to 2e-5 (relative).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqsuite.mixers._finite import ActivatedOutput, last_inputs
from seqsuite.mixers.base import at_least_float32, run_reversed, state_dtype
from seqsuite.mixers.options import check_range
from seqsuite.ops import Seq
from seqsuite.ops._order import put_back, reorder, valid_first

_OWNER = "mixer 'multires_conv'"


class MultiresState(NamedTuple):
    """What MultiresConv carries from step to step.

    Attributes:
        inputs: (B, D, (K - 1)(2^J - 1)) last inputs of each level, newest last, the first level's first.
    """

    inputs: Tensor


class MultiresConv(ActivatedOutput):
    """The multiresolution convolution.

    Args:
        d_model: Width D.
        kernel_size: Taps K of the two filters.
        depth: Levels J of the tree.
        gate: The output map is gated (GLU).
    """

    causal: bool = True

    def __init__(self, d_model: int, *, kernel_size: int = 2, depth: int = 10, gate: bool = True) -> None:
        super().__init__(d_model)
        check_range(_OWNER, {"d_model": d_model, "depth": depth}, least=1)
        check_range(_OWNER, {"kernel_size": kernel_size}, least=2)
        self.kernel_size, self.depth, self.gated = kernel_size, depth, gate
        self.h0 = nn.Parameter(torch.empty(d_model, kernel_size))
        self.h1 = nn.Parameter(torch.empty(d_model, kernel_size))
        self.w = nn.Parameter(torch.empty(d_model, depth + 2))
        self.out_proj = nn.Linear(d_model, 2 * d_model if gate else d_model)
        self.reset_parameters()
        self.mark_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw the initial parameters: filters and weights uniform within a bound that falls with their number."""
        for parameter, fan in ((self.h0, self.kernel_size), (self.h1, self.kernel_size), (self.w, self.depth + 2)):
            nn.init.uniform_(parameter, -(fan**-0.5), fan**-0.5)
        self.out_proj.reset_parameters()

    @property
    def reaches(self) -> list[int]:
        """Steps that the filters of each level look back: K - 1 dilations."""
        return [(self.kernel_size - 1) * 2**level for level in range(self.depth)]

    def forward(self, x: Tensor, *, seq: Seq | None = None, reverse: bool = False) -> Tensor:
        """Mix a whole sequence; see `Mixer.forward`."""
        if reverse:
            return run_reversed(self, x, seq=seq)
        return self._run(x, None, seq)[0]

    def prefill(self, x: Tensor, state: tuple | None = None, *, seq: Seq | None = None) -> tuple[Tensor, MultiresState]:
        """Mix a chunk from a state to a state; see `Mixer.prefill`."""
        if state is None:
            state = self.init_state(len(x), device=x.device, dtype=x.dtype)
        y, windows = self._run(x, list(state[0].split(self.reaches, dim=-1)), seq)
        return y, MultiresState(torch.cat(windows, dim=-1))

    def step(self, x_t: Tensor, state: tuple) -> tuple[Tensor, MultiresState]:
        """Mix one step (B, D): the formula at the top of this module."""
        h0, h1, w = self._filters()
        a = x_t.to(h0.dtype)
        y = w[:, -1] * a
        windows = []
        for level, window in enumerate(state[0].split(self.reaches, dim=-1)):
            seen = torch.cat((window, a[..., None].to(window.dtype)), -1)  # (B, D, (K - 1) 2^level + 1)
            windows.append(seen[..., 1:])
            inputs = seen[..., :: 2**level]  # (B, D, K)
            y = y + w[:, self.depth - level] * (inputs * h1).sum(-1)
            a = (inputs * h0).sum(-1)
        y = (y + w[:, 0] * a).to(x_t.dtype)
        return self.contract(y), MultiresState(torch.cat(windows, dim=-1))

    def init_state(
        self, batch_size: int, *, device: torch.device | str, dtype: torch.dtype, max_length: int | None = None
    ) -> MultiresState:
        """Return zeros; see `Mixer.init_state`."""
        kind = state_dtype(dtype)
        return MultiresState(torch.zeros(batch_size, self.d_model, sum(self.reaches), device=device, dtype=kind))

    def _run(self, x: Tensor, windows: list[Tensor] | None, seq: Seq | None) -> tuple[Tensor, list[Tensor]]:
        """Mix from the windows of the levels to theirs behind x; without windows nothing lies before x."""
        x, seq, order = _padding_last(x, seq)
        h0, h1, w = self._filters()
        a = x.to(h0.dtype)
        y = w[:, -1] * a
        behind = []
        for level in range(self.depth):
            window = None if windows is None else windows[level]
            if window is not None:
                behind.append(last_inputs(window, a, seq))
            low, high = a * h0[:, -1], a * h1[:, -1]
            for tap in range(1, self.kernel_size):
                past = _earlier(a, tap * 2**level, window, seq)
                if past is None:
                    break
                low, high = low + past * h0[:, -1 - tap], high + past * h1[:, -1 - tap]
            y = y + w[:, self.depth - level] * high
            a = low
        return self.contract(put_back((y + w[:, 0] * a).to(x.dtype), order)), behind

    def _filters(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return h0, h1 (D, K) and w (D, J + 2) in float32 at least."""
        return at_least_float32(self.h0), at_least_float32(self.h1), at_least_float32(self.w)


def _padding_last(x: Tensor, seq: Seq | None) -> tuple[Tensor, Seq | None, Tensor | None]:
    """Blank padding and bring it to the right end; return also the order (B, L) of the steps if it changed."""
    if seq is None or seq.valid is None:
        return x, seq, None
    x, order = x.masked_fill(~seq.valid[..., None], 0), valid_first(seq)
    if order is None:
        return x, seq, None
    segment = None if seq.segment is None else reorder(seq.segment, order)
    return reorder(x, order), Seq(reorder(seq.valid, order), segment, "right"), order


def _earlier(a: Tensor, lag: int, window: Tensor | None, seq: Seq | None) -> Tensor | None:
    """Return what lies `lag` steps before each of (B, L, D), 0 in another document; None if nothing does."""
    length = a.shape[1]
    if window is None and lag >= length:
        return None
    early, late = min(lag, length), max(length - lag, 0)
    if window is None:
        before = a.new_zeros(len(a), early, a.shape[2])
    else:
        at = window.shape[-1] - lag
        before = window[..., at : at + early].mT.to(a.dtype)
    past = torch.cat((before, a[:, :late]), 1)
    if seq is None or seq.segment is None:
        return past
    home = F.pad(seq.segment[:, :late], (early, 0))  # the window belongs to document 0
    return past.masked_fill((home != seq.segment)[..., None], 0)
