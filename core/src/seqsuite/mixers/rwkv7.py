"""RWKV-7 time mixing: a state with vector decay and removal along a key of its own (Peng et al. 2025).

    x_c = x + (shift(x) - x) mu_c  for c of r, w, k, v, a, g;   shift is the previous step
    r, k, v = linear(x_r), linear(x_k), linear(x_v)
    log w = -e^(-1/2) sigmoid(w0 + tanh(x_w w1) w2);   a = sigmoid(a0 + x_a a1 a2);   g = sigmoid(x_g g1) g2
    kappa = k k_k of unit length a head;   k = k (1 + (a - 1) k_a)
    S_t = (diag(w) - (a kappa) kappa^T) S_{t-1} + k v^T;   o = S^T r
    out = linear((group_norm(o) + (sum of r k r_k over the head) v) g)

https://arxiv.org/abs/2503.14456, section 4. Parameter names and initial values are those of the public training code's
first layer, two things aside: values are not mixed with those of the stack's first layer (v0, v1, v2 there), which a
single mixer cannot see; and the output projection, which that code starts at zero, is drawn as the value projection.
Views agree to 1e-10 in float64 and 2e-5 (relative) in float32.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqsuite.mixers._heads import check_divides, read
from seqsuite.mixers.base import Mixer, state_dtype
from seqsuite.mixers.options import check_range
from seqsuite.ops import Seq, causal_conv1d, delta_rule

_OWNER = "mixer 'rwkv7'"
_LARGEST_HEAD = 64
_STRONGEST = -math.exp(-0.5)  # log decay of at most one step
_STREAMS = "rwkvag"
_POWERS = {"r": 0.2, "w": 0.9, "k": 0.7, "v": 0.7, "a": 0.9, "g": 0.2}
_VECTORS = ("w0", "a0", "k_k", "k_a", "x_r", "x_w", "x_k", "x_v", "x_a", "x_g")
_FACTORS = ("w1", "w2", "a1", "a2", "g1", "g2")


class RWKV7State(NamedTuple):
    """What RWKV-7 carries from step to step.

    Attributes:
        shift: (B, D, 2) last two inputs, newest last.
        memory: (B, H, K, V) what the keys hold.
    """

    shift: Tensor
    memory: Tensor


class RWKV7(Mixer):
    """RWKV-7's time mixing, without norm and residual.

    Args:
        d_model: Width D, at least 2.
        head_dim: Channels of a head, dividing D, at least 2; "auto": the largest up to 64, or D where none is.
        decay_rank: Inner width of the decay's low-rank branch; "auto" is 2.5 sqrt(D) rounded to 32s, at least 32.
        a_rank: The same for the removal's strength.
        gate_rank: The same for the gate; "auto" is 5 sqrt(D).
        norm_eps: Epsilon of the norm over each head's output.
    """

    causal: bool = True
    reversible: ClassVar[bool] = True
    no_decay: frozenset[str] = frozenset({*_VECTORS, *_FACTORS, "r_k"})
    w0: nn.Parameter
    a0: nn.Parameter
    k_k: nn.Parameter
    k_a: nn.Parameter
    w1: nn.Parameter
    w2: nn.Parameter
    a1: nn.Parameter
    a2: nn.Parameter
    g1: nn.Parameter
    g2: nn.Parameter

    def __init__(
        self,
        d_model: int,
        *,
        head_dim: int | Literal["auto"] = "auto",
        decay_rank: int | Literal["auto"] = "auto",
        a_rank: int | Literal["auto"] = "auto",
        gate_rank: int | Literal["auto"] = "auto",
        norm_eps: float = 64e-5,
    ) -> None:
        super().__init__(d_model)
        check_range(_OWNER, {"d_model": d_model}, least=2)
        fitting = (size for size in range(min(_LARGEST_HEAD, d_model), 1, -1) if d_model % size == 0)
        self.head_dim = next(fitting, d_model) if head_dim == "auto" else head_dim
        asked = {"decay_rank": (decay_rank, 2.5), "a_rank": (a_rank, 2.5), "gate_rank": (gate_rank, 5.0)}
        ranks = {n: _auto_rank(d_model, factor) if rank == "auto" else rank for n, (rank, factor) in asked.items()}
        check_range(_OWNER, {"head_dim": self.head_dim}, least=2)
        check_range(_OWNER, ranks, least=1)
        check_range(_OWNER, {"norm_eps": norm_eps}, above=0)
        check_divides(_OWNER, "head_dim", self.head_dim, d_model=d_model)
        self.num_heads = d_model // self.head_dim
        for name in _VECTORS:
            self.register_parameter(name, nn.Parameter(torch.empty(d_model)))
        for branch, rank in zip("wag", ranks.values(), strict=True):
            self.register_parameter(f"{branch}1", nn.Parameter(torch.empty(d_model, rank)))
            self.register_parameter(f"{branch}2", nn.Parameter(torch.empty(rank, d_model)))
        self.r_k = nn.Parameter(torch.empty(self.num_heads, self.head_dim))
        self.receptance = nn.Linear(d_model, d_model, bias=False)
        self.key = nn.Linear(d_model, d_model, bias=False)
        self.value = nn.Linear(d_model, d_model, bias=False)
        self.output = nn.Linear(d_model, d_model, bias=False)
        self.ln_x = nn.GroupNorm(self.num_heads, d_model, eps=norm_eps)
        self.reset_parameters()
        self.mark_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw the initial parameters: those of the public training code's first layer."""
        width, head = self.d_model, self.head_dim
        place = torch.arange(width, dtype=torch.float32)
        along = place / max(1, width - 1)  # 0 to 1 over the channels
        zigzag = (place % head - (head - 1) / 2) / ((head - 1) / 2)  # -1 to 1 over each head
        zigzag = zigzag * zigzag.abs()
        for name in _STREAMS:
            self.get_parameter(f"x_{name}").copy_(1 - (place / width) ** _POWERS[name])
        self.w0.copy_(-6 + 6 * along + 0.5 + 2.5 * zigzag)
        self.a0.copy_(-0.19 + 0.3 * zigzag + 0.4 * (along - 0.5))
        self.k_k.copy_(0.71 - 0.1 * (along - 0.5))
        self.k_a.fill_(1.02)
        self.r_k.fill_(-0.04)
        for branch in "wag":
            self.get_parameter(f"{branch}1").zero_()
            second = self.get_parameter(f"{branch}2")
            nn.init.orthogonal_(second, gain=0.1 * max(1.0, math.sqrt(second.shape[0] / second.shape[1])))
        for layer, spread in ((self.receptance, 0.5), (self.key, 0.05), (self.value, 0.5), (self.output, 0.5)):
            nn.init.uniform_(layer.weight, -spread * width**-0.5, spread * width**-0.5)
        self.ln_x.reset_parameters()

    @torch.no_grad()
    def scale_output(self, factor: float) -> None:
        """Scale `output.weight`; see `Mixer.scale_output`."""
        self.output.weight.mul_(factor)

    def forward(self, x: Tensor, *, seq: Seq | None = None, reverse: bool = False) -> Tensor:
        """Mix a whole sequence; see `Mixer.forward`."""
        operands = self._operands(x, self._shift(x, seq=seq, reverse=reverse))
        return self._finish(self._rule(operands, seq=seq, reverse=reverse), operands, seq)

    def prefill(self, x: Tensor, state: tuple | None = None, *, seq: Seq | None = None) -> tuple[Tensor, RWKV7State]:
        """Mix a chunk from a state to a state; see `Mixer.prefill`."""
        if state is None:
            state = self.init_state(x.shape[0], device=x.device, dtype=x.dtype)
        shift, memory = state
        before, shift = self._shift(x, seq=seq, initial_state=shift, return_final_state=True)
        operands = self._operands(x, before)
        o, memory = self._rule(operands, seq=seq, initial_state=memory, return_final_state=True)
        return self._finish(o, operands, seq), RWKV7State(shift, memory)

    def step(self, x_t: Tensor, state: tuple) -> tuple[Tensor, RWKV7State]:
        """Mix one step (B, D): the recurrence as written at the top of this module."""
        shift, memory = state
        operands = self._operands(x_t, shift[:, :, -1].to(x_t.dtype))
        shift = torch.cat((shift[:, :, 1:], x_t[:, :, None].to(shift.dtype)), dim=2)
        r, log_w, k, v, a, kappa = (operands[name].to(memory.dtype) for name in ("r", "w", "k", "v", "a", "kappa"))
        removed = read(kappa, memory)  # (B, H, V)
        memory = torch.exp(log_w)[..., None] * memory
        memory = memory - (a * kappa)[..., None] * removed[..., None, :] + k[..., None] * v[..., None, :]
        o = read(r, memory).to(operands["v"].dtype)
        return self._finish(o, operands, None), RWKV7State(shift, memory)

    def init_state(
        self, batch_size: int, *, device: torch.device | str, dtype: torch.dtype, max_length: int | None = None
    ) -> RWKV7State:
        """Return zeros; see `Mixer.init_state`."""
        kind = state_dtype(dtype)
        memory = (batch_size, self.num_heads, self.head_dim, self.head_dim)
        return RWKV7State(
            torch.zeros(batch_size, self.d_model, 2, device=device, dtype=kind),
            torch.zeros(memory, device=device, dtype=kind),
        )

    def _shift(self, x: Tensor, **options: Any) -> Any:
        """Return the previous step of each, and the last inputs if asked: a convolution that takes one step back."""
        return causal_conv1d(x, x.new_tensor([1.0, 0.0]).expand(self.d_model, 2), **options)

    def _operands(self, x: Tensor, before: Tensor) -> dict[str, Tensor]:
        """Return r, log w, k, v, a and kappa, each (..., H, head_dim), and the gate g (..., D)."""
        change = before - x
        mixed = {name: x + change * self.get_parameter(f"x_{name}") for name in _STREAMS}
        r, k, v = self.receptance(mixed["r"]), self.key(mixed["k"]), self.value(mixed["v"])
        w = _STRONGEST * torch.sigmoid(self.w0 + torch.tanh(mixed["w"] @ self.w1) @ self.w2)
        a = torch.sigmoid(self.a0 + mixed["a"] @ self.a1 @ self.a2)
        kappa = k * self.k_k
        k = k * (1 + (a - 1) * self.k_a)
        heads = {"r": r, "w": w, "k": k, "v": v, "a": a, "kappa": kappa}
        found = {name: m.unflatten(-1, (self.num_heads, self.head_dim)) for name, m in heads.items()}
        found["kappa"] = F.normalize(found["kappa"], dim=-1)
        return found | {"g": torch.sigmoid(mixed["g"] @ self.g1) @ self.g2}

    def _rule(self, operands: dict[str, Tensor], **options: Any) -> Any:
        """Run the recurrence over (B, L, H, head_dim)."""
        r, w, k, v, a, kappa = (operands[name] for name in ("r", "w", "k", "v", "a", "kappa"))
        return delta_rule(r, k, v, None, g=w, remove=(-a * kappa, kappa), scale=1.0, **options)

    def _finish(self, o: Tensor, operands: dict[str, Tensor], seq: Seq | None) -> Tensor:
        """Norm each head's output, add the present step's bonus, gate and project; padding yields 0."""
        shape = o.shape[:-2]
        normed = self.ln_x(o.reshape(-1, self.d_model)).view(*shape, self.d_model)
        bonus = (operands["r"] * operands["k"] * self.r_k).sum(-1, keepdim=True) * operands["v"]
        y = (normed + bonus.flatten(-2)) * operands["g"]
        if seq is not None and seq.valid is not None:
            y = y.masked_fill(~seq.valid[..., None], 0)
        return self.output(y)


def _auto_rank(width: int, factor: float) -> int:
    """Return factor sqrt(width) rounded to a multiple of 32, at least 32."""
    return max(32, round(factor * math.sqrt(width) / 32) * 32)
