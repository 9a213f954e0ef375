"""How well a model predicts held-out bases, one position at a time.

    sites = language_sites(intervals, genome, 4096, 1024, objective="causal_lm")
    scores = score_sites(model, sites, tokenizer)
    evaluate(seqdna.load("runs/demo"), "other.fa", region="chr2:1-100,000")

A masked or a leave-one-out model sees everything else in the window, the task of the two-sided count
models; a causal model sees what comes before, the task of the one-sided ones. The bases are a fixed
random subset of the held-out block; its Monte-Carlo error is the standard error of the mean over them.
Probabilities are renormalised over A, C, G, T (4 of the 16 logits).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seqdna.data import EvalSites, Genome, Interval, eval_sites, open_genome, parse_region
from seqdna.likelihood import at_sites, language_head, log_of_true
from seqdna.models.base import DNAModel, longest_input
from seqdna.tokenizers import NucleotideTokenizer
from seqsuite.errors import UserError
from seqsuite.reports import TableView

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from seqdna.api import GenomeModel


@dataclass(frozen=True)
class SiteScores:
    """Bits of a model at evaluation sites.

    Attributes:
        bits: -log2 of the probability of the true base at each site: (n,) float64.
    """

    bits: np.ndarray = field(repr=False)

    @property
    def mean(self) -> float:
        """Bits per base."""
        return float(self.bits.mean())

    @property
    def standard_error(self) -> float:
        """Monte-Carlo error of `mean`: what another random subset of the block would change."""
        return standard_error(self.bits)


def standard_error(values: np.ndarray) -> float:
    """Return the standard error of the mean of (n,) values; nan for a single one."""
    return float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else math.nan


def language_sites(
    intervals: Sequence[Interval], genome: Genome, n: int, length: int, *, objective: str, seed: int = 0
) -> EvalSites:
    """Choose bases to predict, each in the window that shows the model most of what it may see.

    For masked and leave-one-out models the base is in the centre. For causal models the window ends at the
    base, so that length - 1 bases come before it (fewer where the interval begins); the first base of an
    interval has nothing before it and is left out. The same bases are chosen otherwise.

    Args:
        intervals: Held-out intervals; those shorter than a window are not used.
        genome: The genome.
        n: Number of sites, at least 1.
        length: Bases a window.
        objective: The model's head.
        seed: Of the choice.

    Raises:
        UserError: No interval is as long as a window, or no base is left to predict.
    """
    sites = eval_sites(intervals, genome, n, length, seed=seed)
    if objective != "causal_lm":
        return sites
    opens = np.sort(np.array([genome.coordinate(i.record, i.start) for i in intervals], dtype=np.int64))
    first = opens[np.searchsorted(opens, sites.coordinate, side="right") - 1]
    inner = sites.coordinate > first
    if not inner.any():
        raise UserError("The held-out intervals hold no base with another before it; choose larger ones.")
    start = np.maximum(first, sites.coordinate - length + 1)
    return replace(sites, coordinate=sites.coordinate[inner], start=start[inner])


def score_sites(
    model: DNAModel,
    sites: EvalSites,
    tokenizer: NucleotideTokenizer,
    *,
    batch_tokens: int = 16384,
    progress: Callable[[int], None] | None = None,
) -> SiteScores:
    """Measure a language model at sites, one base a window.

    Args:
        model: A language model.
        sites: Which bases, and their windows; of `language_sites` for the model's objective.
        tokenizer: Gives the mask and the ids of the bases.
        batch_tokens: Ids to run at once.
        progress: Called with the number of sites done.

    Returns:
        The bits at each site.
    """
    bits = np.empty(len(sites))
    rows = max(1, batch_tokens // sites.length)
    for first in range(0, len(sites), rows):
        part = slice(first, min(first + rows, len(sites)))
        logp = at_sites(model, tokenizer, sites.windows(part), sites.offset[part], batch_tokens=batch_tokens)
        bits[part] = -log_of_true(logp, sites.target[part], tokenizer) / math.log(2)
        if progress is not None:
            progress(part.stop)
    return SiteScores(bits)


@dataclass(frozen=True)
class EvaluationResult(TableView):
    """A trained model on a genome, in bits per base.

    Attributes:
        genome: Name of the genome's file.
        model: Name of the model.
        objective: What a prediction sees: its head.
        length: Bases a window.
        census: Letters of the genome by kind.
        sites: The measured positions.
        bits: Bits at each of them: (n,) float64.
    """

    genome: str
    model: str
    objective: str
    length: int
    census: dict[str, int]
    sites: EvalSites = field(repr=False)
    bits: np.ndarray = field(repr=False)

    def table(self) -> list[dict[str, Any]]:
        """Return one row for all measured bases and one for each letter."""
        codes = self.sites.genome.tokenizer.base_codes[self.sites.target]
        groups = {"all": np.ones(len(codes), dtype=bool)} | {base: codes == i for i, base in enumerate("ACGT")}
        return [
            {
                "base": name,
                "positions": int(chosen.sum()),
                "bits per base": f"{self.bits[chosen].mean():.4f}",
                "+-": f"{standard_error(self.bits[chosen]):.4f}" if chosen.sum() > 1 else "",
            }
            for name, chosen in groups.items()
            if chosen.any()
        ]

    def figure(self) -> Figure:
        """Draw how the bits are distributed over positions."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(5, 3), layout="constrained")
        axes = figure.subplots()
        axes.hist(self.bits, bins=40)
        axes.axvline(2.0, color="black", linewidth=0.8, linestyle=":")
        axes.set(xlabel="bits of a base", ylabel="positions")
        return figure

    def to_dict(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        return {
            "genome": self.genome,
            "model": self.model,
            "objective": self.objective,
            "length": self.length,
            "positions": len(self.bits),
            "bits_per_base": float(self.bits.mean()),
            # JSON has no nan.
            "bits_standard_error": standard_error(self.bits) if len(self.bits) > 1 else None,
            "census": self.census,
        }


def evaluate(
    model: GenomeModel,
    fasta: str | Path,
    *,
    region: str = "",
    sites: int = 4096,
    length: int = 0,
    seed: int = 0,
    batch_tokens: int = 16384,
) -> EvaluationResult:
    """Measure a trained language model on a genome, read with the model's own tokenizer.

    Args:
        model: From `seqdna.load`.
        fasta: A FASTA file, or the name of a genome that comes along.
        region: A record, or record:start-end (1-based with both ends, as in samtools); empty: the whole genome.
        sites: Bases to measure at most, drawn at random.
        length: Bases a window; 0: as the model was trained, 1024 where that is not known.
        seed: Of the draw.
        batch_tokens: Ids to run at once.

    Raises:
        UserError: No language model, a bad genome or region, or none of its stretches holds a window.
    """
    objective = language_head(model.model)
    genome = open_genome(fasta, model.tokenizer)
    length = length or int(model.summary.get("length", 1024))
    reach = longest_input(model.model)
    if reach is not None and length > reach:
        raise UserError(f"--length is {length}, and this model reads at most {reach} bases; choose a smaller one.")
    try:
        where = _intervals(genome, region)
        chosen = language_sites(where, genome, sites, length, objective=objective, seed=seed)
    except UserError as error:
        raise UserError(f"{fasta}: {error}") from error
    scores = score_sites(model.model, chosen, model.tokenizer, batch_tokens=batch_tokens)
    name = model.model.name or type(model.model).__name__
    return EvaluationResult(Path(fasta).name, name, objective, length, genome.census.to_dict(), chosen, scores.bits)


def _intervals(genome: Genome, region: str) -> list[Interval]:
    """Return the intervals of a region, or of the whole genome."""
    if not region:
        return [Interval(record.name, 0, record.length) for record in genome.records]
    chosen = parse_region(region, {record.name: record.length for record in genome.records})
    return [Interval(chosen.record, chosen.start, chosen.end)]
