"""Vectors of a sequence that is longer than memory, from features on disk (`seqdna.long_context`).

    for part, vectors in embed_long(model, piece, pool="none", strands="model"): ...

The numbers are those of the sequence in one piece; in memory is one chunk. A model that reads one strand runs
a second time over the other one where both are asked for.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from seqdna.embedding.pieces import Piece
from seqdna.long_context import CHUNK, SpilledFeatures, spill_features
from seqdna.models.base import DNAModel
from seqdna.models.strands import lanes, rc_ids
from seqsuite.mixers.base import chunks


def embed_long(
    model: DNAModel, piece: Piece, *, pool: str, strands: str, chunk: int = CHUNK
) -> Iterator[tuple[Piece, np.ndarray]]:
    """Yield the vectors of one long piece: layer -1, as an `Embedder` gives them.

    Args:
        model: The model.
        piece: The sequence.
        pool: One of `seqdna.embedding.embedder.POOLS`.
        strands: "model" or "both".
        chunk: Bases in memory at once.

    Yields:
        The piece with its vector (D,), or with pool "none" its parts, each with the vectors (n, width) of its bases.
    """
    with contextlib.ExitStack() as stack:
        runs = [stack.enter_context(spill_features(model, piece.ids, chunk=chunk))]
        if strands == "both" and not model.config.both_strands:
            other = rc_ids(torch.from_numpy(piece.ids.astype(np.int64)), model.complement.cpu()).numpy()
            runs.append(stack.enter_context(spill_features(model, other, chunk=chunk)))
        if pool != "none":
            rows = [row for run in runs for row in run.rows]  # each strand, read from its own 5' end: (L, D)
            vector = torch.stack([_pooled(row, pool, chunk) for row in rows]).mean(0)
            yield piece, vector.float().numpy()
            return
        first, last = piece.keep
        for start, end in chunks(last - first, chunk):
            part = replace(piece, keep=(first + start, first + end))
            yield part, _each(runs, *part.keep, average=strands == "both").float().numpy()


def _each(runs: list[SpilledFeatures], start: int, end: int, *, average: bool) -> Tensor:
    """Return the vectors of bases start .. end - 1: (end - start, D), or both strands' side by side."""
    here = runs[0].features(start, end).cpu()
    if len(runs) == 2:
        length = runs[1].length
        return (here + runs[1].features(length - end, length - start).cpu().flip(0)) / 2
    return lanes(here, average=average) if runs[0].model.config.both_strands else here


def _pooled(row: Tensor, pool: str, chunk: int) -> Tensor:
    """Pool one strand's features (L, D) on disk to (D,) float64."""
    length = len(row)
    if pool == "mean":
        return torch.stack([row[a:b].double().sum(0) for a, b in chunks(length, chunk)]).sum(0) / length
    if pool == "max":
        return torch.stack([row[a:b].amax(0) for a, b in chunks(length, chunk)]).amax(0).double()
    places = {"first": (0, 0), "last": (length - 1, length - 1), "centre": ((length - 1) // 2, length // 2)}[pool]
    return row[list(places)].double().mean(0)
