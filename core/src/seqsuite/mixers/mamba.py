"""Mamba: an input-dependent diagonal state space behind a short convolution (Gu and Dao 2023).

    x, z = in_proj(h);  x = silu(conv(x))
    delta, B, C = x_proj(x);  delta = softplus(dt_proj(delta))
    h_t = exp(delta A) h_{t-1} + delta B x;  y = C h + D x
    out = out_proj(y * silu(z))

Parameter names, layouts and initial distributions are those of the published implementation, so its
checkpoints need no conversion. Views agree to 1e-10 in float64 and 2e-5 (relative) in float32.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqsuite.mixers._short_conv import short_conv, short_conv_step
from seqsuite.mixers._step_sizes import check_step_sizes, draw_step_sizes
from seqsuite.mixers.base import ProjectedMixer, at_least_float32, state_dtype
from seqsuite.mixers.options import check_range
from seqsuite.ops import Seq, selective_scan


class MambaState(NamedTuple):
    """What Mamba carries from step to step.

    Attributes:
        conv: (B, D_inner, d_conv) last inputs of the convolution, newest last.
        ssm: (B, D_inner, N) state of the scan.
    """

    conv: Tensor
    ssm: Tensor


class Mamba(ProjectedMixer):
    """The Mamba block's mixer, without norm and residual.

    Args:
        d_model: Width D.
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

    causal: bool = True
    reversible: ClassVar[bool] = True
    no_decay: frozenset[str] = frozenset({"A_log", "D"})
    no_reinit: frozenset[str] = frozenset({"dt_proj.bias"})
    _owner: ClassVar[str] = "mixer 'mamba'"

    def __init__(
        self,
        d_model: int,
        *,
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
        super().__init__(d_model)
        self.dt_rank = math.ceil(d_model / 16) if dt_rank == "auto" else dt_rank
        sizes = {"d_model": d_model, "d_state": d_state, "d_conv": d_conv, "dt_rank": self.dt_rank}
        check_range(self._owner, {"expand": expand, "dt_scale": dt_scale}, above=0)
        check_range(self._owner, sizes | {"expand * d_model": expand * d_model}, least=1)
        check_step_sizes(self._owner, dt_min, dt_max, dt_init_floor)
        self.d_inner = int(expand * d_model)
        self.d_state, self.d_conv = d_state, d_conv
        self.dt_init, self.dt_scale = dt_init, dt_scale
        self.dt_range = (dt_min, dt_max, dt_init_floor)
        self.in_proj = nn.Linear(d_model, 2 * self.d_inner, bias=bias)
        self.conv1d = nn.Conv1d(self.d_inner, self.d_inner, d_conv, groups=self.d_inner, bias=conv_bias)
        self.x_proj = nn.Linear(self.d_inner, self.dt_rank + 2 * d_state, bias=False)
        self.dt_proj = nn.Linear(self.dt_rank, self.d_inner)
        self.A_log = nn.Parameter(torch.empty(self.d_inner, d_state))
        self.D = nn.Parameter(torch.empty(self.d_inner))
        self.out_proj = nn.Linear(self.d_inner, d_model, bias=bias)
        self.reset_parameters()
        self.mark_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw the initial parameters: A = -(1..N), D = 1, step sizes log-uniform."""
        for layer in (self.in_proj, self.conv1d, self.x_proj, self.out_proj):
            if layer is not None:
                layer.reset_parameters()
        spread = self.dt_rank**-0.5 * self.dt_scale
        if self.dt_init == "constant":
            nn.init.constant_(self.dt_proj.weight, spread)
        else:
            nn.init.uniform_(self.dt_proj.weight, -spread, spread)
        self.dt_proj.bias.copy_(draw_step_sizes(self.d_inner, *self.dt_range))
        self.A_log.copy_(torch.log(torch.arange(1, self.d_state + 1, dtype=torch.float32)).expand_as(self.A_log))
        self.D.fill_(1.0)

    def expand(self, x: Tensor) -> tuple[Tensor, ...]:
        """Project (B, L, D) to the stream x and the gate z, each (B, L, D_inner)."""
        assert self.in_proj is not None
        return self.in_proj(x).chunk(2, dim=-1)

    def mix(self, inner: tuple[Tensor, ...], *, seq: Seq | None = None, reverse: bool = False) -> Tensor:
        """Convolve, scan and gate: (B, L, D_inner)."""
        x, z = inner
        return self._scan(short_conv(self.conv1d, x, reverse=reverse, seq=seq), z, reverse=reverse, seq=seq)

    def mix_from(
        self, inner: tuple[Tensor, ...], state: tuple | None, *, seq: Seq | None = None
    ) -> tuple[Tensor, MambaState]:
        """Convolve, scan and gate a chunk from a state to a state."""
        x, z = inner
        if state is None:
            state = self.init_state(x.shape[0], device=x.device, dtype=x.dtype)
        conv, ssm = state
        x, conv = short_conv(self.conv1d, x, initial_state=conv, return_final_state=True, seq=seq)
        y, ssm = self._scan(x, z, initial_state=ssm, return_final_state=True, seq=seq)
        return y, MambaState(conv, ssm)

    def step(self, x_t: Tensor, state: tuple) -> tuple[Tensor, MambaState]:
        """Mix one step (B, D): the recurrence as written at the top of this module."""
        conv, ssm = state
        x, z = self.expand(x_t)  # (B, D_inner)
        x, conv = short_conv_step(self.conv1d, x, conv)
        delta, B, C = self._parameters_of(x)
        delta = F.softplus(delta.to(ssm.dtype) + self.dt_proj.bias)
        ssm = torch.exp(delta[..., None] * self._A()) * ssm + (delta * x)[..., None] * B[:, None].to(ssm.dtype)
        y = (ssm * C[:, None]).sum(-1) + self.D * x
        return self.contract((y * F.silu(z.to(y.dtype))).to(z.dtype)), MambaState(conv, ssm)

    def init_state(
        self, batch_size: int, *, device: torch.device | str, dtype: torch.dtype, max_length: int | None = None
    ) -> MambaState:
        """Return zeros; see `Mixer.init_state`."""
        kind = state_dtype(dtype)
        return MambaState(
            torch.zeros(batch_size, self.d_inner, self.d_conv, device=device, dtype=kind),
            torch.zeros(batch_size, self.d_inner, self.d_state, device=device, dtype=kind),
        )

    def _scan(self, x: Tensor, z: Tensor, **options: Any) -> Any:
        """Scan and gate the convolved stream."""
        delta, B, C = self._parameters_of(x)
        shared: dict[str, Any] = {"D": self.D, "z": z, "delta_bias": self.dt_proj.bias, "delta_softplus": True}
        return selective_scan(x, delta, self._A(), B, C, **shared, **options)

    def _parameters_of(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return raw step sizes (..., D_inner) and B, C (..., N) of the convolved stream."""
        delta, B, C = self.x_proj(x).split((self.dt_rank, self.d_state, self.d_state), dim=-1)
        return F.linear(delta, self.dt_proj.weight), B, C

    def _A(self) -> Tensor:
        """Return A = -exp(A_log) (D_inner, N), in float32 at least."""
        return -torch.exp(at_least_float32(self.A_log))
