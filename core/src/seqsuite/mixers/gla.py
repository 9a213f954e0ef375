"""Gated linear attention (Yang et al. 2024): a matrix state with a learned decay for every key.

    a_t = sigmoid(gk_proj(x_t))^(1/16),   gk_proj of low rank
    S_t = diag(a_t) S_{t-1} + k_t v_t^T
    o_t = S_t^T q_t / sqrt(K),            y = o_proj(silu(g_proj(x)) * norm(o))

https://arxiv.org/abs/2312.06635. Parameter names and layouts are those of the public implementation in
flash-linear-attention. Views agree to 1e-10 in float64 and 2e-5 (relative) in float32.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqsuite.mixers._heads import HeadNorm, check_divides, divisor, read, split_heads
from seqsuite.mixers.base import Mixer, at_least_float32, state_dtype
from seqsuite.mixers.options import check_range
from seqsuite.ops import Seq, ssd

_OWNER = "mixer 'gla'"


class GLAState(NamedTuple):
    """What gated linear attention carries from step to step.

    Attributes:
        kv: (B, H, K, V) state.
    """

    kv: Tensor


class GLA(Mixer):
    """Gated linear attention, without norm and residual.

    Args:
        d_model: Width D.
        num_heads: Heads H, dividing the widths of keys and values; "auto" is the largest such number up to 4.
        expand_k: Width of the keys is ``expand_k * d_model``.
        expand_v: Width of the values is ``expand_v * d_model``.
        gate_rank: Rank of the projection to the decays.
        gate_normalizer: The decay is the sigmoid to the power of 1 / this.
        norm_eps: Added to the mean square in the norm.
    """

    causal: bool = True
    reversible: ClassVar[bool] = True

    def __init__(
        self,
        d_model: int,
        *,
        num_heads: int | Literal["auto"] = "auto",
        expand_k: float = 0.5,
        expand_v: float = 1.0,
        gate_rank: int = 16,
        gate_normalizer: float = 16,
        norm_eps: float = 1e-5,
    ) -> None:
        super().__init__(d_model)
        scales = {"expand_k": expand_k, "expand_v": expand_v, "gate_normalizer": gate_normalizer, "norm_eps": norm_eps}
        check_range(_OWNER, scales, above=0)
        keys, values = max(1, int(expand_k * d_model)), int(expand_v * d_model)
        check_range(_OWNER, {"d_model": d_model, "expand_v * d_model": values, "gate_rank": gate_rank}, least=1)
        self.num_heads = divisor(keys, 4, values) if num_heads == "auto" else num_heads
        check_range(_OWNER, {"num_heads": self.num_heads}, least=1)
        widths = {"the width of the keys": keys, "the width of the values": values}
        check_divides(_OWNER, "num_heads", self.num_heads, **widths)
        self.gate_normalizer = gate_normalizer
        self.q_proj = nn.Linear(d_model, keys, bias=False)
        self.k_proj = nn.Linear(d_model, keys, bias=False)
        self.v_proj = nn.Linear(d_model, values, bias=False)
        self.g_proj = nn.Linear(d_model, values, bias=False)
        self.gk_proj = nn.Sequential(nn.Linear(d_model, gate_rank, bias=False), nn.Linear(gate_rank, keys))
        self.g_norm = HeadNorm(values, self.num_heads, kind="rms", weight="shared", eps=norm_eps)
        self.o_proj = nn.Linear(values, d_model, bias=False)
        self.reset_parameters()
        self.mark_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw the initial parameters as PyTorch draws those of linear maps."""
        layers = (self.q_proj, self.k_proj, self.v_proj, self.g_proj, *self.gk_proj, self.g_norm, self.o_proj)
        for layer in layers:
            layer.reset_parameters()

    @torch.no_grad()
    def scale_output(self, factor: float) -> None:
        """Scale `o_proj.weight`; see `Mixer.scale_output`."""
        self.o_proj.weight.mul_(factor)

    def forward(self, x: Tensor, *, seq: Seq | None = None, reverse: bool = False) -> Tensor:
        """Mix a whole sequence; see `Mixer.forward`."""
        return self._finish(self._attend(x, seq=seq, reverse=reverse), x)

    def prefill(self, x: Tensor, state: tuple | None = None, *, seq: Seq | None = None) -> tuple[Tensor, GLAState]:
        """Mix a chunk from a state to a state; see `Mixer.prefill`."""
        if state is None:
            state = self.init_state(len(x), device=x.device, dtype=x.dtype)
        o, kv = self._attend(x, seq=seq, initial_state=state[0], return_final_state=True)
        return self._finish(o, x), GLAState(kv)

    def step(self, x_t: Tensor, state: tuple) -> tuple[Tensor, GLAState]:
        """Mix one step (B, D): the recurrence as written at the top of this module."""
        q, k, v, g = self._operands(x_t)
        k = k.to(state[0].dtype)
        kv = torch.exp(g)[..., None] * state[0] + k[..., None] * v[..., None, :]
        o = read(q, kv) * q.shape[-1] ** -0.5
        return self._finish(o.to(v.dtype), x_t), GLAState(kv)

    def init_state(
        self, batch_size: int, *, device: torch.device | str, dtype: torch.dtype, max_length: int | None = None
    ) -> GLAState:
        """Return zeros; see `Mixer.init_state`."""
        kind = state_dtype(dtype)
        keys, values = (layer.out_features // self.num_heads for layer in (self.k_proj, self.v_proj))
        return GLAState(torch.zeros(batch_size, self.num_heads, keys, values, device=device, dtype=kind))

    def _attend(self, x: Tensor, **options: Any) -> Any:
        """Run the heads: (B, L, H, V)."""
        q, k, v, g = self._operands(x)
        return ssd(q, k, v, g, **options)

    def _operands(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return q, k (..., H, K), v (..., H, V) and log a (..., H, K), the last in float32 at least."""
        gate = self.gk_proj(x)
        g = F.logsigmoid(at_least_float32(gate)) / self.gate_normalizer
        q, k, v = (layer(x) for layer in (self.q_proj, self.k_proj, self.v_proj))
        return tuple(split_heads(m, self.num_heads) for m in (q, k, v, g))  # type: ignore[return-value]

    def _finish(self, o: Tensor, x: Tensor) -> Tensor:
        """Normalise, gate and project (..., H, V)."""
        return self.o_proj(self.g_norm(o.flatten(-2)) * F.silu(self.g_proj(x)))
