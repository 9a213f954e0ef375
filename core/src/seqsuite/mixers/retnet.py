"""Multi-scale retention (Sun et al. 2023, RetNet): a matrix state a head with a fixed decay of its own.

    S_t = gamma_h S_{t-1} + k_t v_t^T,   gamma_h = 1 - 2^(-5-h)
    o_t = S_t^T q_t / sqrt(K),           y = out_proj(silu(g_proj(x)) * norm(o))

https://arxiv.org/abs/2307.08621. Queries and keys are rotated by their position (the rotation of xPos, whose
decay is gamma's). The paper's normalisations of the scores by row and head only scale a head's output at each
position, which the norm takes off again; they are left out. Positions do not grow with the sequence: the state
is kept as seen from the last step. Views agree to 1e-10 in float64 and 2e-5 (relative) in float32.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqsuite.mixers._heads import HeadNorm, check_divides, divisor, read, split_heads
from seqsuite.mixers._rotary import cos_sin
from seqsuite.mixers.base import Mixer, state_dtype
from seqsuite.mixers.options import check_range
from seqsuite.ops import Seq, ssd

_OWNER = "mixer 'retnet'"


class RetNetState(NamedTuple):
    """What retention carries from step to step.

    Attributes:
        kv: (B, H, K, V) state, its keys rotated so that those of the last step lie at position 0.
    """

    kv: Tensor


class RetNet(Mixer):
    """Multi-scale retention, without norm and residual.

    Args:
        d_model: Width D.
        num_heads: Heads H, dividing the widths of keys and values; "auto" takes heads of 256 keys or, where that
            does not divide D, the next smaller width that does.
        expand_v: Width of the values is ``expand_v * d_model``.
        position: Rotate queries and keys by their position, or not.
        norm: Normalise each head's output by its mean and variance ("group", the paper's GroupNorm), or by its
            root mean square ("rms", the public implementation's).
        bias: The projections have a bias.
    """

    causal: bool = True
    reversible: ClassVar[bool] = True

    def __init__(
        self,
        d_model: int,
        *,
        num_heads: int | Literal["auto"] = "auto",
        expand_v: float = 2,
        position: Literal["rotary", "none"] = "rotary",
        norm: Literal["group", "rms"] = "group",
        bias: bool = False,
    ) -> None:
        super().__init__(d_model)
        check_range(_OWNER, {"expand_v": expand_v}, above=0)
        check_range(_OWNER, {"d_model": d_model, "expand_v * d_model": expand_v * d_model}, least=1)
        width = int(expand_v * d_model)
        if num_heads == "auto":
            num_heads = divisor(width, d_model // divisor(d_model, 256), d_model)
        check_range(_OWNER, {"num_heads": num_heads}, least=1)
        check_divides(_OWNER, "num_heads", num_heads, d_model=d_model, **{"the width of the values": width})
        self.num_heads, self.rotary = num_heads, position == "rotary"
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_model, d_model, bias=bias)
        self.v_proj = nn.Linear(d_model, width, bias=bias)
        self.g_proj = nn.Linear(d_model, width, bias=bias)
        self.group_norm = HeadNorm(width, num_heads, kind="rms" if norm == "rms" else "layer", weight="none")
        self.out_proj = nn.Linear(width, d_model, bias=bias)
        self.reset_parameters()
        self.mark_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw the initial parameters: Xavier with the published gains."""
        for layer in (self.q_proj, self.k_proj, self.v_proj, self.g_proj, self.out_proj):
            nn.init.xavier_uniform_(layer.weight, gain=2**-1 if layer is self.out_proj else 2**-2.5)
            if layer.bias is not None:
                layer.bias.zero_()

    @torch.no_grad()
    def scale_output(self, factor: float) -> None:
        """Scale `out_proj.weight`; see `Mixer.scale_output`."""
        self.out_proj.weight.mul_(factor)

    def forward(self, x: Tensor, *, seq: Seq | None = None, reverse: bool = False) -> Tensor:
        """Mix a whole sequence; see `Mixer.forward`."""
        place = _places(x, seq, reverse)
        return self._finish(self._retain(x, place, seq=seq, reverse=reverse), x)

    def prefill(self, x: Tensor, state: tuple | None = None, *, seq: Seq | None = None) -> tuple[Tensor, RetNetState]:
        """Mix a chunk from a state to a state; see `Mixer.prefill`."""
        if state is None:
            state = self.init_state(len(x), device=x.device, dtype=x.dtype)
        place = _places(x, seq, False)  # the state lies at -1, the last step at place[-1]
        start = self._turn(state[0], torch.full_like(place[:, -1:], -1))
        o, kv = self._retain(x, place, seq=seq, initial_state=start, return_final_state=True)
        return self._finish(o, x), RetNetState(self._turn(kv, -place[:, -1:]))

    def step(self, x_t: Tensor, state: tuple) -> tuple[Tensor, RetNetState]:
        """Mix one step (B, D): its own position is 0, that of the state -1."""
        q, k, v = (split_heads(layer(x_t), self.num_heads) for layer in (self.q_proj, self.k_proj, self.v_proj))
        kv = self._turn(state[0], -torch.ones(len(x_t), 1, device=x_t.device, dtype=state[0].dtype))
        kv = torch.exp(self._decay(kv))[:, None, None] * kv + k.to(kv.dtype)[..., None] * v[..., None, :]
        o = read(q, kv) * q.shape[-1] ** -0.5
        return self._finish(o.to(v.dtype), x_t), RetNetState(kv)

    def init_state(
        self, batch_size: int, *, device: torch.device | str, dtype: torch.dtype, max_length: int | None = None
    ) -> RetNetState:
        """Return zeros; see `Mixer.init_state`."""
        kind = state_dtype(dtype)
        keys, values = (layer.out_features // self.num_heads for layer in (self.k_proj, self.v_proj))
        return RetNetState(torch.zeros(batch_size, self.num_heads, keys, values, device=device, dtype=kind))

    def _retain(self, x: Tensor, place: Tensor, **options: Any) -> Any:
        """Run the heads: (B, L, H, V)."""
        q, k, v = (split_heads(layer(x), self.num_heads) for layer in (self.q_proj, self.k_proj, self.v_proj))
        if self.rotary:
            cos, sin = self._angles(place, q.shape[-1], x.dtype)
            q, k = (_rotate(m, cos[:, :, None], sin[:, :, None]) for m in (q, k))
        return ssd(q, k, v, self._decay(x), **options)

    def _decay(self, x: Tensor) -> Tensor:
        """Return log gamma (H,), in float32 at least."""
        kind = state_dtype(x.dtype)
        return torch.log1p(-(2.0 ** (-5 - torch.arange(self.num_heads, device=x.device, dtype=kind))))

    def _turn(self, state: Tensor, place: Tensor) -> Tensor:
        """Rotate the keys of a state (B, H, K, V) by places (B, 1)."""
        if not self.rotary:
            return state
        cos, sin = self._angles(place, state.shape[2], state.dtype)
        return _rotate(state.mT, cos[:, None], sin[:, None]).mT

    def _angles(self, place: Tensor, keys: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Return cosines and sines (B, L, K // 2) of the rotations."""
        pairs = keys // 2
        return cos_sin(place, pairs, 1e4, span=pairs - 1, dtype=dtype)

    def _finish(self, o: Tensor, x: Tensor) -> Tensor:
        """Normalise, gate and project (..., H, V)."""
        return self.out_proj(self.group_norm(o.flatten(-2)) * F.silu(self.g_proj(x)))


def _places(x: Tensor, seq: Seq | None, reverse: bool) -> Tensor:
    """Return the positions (B, L), counted over valid steps from where the run begins; only differences matter."""
    if seq is None or seq.valid is None:
        place = torch.arange(x.shape[1], device=x.device).expand(x.shape[:2])
        return place.flip(1) if reverse else place
    return (seq.valid.flip(1).cumsum(1).flip(1) if reverse else seq.valid.cumsum(1)) - 1


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate neighbouring pairs of (..., K); an odd last one stays."""
    even, odd = x[..., : 2 * cos.shape[-1]].unflatten(-1, (-1, 2)).unbind(-1)
    turned = torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2)
    return torch.cat((turned, x[..., turned.shape[-1] :]), -1)
