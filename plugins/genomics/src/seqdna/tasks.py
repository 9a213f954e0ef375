"""Training tasks on genomes: masked language modelling of windows."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from seqdna.tokenizers import NucleotideTokenizer
from seqsuite.data.order import item_rng
from seqsuite.objectives import cross_entropy, mask_tokens
from seqsuite.training import Scores, Task, TrainConfig


class Windows(Protocol):
    """Windows of a genome: position -> (length,) uint8 ids."""

    length: int

    def ids(self, position: int) -> np.ndarray:
        """Return the window at a position."""
        ...


class MaskedWindows(Dataset[dict[str, Tensor]]):
    """Masked windows: position -> {"input_ids": (L,), "labels": (L,)}, a pure function of (seed, position).

    Only A, C, G, T are masked; random replacements are drawn from them as well.

    Args:
        windows: Where the windows come from.
        tokenizer: Its vocabulary.
        mask_rate: Share of the bases to predict.
        seed: Of the masks.
        length: Number of windows, where they are counted: a validation set.
    """

    def __init__(
        self,
        windows: Windows,
        tokenizer: NucleotideTokenizer,
        *,
        mask_rate: float,
        seed: int,
        length: int | None = None,
    ) -> None:
        self.windows, self.mask_rate, self.seed, self.length = windows, mask_rate, seed, length
        self.mask_id, self.bases = tokenizer.mask_id, tokenizer.base_ids.tolist()
        self.others = sorted(set(range(tokenizer.vocab_size)) - set(self.bases))

    def __len__(self) -> int:
        if self.length is None:
            raise TypeError("random windows have no end")
        return self.length

    def __getitem__(self, position: int) -> dict[str, Tensor]:
        ids = self.windows.ids(position).astype(np.int64)
        masked = mask_tokens(
            torch.from_numpy(ids),
            item_rng(self.seed, position),
            mask_id=self.mask_id,
            random_ids=self.bases,
            special_ids=self.others,
            mask_rate=self.mask_rate,
        )
        return masked._asdict()


class MaskedLanguageModelling(Task):
    """Predict masked bases; metrics `loss` (nats) and `bits` per masked base.

    Args:
        model: (B, L) ids -> (B, L, V) logits.
        config: The run's options.
        tokenizer: Exported beside the model.
    """

    def __init__(self, model: nn.Module, config: TrainConfig, tokenizer: NucleotideTokenizer) -> None:
        super().__init__(model, config)
        self.tokenizer = tokenizer

    def training_scores(self, batch: Any) -> Scores:
        """Score {"input_ids": (B, L), "labels": (B, L)}."""
        loss = cross_entropy(self.model(batch["input_ids"]), batch["labels"])
        return Scores(loss.mean, {"loss": (loss.total.detach(), loss.count)}, tokens=batch["input_ids"].numel())

    def export(self, folder: Path) -> None:
        """Write the model and its tokenizer into an empty folder."""
        super().export(folder)
        text = json.dumps(self.tokenizer.to_dict(), indent=2) + "\n"
        (folder / "tokenizer.json").write_text(text, encoding="utf-8")

    def finish(self, metrics: dict[str, float]) -> dict[str, float]:
        """Add the bits."""
        return {**metrics, "bits": metrics["loss"] / math.log(2)} if "loss" in metrics else metrics
