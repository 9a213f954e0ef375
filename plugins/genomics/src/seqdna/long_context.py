"""Sequences longer than memory: features and predictions of a whole record, spilled to disk.

    with spill_features(model, ids, chunk=65_536) as features:     # ids (L,), L a million and more
        features.logits(10_000, 20_000)                            # (10_000, V)

The same numbers as in one piece: causal layers carry their state from chunk to chunk, bidirectional ones
sweep twice, Hyena convolves blockwise; what lies between two layers is on disk. Memory is a few chunks'
worth whatever the length, the disk takes up to four float32 tensors of (strands, L, D).
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

import numpy as np
import torch
from torch import Tensor

from seqdna.likelihood import language_head, log_bases
from seqdna.models.base import DNAModel
from seqdna.models.strands import from_strands
from seqdna.tokenizers import NucleotideTokenizer
from seqsuite.data import Spill
from seqsuite.mixers.base import chunks

CHUNK = 32768


class SpilledFeatures:
    """The features of one long sequence, on disk.

    Attributes:
        model: What made them.
        rows: (1, L, D), or (2, L, D) with the other strand, read from its own 5' end; memory-mapped.
        length: L.
    """

    def __init__(self, model: DNAModel, rows: Tensor, spill: Spill) -> None:
        self.model, self.rows, self._spill = model, rows, spill
        self.length = rows.shape[1]

    def _chunk(self, start: int, end: int) -> Tensor:
        """Return what both strands say of bases start .. end - 1: (R, end - start, D), each 5' to 3'."""
        if not 0 <= start < end <= self.length:
            raise IndexError(f"bases {start}-{end} of a sequence of {self.length}")
        device = self.model.embedding.weight.device
        if len(self.rows) == 1:
            return self.rows[:, start:end].to(device)
        there = self.rows[1:, self.length - end : self.length - start]
        return torch.cat((self.rows[:1, start:end], there)).to(device)

    def features(self, start: int, end: int) -> Tensor:
        """Return `forward_features` of some bases: (end - start, D), or (end - start, 2D)."""
        rows = self._chunk(start, end)
        return from_strands(rows)[0] if len(rows) == 2 else rows[0]

    def logits(self, start: int, end: int) -> Tensor:
        """Return a language model's `forward` of some bases: (end - start, V)."""
        language_head(self.model)
        with torch.no_grad():
            return self.model.logits_of(self._chunk(start, end), strands=len(self.rows))[0]

    def close(self) -> None:
        """Give the disk space back."""
        del self.rows
        self._spill.close()

    def __enter__(self) -> SpilledFeatures:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def spill_features(
    model: DNAModel, ids: np.ndarray, *, chunk: int = CHUNK, folder: str | Path | None = None
) -> SpilledFeatures:
    """Run a model over a sequence that is longer than memory.

    Args:
        model: Any genome model, in evaluation mode or not: dropout is off.
        ids: (L,) ids, memory-mapped if need be.
        chunk: Bases in memory at once.
        folder: Where to spill; None: the system's temporary folder (TMPDIR).

    Returns:
        The features; close it, or use it in a `with` block.

    Raises:
        UserError: The disk has no room.
    """
    kind = torch.float64 if model.embedding.weight.dtype == torch.float64 else torch.float32
    spill = Spill(folder, dtype=kind)
    training = model.training
    model.eval()
    try:
        if model.config.both_strands:
            complement = model.complement.cpu().numpy().astype(ids.dtype)
            rows = np.stack((ids, complement[ids][::-1]))
        else:
            rows = ids[None]
        return SpilledFeatures(model, model.sweep(rows, chunk=chunk, scratch=spill), spill)
    except BaseException:
        spill.close()
        raise
    finally:
        model.train(training)


def everywhere_long(
    model: DNAModel,
    tokenizer: NucleotideTokenizer,
    ids: np.ndarray,
    *,
    chunk: int = CHUNK,
    folder: str | Path | None = None,
) -> np.ndarray:
    """Predict every base of a long sequence in one pass: `seqdna.likelihood.everywhere` for what exceeds memory.

    Args:
        model: A causal or a leave-one-out language model. A masked one would need a pass for every base.
        tokenizer: Gives the ids of the bases.
        ids: (L,) ids.
        chunk: Bases in memory at once.
        folder: Where to spill.

    Returns:
        (L, 4) float32 natural log probabilities of A, C, G, T; nan at position 0 of a causal model.

    Raises:
        ValueError: A masked model.
    """
    head = language_head(model)
    if head == "masked_lm":
        raise ValueError("a masked model does not predict all bases in one pass")
    out = np.empty((len(ids), 4), dtype=np.float32)
    with spill_features(model, ids, chunk=chunk, folder=folder) as features:
        for start, end in chunks(len(ids), chunk):
            out[start:end] = log_bases(features.logits(start, end), tokenizer)
    if head == "causal_lm":
        out[1:] = out[:-1].copy()
        out[0] = np.nan
    return out
