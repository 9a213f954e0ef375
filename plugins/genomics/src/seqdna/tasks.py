"""Training on genomes: rows of ids and labels by objective, and the task that scores them.

    rows = MaskedWindows(windows, tokenizer, mask_rate=0.15, seed=0, augment=True)
    rows[12345]     # {"input_ids": (L,), "labels": (L,)}, a pure function of (seed, position)

A label is the id that is asked for at a position, or `IGNORE`. The loss is the mean over all labels of a
batch; a batch without any (windows of nothing but N) has loss 0 and no gradient, where the published
recipe's mean over nothing is NaN.
"""

from __future__ import annotations

import bisect
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from seqdna.configs.pretrain import Stage
from seqdna.tokenizers import NucleotideTokenizer
from seqsuite.data.order import item_rng
from seqsuite.objectives import IGNORE, cross_entropy, mask_tokens
from seqsuite.training import Scores, Task, TrainConfig

_STRAND = 7


class Windows(Protocol):
    """Windows of a genome: position -> (length,) uint8 ids."""

    length: int

    def ids(self, position: int) -> np.ndarray:
        """Return the window at a position."""
        ...


class ObjectiveWindows(Dataset[dict[str, Tensor]]):
    """Windows with what is asked of them: position -> {"input_ids": (L,), "labels": (L,)} int64.

    Args:
        windows: Where the windows come from.
        tokenizer: Its vocabulary and its complement.
        seed: Of the masks and of the strands.
        augment: Take the reverse complement of a window with probability one half.
        length: Number of windows, where they are counted: a validation set.
    """

    def __init__(
        self,
        windows: Windows,
        tokenizer: NucleotideTokenizer,
        *,
        seed: int,
        augment: bool = False,
        length: int | None = None,
    ) -> None:
        self.windows, self.tokenizer = windows, tokenizer
        self.seed, self.augment, self.length = seed, augment, length
        self.is_base = tokenizer.base_codes < 4

    def __len__(self) -> int:
        if self.length is None:
            raise TypeError("random windows have no end")
        return self.length

    def __getitem__(self, position: int) -> dict[str, Tensor]:
        ids = self.windows.ids(position)
        if self.augment and item_rng(self.seed, position, _STRAND).random() < 0.5:
            ids = self.tokenizer.reverse_complement(ids)
        inputs, labels = self.ask(ids, position)
        return {
            "input_ids": torch.from_numpy(np.array(inputs, dtype=np.int64)),
            "labels": torch.from_numpy(np.array(labels, dtype=np.int64)),
        }

    def ask(self, ids: np.ndarray, position: int) -> tuple[np.ndarray, np.ndarray]:
        """Return inputs and labels of a window (L,)."""
        raise NotImplementedError

    def bases_only(self, ids: np.ndarray) -> np.ndarray:
        """Return labels that ask for A, C, G, T and ignore the rest: (L,) int64."""
        return np.where(self.is_base[ids], ids.astype(np.int64), IGNORE)


class MaskedWindows(ObjectiveWindows):
    """Windows with hidden bases; 80 % of the chosen become [MASK], 10 % a random letter, the rest stay.

    Args:
        windows: Where the windows come from.
        tokenizer: Its vocabulary.
        mask_rate: Share of the bases to predict.
        masking: "guarded": only A, C, G, T are chosen, and drawn as random letters. "published" (Caduceus):
            N becomes [PAD] first; every position may be chosen, a random letter is any token of the
            vocabulary, and labels are ignored where they are [PAD].
        options: `seed`, `augment` and `length` of `ObjectiveWindows`.
    """

    def __init__(
        self,
        windows: Windows,
        tokenizer: NucleotideTokenizer,
        *,
        mask_rate: float,
        masking: Literal["guarded", "published"] = "guarded",
        **options: Any,
    ) -> None:
        super().__init__(windows, tokenizer, **options)
        self.mask_rate, self.published = mask_rate, masking == "published"
        self.mask_id = tokenizer.mask_id
        vocabulary = range(tokenizer.vocab_size)
        self.letters = list(vocabulary) if self.published else tokenizer.base_ids.tolist()
        self.spared = [] if self.published else [token for token in vocabulary if not self.is_base[token]]
        # A guarded run never needs [PAD]; a vocabulary may lack it.
        self.n_id, self.pad_id = tokenizer.n_id, tokenizer.pad_id if self.published else -1

    def ask(self, ids: np.ndarray, position: int) -> tuple[np.ndarray, np.ndarray]:
        """Return corrupted ids and what they were."""
        if self.published:
            ids = np.where(ids == self.n_id, self.pad_id, ids)
        masked = mask_tokens(
            ids.astype(np.int64),
            item_rng(self.seed, position),
            mask_id=self.mask_id,
            random_ids=self.letters,
            special_ids=self.spared,
            mask_rate=self.mask_rate,
        )
        labels = masked.labels
        return masked.input_ids, np.where(labels == self.pad_id, IGNORE, labels) if self.published else labels


class CausalWindows(ObjectiveWindows):
    """Windows whose every position asks for the next base; with `eos` the last asks for [SEP] (HyenaDNA).

    Args:
        windows: Where the windows come from.
        tokenizer: Its vocabulary.
        eos: End rows with the target [SEP]; it is no input.
        options: `seed`, `augment` and `length` of `ObjectiveWindows`.
    """

    def __init__(self, windows: Windows, tokenizer: NucleotideTokenizer, *, eos: bool = False, **options: Any) -> None:
        super().__init__(windows, tokenizer, **options)
        self.last = tokenizer.id_of("[SEP]") if eos else IGNORE

    def ask(self, ids: np.ndarray, position: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the ids and their right neighbours."""
        return ids, np.append(self.bases_only(ids[1:]), self.last)


class LeaveOneOutWindows(ObjectiveWindows):
    """Windows whose every position asks for its own base, which the model does not see there."""

    def ask(self, ids: np.ndarray, position: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the ids twice."""
        return ids, self.bases_only(ids)


class StagedWindows(Dataset[dict[str, Tensor]]):
    """The training rows of a run in stages: position -> (windows, L) ids and labels, by the stage of its step.

    A step has as many positions in every stage, the rows of the batch at full length; in a stage of shorter
    windows each position stands for several of them. So the step of a position is a division, and a run
    that resumes in any stage reads what it would have read. `collate` joins positions to a batch.

    Args:
        plan: The stages, end to end.
        rows: The rows of each stage, without end.
        batch_size: Positions in a step.
    """

    def __init__(self, plan: Sequence[Stage], rows: Sequence[ObjectiveWindows], batch_size: int) -> None:
        self.plan, self.rows, self.batch_size = tuple(plan), tuple(rows), batch_size
        self.ends = [stage.end for stage in plan]
        counts = [(stage.end - stage.first) * batch_size * stage.windows for stage in plan]
        # Windows are numbered through all stages, so that no stage repeats the draws of another.
        self.before = [sum(counts[:number]) for number in range(len(counts))]

    def __getitem__(self, position: int) -> dict[str, Tensor]:
        number = min(bisect.bisect_right(self.ends, position // self.batch_size), len(self.plan) - 1)
        stage = self.plan[number]
        first = self.before[number] + (position - stage.first * self.batch_size) * stage.windows
        items = [self.rows[number][first + window] for window in range(stage.windows)]
        return {key: torch.stack([item[key] for item in items]) for key in items[0]}

    @staticmethod
    def collate(items: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
        """Join (windows, L) of several positions to (rows, L)."""
        return {key: torch.cat([item[key] for item in items]) for key in items[0]}


class LanguageModelling(Task):
    """Predict the labels, whatever the objective; metrics `loss` (nats) and `bits` per label.

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
