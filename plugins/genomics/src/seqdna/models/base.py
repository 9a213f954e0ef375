"""The base of every genome model: rows of strands, padding, pooling, and the heads.

A model says how token ids become features (`encode`); whether it reads one strand or both is its
config's. Both strands run as one batch of 2B rows, strand after strand (`seqdna.models.strands`), and
the heads join them: logits are the sum of one strand's and the complement of the other's, classes the mean.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqdna.configs.models import GenomeConfig
from seqdna.models.heads import ConvHead, PositionHead
from seqdna.models.strands import from_strands, rc_ids, seq_of_given, seq_of_strands, to_strands
from seqsuite.errors import UserError, unknown_name
from seqsuite.mixers.base import Scratch, chunks
from seqsuite.models.base import Model, padding_of
from seqsuite.ops import Seq

POOLINGS = ("mean", "max", "first", "last", "centre")


class DNAModel(Model):
    """A genome model: token ids (B, L) to what `config.head` says.

    A subclass makes `embedding` and `backbone`, writes `encode` where that is not enough, and calls
    `make_head` at the end of its constructor.
    """

    config: GenomeConfig
    complement: Tensor
    embedding: nn.Embedding
    backbone: nn.Module
    score: nn.Linear | ConvHead | PositionHead | None

    def make_head(self, *, bias: bool = False) -> None:
        """Make the classification head, if there is one, and the complement table."""
        config = self.config
        self.score = None
        width = config.d_model * (2 if config.strand_specific else 1)
        if config.head == "sequence_classification" and config.classifier == "conv":
            self.score = ConvHead(width, config.num_classes)
        elif config.head == "sequence_classification" and config.classifier == "positions":
            self.score = PositionHead(width, config.num_classes, bin=config.bases_per_label)
        elif config.head == "sequence_classification":
            self.score = nn.Linear(width, config.num_classes, bias=bias)
            nn.init.normal_(self.score.weight, std=config.initializer_range)
            if self.score.bias is not None:
                nn.init.zeros_(self.score.bias)
        # Part of the config, not of the weights.
        self.register_buffer("complement", torch.tensor(config.full_complement_map), persistent=False)

    def encode(self, rows: Tensor, seq: Seq | None) -> Tensor:
        """Return the features (R, L, D) of rows of ids (R, L): each strand's, or both strands' one after the other."""
        features: Tensor = self.backbone(self.embedding(rows), seq=seq)
        return features

    def sweep(self, rows: np.ndarray, *, chunk: int, scratch: Scratch) -> Tensor:
        """Return `encode` of rows of ids (R, L) that are longer than memory, on disk: (R, L, D).

        Args:
            rows: (R, L) ids, memory-mapped if need be; nothing is padded.
            chunk: Positions in memory at once.
            scratch: Makes room on disk (`seqsuite.data.Spill`).
        """
        x = scratch(*rows.shape, self.config.d_model)
        device = self.embedding.weight.device
        with torch.no_grad():
            for start, end in chunks(rows.shape[1], chunk):
                ids = torch.from_numpy(rows[:, start:end].astype(np.int64)).to(device)
                x[:, start:end] = self.embedding(ids).to(x.device)
            features: Tensor = self.backbone.sweep(x, chunk=chunk, scratch=scratch)  # type: ignore[operator]
        return features

    def forward(self, input_ids: Tensor, *, seq: Seq | None = None) -> Tensor:
        """Return what the head makes of (B, L) token ids.

        Args:
            input_ids: (B, L) token ids.
            seq: Lengths, packing and resets; None: taken from the padding if `config.padding` is "masked".

        Returns:
            (B, L, V) logits, (B, num_classes) logits, of the classifier "positions" (B, L // bases_per_label,
            num_classes), or (B, L, D) features, as `config.head` says.
        """
        if self.config.head == "none":
            return self.forward_features(input_ids, seq=seq)
        conjoin = self.config.conjoin_train if self.training else self.config.conjoin_eval
        both = self.config.both_strands or conjoin
        rows, seq = self._encode(input_ids, self._seq(input_ids, seq), both=both)
        return self._head(rows, seq, strands=2 if both else 1)

    def forward_features(self, input_ids: Tensor, *, seq: Seq | None = None) -> Tensor:
        """Return the normalised features: (B, L, D), of an RC-equivariant model (B, L, 2D) in two halves.

        The second half is the other strand, flipped in length and channels: position by position it
        describes the same base pair as the first.
        """
        both = self.config.both_strands
        rows, _ = self._encode(input_ids, self._seq(input_ids, seq), both=both)
        return from_strands(rows) if both else rows

    def forward_head(self, features: Tensor, *, seq: Seq | None = None) -> Tensor:
        """Return what the head makes of `forward_features`; one strand only where a one-strand model conjoins."""
        if self.config.head == "none":
            return features
        if not self.config.both_strands:
            return self._head(features, seq, strands=1)
        return self._head(to_strands(features), seq_of_strands(seq), strands=2)

    def pool(self, features: Tensor, *, seq: Seq | None = None, pooling: str | None = None) -> Tensor:
        """Pool `forward_features` to one vector a sequence (B, D); RC-equivariant models: the same for both strands.

        Args:
            features: (B, L, D) or (B, L, 2D).
            seq: Padding to leave out.
            pooling: "mean", "max", "first", "last" or "centre"; None: the config's. The centre of an even
                number of positions is the mean of the two in the middle. "first" and "last" are those of the
                strand given; a model that reads both strands then pairs the first of one with the first of
                the other.
        """
        if not self.config.both_strands:
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
        return self.encode(input_ids, seq), seq

    def _head(self, rows: Tensor, seq: Seq | None, *, strands: int) -> Tensor:
        if self.score is None:
            return self.logits_of(rows, strands=strands)
        if self.config.strand_specific:
            rows, strands = from_strands(rows), 1
            seq = None if seq is None else seq_of_given(seq)
        if isinstance(self.score, PositionHead):
            outputs = self.score(rows, None if seq is None else seq.valid)
            if strands == 2:  # the other strand's last label is the first of the strand given
                outputs = torch.cat((outputs.chunk(2)[0], outputs.chunk(2)[1].flip(1)))
        elif isinstance(self.score, ConvHead):
            outputs = self.score(rows, None if seq is None else seq.valid)
        else:
            outputs = self.score(self._pooled(rows, seq))
        return outputs.unflatten(0, (strands, -1)).mean(0)

    def logits_of(self, rows: Tensor, *, strands: int) -> Tensor:
        """Return vocabulary logits (B, L, V) of the features of one or both strands' rows (R, L, D)."""
        logits = F.linear(rows, self.embedding.weight)
        logits = logits if logits.dtype == torch.float64 else logits.float()
        if strands == 1:
            return logits
        given, other = logits.chunk(2)
        return given + other.flip(1)[..., self.complement]

    def _pooled(self, rows: Tensor, seq: Seq | None, pooling: str | None = None) -> Tensor:
        pooling = pooling or self.config.pooling
        if pooling not in POOLINGS:
            raise unknown_name("pooling", pooling, POOLINGS)
        valid = rows.new_ones(rows.shape[:2], dtype=torch.bool) if seq is None or seq.valid is None else seq.valid
        if pooling == "mean":
            return rows.masked_fill(~valid[..., None], 0).sum(1) / valid.sum(1, keepdim=True).clamp(min=1)
        if pooling == "max":
            return rows.masked_fill(~valid[..., None], -torch.inf).amax(1)
        places = torch.arange(rows.shape[1], device=rows.device).expand_as(valid)
        first = places.masked_fill(~valid, rows.shape[1]).amin(1).clamp(max=rows.shape[1] - 1)
        last = (places * valid).amax(1)
        batch = torch.arange(len(rows), device=rows.device)
        if pooling == "centre":
            left, right = (first + last) // 2, (first + last + 1) // 2
            return (rows[batch, left] + rows[batch, right]) / 2
        return rows[batch, first if pooling == "first" else last]


def longest_input(model: Model) -> int | None:
    """Return how many positions a model can read at most (a Hyena filter has a longest input); None: no bound."""
    options: dict[str, int] = getattr(model.config, "mixer_options", {})
    return options.get("l_max")


def causal_only(model: DNAModel) -> None:
    """Refuse the recurrent views of a model that sees the future.

    Raises:
        UserError: The model is no causal language model.
    """
    if model.config.head != "causal_lm":
        raise UserError(
            f"{type(model).__name__} with head={model.config.head!r} cannot run left to right; "
            "that takes a model with head='causal_lm'"
        )
