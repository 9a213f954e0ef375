"""Predictions of a fine-tuned model, and the embeddings that a probe reads.

model = seqdna.load("runs/sites")
found = predict(model.model, model.tokenizer, {"a": "ACGT..."}, load_head("runs/sites"))
found.scores                     # (n, K): probabilities of classes or labels, or numbers
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from seqdna.finetuning.head import Head
from seqdna.finetuning.labelled import LabelledSet, check_reach, check_sequence, cropped, known, reverse_complement
from seqdna.likelihood import evaluating
from seqdna.models.base import DNAModel, longest_input
from seqsuite.errors import UserError
from seqsuite.reports import TableView
from seqsuite.reports.csv_files import write_csv

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Predictions(TableView):
    """What a model predicts for sequences.

    Attributes:
        names: One name a sequence.
        predicted: The class, the labels above one half, or the numbers, in words.
        scores: (n, K) float64: probabilities of classes or labels, or numbers.
        classes: Names of the K columns.
        problem: What was asked.
    """

    names: tuple[str, ...]
    predicted: tuple[str, ...]
    scores: np.ndarray = field(repr=False)
    classes: tuple[str, ...]
    problem: str

    def __len__(self) -> int:
        return len(self.names)

    def table(self) -> list[dict[str, Any]]:
        """Return one row a sequence."""
        return [
            {"sequence": name, "predicted": said, **{k: float(v) for k, v in zip(self.classes, row, strict=True)}}
            for name, said, row in zip(self.names, self.predicted, self.scores, strict=True)
        ]

    def figure(self) -> Figure:
        """Draw the distribution of each class's score."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(6.0, 3.2), layout="constrained")
        axes = figure.subplots()
        for number, name in enumerate(self.classes[:8]):
            axes.hist(self.scores[:, number], bins=30, histtype="step", label=name)
        axes.set(xlabel="predicted" if self.problem == "regression" else "probability", ylabel="sequences")
        axes.legend(frameon=False)
        return figure

    def save(self, path: str | Path) -> Path:
        """Write a CSV file: sequence, predicted, and a column for each class.

        Raises:
            UserError: The disk is full or the place is not writable.
        """
        header = ["sequence", "predicted", *self.classes]
        rows = zip(self.names, self.predicted, self.scores, strict=True)
        return write_csv(path, header, ([name, said, *(f"{v:.6g}" for v in row)] for name, said, row in rows))


def predict(
    model: DNAModel,
    tokenizer: Any,
    sequences: Sequence[str] | Mapping[str, str],
    head: Head,
    *,
    batch_tokens: int = 65536,
) -> Predictions:
    """Predict what a fine-tuned model says of sequences.

    Args:
        model: The network.
        tokenizer: Its tokenizer.
        sequences: Several, or name -> sequence.
        head: What its outputs mean: `load_head` of its folder.
        batch_tokens: Bases to run at once.

    Raises:
        UserError: No sequence, or one that is empty or no DNA; or the model has another number of outputs.
    """
    named = dict(sequences) if isinstance(sequences, Mapping) else {f"sequence_{i}": s for i, s in enumerate(sequences)}
    if not named:
        raise UserError("there is no sequence to predict for.")
    if head.bases_per_label:
        raise UserError("this model labels places along a sequence; predict is for labels of whole sequences.")
    texts = [check_sequence(text, f"sequence {name!r}") for name, text in named.items()]
    names = tuple(named)
    check_reach(
        longest_input(model), texts, lambda row: f"sequence {names[row]!r}", crop=head.crop,
        way="cut it, or fine-tune with --crop.",
    )  # fmt: skip
    scores = head.scores(outputs_of(model, tokenizer, texts, head, batch_tokens=batch_tokens))
    return Predictions(names, tuple(head.said(scores)), scores, head.classes, head.problem)


def outputs_of(
    model: nn.Module,
    tokenizer: Any,
    sequences: Sequence[str],
    head: Head,
    *,
    batch_tokens: int = 65536,
) -> np.ndarray:
    """Return the outputs (n, K) float32 of a model, or of a probe on its embeddings.

    Args:
        model: (B, L) ids -> (B, K) outputs; with a probe, a genome model.
        tokenizer: Its tokenizer.
        sequences: n sequences.
        head: Crop, and the probe where there is one.
        batch_tokens: Bases to run at once.

    Raises:
        UserError: The model has another number of outputs than the head has names.
    """
    texts = [cropped(text, head.crop) for text in sequences]
    if head.weight is not None and head.bias is not None:
        assert isinstance(model, DNAModel)
        vectors = embeddings(model, tokenizer, texts, head.pooling, conjoin=head.conjoin, batch_tokens=batch_tokens)
        return vectors @ head.weight.T + head.bias
    if isinstance(model, DNAModel) and model.config.head != "sequence_classification":
        raise UserError(f"this model has the head {model.config.head!r} and predicts no labels; fine-tune it first.")
    rows: list[np.ndarray | None] = [None] * len(texts)
    for batch, ids in _encoded(model, tokenizer, texts, batch_tokens):
        outputs = model(ids).float().cpu().numpy()
        if outputs.shape[1] != head.outputs:
            raise UserError(
                f"the model has {outputs.shape[1]} outputs, its head names {head.outputs}; they do not match."
            )
        for index, row in zip(batch, outputs, strict=True):
            rows[index] = row
    return np.stack([row for row in rows if row is not None])


def outputs_along(model: nn.Module, tokenizer: Any, data: LabelledSet, *, batch_tokens: int = 65536) -> np.ndarray:
    """Return the outputs (m, K) float32 at the m labels that count along all sequences, in the order of `data.judged`.

    Args:
        model: (B, L) ids -> (B, L // bases, K).
        tokenizer: Its tokenizer.
        data: Sequences with labels along them.
        batch_tokens: Bases to run at once.
    """
    rows: list[np.ndarray | None] = [None] * len(data)
    for batch, ids in _encoded(model, tokenizer, data.sequences, batch_tokens):
        outputs = model(ids).float().cpu().numpy()
        for index, row in zip(batch, outputs, strict=True):
            target = data.targets[index]
            row = row[len(row) - len(target) :] if tokenizer.padding_side == "left" else row[: len(target)]
            rows[index] = row[known(target)]
    return np.concatenate([row for row in rows if row is not None])


def embeddings(
    model: DNAModel,
    tokenizer: Any,
    sequences: Sequence[str],
    poolings: Sequence[str],
    *,
    conjoin: bool = False,
    batch_tokens: int = 65536,
) -> np.ndarray:
    """Embed sequences for a probe: (n, D x poolings) float32.

    Args:
        model: A genome model with any head.
        tokenizer: Its tokenizer.
        sequences: n sequences.
        poolings: "mean", "max", "first", "last", "centre"; several lie side by side.
        conjoin: Average with the vector of the other strand.
        batch_tokens: Bases to run at once.
    """
    rows: list[np.ndarray | None] = [None] * len(sequences)
    for batch, ids in _encoded(model, tokenizer, sequences, batch_tokens):
        features, seq = model.forward_features(ids), model.padding_seq(ids)
        pooled = torch.cat([model.pool(features, seq=seq, pooling=name) for name in poolings], dim=1)
        for index, row in zip(batch, pooled.float().cpu().numpy(), strict=True):
            rows[index] = row
    vectors = np.stack([row for row in rows if row is not None])
    if not conjoin:
        return vectors
    others = [reverse_complement(text) for text in sequences]
    return (vectors + embeddings(model, tokenizer, others, poolings, batch_tokens=batch_tokens)) / 2


def _encoded(
    model: nn.Module, tokenizer: Any, texts: Sequence[str], batch_tokens: int
) -> Iterator[tuple[list[int], Tensor]]:
    """Yield (indices, ids (B, L) on the model's device) in evaluation mode, by ascending length."""
    batches: list[list[int]] = [[]]
    for index in sorted(range(len(texts)), key=lambda i: len(texts[i])):
        if batches[-1] and len(texts[index]) * (len(batches[-1]) + 1) > batch_tokens:
            batches.append([])
        batches[-1].append(index)
    with evaluating(model) as device:
        for batch in batches:
            padded = tokenizer.encode_batch([texts[index] for index in batch])
            yield batch, torch.from_numpy(padded.ids.astype(np.int64)).to(device)
