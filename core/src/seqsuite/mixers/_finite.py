"""Mixers that are a causal filter of fixed length between position-wise functions, and their recurrent views.

    y_t = contract(D x_t + sum_{i < K} k_i x_{t-i})

The filter ends after K taps, so the last K inputs are a state of constant size: `prefill` convolves them
together with the chunk, `step` takes one inner product with them. A subclass says what the taps are.
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqsuite.mixers.base import Mixer, state_dtype
from seqsuite.ops import Seq, long_conv


class WindowState(NamedTuple):
    """What a filter of fixed length carries from step to step.

    Attributes:
        window: (B, D, K) last inputs, newest last.
    """

    window: Tensor


class ActivatedOutput(Mixer):
    """A mixer that ends in GELU and a linear map, with a gate or without.

    Attributes:
        out_proj: The linear map; with a gate (GLU) it has twice the width.
        gated: Whether it has.
    """

    out_proj: nn.Linear
    gated: bool

    @torch.no_grad()
    def scale_output(self, factor: float) -> None:
        """Scale the output's values, not their gate; see `Mixer.scale_output`."""
        self.out_proj.weight[: self.d_model].mul_(factor)

    def contract(self, y: Tensor) -> Tensor:
        """Activate and map the mixed (..., D) to the output (..., D)."""
        y = self.out_proj(F.gelu(y))
        return F.glu(y, dim=-1) if self.gated else y


class FiniteFilter(ActivatedOutput):
    """A learned filter of fixed length, then GELU and a linear map.

    Attributes:
        D: (D,) skip.
        recompute: Keep no spectra for the backward pass; see `seqsuite.ops.long_conv`.
    """

    causal: bool = True
    reversible: ClassVar[bool] = True

    D: nn.Parameter
    recompute: bool

    def taps(self) -> Tensor:
        """Return the filter (K, D), the tap of the present step first, in float32 at least."""
        raise NotImplementedError

    @property
    def reach(self) -> int:
        """K, the number of taps."""
        raise NotImplementedError

    def forward(self, x: Tensor, *, seq: Seq | None = None, reverse: bool = False) -> Tensor:
        """Filter a whole sequence; see `Mixer.forward`."""
        taps = self.taps()
        return self.contract(long_conv(x, taps, D=self.D, seq=seq, reverse=reverse, recompute=self.recompute))

    def prefill(self, x: Tensor, state: tuple | None = None, *, seq: Seq | None = None) -> tuple[Tensor, WindowState]:
        """Filter a chunk from a state to a state; see `Mixer.prefill`."""
        if state is None:
            start = self.init_state(len(x), device=x.device, dtype=x.dtype)
            return self.forward(x, seq=seq), WindowState(last_inputs(start.window, x, seq))
        (window,) = state
        before = window.shape[-1]
        seen = torch.cat((window.mT.to(x.dtype), x), 1)
        y = long_conv(seen, self.taps(), D=self.D, seq=_behind(seq, before), recompute=self.recompute)
        return self.contract(y[:, before:]), WindowState(last_inputs(window, x, seq))

    def step(self, x_t: Tensor, state: tuple) -> tuple[Tensor, WindowState]:
        """Filter one step (B, D): the formula at the top of this module."""
        (window,) = state
        window = torch.cat((window[..., 1:], x_t[..., None].to(window.dtype)), -1)
        y = (window * self.taps().flip(0).t().to(window.dtype)).sum(-1) + self.D * window[..., -1]
        return self.contract(y.to(x_t.dtype)), WindowState(window)

    def init_state(
        self, batch_size: int, *, device: torch.device | str, dtype: torch.dtype, max_length: int | None = None
    ) -> WindowState:
        """Return zeros; see `Mixer.init_state`."""
        kind = state_dtype(dtype)
        return WindowState(torch.zeros(batch_size, self.d_model, self.reach, device=device, dtype=kind))


def last_inputs(window: Tensor, x: Tensor, seq: Seq | None) -> Tensor:
    """Return the last K valid inputs of the last document, zeros before it.

    Args:
        window: (B, D, K) inputs before x, newest last.
        x: (B, L, D).
        seq: Padding and packing of x.

    Returns:
        (B, D, K), newest last, in the window's dtype.
    """
    count = window.shape[-1]
    seen = torch.cat((window.mT, x.to(window.dtype)), 1)  # (B, K + L, D)
    if seq is None or (seq.valid is None and seq.segment is None):
        return seen[:, -count:].mT.contiguous()
    place = torch.arange(seen.shape[1], device=x.device).expand(seen.shape[:2])
    if seq.valid is not None:
        hidden = F.pad(~seq.valid, (count, 0))  # False: the window itself
        place = torch.argsort((~hidden).to(torch.int8), dim=1, stable=True)  # padding first, the rest in order
    place = place[:, -count:]
    found = seen.gather(1, place[..., None].expand(-1, -1, seen.shape[2]))
    if seq.segment is not None:
        home = F.pad(seq.segment, (count, 0)).gather(1, place)  # the window belongs to document 0
        found = found.masked_fill((home != home[:, -1:])[..., None], 0)
    return found.mT.contiguous()


def _behind(seq: Seq | None, count: int) -> Seq | None:
    """Return the `Seq` of a batch with `count` valid steps in front, which continue document 0."""
    if seq is None:
        return None
    valid = None if seq.valid is None else F.pad(seq.valid, (count, 0), value=True)
    segment = None if seq.segment is None else F.pad(seq.segment, (count, 0))
    return Seq(valid, segment, "right" if valid is None or seq.side == "right" else None)
