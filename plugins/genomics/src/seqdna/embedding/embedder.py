"""From pieces of sequence to vectors: a layer of the model, pooled, in batches, in the order of the pieces.

Layers, for a model of n blocks: -1 is what the heads see, the normalised features; i = 0 .. n - 1 is the
residual stream behind block i, that is the embedding plus the outputs of blocks 0 .. i, not normalised. (The
`hidden_states` of the published Caduceus hold the branch without the residual; they are something else.) Of
a leave-one-out model the stream is that of its two towers, which have seen the base itself.

Strands. A model that reads both strands has for every base h_a, from the strand given, and h_b, from the
other one, both of width D and in one order of channels. Pooled, each strand is pooled in its own 5' to 3'
direction and the two are averaged: the same vector for a sequence and its reverse complement. Per base they
lie side by side (2D), or are averaged with strands="both" (D). A model that reads one strand sees the other
one only with strands="both", which averages the two runs in the same way.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from seqdna.embedding.long import embed_long
from seqdna.embedding.pieces import Piece
from seqdna.likelihood import evaluating
from seqdna.models.base import POOLINGS, DNAModel, longest_input
from seqdna.models.strands import from_strands, lanes, rc_ids
from seqdna.tokenizers import NucleotideTokenizer
from seqsuite.errors import UserError, unknown_name

POOLS = (*POOLINGS, "none")
STRANDS = ("model", "both")


class Embedder:
    """Embed pieces.

    Args:
        model: The model.
        tokenizer: Pads the batches.
        layer: -1, or the number of a block, from 0; see the top of this module.
        pool: "mean", "max", "first", "last" or "centre" of the bases, or "none": a vector a base.
        strands: "model": what the model reads; "both": the average over both strands.
        batch_tokens: Bases to run at once; a longer piece runs alone.
        in_memory: A longer piece runs chunk by chunk with its features on disk (`seqdna.embedding.long`): the same
            vectors in bounded memory, of layer -1 alone. None: all pieces run in memory.

    Raises:
        UserError: Unknown pool or strands, or no such layer.
    """

    def __init__(
        self,
        model: DNAModel,
        tokenizer: NucleotideTokenizer,
        *,
        layer: int = -1,
        pool: str = "mean",
        strands: str = "model",
        batch_tokens: int = 65536,
        in_memory: int | None = None,
    ) -> None:
        for kind, value, known in (("pool", pool, POOLS), ("strands", strands, STRANDS)):
            if value not in known:
                raise unknown_name(kind, value, known)
        blocks = model.config.n_layer
        if not -1 <= layer < blocks:
            raise UserError(
                f"--layer {layer}: this model has the blocks 0 to {blocks - 1}; -1 is their normalised end."
            )
        self.model, self.tokenizer = model, tokenizer
        self.layer, self.pool, self.strands, self.batch_tokens = layer, pool, strands, batch_tokens
        self.in_memory = math.inf if in_memory is None else in_memory

    @property
    def width(self) -> int:
        """Width of a vector: D, or 2D for every base of a model that reads both strands."""
        config = self.model.config
        side_by_side = self.pool == "none" and config.both_strands and self.strands == "model"
        return config.d_model * (2 if side_by_side else 1)

    def __call__(self, pieces: Iterable[Piece]) -> Iterator[tuple[Piece, np.ndarray]]:
        """Yield each piece with its vector (width,), or with pool "none" its kept bases' (n, width), float32.

        With pool "none" a piece longer than `in_memory` comes as several, one after another.
        """
        room = self.batch_tokens * (1 if self.pool == "none" else 8)
        for group in _groups(map(self._readable, pieces), room, alone=self.in_memory):
            if len(group[0].ids) > self.in_memory:
                yield from embed_long(self.model, group[0], pool=self.pool, strands=self.strands)
                continue
            vectors: dict[int, np.ndarray] = {}
            for batch in self._batches(group):
                vectors.update(zip(batch, self._run([group[i] for i in batch]), strict=True))
            for index, piece in enumerate(group):
                yield piece, vectors[index]

    def _readable(self, piece: Piece) -> Piece:
        """Return a piece, or say that the model cannot read that far (a Hyena filter has a longest input)."""
        reach = longest_input(self.model)
        if len(piece.ids) > self.in_memory and self.layer != -1:
            raise UserError(
                f"{piece.name!r}: {len(piece.ids):,} bases run chunk by chunk, which gives --layer -1 alone; add "
                "--window 8192 to embed it in tiles, or raise --max_length."
            )
        if reach is not None and len(piece.ids) > reach:
            raise UserError(
                f"{piece.name!r}: {len(piece.ids):,} bases at once, this model reads at most {reach:,}; add --window "
                f"{reach} to embed it in tiles."
            )
        return piece

    def _batches(self, group: list[Piece]) -> Iterator[list[int]]:
        """Group pieces of similar length; of equal length where padding would change the result."""
        config = self.model.config
        pads = config.padding == "masked" and config.pad_token_id is not None
        batch: list[int] = []
        for index in sorted(range(len(group)), key=lambda i: len(group[i].ids)):
            length = len(group[index].ids)
            full = length * (len(batch) + 1) > self.batch_tokens
            if batch and (full or (not pads and length != len(group[batch[-1]].ids))):
                yield batch
                batch = []
            batch.append(index)
        if batch:
            yield batch

    def _run(self, pieces: list[Piece]) -> Iterator[np.ndarray]:
        longest = max(len(piece.ids) for piece in pieces)
        left = self.tokenizer.padding_side == "left"
        ids = np.full((len(pieces), longest), self.tokenizer.pad_id, dtype=np.int64)
        offsets = [longest - len(piece.ids) if left else 0 for piece in pieces]
        for row, offset, piece in zip(ids, offsets, pieces, strict=True):
            row[offset : offset + len(piece.ids)] = piece.ids
        with evaluating(self.model) as device:
            rows = self._vectors(torch.from_numpy(ids).to(device)).float().cpu().numpy()
        for row, offset, piece in zip(rows, offsets, pieces, strict=True):
            first, last = piece.keep
            yield np.array(row if self.pool != "none" else row[offset + first : offset + last])

    def _vectors(self, ids: Tensor) -> Tensor:
        """Return the vectors of rows of ids (B, L): (B, width) or (B, L, width)."""
        if self.model.config.both_strands:
            return self._of_row(ids)
        given = self._of_row(ids)
        if self.strands == "model":
            return given
        other = self._of_row(rc_ids(ids, self.model.complement))
        return (given + (other.flip(1) if self.pool == "none" else other)) / 2

    def _of_row(self, ids: Tensor) -> Tensor:
        features = self.features(ids)
        if self.pool != "none":
            return self.model.pool(features, seq=self.model.padding_seq(ids), pooling=self.pool)
        if not self.model.config.both_strands:
            return features
        return lanes(features, average=self.strands == "both")

    def features(self, ids: Tensor) -> Tensor:
        """Return the layer's features of (B, L) ids in the form of `DNAModel.forward_features`."""
        if self.layer == -1:
            return self.model.forward_features(ids)
        taken: list[Tensor] = []

        def keep(module: torch.nn.Module, arguments: tuple, output: tuple[Tensor, Tensor | None]) -> None:
            hidden, residual = output
            taken.append(hidden if residual is None else hidden + residual)

        handle = self.model.backbone.layers[self.layer].register_forward_hook(keep)  # type: ignore[index, union-attr]
        try:
            self.model.forward_features(ids)
        finally:
            handle.remove()
        (rows,) = taken
        return from_strands(rows) if self.model.config.both_strands else rows


def _groups(pieces: Iterable[Piece], room: int, *, alone: float) -> Iterator[list[Piece]]:
    """Gather pieces up to about `room` bases; those longer than `alone` by themselves."""
    group: list[Piece] = []
    held = 0
    for piece in pieces:
        if group and (held + len(piece.ids) > room or max(len(group[-1].ids), len(piece.ids)) > alone):
            yield group
            group, held = [], 0
        group.append(piece)
        held += len(piece.ids)
    if group:
        yield group
