"""Mamba-2: a matrix state with one decay a head behind a short convolution (Dao and Gu 2024).

    z, xBC, dt = in_proj(h);  x, B, C = silu(conv(xBC))
    delta = softplus(dt + dt_bias);  A = -exp(A_log)
    S_t = exp(delta A) S_{t-1} + delta B x^T;  y = S^T C + D x       for each head
    out = out_proj(norm(y * silu(z)))

https://arxiv.org/abs/2405.21060. Parameter names, layouts and initial distributions are those of the published
implementation. The state is (B, H, N, P), the published one transposed. Views agree to 1e-10 in float64 and
2e-5 (relative) in float32.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqsuite.errors import UserError
from seqsuite.mixers._heads import HeadNorm, check_divides, divisor, read, split_heads
from seqsuite.mixers._short_conv import short_conv, short_conv_step
from seqsuite.mixers._step_sizes import check_step_sizes, draw_step_sizes
from seqsuite.mixers.base import ProjectedMixer, state_dtype
from seqsuite.mixers.options import check_range
from seqsuite.ops import Seq, ssd

_OWNER = "mixer 'mamba2'"


class Mamba2State(NamedTuple):
    """What Mamba-2 carries from step to step.

    Attributes:
        conv: (B, D_inner + 2 G N, d_conv) last inputs of the convolution, newest last.
        ssm: (B, H, N, P) state of the heads.
    """

    conv: Tensor
    ssm: Tensor


class Mamba2(ProjectedMixer):
    """The Mamba-2 block's mixer, without norm and residual.

    Args:
        d_model: Width D.
        d_state: State size N per channel.
        d_conv: Taps of the causal convolution.
        expand: Inner width is ``expand * d_model``.
        headdim: Width P of a head, dividing the inner width; "auto" is the largest such up to 64.
        ngroups: Groups of heads that share B and C; divides the number of heads.
        A_init_range: Range of the initial -A, uniform.
        dt_min: Smallest initial step size.
        dt_max: Largest initial step size.
        dt_init_floor: Initial step sizes are not below this.
        norm_before_gate: Normalise before the gate, not behind it.
        conv_bias: The convolution has a bias.
        bias: The two outer projections have a bias.
        chunk_size: Steps of a chunk of the state space duality, a power of two; None chooses. Same numbers.
    """

    causal: bool = True
    reversible: ClassVar[bool] = True
    no_decay: frozenset[str] = frozenset({"A_log", "D", "dt_bias"})
    no_reinit: frozenset[str] = frozenset({"dt_bias"})

    def __init__(
        self,
        d_model: int,
        *,
        d_state: int = 128,
        d_conv: int = 4,
        expand: float = 2,
        headdim: int | Literal["auto"] = "auto",
        ngroups: int = 1,
        A_init_range: tuple[float, float] = (1.0, 16.0),
        dt_min: float = 1e-3,
        dt_max: float = 0.1,
        dt_init_floor: float = 1e-4,
        norm_before_gate: bool = False,
        conv_bias: bool = True,
        bias: bool = False,
        chunk_size: int | None = None,
    ) -> None:
        super().__init__(d_model)
        check_range(_OWNER, {"expand": expand}, above=0)
        check_step_sizes(_OWNER, dt_min, dt_max, dt_init_floor)
        sizes = {"d_model": d_model, "d_state": d_state, "d_conv": d_conv, "ngroups": ngroups}
        check_range(_OWNER, sizes | {"expand * d_model": expand * d_model}, least=1)
        low, high = A_init_range
        check_range(_OWNER, {"A_init_range": low}, above=0)
        if not low <= high < math.inf:
            raise UserError(f"{_OWNER}: A_init_range must be finite and rise, not {low} and {high}")
        if chunk_size is not None and (not 1 <= chunk_size <= 256 or chunk_size & (chunk_size - 1)):
            raise UserError(f"{_OWNER}: chunk_size must be a power of two up to 256, not {chunk_size}")
        self.d_inner = int(expand * d_model)
        self.headdim = divisor(self.d_inner, 64) if headdim == "auto" else headdim
        check_range(_OWNER, {"headdim": self.headdim}, least=1)
        check_divides(_OWNER, "headdim", self.headdim, **{"the inner width": self.d_inner})
        self.nheads = self.d_inner // self.headdim
        check_divides(_OWNER, "ngroups", ngroups, **{"the number of heads": self.nheads})
        self.d_state, self.d_conv, self.ngroups, self.chunk_size = d_state, d_conv, ngroups, chunk_size
        self.norm_before_gate, self.A_init_range = norm_before_gate, A_init_range
        self.dt_range = (dt_min, dt_max, dt_init_floor)
        self.d_stream = self.d_inner + 2 * ngroups * d_state
        self.in_proj = nn.Linear(d_model, self.d_inner + self.d_stream + self.nheads, bias=bias)
        self.conv1d = nn.Conv1d(self.d_stream, self.d_stream, d_conv, groups=self.d_stream, bias=conv_bias)
        self.dt_bias = nn.Parameter(torch.empty(self.nheads))
        self.A_log = nn.Parameter(torch.empty(self.nheads))
        self.D = nn.Parameter(torch.empty(self.nheads))
        self.norm = HeadNorm(self.d_inner, ngroups, kind="rms")
        self.out_proj = nn.Linear(self.d_inner, d_model, bias=bias)
        self.reset_parameters()
        self.mark_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw the initial parameters: -A uniform, D = 1, step sizes log-uniform."""
        for layer in (self.in_proj, self.conv1d, self.norm, self.out_proj):
            if layer is not None:
                layer.reset_parameters()
        self.dt_bias.copy_(draw_step_sizes(self.nheads, *self.dt_range))
        self.A_log.copy_(torch.log(torch.empty(self.nheads).uniform_(*self.A_init_range)))
        self.D.fill_(1.0)

    def expand(self, x: Tensor) -> tuple[Tensor, ...]:
        """Project (B, L, D) to the gate z, the stream xBC and the raw step sizes (B, L, H)."""
        assert self.in_proj is not None
        return self.in_proj(x).split((self.d_inner, self.d_stream, self.nheads), dim=-1)

    def mix(self, inner: tuple[Tensor, ...], *, seq: Seq | None = None, reverse: bool = False) -> Tensor:
        """Convolve, attend, gate and normalise: (B, L, D_inner)."""
        z, stream, dt = inner
        stream = short_conv(self.conv1d, stream, seq=seq, reverse=reverse)
        return self._finish(self._attend(stream, dt, seq=seq, reverse=reverse), stream, z)

    def mix_from(
        self, inner: tuple[Tensor, ...], state: tuple | None, *, seq: Seq | None = None
    ) -> tuple[Tensor, Mamba2State]:
        """Convolve, attend, gate and normalise a chunk from a state to a state."""
        z, stream, dt = inner
        if state is None:
            state = self.init_state(z.shape[0], device=z.device, dtype=z.dtype)
        conv, ssm = state
        stream, conv = short_conv(self.conv1d, stream, initial_state=conv, return_final_state=True, seq=seq)
        o, ssm = self._attend(stream, dt, initial_state=ssm, return_final_state=True, seq=seq)
        return self._finish(o, stream, z), Mamba2State(conv, ssm)

    def step(self, x_t: Tensor, state: tuple) -> tuple[Tensor, Mamba2State]:
        """Mix one step (B, D): the recurrence as written at the top of this module."""
        conv, ssm = state
        z, stream, dt = self.expand(x_t)
        stream, conv = short_conv_step(self.conv1d, stream, conv)
        C, B, x, g = self._operands(stream, dt)
        B, C = (m.repeat_interleave(self.nheads // self.ngroups, 1).to(ssm.dtype) for m in (B, C))  # (B, H, N)
        ssm = torch.exp(g)[..., None, None] * ssm + B[..., None] * x[..., None, :]
        o = read(C, ssm)
        return self.contract(self._finish(o, stream, z)), Mamba2State(conv, ssm)

    def init_state(
        self, batch_size: int, *, device: torch.device | str, dtype: torch.dtype, max_length: int | None = None
    ) -> Mamba2State:
        """Return zeros; see `Mixer.init_state`."""
        kind = state_dtype(dtype)
        return Mamba2State(
            torch.zeros(batch_size, self.d_stream, self.d_conv, device=device, dtype=kind),
            torch.zeros(batch_size, self.nheads, self.d_state, self.headdim, device=device, dtype=kind),
        )

    def _attend(self, stream: Tensor, dt: Tensor, **options: Any) -> Any:
        """Run the heads over the convolved stream: (B, L, H, P), in float32 at least."""
        return ssd(*self._operands(stream, dt), scale=1.0, chunk_size=self.chunk_size, **options)

    def _operands(self, stream: Tensor, dt: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return C, B (..., G, N), delta x (..., H, P) and delta A (..., H), the last two in float32 at least."""
        wide = self.d_state * self.ngroups
        x, B, C = stream.split((self.d_inner, wide, wide), dim=-1)
        kind = state_dtype(stream.dtype)
        delta = F.softplus(dt.to(kind) + self.dt_bias)
        values = split_heads(x, self.nheads) * delta[..., None]
        C, B = (split_heads(m, self.ngroups) for m in (C, B))
        return C, B, values, -delta * torch.exp(self.A_log.to(kind))

    def _finish(self, o: Tensor, stream: Tensor, z: Tensor) -> Tensor:
        """Add the skip, gate and normalise: (..., D_inner)."""
        x = split_heads(stream[..., : self.d_inner], self.nheads)
        y = (o + self.D[:, None] * x).flatten(-2)
        gate = F.silu(z.to(y.dtype))
        y = self.norm(y) * gate if self.norm_before_gate else self.norm(y * gate)
        return y.to(z.dtype)
