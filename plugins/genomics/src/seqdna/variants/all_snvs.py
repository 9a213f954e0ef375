"""Every single-nucleotide variant of a genome: log p(alternative) - log p(reference) at every base.

    table = all_snvs(model, "genome.fa", "snvs.npy", window=1024, overlap=512)
    table.of("chr1", 1000, 1010)        # (10, 4): A, C, G, T at ten bases, 0 for the reference base

The genome is read in overlapping windows; a base's score comes from a window in which it has at least
overlap // 2 bases on either side, fewer only at a contig's end. A leave-one-out or a causal model scores a whole
window in one pass; a masked model needs one pass for each base, which is refused for long genomes unless forced.
A leave-one-out or masked model scores each base given the others, a causal one given those before it. A model
that is not RC-equivariant reads both strands, and the score is the mean of the two.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from seqdna.data.genome import Genome
from seqdna.likelihood import language_head
from seqdna.variants.checksums import genome_checksum, model_checksum
from seqdna.variants.parts import Parts, Shard, description_of, finished_by_others
from seqdna.variants.run import Progress
from seqdna.variants.scoring import ScoreOptions, hidden_letters, open_both, window_of_model
from seqdna.variants.tables import SNV_SUFFIXES, open_table
from seqdna.variants.tiling import Tile, score_tiles, tile_blocks
from seqdna.variants.writers import check_target
from seqsuite.errors import UserError
from seqsuite.reports import TableView
from seqsuite.training.run_folder import write_json

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from seqdna.api import GenomeModel

MOST_MASKED = 100_000
"""Bases that a masked model scores without being forced: each costs a forward pass."""


@dataclass(frozen=True)
class AllSnvs(TableView):
    """The table of all single-nucleotide variants, on disk.

    Attributes:
        path: The file.
        records: Name and length of each record, in the file's order.
        variants: Rows: three a base that is A, C, G or T.
        settings: Method, window, overlap and what the numbers mean.
        sums: (16,) count and (16,) sum of scores by reference base (rows) and alternative (columns).
    """

    path: Path
    records: tuple[tuple[str, int], ...] = field(repr=False)
    variants: int
    settings: dict[str, Any]
    sums: tuple[np.ndarray, np.ndarray] = field(repr=False)

    def of(self, record: str, start: int, end: int) -> np.ndarray:
        """Return the scores of bases `start` .. `end` - 1: (end - start, 4) for A, C, G, T.

        Raises:
            UserError: The table is no .npy file, or has no such bases.
        """
        if self.path.suffix != ".npy":
            raise UserError(f"{self.path}: only an .npy table is read by position; choose --out NAME.npy.")
        offset = 0
        for name, length in self.records:
            if name == record:
                if not 0 <= start <= end <= length:
                    raise UserError(f"{record}:{start}-{end} reaches beyond the record, which has {length} bases.")
                return np.array(np.load(self.path, mmap_mode="r")[offset + start : offset + end])
            offset += length
        raise UserError(f"{self.path} has no record {record!r}.")

    def table(self) -> list[dict[str, Any]]:
        """Return the mean score of each exchange."""
        count, total = (values.reshape(4, 4) for values in self.sums)
        return [
            {"ref": "ACGT"[i], "alt": "ACGT"[j], "variants": int(count[i, j]), "mean": float(total[i, j] / count[i, j])}
            for i in range(4)
            for j in range(4)
            if i != j and count[i, j]
        ]

    def figure(self) -> Figure | None:
        """Draw the mean score of each exchange; None for an empty table."""
        from matplotlib.figure import Figure

        rows = self.table()
        if not rows:
            return None
        figure = Figure(figsize=(6, 3), layout="constrained")
        axes = figure.subplots()
        axes.bar([f"{row['ref']}>{row['alt']}" for row in rows], [row["mean"] for row in rows])
        axes.set(ylabel="mean score (nats)")
        return figure


def all_snvs(
    model: GenomeModel,
    fasta: str | Path | Genome,
    out: str | Path,
    *,
    window: int | None = None,
    overlap: int | None = None,
    batch_tokens: int = 16384,
    block_bases: int = 1 << 18,
    force: bool = False,
    overwrite: bool = False,
    shard: Shard | None = None,
    progress: Progress | None = None,
) -> AllSnvs | None:
    """Score every single-nucleotide variant of a genome into a file, in bounded memory.

    Args:
        model: A language model.
        fasta: FASTA file, or a genome with the model's tokenizer.
        out: .npy: (bases, 4) float32, records end to end, nan where the base is unknown, names in a .json file
            beside it; .tsv, .tsv.gz or .parquet: chrom, pos (1-based), ref, alt, score.
        window: Bases read at once; None: the training length if the model knows it.
        overlap: Bases that neighbouring windows share; None: half a window.
        batch_tokens: Ids to run at once.
        block_bases: Bases a block: what an interrupted call loses at most.
        force: Let a masked model score more than `MOST_MASKED` bases.
        overwrite: Replace the output.
        shard: The share of the work to do; None: all. The last to finish joins.
        progress: Called with blocks done and blocks in all.

    Returns:
        The table; None where blocks of other shards are not done, or another process joins.

    Raises:
        UserError: The files, or options that do not fit the model; one line says what to do.
    """
    head = language_head(model.model)
    window = window_of_model(model, ScoreOptions(window=window, batch_tokens=batch_tokens))
    overlap = window // 2 if overlap is None else overlap
    if not 0 <= overlap < window:
        raise UserError(f"--overlap is {overlap}; it must be at least 0 and less than the window of {window}.")
    target, shard = Path(out).expanduser(), shard or Shard()
    check_target(target, SNV_SUFFIXES)
    genome, letters = open_both(fasta, model.tokenizer)
    _refuse_long(head, genome, force=force)
    blocks = partial(tile_blocks, genome, window, overlap, block_bases)
    count = sum(1 for _ in blocks())
    settings = _settings(head, window, overlap) | hidden_letters(genome)
    fingerprint = _fingerprint(model, genome, settings, batch_tokens, block_bases)
    if finished_by_others(target, fingerprint, shard, overwrite=overwrite):
        return None
    parts = Parts(target.with_name(f"{target.name}.parts"), fingerprint, count, shard)
    wanted = set(parts.missing())
    for number, block in enumerate(blocks() if wanted else ()):
        if number in wanted:
            logp = score_tiles(model.model, model.tokenizer, genome, block, batch_tokens=batch_tokens)
            parts.put(number, {"logp": logp.astype(np.float32)})
            if progress is not None:
                progress(number + 1, count)
    with parts.claim() as mine:
        return _join(target, letters, blocks(), parts, settings, fingerprint) if mine else None


def _refuse_long(head: str, genome: Genome, *, force: bool) -> None:
    if head == "masked_lm" and genome.length > MOST_MASKED and not force:
        raise UserError(
            f"a masked model needs a forward pass for each of {genome.length:,} bases; use a leave-one-out model, "
            f"a smaller FASTA (at most {MOST_MASKED:,} bases), or add --force."
        )


def log_odds(logp: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Return log p(base) - log p(reference): (n, 4), 0 for the reference, nan where it is unknown."""
    reference = np.take_along_axis(logp, np.minimum(codes, 3)[:, None].astype(np.int64), axis=1)
    odds: np.ndarray = np.where(codes[:, None] < 4, logp - reference, np.nan)
    return odds


def _join(
    target: Path,
    letters: Genome,
    blocks: Iterable[Sequence[Tile]],
    parts: Parts,
    settings: dict[str, Any],
    fingerprint: str,
) -> AllSnvs:
    count, total = np.zeros(16), np.zeros(16)
    aside = target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        with open_table(aside, target, letters.length) as table:
            for number, block in enumerate(blocks):
                logp, at = parts.get(number)["logp"], 0
                for tile in block:
                    codes = letters.codes(tile.record, tile.first, tile.last)
                    odds = log_odds(logp[at : at + len(codes)], codes)
                    at += len(codes)
                    table.write(tile.record, tile.first, codes, odds)
                    _add(count, total, codes, odds)
        by_exchange = count.reshape(4, 4)
        records = tuple((record.name, record.length) for record in letters.records)
        result = AllSnvs(target, records, int(by_exchange.sum() - np.trace(by_exchange)), settings, (count, total))
        # Before the output gets its name: a share that comes late must find what it is.
        write_json(description_of(target), {"fingerprint": fingerprint, **_description(result)})
        os.replace(aside, target)
    except OSError as error:
        raise UserError(f"--out {target}: cannot write it ({error.strerror or error}).") from error
    finally:
        aside.unlink(missing_ok=True)
    return result


def _add(count: np.ndarray, total: np.ndarray, codes: np.ndarray, odds: np.ndarray) -> None:
    cells = np.minimum(codes, 3)[:, None].astype(np.int64) * 4 + np.arange(4)
    known = ~np.isnan(odds)
    count += np.bincount(cells[known], minlength=16)
    total += np.bincount(cells[known], weights=odds[known].astype(np.float64), minlength=16)


def _description(result: AllSnvs) -> dict[str, Any]:
    """Return what the .json file beside a table holds: what the numbers mean, which rows are which record."""
    array = result.path.suffix == ".npy"
    return {
        "settings": result.settings,
        "columns": list("ACGT") if array else ["chrom", "pos", "ref", "alt", "score"],
        "variants": result.variants,
        "records": [{"name": name, "length": length} for name, length in result.records],
    }


def _settings(head: str, window: int, overlap: int) -> dict[str, Any]:
    given = "the bases before it, mean of both strands" if head == "causal_lm" else "all other bases"
    return {
        "score": f"log p(alternative) - log p(reference) given {given}; nats; positive: alternative more likely",
        "probabilities": "renormalised over A C G T",
        "head": head,
        "window": window,
        "overlap": overlap,
    }


def _fingerprint(
    model: GenomeModel, genome: Genome, settings: dict[str, Any], batch_tokens: int, block_bases: int
) -> str:
    device = next(model.model.parameters()).device.type
    facts = [settings, batch_tokens, block_bases, torch.__version__, device]
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    digest.update(model_checksum(model.model, model.tokenizer))
    digest.update(genome_checksum(genome))
    return digest.hexdigest()[:24]
