"""Simple models on the same split, so that a fine-tuned model's figures can be judged.

The majority class (or the mean), linear models on one-hot bases (where all lengths are equal) and on counts of
6-mers, and a small convolutional network trained by the same trainer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from seqdna.finetuning.labelled import LabelledSet, cropped
from seqdna.finetuning.metrics import measure
from seqdna.finetuning.probe import fit_linear
from seqdna.models.heads import ConvHead, PositionHead

K = 6
"""Length of the words that are counted."""

_CODES = np.full(256, 4, dtype=np.uint8)
for _letters in ("ACGT", "acgt"):
    _CODES[np.frombuffer(_letters.encode(), dtype=np.uint8)] = np.arange(4)
_CODES[[ord("U"), ord("u")]] = 3


def codes(text: str) -> np.ndarray:
    """Return 0, 1, 2, 3 for A, C, G, T and 4 for anything else: (L,) uint8."""
    return _CODES[np.frombuffer(text.encode("ascii"), dtype=np.uint8)]


def one_hot(sequences: Sequence[str]) -> Any:
    """Return one-hot bases of sequences of one length: sparse (n, 4 L); other letters are all zero."""
    from scipy import sparse

    table = np.stack([codes(text) for text in sequences])
    rows, columns = np.nonzero(table < 4)
    places = columns * 4 + table[rows, columns]
    shape = (len(sequences), 4 * table.shape[1])
    return sparse.csr_matrix((np.ones(len(rows), dtype=np.float32), (rows, places)), shape=shape)


def kmer_counts(sequences: Sequence[str], k: int = K) -> Any:
    """Return counts of words of k bases on the given strand: sparse (n, 4^k); words with other letters are left out."""
    from scipy import sparse

    rows, places, counts = [], [], []
    for row, text in enumerate(sequences):
        letters = codes(text).astype(np.int64)
        if len(letters) < k:
            continue
        windows = np.lib.stride_tricks.sliding_window_view(letters, k)
        words = (windows * 4 ** np.arange(k - 1, -1, -1)).sum(1)[(windows < 4).all(1)]
        found, times = np.unique(words, return_counts=True)
        rows.append(np.full(len(found), row))
        places.append(found)
        counts.append(times)
    shape = (len(sequences), 4**k)
    if not rows:
        return sparse.csr_matrix(shape, dtype=np.float32)
    flat = [np.concatenate(part) for part in (counts, rows, places)]
    return sparse.csr_matrix((flat[0].astype(np.float32), (flat[1], flat[2])), shape=shape)


def majority(train: LabelledSet, test: LabelledSet) -> dict[str, float]:
    """Measure the guess that looks at no sequence: the training frequencies, or the training mean."""
    if train.problem == "classification":
        guess = np.bincount(train.judged(), minlength=train.outputs) / len(train.judged())
    else:
        guess = train.judged().mean(0, dtype=np.float64)
    truth = test.judged()
    return measure(train.problem, np.tile(guess, (len(truth), 1)), truth)


def linear_baselines(
    train: LabelledSet, valid: LabelledSet, test: LabelledSet, *, metric: str, crop: int = 0
) -> dict[str, dict[str, float]]:
    """Fit and measure the linear models: name -> test metrics."""
    from seqdna.finetuning.head import Head

    texts = [[cropped(text, crop) for text in part.sequences] for part in (train, valid, test)]
    makers: dict[str, Callable[[Sequence[str]], Any]] = {f"{K}-mer counts, linear": kmer_counts}
    if len({len(text) for part in texts for text in part}) == 1:
        makers = {"one-hot bases, linear": one_hot, **makers}
    head = Head(train.problem, train.classes)
    result = {}
    for name, make in makers.items():
        inputs = [make(part) for part in texts]
        model = fit_linear(
            train.problem,
            (inputs[0], train.targets),
            (inputs[1], valid.targets),
            metric=metric,
            outputs=train.outputs,
            standardise=False,
        )
        result[name] = measure(train.problem, head.scores(model.outputs(inputs[2])), test.targets)
    return result


class SmallCNN(nn.Module):
    """Three convolutions over one-hot bases, then the strongest response in each of eight parts of the sequence.

    Args:
        base_ids: Token ids of A, C, G, T.
        pad_id: Token id of padding; None: rows are not padded.
        outputs: K.
        bases_per_label: Of labels along the sequences: two convolutions at every position, as BEND's one-hot baseline.
    """

    def __init__(self, base_ids: Sequence[int], pad_id: int | None, outputs: int, bases_per_label: int = 0) -> None:
        super().__init__()
        self.register_buffer("base_ids", torch.tensor(list(base_ids)), persistent=False)
        self.base_ids: Tensor
        self.pad_id = pad_id
        self.head: ConvHead | PositionHead
        if bases_per_label:
            self.head = PositionHead(len(base_ids), outputs, bin=bases_per_label)
        else:
            self.head = ConvHead(len(base_ids), outputs, norm=False)

    def forward(self, input_ids: Tensor) -> Tensor:
        """Return outputs (B, K), or (B, L // bases_per_label, K), of (B, L) ids."""
        bases = (input_ids[..., None] == self.base_ids).to(self.head.out.weight.dtype)  # (B, L, 4)
        outputs: Tensor = self.head(bases, None if self.pad_id is None else input_ids != self.pad_id)
        return outputs
