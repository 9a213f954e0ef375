"""S4: a structured state space for every channel, diagonal plus low rank (Gu et al. 2022, arXiv 2111.00396).

    x' = A x + B u,  y = Re(C x) + D u,   A = diag(-exp(A_real) - i A_imag) - P P^*
    out = output_linear(gelu(y)) with a gated linear unit

A is stable whatever the parameters are (SaShiMi, arXiv 2202.09729). It begins as a HiPPO matrix, steps
are bilinear, and a kernel of any length comes from `seqsuite.ops.ssm_kernel`. The parameter C is the
plain C: published checkpoints hold C (I - dA^l), `s4_from_published` and `s4_to_published` convert.
Views agree to 1e-10 in float64 and 2e-5 (relative) in float32.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from seqsuite.errors import UserError
from seqsuite.mixers._s4_block import Activation, Output, SSMState, StateSpaceMixer
from seqsuite.mixers._s4_convert import s4_from_published, s4_options_from_published, s4_to_published
from seqsuite.mixers.hippo import LEAST_RANK, nplr
from seqsuite.mixers.options import check_range

__all__ = ["S4", "SSMState", "s4_from_published", "s4_options_from_published", "s4_to_published"]


class S4(StateSpaceMixer):
    """The S4 layer, without norm and residual.

    Args:
        d_model: Width D, one state space a channel.
        d_state: State size N, even: N/2 conjugate pairs.
        n_ssm: Different (A, B, P), a divisor of `d_model`; channel h uses number h % n_ssm. None: one a channel.
        channels: Outputs of each state space.
        rank: Columns of P.
        init: HiPPO measure that A, B and P begin as: "legs", "legt" (rank 2 at least), "fourier", or "hippo", half
            of the copies legs and half fourier.
        dt_min: Smallest initial step size.
        dt_max: Largest initial step size.
        dt_tie: One step size a channel; else one a mode.
        dt_transform: The step size is exp or softplus of its parameter.
        bandlimit: Modes of at least bandlimit / 2 turns a step are silent; None: none are.
        bidirectional: A second set of C looks ahead; there is no recurrent form then.
        activation: Between the state space and the output layer.
        output: The output layer: linear with a gated unit, linear, or none.
        dropout: Behind the activation.
        ssm_lr_scale: Learning rate of step sizes, A, B and P in units of the others'; they never decay.
    """

    owner: ClassVar[str] = "mixer 's4'"
    no_decay: frozenset[str] = frozenset({"inv_dt", "A_real", "A_imag", "B", "P"})

    def __init__(
        self,
        d_model: int,
        *,
        d_state: int = 64,
        n_ssm: int | None = None,
        channels: int = 1,
        rank: int = 1,
        init: Literal["legs", "legt", "fourier", "hippo"] = "legs",
        dt_min: float = 1e-3,
        dt_max: float = 0.1,
        dt_tie: bool = True,
        dt_transform: Literal["exp", "softplus"] = "exp",
        bandlimit: float | None = None,
        bidirectional: bool = False,
        activation: Activation = "gelu",
        output: Output = "glu",
        dropout: float = 0.0,
        ssm_lr_scale: float = 1.0,
    ) -> None:
        super().__init__(
            d_model,
            d_state=d_state,
            n_ssm=n_ssm,
            channels=channels,
            dt_min=dt_min,
            dt_max=dt_max,
            dt_tie=dt_tie,
            dt_transform=dt_transform,
            bandlimit=bandlimit,
            bidirectional=bidirectional,
            activation=activation,
            output=output,
            dropout=dropout,
            ssm_lr_scale=ssm_lr_scale,
        )
        check_range(self.owner, {"rank": rank}, least=LEAST_RANK.get(init, 1))
        if init == "hippo" and self.n_ssm % 2:
            raise UserError(f"{self.owner}: n_ssm must be even for init 'hippo', half legs and half fourier")
        self.init = init
        self.P = nn.Parameter(torch.empty(rank, self.n_ssm, d_state // 2, 2))
        self.reset_parameters()
        self.mark_parameters()

    def initial_system(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return the HiPPO system, copied."""
        measures: tuple[Any, ...] = ("legs", "fourier") if self.init == "hippo" else (self.init,)
        parts = [nplr(measure, self.d_state, rank=len(self.P)) for measure in measures]
        copies = self.n_ssm // len(parts)
        A, B = (torch.cat([getattr(part, name).expand(copies, -1) for part in parts]) for name in ("A", "B"))
        return A, B, torch.cat([part.P[:, None].expand(-1, copies, -1) for part in parts], 1)

    def continuous(self) -> dict[str, Any]:
        """See `StateSpaceMixer.continuous`."""
        return super().continuous() | {"P": torch.view_as_complex(self.P.double().contiguous())}
