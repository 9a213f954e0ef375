"""Caduceus (Schiff et al. 2024): a two-way Mamba over DNA; PS is RC-equivariant, Ph is not.

    model = seqsuite.create_model("caduceus_ps", d_model=256, n_layer=16)
    logits = model(input_ids)                       # (B, L, V) masked-language-model logits
    features = model.forward_features(input_ids)    # (B, L, 2D), second half the other strand, flipped
    vectors = model.pool(features)                  # (B, D), the same for a sequence and its reverse complement

PS runs both strands as one batch of 2B rows (`seqdna.models.strands`). For it, exactly:
``model(rc(x)) == model(x).flip(1)[..., complement]``.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqdna.configs import CaduceusConfig
from seqdna.models.strands import StrandBlock, from_strands, rc_ids, seq_of_strands, to_strands
from seqsuite.backbones.bidirectional import Bidirectional
from seqsuite.backbones.norms import create_norm
from seqsuite.backbones.residual import ResidualStack
from seqsuite.errors import UserError
from seqsuite.mixers.base import Mixer
from seqsuite.mixers.create import build_mixer
from seqsuite.models.base import Model, init_weights, padding_of, settle_mixer
from seqsuite.ops import Seq


class Caduceus(Model):
    """The published architecture, with its heads; see `CaduceusConfig`."""

    config: CaduceusConfig
    complement: Tensor

    def __init__(self, config: CaduceusConfig) -> None:
        config = settle_mixer(config)
        super().__init__(config)
        self.embedding = nn.Embedding(config.padded_vocab_size, config.d_model)
        blocks = [
            StrandBlock(
                self._mixer(),
                create_norm(config.norm, config.d_model, config.norm_epsilon),
                residual_in_fp32=config.residual_in_fp32,
                swap_halves=config.swap_halves,
            )
            for _ in range(config.n_layer)
        ]
        self.backbone = ResidualStack(blocks, create_norm(config.norm, config.d_model, config.norm_epsilon))
        classifies = config.head == "sequence_classification"
        self.score = nn.Linear(config.d_model, config.num_classes, bias=False) if classifies else None
        # Part of the config, not of the weights.
        self.register_buffer("complement", torch.tensor(config.full_complement_map), persistent=False)
        init_weights(self, embedding_std=config.initializer_range)
        for block in blocks:
            block.mixer.scale_output(1 / math.sqrt(config.n_layer))
        if self.score is not None:
            nn.init.normal_(self.score.weight, std=config.initializer_range)

    def _mixer(self) -> Mixer:
        config = self.config
        mixer = build_mixer(config.mixer, config.d_model, config.mixer_options)
        if not config.bidirectional:
            return mixer
        return Bidirectional(
            mixer,
            combine="multiply" if config.bidirectional_strategy == "ew_multiply" else "add",
            tie="projections" if config.bidirectional_weight_tie else "none",
        )

    def forward(self, input_ids: Tensor, *, seq: Seq | None = None) -> Tensor:
        """Return what the head makes of (B, L) token ids.

        Args:
            input_ids: (B, L) token ids.
            seq: Lengths, packing and resets; None: taken from the padding if `config.padding` is "masked".

        Returns:
            (B, L, V) logits, (B, num_classes) logits, or (B, L, D) features, as `config.head` says.
        """
        if self.config.head == "none":
            return self.forward_features(input_ids, seq=seq)
        conjoin = self.config.conjoin_train if self.training else self.config.conjoin_eval
        rows, seq = self._encode(input_ids, self._seq(input_ids, seq), both=self.config.rcps or conjoin)
        return self._head(rows, seq, strands=2 if self.config.rcps or conjoin else 1)

    def forward_features(self, input_ids: Tensor, *, seq: Seq | None = None) -> Tensor:
        """Return the normalised features: (B, L, D), with `rcps` (B, L, 2D) in two halves.

        The second half is the other strand, flipped in length and channels: position by position it
        describes the same base pair as the first.
        """
        rows, _ = self._encode(input_ids, self._seq(input_ids, seq), both=self.config.rcps)
        return from_strands(rows) if self.config.rcps else rows

    def forward_head(self, features: Tensor, *, seq: Seq | None = None) -> Tensor:
        """Return what the head makes of `forward_features`; one strand only where a Ph model conjoins."""
        if self.config.head == "none":
            return features
        if not self.config.rcps:
            return self._head(features, seq, strands=1)
        return self._head(to_strands(features), seq_of_strands(seq), strands=2)

    def pool(self, features: Tensor, *, seq: Seq | None = None, pooling: str | None = None) -> Tensor:
        """Pool `forward_features` to one vector a sequence (B, D); with `rcps` it is the same for both strands.

        Args:
            features: (B, L, D) or (B, L, 2D).
            seq: Padding to leave out.
            pooling: "mean", "max", "first" or "last"; None: the config's.
        """
        if not self.config.rcps:
            return self._pooled(features, seq, pooling)
        rows = self._pooled(to_strands(features), seq_of_strands(seq), pooling)
        return rows.unflatten(0, (2, -1)).mean(0)

    def padding_seq(self, input_ids: Tensor) -> Seq | None:
        """Return the `Seq` that `forward` takes from the padding of (B, L) ids; None where nothing is masked."""
        return self._seq(input_ids, None)

    def _seq(self, input_ids: Tensor, seq: Seq | None) -> Seq | None:
        config = self.config
        if seq is not None or config.padding == "as_published" or config.pad_token_id is None:
            return seq
        return padding_of(input_ids, config.pad_token_id)

    def _encode(self, input_ids: Tensor, seq: Seq | None, *, both: bool) -> tuple[Tensor, Seq | None]:
        """Return the features of the given strand's rows, or of both strands' rows, and their `Seq`."""
        if both:
            input_ids = torch.cat((input_ids, rc_ids(input_ids, self.complement)))
            seq = seq_of_strands(seq)
        return self.backbone(self.embedding(input_ids), seq=seq), seq

    def _head(self, rows: Tensor, seq: Seq | None, *, strands: int) -> Tensor:
        if self.score is not None:
            return self.score(self._pooled(rows, seq)).unflatten(0, (strands, -1)).mean(0)
        logits = F.linear(rows, self.embedding.weight)
        logits = logits if logits.dtype == torch.float64 else logits.float()
        if strands == 1:
            return logits
        given, other = logits.chunk(2)
        return given + other.flip(1)[..., self.complement]

    def _pooled(self, rows: Tensor, seq: Seq | None, pooling: str | None = None) -> Tensor:
        pooling = pooling or self.config.pooling
        valid = rows.new_ones(rows.shape[:2], dtype=torch.bool) if seq is None or seq.valid is None else seq.valid
        if pooling == "mean":
            return rows.masked_fill(~valid[..., None], 0).sum(1) / valid.sum(1, keepdim=True).clamp(min=1)
        if pooling == "max":
            return rows.masked_fill(~valid[..., None], -torch.inf).amax(1)
        if pooling not in ("first", "last"):
            raise UserError(f"pooling must be mean, max, first or last, not {pooling!r}")
        places = torch.arange(rows.shape[1], device=rows.device).expand_as(valid)
        place = places.masked_fill(~valid, rows.shape[1]).amin(1) if pooling == "first" else (places * valid).amax(1)
        return rows[torch.arange(len(rows), device=rows.device), place.clamp(max=rows.shape[1] - 1)]
