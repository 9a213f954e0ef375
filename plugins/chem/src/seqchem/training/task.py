"""The training task: what a batch asks of the model, and how a validation reads the answers.

Property steps, generation steps with self-consistency, and permutation language modelling (Born and Manica 2023). In a
self-consistency pass the likeliest tokens stand where sequences were masked, and the property is asked for again; no
gradient goes through that choice.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from seqchem.decoding import NumberGrammar, decode_number
from seqchem.objectives import conditional_loss, plm_loss, property_loss, self_consistency_loss
from seqsuite.objectives import IGNORE
from seqsuite.training import Scores, Task, TrainConfig


class RTTask(Task):
    """Train a Regression Transformer.

    Args:
        model: The network.
        config: The run's options.
        reduction: Of the losses of generation steps.
        sc_weight: Weight of self-consistency.
        truth: Property -> (N,) measured values of the validation rows, in the user's units.
        spread: Property -> deviation of its training values.
        by_sequence: Whether the loss of masked sequences chooses the best weights, and not the error of properties.
    """

    def __init__(
        self,
        model: Any,
        config: TrainConfig,
        *,
        reduction: Literal["positions", "masked"] = "positions",
        sc_weight: float = 0.0,
        truth: Mapping[str, np.ndarray] | None = None,
        spread: Mapping[str, float] | None = None,
        by_sequence: bool = False,
    ) -> None:
        super().__init__(model, config)
        self.network, self.reduction, self.sc_weight = model, reduction, sc_weight
        self.truth, self.spread = dict(truth or {}), dict(spread or {})
        self.by_sequence = by_sequence or not self.truth
        self.monitor = "loss" if self.by_sequence else "relative_rmse"
        self.grammars = {name: NumberGrammar.of(model.tokenizer, name) for name in self.truth}
        self._answers: dict[str, list[tuple[Tensor, Tensor]]] = {}

    def ask(self, batch: Mapping[str, Any], prefix: str = "") -> Tensor:
        """Return the logits (B, P, V) at the positions of a batch.

        Args:
            batch: From a data set of `seqchem.training.batches`.
            prefix: Of its tensors.
        """
        logits: Tensor = self.model(
            batch[f"{prefix}input_ids"],
            attention_mask=batch[f"{prefix}attention_mask"],
            perm_mask=batch.get(f"{prefix}perm_mask"),
            positions=batch[f"{prefix}positions"],
        )
        return logits

    def training_scores(self, batch: Any) -> Scores:
        """Score a batch of any mode."""
        logits, labels = self.ask(batch), batch["position_labels"]
        mode, tokens, count = batch["mode"], batch["input_ids"].numel(), (labels != IGNORE).sum()
        if mode != "conditional":
            loss = plm_loss(logits, labels) if mode == "plm" else property_loss(logits, labels)
            name = "loss" if mode == "plm" else "property_loss"
            mean = (loss.detach() * count, count)
            return Scores(loss, {**_mean("loss", loss), name: mean}, tokens)
        length = batch["input_ids"].shape[1]
        options: dict[str, Any] = {"length": length, "reduction": self.reduction}
        loss = conditional_loss(logits, labels, **options)
        totals = {"sequence_loss": self._sum(loss, labels, length)}
        if self.sc_weight and "again_input_ids" in batch:
            again, asked = {**batch, "again_input_ids": self._filled(batch, logits)}, batch["again_position_labels"]
            second = self_consistency_loss(self.ask(again, "again_"), asked, **options)
            loss = loss + self.sc_weight * second
            totals["consistency_loss"] = self._sum(second, asked, length)
        return Scores(loss, {**_mean("loss", loss), **totals}, tokens)

    def _sum(self, loss: Tensor, labels: Tensor, length: int) -> tuple[Tensor, Tensor]:
        """Return the sum over masked tokens behind a loss of a generation step, and their number."""
        count = (labels != IGNORE).sum()
        return loss.detach() * (len(labels) * length if self.reduction == "positions" else count), count

    def _filled(self, batch: Mapping[str, Any], logits: Tensor) -> Tensor:
        """Return the rows of the second pass: the likeliest tokens where the first one asked, the number masked."""
        labels, positions = batch["position_labels"], batch["positions"]
        ids, again = batch["input_ids"], batch["again_input_ids"]
        best = logits.detach().argmax(-1)
        # Rows that ask less are filled up with position 0, which keeps its own token.
        chosen = torch.where(labels != IGNORE, best, ids.gather(1, positions))
        rows = ids.scatter(1, positions, chosen)
        masked = again == self.network.tokenizer.mask_token_id
        return torch.where(masked, again, rows)

    def validation_scores(self, batch: Any) -> Scores:
        """Score rows of `ScoringRows`: the properties, from the sequence alone, and masked parts of sequences."""
        totals: dict[str, Any] = {}
        extras: dict[str, Tensor] = {}
        tokens = 0
        for prefix, name in (("", "property_loss"), ("text_", "sequence_loss")):
            if f"{prefix}input_ids" not in batch:
                continue
            logits, labels = self.ask(batch, prefix), batch[f"{prefix}position_labels"]
            count = (labels != IGNORE).sum()
            totals[name] = (plm_loss(logits, labels) * count, count)
            tokens += batch[f"{prefix}input_ids"].numel()
            if not prefix:
                extras |= self._read(batch, logits)
        main = "property_loss" if "property_loss" in totals and not self.by_sequence else "sequence_loss"
        totals["loss"] = totals.get(main, (0.0, 0.0))
        return Scores(torch.zeros((), device=self.device), totals, tokens, extras)

    def _read(self, batch: Mapping[str, Any], logits: Tensor) -> dict[str, Tensor]:
        """Return the predicted values of a batch, in the user's units."""
        found = torch.full((len(logits),), math.nan, dtype=torch.float64)
        asked = batch["property"].cpu()
        for number, grammar in enumerate(self.grammars.values()):
            rows = (asked == number).nonzero()[:, 0]
            if len(rows):
                # Every place of a number is masked in scoring, in reading order.
                places = logits[rows.to(logits.device)][:, : grammar.width].detach()
                found[rows] = decode_number(places, grammar).mean.cpu()
        return {"predicted": found, "row": batch["row"].cpu(), "property": asked}

    def observe(self, scores: Scores) -> None:
        """Keep the predictions of a counted batch."""
        if "predicted" not in scores.extras:
            return
        for number, name in enumerate(self.truth):
            chosen = scores.extras["property"] == number
            pair = (scores.extras["row"][chosen], scores.extras["predicted"][chosen])
            self._answers.setdefault(name, []).append(pair)

    def summarize(self) -> dict[str, float]:
        """Return the root mean square error of each property, and their mean in deviations of the training values."""
        answers, self._answers = gathered(self._answers), {}
        found: dict[str, float] = {}
        relative = []
        for name, pairs in answers.items():
            rows = torch.cat([row for row, _ in pairs]).numpy()
            if not len(rows):
                continue
            predicted = torch.cat([values for _, values in pairs]).numpy()
            error = float(np.sqrt(np.mean((predicted - self.truth[name][rows]) ** 2)))
            found[f"rmse_{name}"] = error
            relative.append(error / self.spread[name])
        return found | ({"relative_rmse": float(np.mean(relative))} if relative else {})

    def finish(self, metrics: dict[str, float]) -> dict[str, float]:
        """Add the perplexity of masked sequences."""
        name = "loss" if "property_loss" not in metrics and "sequence_loss" not in metrics else "sequence_loss"
        return {**metrics, "perplexity": math.exp(min(metrics[name], 30.0))} if name in metrics else metrics


def gathered(answers: dict[str, list[tuple[Tensor, Tensor]]]) -> dict[str, list[tuple[Tensor, Tensor]]]:
    """Return the answers of all ranks, in the order of the ranks.

    Args:
        answers: Of this rank.
    """
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return answers
    ranks: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(ranks, answers)
    merged: dict[str, list[tuple[Tensor, Tensor]]] = {}
    for part in ranks:
        for name, pairs in part.items():
            merged.setdefault(name, []).extend(pairs)
    return merged


def _mean(name: str, loss: Tensor) -> dict[str, tuple[Tensor, float]]:
    return {name: (loss.detach(), 1.0)}
