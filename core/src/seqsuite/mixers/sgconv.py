"""SGConv: a long filter made of short ones, stretched and fading (Li et al. 2022, https://arxiv.org/abs/2210.09298).

    k = [w_0, up_1(w_1) / m, up_2(w_2) / m^2, up_4(w_3) / m^3, ...] / Z
    y = D x + k * x;  out = out_proj(gelu(y))                  with `gate`: glu(out_proj(gelu(y)))

Each w_i has `kernel_dim` taps a channel; up_s stretches s times by linear interpolation, so that sub-kernel i
covers as many steps as all before it. m is the decay of a scale, Z makes the norm of the initial filter 1 (it is
part of the state dict). Parameters grow with the logarithm of `l_max`. Steps further back than `l_max` count
nothing, so the last `l_max` inputs are a recurrent state. float32 agrees with float64 to 2e-5 (relative).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqsuite.errors import UserError
from seqsuite.mixers._finite import FiniteFilter
from seqsuite.mixers.base import at_least_float32
from seqsuite.mixers.options import check_range

_OWNER = "mixer 'sgconv'"


class SGConv(FiniteFilter):
    """The structured global convolution.

    Args:
        d_model: Width D.
        l_max: Taps of the filter; the input may be longer.
        kernel_dim: Taps of a sub-kernel before it is stretched.
        decay_min: Factor by which a scale of the first channel is below the one before it, at least 1.
        decay_max: That of the last channel; those between are spaced evenly.
        gate: The output map is gated (GLU).
        recompute: Keep no spectra for the backward pass; see `seqsuite.ops.long_conv`.
    """

    no_decay: frozenset[str] = frozenset({"D"})
    kernel_norm: Tensor

    def __init__(
        self,
        d_model: int,
        *,
        l_max: int = 1024,
        kernel_dim: int = 64,
        decay_min: float = 2.0,
        decay_max: float = 2.0,
        gate: bool = False,
        recompute: bool = False,
    ) -> None:
        super().__init__(d_model)
        check_range(_OWNER, {"d_model": d_model, "l_max": l_max, "kernel_dim": kernel_dim}, least=1)
        check_range(_OWNER, {"decay_min": decay_min, "decay_max": decay_max}, least=1)
        if decay_min > decay_max:
            raise UserError(f"{_OWNER}: decay_min must not be above decay_max, {decay_min} and {decay_max}")
        self.l_max, self.decays = l_max, (decay_min, decay_max)
        self.gated, self.recompute = gate, recompute
        self.n_scales = 1 + max(0, math.ceil(math.log2(l_max / kernel_dim)))
        self.kernels = nn.Parameter(torch.empty(self.n_scales, d_model, kernel_dim))
        self.D = nn.Parameter(torch.empty(d_model))
        self.out_proj = nn.Linear(d_model, 2 * d_model if gate else d_model)
        self.register_buffer("kernel_norm", torch.ones(d_model))
        self.reset_parameters()
        self.mark_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw the initial parameters, standard normal before the filter is scaled to norm 1."""
        nn.init.normal_(self.D)
        nn.init.normal_(self.kernels)
        self.out_proj.reset_parameters()
        self.kernel_norm.fill_(1.0)
        self.kernel_norm.copy_(self.taps().norm(dim=0))

    @property
    def reach(self) -> int:
        """`l_max`."""
        return self.l_max

    def taps(self) -> Tensor:
        """Return the filter (l_max, D)."""
        kernels = at_least_float32(self.kernels)
        decay = torch.linspace(*self.decays, self.d_model, device=kernels.device, dtype=kernels.dtype)
        parts = []
        for scale, kernel in enumerate(kernels):
            faded = (kernel * decay[:, None] ** -scale)[None]
            parts.append(F.interpolate(faded, scale_factor=2 ** max(0, scale - 1), mode="linear")[0])
        whole = torch.cat(parts, dim=-1)[:, : self.l_max]  # (D, l_max)
        return (whole / self.kernel_norm[:, None].to(whole.dtype)).t()
