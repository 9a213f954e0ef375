"""HGRN: a gated linear recurrence whose forget gate has a lower bound (Qin, Yang and Zhong 2023).

    c, f, g = in_proj(x)
    lambda_t = gamma + (1 - gamma) sigmoid(f_t)               gamma: the layer's lower bound
    h_t = lambda_t exp(i theta) h_{t-1} + (1 - lambda_t) silu(c_t)
    out = out_proj(norm([Re h, Im h] * sigmoid(g)))

SiLU acts on real and imaginary part alone; theta is learned and the same for all data. The real form has no
theta and no imaginary parts. In the paper the bound rises from layer to layer, so that upper layers remember
longer; a mixer knows one layer only, so it is an option here: give each layer its own.
Paper: https://arxiv.org/abs/2311.04823. Views agree to 1e-10 in float64 and 2e-5 (relative) in float32.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqsuite.errors import UserError
from seqsuite.mixers._scan_mixer import ScanMixer
from seqsuite.mixers.base import at_least_float32
from seqsuite.mixers.options import check_range

_OWNER = "mixer 'hgrn'"
_SLOWEST = 1e-4


class HGRN(ScanMixer):
    """The HGRN token mixing, without the outer norm and residual.

    Args:
        d_model: Width D.
        expand: Inner width is ``expand * d_model``.
        complex_state: Whether the state is complex, with a learned rotation.
        lower_bound: Least value of the forget gate, gamma, in [0, 1).
        bias: The two projections have a bias.
    """

    def __init__(
        self,
        d_model: int,
        *,
        expand: float = 1,
        complex_state: bool = True,
        lower_bound: float = 0.0,
        bias: bool = True,
    ) -> None:
        super().__init__(d_model)
        check_range(_OWNER, {"expand": expand}, above=0)
        check_range(_OWNER, {"d_model": d_model, "expand * d_model": expand * d_model}, least=1)
        check_range(_OWNER, {"lower_bound": lower_bound}, least=0)
        if lower_bound >= 1:
            raise UserError(f"{_OWNER}: lower_bound must be below 1, not {lower_bound}")
        self.d_inner, self.complex_state, self.lower_bound = int(expand * d_model), complex_state, lower_bound
        parts = 2 if complex_state else 1
        self.sizes = (parts * self.d_inner, self.d_inner, parts * self.d_inner)
        self.in_proj = nn.Linear(d_model, sum(self.sizes), bias=bias)
        self.theta = nn.Parameter(torch.empty(self.d_inner)) if complex_state else None
        if complex_state:
            self.no_decay = self.no_reinit = frozenset({"theta"})  # decay would stop the rotation
        self.norm = nn.LayerNorm(parts * self.d_inner)
        self.out_proj = nn.Linear(parts * self.d_inner, d_model, bias=bias)
        self.reset_parameters()
        self.mark_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw the projections as `nn.Linear` does; rotations fall geometrically from 1 towards 1e-4 per step."""
        for layer in (self.in_proj, self.norm, self.out_proj):
            if layer is not None:
                layer.reset_parameters()
        if self.theta is not None:
            self.theta.copy_(_SLOWEST ** (torch.arange(self.d_inner) / self.d_inner))

    def expand(self, x: Tensor) -> tuple[Tensor, ...]:
        """Project (..., D) to candidate, forget gate (..., D_inner) and output gate; two parts where complex."""
        assert self.in_proj is not None
        return self.in_proj(x).split(self.sizes, dim=-1)

    def recurrence(self, inner: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Return the forget gate, rotated, and the candidate in the share that the gate leaves it."""
        candidate, forget = (at_least_float32(stream) for stream in inner[:2])
        candidate = F.silu(candidate)
        # 1 - lambda is (1 - gamma) sigmoid(-f): nothing cancels where the gate is almost one.
        rest = (1 - self.lower_bound) * torch.sigmoid(-forget)
        keep = self.lower_bound + (1 - self.lower_bound) * torch.sigmoid(forget)
        if self.theta is None:
            return keep, rest * candidate
        theta = self.theta.to(keep.dtype).expand_as(keep)
        real, imaginary = candidate.chunk(2, -1)
        return torch.polar(keep, theta), torch.complex(rest * real, rest * imaginary)

    def read_out(self, inner: tuple[Tensor, ...], h: Tensor) -> Tensor:
        """Return the normed, gated parts of the state."""
        parts = torch.cat((h.real, h.imag), -1) if self.complex_state else h
        gate = inner[2]
        return self.norm(parts.to(gate.dtype) * torch.sigmoid(gate))
