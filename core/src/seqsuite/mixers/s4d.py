"""S4D: a diagonal state space for every channel (Gu et al. 2022, arXiv 2206.11893).

    x_n' = A_n x_n + B_n u,  y = 2 Re sum_n C_n x_n + D u,   A = -exp(A_real) - i A_imag
    k_l = 2 Re sum_n C_n dB_n exp(dt A_n l)                      zero-order hold
    out = output_linear(gelu(y)) with a gated linear unit

Kernels come from `seqsuite.ops.ssm_kernel`, by two small factors and one matrix product. Both published
layouts are known: the minimal layer (B = 1) and the diagonal mode of the S4 block; see
`s4d_from_published`. Views agree to 1e-10 in float64 and 2e-5 (relative) in float32.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from torch import Tensor

from seqsuite.errors import UserError
from seqsuite.mixers._s4_block import Activation, Output, SSMState, StateSpaceMixer
from seqsuite.mixers._s4_convert import s4d_from_published, s4d_options_from_published, s4d_to_published
from seqsuite.mixers.hippo import DiagonalInit, diagonal
from seqsuite.mixers.options import check_range

__all__ = ["S4D", "SSMState", "s4d_from_published", "s4d_options_from_published", "s4d_to_published"]


class S4D(StateSpaceMixer):
    """The S4D layer, without norm and residual.

    Args:
        d_model: Width D, one state space a channel.
        d_state: State size N, even: N/2 conjugate pairs.
        n_ssm: Different (A, B), a divisor of `d_model`; channel h uses number h % n_ssm. None: one a channel.
        channels: Outputs of each state space.
        init: What A and B begin as; see `seqsuite.mixers.hippo.diagonal`.
        discretization: "zoh", "bilinear", or "dss": each mode's kernel normalised over its first `l_max` values
            (arXiv 2203.14343).
        l_max: For "dss"; it belongs to the weights.
        dt_min: Smallest initial step size.
        dt_max: Largest initial step size.
        dt_tie: One step size a channel; else one a mode.
        dt_transform: The step size is exp or softplus of its parameter.
        bandlimit: Modes of at least bandlimit / 2 turns a step are silent; None: none are.
        bidirectional: A second set of C looks ahead; there is no recurrent form then.
        activation: Between the state space and the output layer.
        output: The output layer: linear with a gated unit, linear, or none.
        dropout: Behind the activation.
        ssm_lr_scale: Learning rate of step sizes, A and B in units of the others'; they never decay.
    """

    owner: ClassVar[str] = "mixer 's4d'"
    no_decay: frozenset[str] = frozenset({"inv_dt", "A_real", "A_imag", "B"})

    def __init__(
        self,
        d_model: int,
        *,
        d_state: int = 64,
        n_ssm: int | None = None,
        channels: int = 1,
        init: DiagonalInit = "lin",
        discretization: Literal["zoh", "bilinear", "dss"] = "zoh",
        l_max: int | None = None,
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
        if discretization == "dss" and l_max is None:
            raise UserError(f"{self.owner}: l_max must be given with discretization 'dss'")
        if l_max is not None:
            check_range(self.owner, {"l_max": l_max}, least=1)
        self.init, self.discretization, self.l_max = init, discretization, l_max
        self.reset_parameters()
        self.mark_parameters()

    def initial_system(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return the diagonal system, copied."""
        return *diagonal(self.init, self.d_state, copies=self.n_ssm), None

    def continuous(self) -> dict[str, Any]:
        """See `StateSpaceMixer.continuous`."""
        return super().continuous() | {"discretization": self.discretization, "l_max": self.l_max}
