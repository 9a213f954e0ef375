"""What mixers around one data-controlled linear recurrence share: the views, and the state as real numbers.

A subclass projects (`expand`), says what the recurrence is (`recurrence`) and what is read of its states
(`read_out`); h_t = a_t h_{t-1} + b_t is real or complex, elementwise over the inner width.
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from seqsuite.mixers.base import ProjectedMixer, state_dtype
from seqsuite.ops import Seq, linear_scan


class ScanState(NamedTuple):
    """What a scan mixer carries from step to step.

    Attributes:
        h: (B, D_inner) state, or (B, D_inner, 2) real and imaginary parts of a complex one.
    """

    h: Tensor


class ScanMixer(ProjectedMixer):
    """A mixer of the form ``contract(read_out(linear_scan(*recurrence(expand(x)))))``.

    Attributes:
        d_inner: Width of the recurrence.
        complex_state: Whether the recurrence is complex.
    """

    causal: bool = True
    reversible: ClassVar[bool] = True
    d_inner: int
    complex_state: bool

    def recurrence(self, inner: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Return factors and inputs (..., D_inner) of the recurrence, in float32 at least."""
        raise NotImplementedError

    def read_out(self, inner: tuple[Tensor, ...], h: Tensor) -> Tensor:
        """Return what `contract` projects, from the states (..., D_inner)."""
        raise NotImplementedError

    def mix(self, inner: tuple[Tensor, ...], *, seq: Seq | None = None, reverse: bool = False) -> Tensor:
        """Run the recurrence over a whole sequence and read it out."""
        h = linear_scan(*self.recurrence(inner), seq=seq, reverse=reverse)
        assert isinstance(h, Tensor)
        return self.read_out(inner, h)

    def mix_from(
        self, inner: tuple[Tensor, ...], state: tuple | None, *, seq: Seq | None = None
    ) -> tuple[Tensor, ScanState]:
        """Run the recurrence over a chunk, from a state to a state, and read it out."""
        start = None if state is None else self._enter(state)
        h, last = linear_scan(*self.recurrence(inner), initial_state=start, return_final_state=True, seq=seq)
        return self.read_out(inner, h), self._leave(last)

    def step(self, x_t: Tensor, state: tuple) -> tuple[Tensor, ScanState]:
        """Mix one step (B, D)."""
        inner = self.expand(x_t)
        a, b = self.recurrence(inner)
        h = a * self._enter(state) + b
        return self.contract(self.read_out(inner, h)), self._leave(h)

    def init_state(
        self, batch_size: int, *, device: torch.device | str, dtype: torch.dtype, max_length: int | None = None
    ) -> ScanState:
        """Return zeros; see `Mixer.init_state`."""
        kind = state_dtype(dtype)
        shape = (batch_size, self.d_inner, 2) if self.complex_state else (batch_size, self.d_inner)
        return ScanState(torch.zeros(shape, device=device, dtype=kind))

    def _enter(self, state: tuple) -> Tensor:
        return torch.view_as_complex(state[0]) if self.complex_state else state[0]

    def _leave(self, h: Tensor) -> ScanState:
        return ScanState(torch.view_as_real(h) if self.complex_state else h)
