"""The base of models over quantised samples: embedding, backbone, head, and the views sample by sample.

A subclass makes `backbone` and calls `make_head` at the end of its constructor. Inputs are the codes one step
earlier (the first is the code of silence), so position t predicts code t.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from seqaudio.configs.models import AudioConfig
from seqsuite.errors import UserError
from seqsuite.models.base import Model
from seqsuite.ops import Seq


class SampleModel(Model):
    """A model over codes (B, L) of samples; see `AudioConfig`.

    Attributes:
        embedding: Codes to (B, L, D).
        backbone: (B, L, D) to normalised features (B, L, D).
        head: Features to logits, or None.
    """

    config: AudioConfig
    embedding: nn.Embedding
    backbone: nn.Module
    head: nn.Linear | None

    def make_head(self) -> None:
        """Make the embedding and the head.

        Raises:
            UserError: The next sample is asked for, and the backbone sees it.
        """
        config = self.config
        self.embedding = nn.Embedding(config.vocab_size, config.d_model)
        nn.init.normal_(self.embedding.weight, std=config.initializer_range)
        if config.head == "next_sample" and not self.causal:
            raise UserError(
                f"mixer {config.mixer!r} is not causal with these options: it would read the samples to predict; "
                "choose another, or head='classification' or 'none'"
            )
        outputs = {"next_sample": config.vocab_size, "classification": config.num_classes, "none": 0}[config.head]
        self.head = nn.Linear(config.d_model, outputs) if outputs else None

    @property
    def causal(self) -> bool:
        """Whether no step sees a later one."""
        raise NotImplementedError

    def forward_features(self, input_ids: Tensor, *, seq: Seq | None = None) -> Tensor:
        """Return the normalised features (B, L, D) of codes (B, L).

        Args:
            input_ids: (B, L) int64.
            seq: Lengths of rows that are padded on the right.
        """
        features: Tensor = self.backbone(self.embedding(input_ids), seq=seq)
        return features

    def forward_head(self, features: Tensor, *, seq: Seq | None = None) -> Tensor:
        """Return logits over codes (B, L, 2 ** bits) or classes (B, num_classes), or the features: as `head` says."""
        if self.head is None:
            return features
        return self.head(self.pool(features, seq=seq) if self.config.head == "classification" else features)

    def pool(self, features: Tensor, *, seq: Seq | None = None) -> Tensor:
        """Pool (B, L, D) over the valid steps to (B, D), as `config.pooling` says; an empty row gives zeros."""
        valid = None if seq is None else seq.valid
        if valid is None:
            valid = torch.ones(features.shape[:2], dtype=torch.bool, device=features.device)
        count, pooling = valid.sum(1, keepdim=True), self.config.pooling
        features = features.masked_fill(~valid[..., None], 0)
        if pooling == "mean":
            return features.sum(1) / count.clamp(min=1)
        if pooling == "max":
            return features.masked_fill(~valid[..., None], -torch.inf).amax(1).masked_fill(count == 0, 0)
        steps = torch.arange(valid.shape[1], device=valid.device)
        place = (valid * (steps + 1)).argmax(1) if pooling == "last" else valid.to(torch.int8).argmax(1)
        return features[torch.arange(len(features), device=features.device), place]

    def prefill(self, input_ids: Tensor, state: Any = None, *, seq: Seq | None = None) -> tuple[Tensor, Any]:
        """Return the logits of a chunk (B, L) that follows `state` (None: the start), and the state behind it.

        Raises:
            UserError: The model does not run from left to right.
        """
        self._demand_recurrence()
        features, after = self.backbone.prefill(self.embedding(input_ids), state, seq=seq)  # type: ignore[operator]
        return self.forward_head(features), after

    def step(self, token: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Return the logits (B, 2 ** bits) behind one code (B,), and the state.

        Raises:
            UserError: The model does not run from left to right.
        """
        self._demand_recurrence()
        features, after = self.backbone.step(self.embedding(token), state)  # type: ignore[operator]
        return self.forward_head(features), after

    def init_state(self, batch_size: int, *, max_length: int | None = None) -> Any:
        """Return the state before the first sample.

        Raises:
            UserError: The model does not run from left to right.
        """
        self._demand_recurrence()
        weight = self.embedding.weight
        make: Any = self.backbone.init_state
        return make(batch_size, device=weight.device, dtype=weight.dtype, max_length=max_length)

    def _demand_recurrence(self) -> None:
        if self.config.head == "classification" or not self.causal:
            raise UserError(
                f"{type(self).__name__} with head={self.config.head!r} and mixer {self.config.mixer!r} does not run "
                "sample by sample; that takes a causal model with head='next_sample' or 'none'"
            )
