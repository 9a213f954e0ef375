"""The attention of the Trajectory Transformer: causal, and no position sees a value token, not even its own.

    q, k, v = in_proj(x);  o = softmax(q k' / sqrt(K), over earlier positions that hold no value) v;  out_proj(o)

A value sums the rewards that are still to come: a model that saw it would copy it (Janner et al. 2021,
https://arxiv.org/abs/2106.02039). The sequence starts with the first number of a row, whose last one is the value.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqsuite.errors import UserError
from seqsuite.mixers.base import Mixer
from seqsuite.ops import Seq


class ValueBlindAttention(Mixer):
    """Causal attention over all tokens but the values.

    Args:
        d_model: Width D.
        transition_dim: T: positions T - 1, 2 T - 1, ... hold values.
        num_heads: Heads, of D / num_heads channels.
        dropout: Probability, on the attention's weights.
    """

    def __init__(self, d_model: int, transition_dim: int, num_heads: int, dropout: float = 0.0) -> None:
        super().__init__(d_model)
        if d_model % num_heads:
            raise UserError(f"mixer 'attention': n_head must divide d_model, {d_model}, not {num_heads}")
        self.transition_dim, self.num_heads, self.dropout = transition_dim, num_heads, dropout
        self.in_proj = nn.Linear(d_model, 3 * d_model)
        self.out_proj = nn.Linear(d_model, d_model)
        self.mark_parameters()

    def forward(self, x: Tensor, *, seq: Seq | None = None, reverse: bool = False) -> Tensor:
        """Mix (B, L, D); rows are neither padded nor packed."""
        if seq is not None or reverse:
            raise ValueError("ValueBlindAttention: takes whole rows from left to right")
        length, period = x.shape[1], self.transition_dim
        place = torch.arange(length, device=x.device)
        seen = place[place % period != period - 1]
        q, k, v = (part.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for part in self.in_proj(x).chunk(3, -1))
        mask = seen <= place[:, None]
        rate = self.dropout if self.training else 0.0
        out = F.scaled_dot_product_attention(q, k[:, :, seen], v[:, :, seen], attn_mask=mask, dropout_p=rate)
        return self.out_proj(out.transpose(1, 2).flatten(2))
