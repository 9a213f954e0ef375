"""S5: one state space with many inputs and outputs, diagonal and complex (Smith, Warrington and Linderman 2023).

    x_t = Lambda_bar x_{t-1} + B_bar u_t
    y_t = Re(C x_t) + D u_t            twice the real part if the state holds one of each conjugate pair
    zoh:       Lambda_bar = exp(Lambda step),  B_bar = (Lambda_bar - 1) / Lambda B
    bilinear:  Lambda_bar = (1 + Lambda step / 2) / (1 - Lambda step / 2),  B_bar = step / (1 - Lambda step / 2) B

Lambda begins at the eigenvalues of HiPPO-N, B and C in the basis of its eigenvectors. Complex parameters are
stored as pairs (..., 2) of real and imaginary parts. Two directions: `seqsuite.backbones.Bidirectional`.
Paper: https://arxiv.org/abs/2208.04933. Views agree to 1e-10 in float64 and 2e-5 (relative) in float32.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqsuite.errors import UserError
from seqsuite.mixers._step_sizes import check_step_sizes
from seqsuite.mixers.base import Mixer, state_dtype
from seqsuite.mixers.hippo import hippo_eigenvalues
from seqsuite.mixers.options import check_range
from seqsuite.ops import Seq, linear_scan

_OWNER = "mixer 's5'"


class S5State(NamedTuple):
    """What S5 carries from step to step.

    Attributes:
        ssm: (B, P, 2) real and imaginary parts of the state.
    """

    ssm: Tensor


class S5(Mixer):
    """The S5 state space without activation, norm and residual.

    Args:
        d_model: Width H.
        d_state: Eigenvalues of the state matrix; of a conjugate pair, `conj_sym` stores one.
        blocks: The initial state matrix is that many equal blocks.
        conj_sym: Store P = d_state / 2 eigenvalues, one of each conjugate pair, and take twice the real part;
            else P = d_state.
        discretization: "zoh" or "bilinear".
        eigenvalues: "stable" stores the logarithm of minus the real part, so that it stays negative;
            "free" stores Lambda as it is, as published PyTorch weights do.
        dt_min: Smallest initial step size.
        dt_max: Largest initial step size.
        step_scale: Factor on all step sizes; for input of another sampling rate, also settable later.
    """

    causal: bool = True
    reversible: ClassVar[bool] = True
    no_decay: frozenset[str] = frozenset({"D", "log_step"})
    no_reinit: frozenset[str] = frozenset({"B", "C", "D", "log_step"})

    def __init__(
        self,
        d_model: int,
        *,
        d_state: int = 64,
        blocks: int = 1,
        conj_sym: bool = True,
        discretization: Literal["zoh", "bilinear"] = "zoh",
        eigenvalues: Literal["stable", "free"] = "stable",
        dt_min: float = 1e-3,
        dt_max: float = 0.1,
        step_scale: float = 1.0,
    ) -> None:
        super().__init__(d_model)
        check_range(_OWNER, {"d_model": d_model, "d_state": d_state, "blocks": blocks}, least=1)
        check_range(_OWNER, {"step_scale": step_scale}, above=0)
        check_step_sizes(_OWNER, dt_min, dt_max)
        unit = blocks * (2 if conj_sym else 1)
        if d_state % unit:
            raise UserError(f"{_OWNER}: d_state must be a multiple of {unit} for these blocks, not {d_state}")
        self.d_state, self.blocks, self.conj_sym = d_state, blocks, conj_sym
        self.discretization, self.dt_range, self.step_scale = discretization, (dt_min, dt_max), step_scale
        self.n_state = d_state // 2 if conj_sym else d_state  # P
        if eigenvalues == "stable":
            self.Lambda_log_decay = nn.Parameter(torch.empty(self.n_state))
            self.Lambda_imag = nn.Parameter(torch.empty(self.n_state))
        else:
            self.Lambda = nn.Parameter(torch.empty(self.n_state, 2))
        self.eigenvalues = eigenvalues
        names = {"Lambda"} if eigenvalues == "free" else {"Lambda_log_decay", "Lambda_imag"}
        self.no_decay, self.no_reinit = self.no_decay | names, self.no_reinit | names
        self.B = nn.Parameter(torch.empty(self.n_state, d_model, 2))
        self.C = nn.Parameter(torch.empty(d_model, self.n_state, 2))
        self.D = nn.Parameter(torch.empty(d_model))
        self.log_step = nn.Parameter(torch.empty(self.n_state))
        self.reset_parameters()
        self.mark_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw the initial parameters: HiPPO-N, lecun-normal B and C in its eigenbasis, log-uniform steps."""
        size = self.d_state // self.blocks
        eigenvalues, basis = hippo_eigenvalues(size)
        if self.conj_sym:  # ascending imaginary parts: the first half has the negative ones
            eigenvalues, basis = eigenvalues[: size // 2], basis[:, : size // 2]
        eigenvalues, basis = eigenvalues.repeat(self.blocks), torch.block_diag(*[basis] * self.blocks)
        if self.eigenvalues == "free":
            self.Lambda.copy_(torch.view_as_real(eigenvalues))
        else:
            self.Lambda_log_decay.copy_(torch.log(-eigenvalues.real))
            self.Lambda_imag.copy_(eigenvalues.imag)
        # Drawn on a CPU in double precision, so that device and dtype do not change the draw.
        B = torch.randn(self.d_state, self.d_model, dtype=torch.float64) / math.sqrt(self.d_model)
        C = torch.randn(self.d_model, self.d_state, 2, dtype=torch.float64) / math.sqrt(self.d_state)
        self.B.copy_(torch.view_as_real(basis.mH @ B.to(basis.dtype)))
        self.C.copy_(torch.view_as_real(torch.view_as_complex(C) @ basis))
        nn.init.normal_(self.D)
        low, high = self.dt_range
        nn.init.uniform_(self.log_step, math.log(low), math.log(high))

    @torch.no_grad()
    def scale_output(self, factor: float) -> None:
        """Scale C and D; see `Mixer.scale_output`."""
        self.C.mul_(factor)
        self.D.mul_(factor)

    def discretize(self) -> tuple[Tensor, Tensor]:
        """Return Lambda_bar (P,) and B_bar (P, H), complex: the recurrence for the present step sizes."""
        kind = state_dtype(self.B.dtype)
        if self.eigenvalues == "free":
            rate = torch.view_as_complex(self.Lambda.to(kind))
        else:
            rate = torch.complex(-torch.exp(self.Lambda_log_decay.to(kind)), self.Lambda_imag.to(kind))
        step = self.step_scale * torch.exp(self.log_step.to(kind))
        B = torch.view_as_complex(self.B.to(kind))
        exponent = rate * step
        if self.discretization == "bilinear":
            inverse = 1 / (1 - exponent / 2)
            return inverse * (1 + exponent / 2), (inverse * step)[:, None] * B
        at_rest = rate == 0
        gain = torch.where(at_rest, step.to(rate.dtype), _expm1(exponent) / torch.where(at_rest, 1, rate))
        return torch.exp(exponent), gain[:, None] * B

    def forward(self, x: Tensor, *, seq: Seq | None = None, reverse: bool = False) -> Tensor:
        """Mix a whole sequence; see `Mixer.forward`."""
        return self._mix(x, None, seq=seq, reverse=reverse)[0]

    def prefill(self, x: Tensor, state: tuple | None = None, *, seq: Seq | None = None) -> tuple[Tensor, S5State]:
        """Mix a chunk from a state to a state; see `Mixer.prefill`."""
        return self._mix(x, None if state is None else torch.view_as_complex(state[0]), seq=seq)

    def step(self, x_t: Tensor, state: tuple) -> tuple[Tensor, S5State]:
        """Mix one step (B, D): the recurrence as written at the top of this module."""
        factors, B = self.discretize()
        ssm = factors * torch.view_as_complex(state[0]) + self._read_in(x_t, B)
        return self._read_out(x_t, ssm), S5State(torch.view_as_real(ssm))

    def init_state(
        self, batch_size: int, *, device: torch.device | str, dtype: torch.dtype, max_length: int | None = None
    ) -> S5State:
        """Return zeros; see `Mixer.init_state`."""
        kind = state_dtype(dtype)
        return S5State(torch.zeros(batch_size, self.n_state, 2, device=device, dtype=kind))

    def _mix(
        self, x: Tensor, state: Tensor | None, *, seq: Seq | None, reverse: bool = False
    ) -> tuple[Tensor, S5State]:
        factors, B = self.discretize()
        inputs = self._read_in(x, B)
        states, last = linear_scan(
            factors, inputs, initial_state=state, return_final_state=True, reverse=reverse, seq=seq
        )
        y = self._read_out(x, states)
        if seq is not None and seq.valid is not None:
            y = y.masked_fill(~seq.valid[..., None], 0)
        return y, S5State(torch.view_as_real(last))

    def _read_in(self, x: Tensor, B: Tensor) -> Tensor:
        """Return B u (..., P), complex in float32 or float64: one real product of twice the width."""
        weight = torch.view_as_real(B).transpose(1, 2).reshape(-1, self.d_model)  # (2 P, H)
        inputs = F.linear(x, weight.to(x.dtype)).to(weight.dtype)
        return torch.view_as_complex(inputs.unflatten(-1, (-1, 2)))

    def _read_out(self, x: Tensor, states: Tensor) -> Tensor:
        """Return Re(C x) + D u (..., H): Re is the product of the parts with (Re C, -Im C)."""
        sign = torch.tensor([1.0, -1.0], device=self.C.device, dtype=self.C.dtype)
        weight = (self.C * (2 * sign if self.conj_sym else sign)).flatten(1)  # (H, 2 P)
        parts = torch.view_as_real(states).flatten(-2).to(x.dtype)
        return F.linear(parts, weight.to(x.dtype)) + self.D.to(x.dtype) * x


def s5_from_published(weights: Mapping[str, Tensor], *, prefix: str = "seq.") -> dict[str, Tensor]:
    """Return the parameters of ``S5(conj_sym=False, eigenvalues="free")`` from s5-pytorch's weights of one layer.

    Differentiable. The names and layouts are the same but for the prefix; complex weights are (..., 2) pairs or
    complex tensors. A layer that runs both ways has twice the columns in C and is two mixers here: refused.

    Args:
        weights: State dict of the published `S5` module; entries without the prefix are others' and left out.
        prefix: What the names of the layer's weights begin with.

    Raises:
        UserError: A weight is missing, unknown, or C has the columns of two directions.
    """
    names = ("Lambda", "B", "C", "D", "log_step")
    mine = {name.removeprefix(prefix): tensor for name, tensor in weights.items() if name.startswith(prefix)}
    for name in names:
        if name not in mine:
            raise UserError(f"S5 weights: {prefix}{name} is missing")
    for name in mine:
        if name not in names:
            raise UserError(f"S5 weights: {prefix}{name} is unknown; known are {', '.join(names)}")
    found = {name: torch.view_as_real(mine[name]) if mine[name].is_complex() else mine[name] for name in names}
    if found["C"].shape[1] != len(found["Lambda"]):
        columns, size = found["C"].shape[1], len(found["Lambda"])
        raise UserError(f"S5 weights: {prefix}C has {columns} columns for {size} eigenvalues (both directions in one?)")
    return found


def _expm1(z: Tensor) -> Tensor:
    """Return e^z - 1 of complex z without cancellation near zero."""
    x, y = z.real, z.imag
    real = torch.expm1(x) * torch.cos(y) - 2 * torch.sin(y / 2) ** 2
    return torch.complex(real, torch.exp(x) * torch.sin(y))
