"""`seqdna embed`."""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING

from seqdna.configs.embed import EmbedConfig

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seqdna.api import GenomeModel
    from seqdna.embedding import Piece


def embed(config: EmbedConfig) -> int:
    """Embed sequences, intervals or tiles of a genome with a trained model."""
    from seqdna.api import load
    from seqdna.embedding import Embedder, check_output, open_writer
    from seqsuite.cli.output import print_json

    out = check_output(config.out, overwrite=config.overwrite)
    model = load(config.run, device=config.device)
    options = {"layer": config.layer, "pool": config.pool, "strands": config.strands}
    running = {"batch_tokens": config.batch_tokens, "in_memory": config.max_length if config.window == 0 else None}
    embedder = Embedder(model.model, model.tokenizer, **options, **running)  # type: ignore[arg-type]
    every_base = config.pool == "none"
    settings = {"model": str(config.run), **options, "window": config.window, "step": config.step}
    hidden: Counter[str] = Counter()
    with open_writer(out, width=embedder.width, every_base=every_base, settings=settings) as writer:
        for piece, vector in embedder(_counted(pieces(config, model), model, hidden)):
            writer.add(piece, vector)
    if hidden["no base"]:
        told = ", ".join(f"{name}={getattr(model.tokenizer, name)}" for name in ("lower", "iupac", "uracil"))
        print(
            f"{hidden['no base']:,} of {hidden['read']:,} letters are no A, C, G or T to this model, whose tokenizer "
            f"has {told}",
            file=sys.stderr,
        )
    if config.json:
        counts = {"sequences": writer.items, "vectors": writer.rows, "width": embedder.width}
        print_json({"out": str(out), **counts, **settings})
    else:
        print(f"wrote {out}: {writer.items} sequences, {writer.rows} vectors of width {embedder.width}")
    return 0


def _counted(pieces: Iterator[Piece], model: GenomeModel, counts: Counter[str]) -> Iterator[Piece]:
    """Pass pieces on and count the letters that are no base to the model."""
    for piece in pieces:
        counts["read"] += len(piece.ids)
        counts["no base"] += int((model.tokenizer.base_codes[piece.ids] == 4).sum())
        yield piece


def pieces(config: EmbedConfig, model: GenomeModel) -> Iterator[Piece]:
    """Return what the options say to embed."""
    from pathlib import Path

    from seqdna.data import open_genome
    from seqdna.embedding import Tiling, bed_pieces, csv_pieces, fasta_pieces
    from seqdna.resources import resolve_genome
    from seqsuite.errors import UserError

    tiling = Tiling(config.window, config.step, config.max_length, every_base=config.pool == "none")
    endings = {suffix.lower() for suffix in Path(config.sequences).suffixes}
    if endings & {".csv", ".tsv"}:
        if config.bed is not None:
            raise UserError("--bed takes intervals of a genome; give a FASTA file in place of the table.")
        columns = {"column": config.column, "name_column": config.name_column}
        return csv_pieces(config.sequences, model.tokenizer, tiling, **columns)  # type: ignore[arg-type]
    if config.name_column is not None:
        raise UserError("--name_column is for tables; the records of a sequence file have names.")
    if config.bed is not None:
        return bed_pieces(config.bed, open_genome(config.sequences, model.tokenizer), tiling)
    return fasta_pieces(resolve_genome(config.sequences), model.tokenizer, tiling)
