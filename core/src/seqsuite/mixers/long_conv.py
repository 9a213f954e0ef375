"""LongConv: a convolution whose taps are parameters, made smooth by shrinking them (Fu et al. 2023, 2302.06646).

    k = sign(w) max(|w| - lam, 0)                        "squash", w of l_max taps a channel
    y = D x + k * x;  out = glu(out_proj(gelu(y)))       without the gate: out_proj(gelu(y))

Steps further back than `l_max` count nothing, so the last `l_max` inputs are a recurrent state. float32
agrees with float64 to 2e-5 (relative).
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqsuite.errors import UserError
from seqsuite.mixers._finite import FiniteFilter
from seqsuite.mixers.base import at_least_float32
from seqsuite.mixers.options import check_range

_OWNER = "mixer 'long_conv'"


class LongConv(FiniteFilter):
    """The long convolution with free taps.

    Args:
        d_model: Width D.
        l_max: Taps of the filter; the input may be longer.
        lam: Threshold of the squash; 0 leaves the taps as they are.
        kernel_dropout: Share of the taps that is dropped in training.
        init: Initial taps: "double_exp" normal, fading over `l_max` at rates from 1 to D / 2 (in geometric
            progression over the channels), or "random" normal with deviation 0.002.
        gate: The output map is gated (GLU).
        recompute: Keep no spectra for the backward pass; see `seqsuite.ops.long_conv`.
    """

    no_decay: frozenset[str] = frozenset({"kernel", "D"})

    def __init__(
        self,
        d_model: int,
        *,
        l_max: int = 1024,
        lam: float = 0.001,
        kernel_dropout: float = 0.0,
        init: Literal["double_exp", "random"] = "double_exp",
        gate: bool = True,
        recompute: bool = False,
    ) -> None:
        super().__init__(d_model)
        check_range(_OWNER, {"d_model": d_model, "l_max": l_max}, least=1)
        check_range(_OWNER, {"lam": lam, "kernel_dropout": kernel_dropout}, least=0)
        if kernel_dropout >= 1:
            raise UserError(f"{_OWNER}: kernel_dropout must be below 1, not {kernel_dropout}")
        self.l_max, self.lam, self.kernel_dropout, self.init = l_max, lam, kernel_dropout, init
        self.gated, self.recompute = gate, recompute
        self.kernel = nn.Parameter(torch.empty(d_model, l_max))
        self.D = nn.Parameter(torch.empty(d_model))
        self.out_proj = nn.Linear(d_model, 2 * d_model if gate else d_model)
        self.reset_parameters()
        self.mark_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw the initial parameters; the skips D are standard normal."""
        nn.init.normal_(self.D)
        self.out_proj.reset_parameters()
        if self.init == "random":
            nn.init.normal_(self.kernel, std=0.002)
            return
        nn.init.normal_(self.kernel)
        like = {"device": self.kernel.device, "dtype": self.kernel.dtype}
        channel = torch.arange(self.d_model, **like)[:, None] / self.d_model  # type: ignore[call-overload]
        place = torch.arange(self.l_max, **like) / self.l_max  # type: ignore[call-overload]
        self.kernel.mul_(torch.exp(-place * max(1, self.d_model // 2) ** channel))

    @property
    def reach(self) -> int:
        """`l_max`."""
        return self.l_max

    def taps(self) -> Tensor:
        """Return the squashed filter (l_max, D); in training some taps are dropped."""
        kernel = at_least_float32(self.kernel)
        return F.dropout(F.softshrink(kernel, self.lam), self.kernel_dropout, self.training).t()
