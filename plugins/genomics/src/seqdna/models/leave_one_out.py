"""The leave-one-out model: p(base t | all other bases) at every t, in one pass.

    model = seqsuite.create_model("leave_one_out_debug")
    logits = model(input_ids)       # (B, L, V); position t does not depend on input_ids[:, t]

Two tied causal towers, the second on the reverse complement, meet only at the joint: position t takes the
first tower behind base t - 1 and the second behind base t + 1. So it trains on every base, where a masked
model trains on one in seven, and one sweep scores every single-nucleotide variant. The joint runs once for
each strand, on (own, other) and (other, own), and the heads are those of Caduceus-PS: exchanging the
strands of the input exchanges the rows and nothing else, RC-equivariance is exact.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqdna.configs.models import LeaveOneOutConfig
from seqdna.models.base import DNAModel
from seqsuite.backbones.residual import ResidualStack
from seqsuite.errors import UserError
from seqsuite.mixers.base import Scratch, chunks
from seqsuite.models.base import init_weights, mixer_stack, settle_mixer
from seqsuite.ops import Seq


class LeaveOneOut(DNAModel):
    """Two tied causal towers, joined at the head; see `LeaveOneOutConfig`."""

    config: LeaveOneOutConfig
    backbone: ResidualStack

    def __init__(self, config: LeaveOneOutConfig) -> None:
        config = settle_mixer(config)
        super().__init__(config)
        self.embedding = nn.Embedding(config.padded_vocab_size, config.d_model)
        self.backbone = mixer_stack(config)
        if not all(block.mixer.causal for block in self.backbone.layers):  # type: ignore[union-attr]
            raise UserError(f"LeaveOneOutConfig: mixer {config.mixer!r} is not causal; its towers must be")
        self.start = nn.Parameter(torch.zeros(config.d_model))
        self.joint = Joint(config.d_model, config.join_expand * config.d_model)
        init_weights(self, embedding_std=config.initializer_range)
        self.make_head()

    def encode(self, rows: Tensor, seq: Seq | None) -> Tensor:
        """Return the joint features of both strands' rows, (2B, L) ids to (2B, L, D).

        With head "leave_one_out" position t does not see its own base; a classifier's features do.
        """
        towers: Tensor = self.backbone(self.embedding(rows), seq=seq)
        if self.config.head != "sequence_classification":
            towers = self._before(towers, seq)
        other = towers.unflatten(0, (2, -1)).flip(0, 2).flatten(0, 1)
        return self.joint(towers, other)

    def sweep(self, rows: np.ndarray, *, chunk: int, scratch: Scratch) -> Tensor:
        """Return `encode` of both strands' rows on disk; see `DNAModel.sweep`."""
        towers = super().sweep(rows, chunk=chunk, scratch=scratch)
        joined = scratch(*towers.shape)
        shifted = self.config.head != "sequence_classification"
        with torch.no_grad():
            for start, end in chunks(towers.shape[1], chunk):
                own = self._chunk(towers, start, end, shifted=shifted)
                there = self._chunk(towers, towers.shape[1] - end, towers.shape[1] - start, shifted=shifted)
                other = there.unflatten(0, (2, -1)).flip(0, 2).flatten(0, 1)
                joined[:, start:end] = self.joint(own, other).to(joined.device)
        return joined

    def _chunk(self, towers: Tensor, start: int, end: int, *, shifted: bool) -> Tensor:
        """Return a chunk of the towers on the model's device, shifted by one where asked for."""
        device = self.start.device
        if not shifted:
            return towers[:, start:end].to(device)
        if start > 0:
            return towers[:, start - 1 : end - 1].to(device)
        return self._before(towers[:, :end].to(device), None)

    def _before(self, towers: Tensor, seq: Seq | None) -> Tensor:
        """Shift (R, L, D) by one: each position gets its left neighbour's, the first of a sequence `start`."""
        shifted = torch.cat((self.start.to(towers.dtype).expand(len(towers), 1, -1), towers[:, :-1]), dim=1)
        if seq is None:
            return shifted
        opens = torch.zeros(towers.shape[:2], dtype=torch.bool, device=towers.device)
        if seq.valid is not None:
            opens[:, 1:] |= ~seq.valid[:, :-1]
        if seq.segment is not None:
            opens[:, 1:] |= seq.segment[:, 1:] != seq.segment[:, :-1]
        return torch.where(opens[..., None], self.start.to(towers.dtype), shifted)


class Joint(nn.Module):
    """Join what comes before with what comes behind: two (..., D) to (..., D).

    The sum of the two and a hidden layer over both.

    Args:
        d_model: D.
        d_hidden: Width of the hidden layer.
    """

    def __init__(self, d_model: int, d_hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(2 * d_model)
        self.hidden = nn.Linear(2 * d_model, d_hidden)
        self.out = nn.Linear(d_hidden, d_model)

    def forward(self, own: Tensor, other: Tensor) -> Tensor:
        """Return the joint features; `own` and `other` do not commute."""
        both = torch.cat((own, other), dim=-1)
        joint: Tensor = own + self.out(F.gelu(self.hidden(self.norm(both))))
        return joint
