"""Mamba in both directions (the form of Vision Mamba, https://arxiv.org/abs/2401.09417, and Caduceus, 2403.03234).

    y = combine(Mamba(x), flip(Mamba'(flip(x))))

`seqsuite.mixers.bidirectional.Bidirectional` around `Mamba`, as a mixer with a name and typed options. With
tied projections (the default, as in Caduceus) the two members share `in_proj` and `out_proj`, which are then
computed once; the convolution and the scan are each member's own. Not causal, so there is no recurrent form.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from seqsuite.mixers.bidirectional import Bidirectional, Combine, Tie
from seqsuite.mixers.mamba import Mamba


class _Direction(Mamba):
    """A member; its options are told as those of the whole."""

    _owner: ClassVar[str] = "mixer 'bidirectional_mamba'"


class BidirectionalMamba(Bidirectional):
    """Two Mamba mixers, one from either end.

    Args:
        d_model: Width D.
        combine: Sum, product, or a learned linear map of the concatenation back to D.
        tie: What the members share: nothing, their outer projections, or all parameters.
        d_state: State size N per channel.
        d_conv: Taps of the causal convolution.
        expand: Inner width is ``expand * d_model``.
        dt_rank: Rank of the step-size projection; "auto" is ``ceil(d_model / 16)``.
        dt_min: Smallest initial step size.
        dt_max: Largest initial step size.
        dt_init: Initial `dt_proj.weight`: uniform, or all equal.
        dt_scale: Factor on it.
        dt_init_floor: Initial step sizes are not below this.
        conv_bias: The convolution has a bias.
        bias: The two outer projections have a bias.
    """

    def __init__(
        self,
        d_model: int,
        *,
        combine: Combine = "add",
        tie: Tie = "projections",
        d_state: int = 16,
        d_conv: int = 4,
        expand: float = 2,
        dt_rank: int | Literal["auto"] = "auto",
        dt_min: float = 1e-3,
        dt_max: float = 0.1,
        dt_init: Literal["random", "constant"] = "random",
        dt_scale: float = 1.0,
        dt_init_floor: float = 1e-4,
        conv_bias: bool = True,
        bias: bool = False,
    ) -> None:
        member = _Direction(
            d_model,
            d_state=d_state,
            d_conv=d_conv,
            expand=expand,
            dt_rank=dt_rank,
            dt_min=dt_min,
            dt_max=dt_max,
            dt_init=dt_init,
            dt_scale=dt_scale,
            dt_init_floor=dt_init_floor,
            conv_bias=conv_bias,
            bias=bias,
        )
        super().__init__(member, combine, tie)
