"""What S4 and S4D share: a state space a channel as a convolution or a recurrence, then an output layer.

    k = kernel of the state space (C, H, L);  y = k * u + D u             each channel on its own
    out = output_linear(gelu(y)) with a gated linear unit

The convolution runs by FFT, `step` by the recurrence, and `prefill` by the convolution plus what the
entering state adds. Rows that are padded or packed: steps are counted, never looked at. Parameter names
and initial values are those of the published implementation (state-spaces/s4).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqsuite.errors import UserError
from seqsuite.mixers._step_sizes import check_step_sizes
from seqsuite.mixers.base import Mixer, at_least_float32, state_dtype
from seqsuite.mixers.options import check_range
from seqsuite.ops import DiscreteSSM, Seq, discretize, long_conv, ssm_kernel
from seqsuite.ops._ssm_kernel.discrete import spread, within_band

Activation = Literal["gelu", "silu", "relu", "none"]
Output = Literal["glu", "linear", "none"]
_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "silu": F.silu,
    "relu": F.relu,
    "none": lambda x: x,
}


class SSMState(NamedTuple):
    """What a state space carries from step to step.

    Attributes:
        ssm: (B, H, N/2, 2) modes, real and imaginary parts.
    """

    ssm: Tensor


class StateSpaceMixer(Mixer):
    """A linear state space for every channel, and an output layer; see `S4` and `S4D` for the options.

    Attributes:
        inv_dt: (H, 1) or (H, N/2), the step sizes before `dt_transform`.
        A_real: (S, N/2), log(-Re A).
        A_imag: (S, N/2), -Im A.
        B: (S, N/2, 2).
        C: (C, H, N/2, 2), twice as many rows if bidirectional, first those of the past.
        D: (C, H), skips.
        output_linear: The output layer, or None.
    """

    reversible: ClassVar[bool] = True
    owner: ClassVar[str]
    P: nn.Parameter

    def __init__(
        self,
        d_model: int,
        *,
        d_state: int,
        n_ssm: int | None,
        channels: int,
        dt_min: float,
        dt_max: float,
        dt_tie: bool,
        dt_transform: Literal["exp", "softplus"],
        bandlimit: float | None,
        bidirectional: bool,
        activation: Activation,
        output: Output,
        dropout: float,
        ssm_lr_scale: float,
    ) -> None:
        super().__init__(d_model)
        copies = d_model if n_ssm is None else n_ssm
        check_range(self.owner, {"d_model": d_model, "n_ssm": copies, "channels": channels}, least=1)
        check_range(self.owner, {"d_state": d_state}, least=2)
        check_step_sizes(self.owner, dt_min, dt_max)
        check_range(self.owner, {"dropout": dropout, "ssm_lr_scale": ssm_lr_scale}, least=0)
        self._check(d_state, copies, bandlimit, channels, output, dropout)
        self.d_state, self.n_ssm, self.channels = d_state, copies, channels
        self.dt_range, self.dt_transform, self.bandlimit = (dt_min, dt_max), dt_transform, bandlimit
        self.bidirectional, self.activation, self.ssm_lr_scale = bidirectional, activation, ssm_lr_scale
        self.causal = not bidirectional
        modes = d_state // 2
        self.inv_dt = nn.Parameter(torch.empty(d_model, 1 if dt_tie else modes))
        self.A_real = nn.Parameter(torch.empty(copies, modes))
        self.A_imag = nn.Parameter(torch.empty(copies, modes))
        self.B = nn.Parameter(torch.empty(copies, modes, 2))
        self.C = nn.Parameter(torch.empty(channels * (2 if bidirectional else 1), d_model, modes, 2))
        self.D = nn.Parameter(torch.empty(channels, d_model))
        self.dropout = nn.Dropout(dropout)
        width = {"glu": 2 * d_model, "linear": d_model, "none": 0}[output]
        self.output = output
        self.output_linear = nn.Linear(channels * d_model, width) if width else None
        self._kept: tuple[list[Tensor], DiscreteSSM, Tensor] | None = None

    def _check(
        self,
        d_state: int,
        copies: int,
        bandlimit: float | None,
        channels: int,
        output: str,
        dropout: float,
    ) -> None:
        """Refuse options that do not fit each other.

        Raises:
            UserError: They are named.
        """
        if d_state % 2:
            raise UserError(f"{self.owner}: d_state must be even (conjugate pairs), not {d_state}")
        if self.d_model % copies:
            raise UserError(f"{self.owner}: n_ssm must divide d_model = {self.d_model}, not {copies}")
        if bandlimit is not None:
            check_range(self.owner, {"bandlimit": bandlimit}, above=0)
        if dropout >= 1:
            raise UserError(f"{self.owner}: dropout must be below 1, not {dropout}")
        if channels > 1 and output == "none":
            raise UserError(f"{self.owner}: channels = {channels} needs an output layer; output is 'none'")

    def initial_system(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return the initial A and B (S, N/2) and P (r, S, N/2) or None, complex128."""
        raise NotImplementedError

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw the initial parameters: log-uniform step sizes, C and D normal, A, B and P as `init` says."""
        low, high = (math.log(x) for x in self.dt_range)
        log_dt = torch.empty_like(self.inv_dt).uniform_(low, high)
        self.inv_dt.copy_(log_dt if self.dt_transform == "exp" else torch.log(torch.expm1(log_dt.exp())))
        A, B, P = self.initial_system()
        self.A_real.copy_(torch.log((-A.real).clamp(min=1e-4)))
        self.A_imag.copy_(-A.imag)
        self.B.copy_(torch.view_as_real(B))
        if P is not None:
            self.P.copy_(torch.view_as_real(P))
        nn.init.normal_(self.C, std=math.sqrt(0.5))
        nn.init.normal_(self.D)
        if self.output_linear is not None:
            self.output_linear.reset_parameters()

    def mark_parameters(self) -> None:
        """Mark what must not decay, and what the state space learns with its own learning rate."""
        super().mark_parameters()
        for name in self.no_decay:
            self.get_parameter(name)._lr_scale = self.ssm_lr_scale  # type: ignore[attr-defined]

    @torch.no_grad()
    def scale_output(self, factor: float) -> None:
        """Scale the output layer's weight, of a gated unit its linear half; see `Mixer.scale_output`."""
        if self.output_linear is not None:
            self.output_linear.weight[: self.d_model].mul_(factor)

    def continuous(self) -> dict[str, Any]:
        """Return the operands of `ssm_kernel` but C: dt, A, B, P and options, in double precision."""
        raw = self.inv_dt.double()
        dt = torch.exp(raw) if self.dt_transform == "exp" else F.softplus(raw)
        A = torch.complex(-torch.exp(self.A_real.double()), -self.A_imag.double())
        return {"dt": dt, "A": A, "B": _complex(self.B.double()), "discretization": "bilinear"}

    def output_weights(self) -> Tensor:
        """Return C as complex numbers, in single precision at least."""
        return _complex(at_least_float32(self.C))

    def kernel(self, length: int, *, rate: float = 1.0, states: Tensor | None = None) -> Any:
        """Return the convolution kernel (C, H, L), its first rows for the past; see `ssm_kernel`."""
        with torch.autocast(self.C.device.type, enabled=False):
            options = self.continuous() | {"rate": rate, "states": states, "bandlimit": self.bandlimit}
            return ssm_kernel(C=self.output_weights(), length=length, **options)

    def forward(self, x: Tensor, *, seq: Seq | None = None, reverse: bool = False) -> Tensor:
        """Mix a whole sequence; see `Mixer.forward`."""
        k = self.kernel(x.shape[1])
        if not self.bidirectional:
            return self._finish(self._convolve(x, k, self.D, seq=seq, reverse=reverse))
        past, future = k.chunk(2)
        y = self._convolve(x, past, self.D, seq=seq, reverse=reverse)
        future = F.pad(future, (1, 0))[..., :-1]  # the next step meets the first value
        return self._finish(y + self._convolve(x, future, None, seq=seq, reverse=not reverse))

    def prefill(self, x: Tensor, state: tuple | None = None, *, seq: Seq | None = None) -> tuple[Tensor, SSMState]:
        """Mix a chunk from a state to a state; see `Mixer.prefill`."""
        self._demand_recurrence()
        begin = None if state is None else _complex(state[0])
        k = self.kernel(x.shape[1], states=begin)
        k, answer = k if begin is not None else (k, None)
        y = self._convolve(x, k, self.D, seq=seq)
        if answer is not None:
            y = y + self._placed(answer, seq).to(y.dtype)
        with torch.autocast(x.device.type, enabled=False):
            after = self._behind(x, begin, seq)
        return self._finish(y), SSMState(torch.view_as_real(after))

    def step(self, x_t: Tensor, state: tuple) -> tuple[Tensor, SSMState]:
        """Mix one step (B, D): the recurrence."""
        self._demand_recurrence()
        x = _complex(state[0])
        u = x_t.to(x.real.dtype)
        with torch.autocast(x.device.type, enabled=False):
            system, C = self.recurrence(x.dtype)
            x = system.move(x) + system.drive * u[..., None]
            y = 2 * torch.einsum("chn,bhn->bch", C, x).real + self.D * u[:, None]
        return self._finish(y.flatten(1).to(x_t.dtype)), SSMState(torch.view_as_real(x))

    def init_state(
        self, batch_size: int, *, device: torch.device | str, dtype: torch.dtype, max_length: int | None = None
    ) -> SSMState:
        """Return zeros; see `Mixer.init_state`."""
        self._demand_recurrence()
        kind = state_dtype(dtype)
        return SSMState(torch.zeros(batch_size, self.d_model, self.d_state // 2, 2, device=device, dtype=kind))

    @property
    def recurrent(self) -> bool:
        """Whether the mixer has `prefill` and `step`: in one direction only."""
        return not self.bidirectional

    def _demand_recurrence(self) -> None:
        if self.bidirectional:
            raise NotImplementedError(f"a bidirectional {type(self).__name__} has no recurrent form")

    def recurrence(self, dtype: torch.dtype = torch.complex128) -> tuple[DiscreteSSM, Tensor]:
        """Return the discrete system and C (C, H, N/2), complex, of this precision.

        Without gradients it is kept until a parameter's values change.
        """
        if torch.is_grad_enabled():
            return self._recurrence(dtype)
        sources = [p for name, p in self.named_parameters(recurse=False) if name != "D"]
        if self._kept is None or self._kept[2].dtype != dtype or not all(map(_same, self._kept[0], sources)):
            self._kept = ([p.clone() for p in sources], *self._recurrence(dtype))
        return self._kept[1:]

    def _recurrence(self, dtype: torch.dtype) -> tuple[DiscreteSSM, Tensor]:
        parts = self.continuous()
        A, B = (spread(parts[name], self.d_model) for name in ("A", "B"))
        P = None if parts.get("P") is None else spread(parts["P"], self.d_model)
        system = discretize(parts["dt"], A, B, P, method=parts["discretization"], l_max=parts.get("l_max"))
        C = self.output_weights()
        if self.bandlimit is not None:
            C = C * within_band(parts["dt"], A, self.bandlimit)
        return system.to(dtype), C.to(dtype)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out of copies what can be made anew."""
        return self.__dict__ | {"_kept": None}

    def _convolve(self, x: Tensor, k: Tensor, D: Tensor | None, **options: Any) -> Tensor:
        """Convolve (B, L, H) with kernels (C, H, L) to (B, L, C H)."""
        taps = k.permute(2, 0, 1).flatten(1)
        x = x if len(k) == 1 else x.repeat(1, 1, len(k))
        return long_conv(x, taps, D=None if D is None else D.flatten(), **options)

    def _finish(self, y: Tensor) -> Tensor:
        """Activate and project (..., C H) to (..., D)."""
        y = self.dropout(_ACTIVATIONS[self.activation](y))
        if self.output_linear is None:
            return y
        y = self.output_linear(y)
        return F.glu(y, dim=-1) if self.output == "glu" else y

    def _placed(self, answer: Tensor, seq: Seq | None) -> Tensor:
        """Return what the entering states add, (B, C, H, L) by steps taken, as (B, L, C H) by position."""
        answer = answer.permute(0, 3, 1, 2).flatten(2)
        if seq is None:
            return answer
        here = torch.ones(answer.shape[:2], dtype=torch.bool, device=answer.device)
        here = here if seq.valid is None else seq.valid
        place = (here.cumsum(1) - 1).clamp(min=0)
        here = here if seq.segment is None else here & (seq.segment == 0)
        return answer.gather(1, place[..., None].expand_as(answer)).masked_fill(~here[..., None], 0)

    def _behind(self, x: Tensor, begin: Tensor | None, seq: Seq | None) -> Tensor:
        """Return the state (B, H, N/2) behind a chunk: that of the row's last document."""
        kind = state_dtype(x.dtype)
        steps = torch.full((len(x),), x.shape[1], device=x.device)
        u, carried = x.to(kind), torch.ones_like(steps, dtype=torch.bool)
        if seq is not None:
            last = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
            last = last if seq.valid is None else seq.valid
            if seq.segment is not None:
                last = last & (seq.segment == seq.segment[:, -1:])
                carried = seq.segment[:, -1] == 0
            order = torch.argsort(last.to(torch.int8), dim=1, stable=True)[..., None].expand_as(u)
            u, steps = u.masked_fill(~last[..., None], 0).gather(1, order), last.sum(1)
        system, _ = self.recurrence()
        state = system.gather(u.transpose(1, 2))
        if begin is not None:
            state = state + system.advance(begin.to(torch.complex128), steps) * carried[:, None, None]
        return state.to(torch.complex128 if kind == torch.float64 else torch.complex64)


def _complex(x: Tensor) -> Tensor:
    return torch.view_as_complex(x.contiguous())


def _same(kept: Tensor, now: Tensor) -> bool:
    return kept.dtype == now.dtype and kept.device == now.device and torch.equal(kept, now)
