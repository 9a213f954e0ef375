"""GateLoop: a linear recurrence whose state transitions are the data's (Katsch 2023).

    q, k, v, m, p, g = in_proj(x)                     # each of the inner width; p only if complex, g only if gated
    a_t = sigmoid(m_t) exp(i p_t)                     # without the phase if the state is real
    h_t = a_t h_{t-1} + k_t v_t;   y_t = q_t Re(h_t)
    out = out_proj(y * silu(g))

This is the paper's form with as many heads as channels, where the state of a head is one number and all
products are elementwise; the matrix-valued state of fewer heads is not built here, nor the norm that some
implementations put before the output gate. Magnitude by sigmoid and phase as it is are the paper's choice.
Paper: https://arxiv.org/abs/2311.01927. Views agree to 1e-10 in float64 and 2e-5 (relative) in float32.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqsuite.mixers._scan_mixer import ScanMixer
from seqsuite.mixers.base import at_least_float32
from seqsuite.mixers.options import check_range

_OWNER = "mixer 'gateloop'"


class GateLoop(ScanMixer):
    """The GateLoop time mixing, without norm and residual.

    Args:
        d_model: Width D.
        expand: Inner width is ``expand * d_model``.
        complex_state: Transitions have a phase; else they are real, in (0, 1).
        gate: The output is gated by the SiLU of a projection.
        bias: The two projections have a bias.
    """

    def __init__(
        self, d_model: int, *, expand: float = 1, complex_state: bool = True, gate: bool = True, bias: bool = False
    ) -> None:
        super().__init__(d_model)
        check_range(_OWNER, {"expand": expand}, above=0)
        check_range(_OWNER, {"d_model": d_model, "expand * d_model": expand * d_model}, least=1)
        self.d_inner, self.complex_state, self.gate = int(expand * d_model), complex_state, gate
        streams = 4 + complex_state + gate
        self.in_proj = nn.Linear(d_model, streams * self.d_inner, bias=bias)
        self.out_proj = nn.Linear(self.d_inner, d_model, bias=bias)
        self.reset_parameters()
        self.mark_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw the projections Xavier-normal, biases zero."""
        for layer in (self.in_proj, self.out_proj):
            if layer is not None:
                for weight in layer.weight.split(self.d_inner) if layer is self.in_proj else (layer.weight,):
                    nn.init.xavier_normal_(weight)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def expand(self, x: Tensor) -> tuple[Tensor, ...]:
        """Project (..., D) to q, k, v, the magnitude, and, where there are such, phase and gate, (..., D_inner)."""
        assert self.in_proj is not None
        return self.in_proj(x).split(self.d_inner, dim=-1)

    def recurrence(self, inner: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Return the transitions and k v."""
        k, v, magnitude, *others = (at_least_float32(stream) for stream in inner[1:])
        size = torch.sigmoid(magnitude)
        return torch.polar(size, others[0]) if self.complex_state else size, k * v

    def read_out(self, inner: tuple[Tensor, ...], h: Tensor) -> Tensor:
        """Return q Re(h), gated."""
        y = inner[0] * (h.real if self.complex_state else h).to(inner[0].dtype)
        return y * F.silu(inner[-1]) if self.gate else y
