"""LION: full linear attention in both directions at the cost of two scans (Afzal et al. 2025).

    y_i = sum_j M_ij (q_i . k_j) v_j / sum_j M_ij (q_i . k_j),    q, k = phi(.),  phi(x) = s / |s|, s = silu(x) + 1/2

where M_ij is the product of the decays of steps j + 1 .. i if j < i, of steps i .. j - 1 if j > i, and 1 if j = i.
https://arxiv.org/abs/2502.16249. Decays are 1 (LION-LIT), sigmoid(a) for each head (LION-D), or sigmoid(a_i(x))
for each head and step (LION-S). The published recurrence runs once forward and once backward; both have the
diagonal, so it is taken off once. For LION-S this is the paper's mask; the published code differs from it, so
weights trained with that code need not give the same outputs here. Parameter names are those of the published
attention block. Not causal: there is no recurrent form. Both directions are treated alike, so a flipped input
gives the flipped output.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqsuite.mixers._heads import check_divides, divisor, split_heads
from seqsuite.mixers.base import Mixer, at_least_float32, state_dtype
from seqsuite.mixers.options import check_range
from seqsuite.ops import Seq, ssd

_OWNER = "mixer 'lion'"
_TINY = 1e-30


class LION(Mixer):
    """Bidirectional linear attention, without norm and residual.

    Args:
        d_model: Width D.
        num_heads: Heads H, dividing D; "auto" takes heads of 64 or, where that does not divide D, of the next
            smaller width that does.
        decay: "lit" for none, "fixed" for one of every head, "selective" for one of every head and step.
        qkv_bias: The projection to queries, keys and values has a bias.
    """

    causal: bool = False
    reversible: ClassVar[bool] = True

    def __init__(
        self,
        d_model: int,
        *,
        num_heads: int | Literal["auto"] = "auto",
        decay: Literal["lit", "fixed", "selective"] = "selective",
        qkv_bias: bool = False,
    ) -> None:
        super().__init__(d_model)
        check_range(_OWNER, {"d_model": d_model}, least=1)
        self.num_heads = d_model // divisor(d_model, 64) if num_heads == "auto" else num_heads
        check_range(_OWNER, {"num_heads": self.num_heads}, least=1)
        check_divides(_OWNER, "num_heads", self.num_heads, d_model=d_model)
        self.qkv = nn.Linear(d_model, 3 * d_model, bias=qkv_bias)
        self.a_i: nn.Linear | nn.Parameter | None = None
        if decay == "fixed":
            self.a_i = nn.Parameter(torch.empty(self.num_heads))
            self.no_decay = self.no_reinit = frozenset({"a_i"})
        elif decay == "selective":
            self.a_i = nn.Linear(d_model, self.num_heads)
        self.proj = nn.Linear(d_model, d_model)
        self.reset_parameters()
        self.mark_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw the initial parameters: linear maps as PyTorch does, fixed decays from the sigmoid of a normal."""
        self.qkv.reset_parameters()
        self.proj.reset_parameters()
        if isinstance(self.a_i, nn.Linear):
            self.a_i.reset_parameters()
        elif self.a_i is not None:
            self.a_i.normal_()

    @torch.no_grad()
    def scale_output(self, factor: float) -> None:
        """Scale `proj.weight`; see `Mixer.scale_output`."""
        self.proj.weight.mul_(factor)

    def forward(self, x: Tensor, *, seq: Seq | None = None, reverse: bool = False) -> Tensor:
        """Mix a whole sequence; see `Mixer.forward`. Either direction gives the same."""
        q, k, v = (split_heads(m, self.num_heads) for m in self.qkv(x).chunk(3, -1))
        q, k = (_features(m) for m in (q, k))
        v = torch.cat((v, torch.ones_like(v[..., :1])), -1).to(q.dtype)  # the ones add up the weights
        g = self._decays(x)
        before, behind = (ssd(q, k, v, g, scale=1.0, seq=seq, reverse=turn) for turn in (False, True))
        assert isinstance(before, Tensor)
        assert isinstance(behind, Tensor)
        o = before + behind - (q * k).sum(-1, keepdim=True) * v
        if seq is not None and seq.valid is not None:
            o = o.masked_fill(~seq.valid[..., None, None], 0)
        y = o[..., :-1] / o[..., -1:].clamp_min(_TINY)
        return self.proj(y.flatten(-2).to(x.dtype))

    def _decays(self, x: Tensor) -> Tensor:
        """Return the logarithms of the decays: (H,) or (B, L, H), in float32 at least."""
        kind = state_dtype(x.dtype)
        if self.a_i is None:
            return torch.zeros(self.num_heads, device=x.device, dtype=kind)
        return F.logsigmoid((self.a_i(x) if isinstance(self.a_i, nn.Linear) else self.a_i).to(kind))


def _features(x: Tensor) -> Tensor:
    """Return the positive features of queries or keys (..., P), of length 1, in float32 at least."""
    shifted = F.silu(at_least_float32(x)) + 0.5
    return shifted / shifted.norm(dim=-1, keepdim=True)
