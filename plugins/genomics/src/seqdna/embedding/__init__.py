"""Vectors of sequences: of whole ones, of tiles of long ones, or of every base, from any layer of a model.

    from seqdna.embedding import Embedder, Tiling, named_pieces
    embed = Embedder(model, tokenizer, layer=-1, pool="mean")
    for piece, vector in embed(named_pieces({"a": "ACGT"}, tokenizer, Tiling())): ...

`seqdna.api.GenomeModel.embed` gathers them, `seqdna embed` writes them as they come (`open_writer`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqsuite.lazy import lazy_names

if TYPE_CHECKING:
    from seqdna.embedding.embedder import Embedder
    from seqdna.embedding.formats import check_output, open_writer
    from seqdna.embedding.pieces import Piece, Tiling, bed_pieces, csv_pieces, fasta_pieces, named_pieces
    from seqdna.embedding.results import Embeddings, gather

__all__ = [
    "Embedder",
    "Embeddings",
    "Piece",
    "Tiling",
    "bed_pieces",
    "check_output",
    "csv_pieces",
    "fasta_pieces",
    "gather",
    "named_pieces",
    "open_writer",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "embedder": ["Embedder"],
        "formats": ["check_output", "open_writer"],
        "pieces": ["Piece", "Tiling", "bed_pieces", "csv_pieces", "fasta_pieces", "named_pieces"],
        "results": ["Embeddings", "gather"],
    },
)
