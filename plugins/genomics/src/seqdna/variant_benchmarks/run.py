"""A folder of labelled variants, scored zero-shot with one model.

    result = benchmark_variants(model, "TraitGym/", "GRCh38.fa", window=512)
    result.table()

REF is checked against the genome before anything is scored. A variant that cannot be scored stops the benchmark, or is
left out and counted: figures over fewer variants are not those of the suite.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from seqdna.data.genome import Genome
from seqdna.variant_benchmarks.checking import Unscorable, check_variants
from seqdna.variant_benchmarks.distances import DistanceScorer
from seqdna.variant_benchmarks.metrics import (
    BY_CHROMOSOME,
    ChromosomeRow,
    auprc,
    auroc,
    by_chromosome,
    weighted_average,
)
from seqdna.variant_benchmarks.metrics import probe_by_chromosome as probe_scores
from seqdna.variant_benchmarks.readers import LabelledVariants, VariantTask, recognise
from seqdna.variant_benchmarks.results import ScoreRow, TaskResult, VariantBenchmarkResult
from seqdna.variant_benchmarks.suites import BEND, DART_EVAL, TRAITGYM, VariantSuite
from seqdna.variant_benchmarks.window_likelihood import WindowScorer
from seqdna.variants.alleles import Contigs, Variant, windows_of
from seqdna.variants.scores import OF_HEAD, Scorer
from seqdna.variants.scoring import ScoreOptions, open_both, window_of_model
from seqsuite.errors import UserError, unknown_name

if TYPE_CHECKING:
    from seqdna.api import GenomeModel

Scores = Literal["auto", "all", "likelihood", "embedding"]
Progress = Callable[[str, int, int], None]
PROBE = "LogisticRegression.chrom"
_BLOCK = 256


@dataclass(frozen=True)
class Options:
    """What decides the figures; see `benchmark_variants`."""

    subset: str = "all"
    scores: Scores = "auto"
    window: int | None = None
    unscorable: Unscorable = "refuse"
    probe: bool = False
    whole_window: bool = False
    batch_tokens: int = 16384
    seed: int = 0


def benchmark_variants(
    model: GenomeModel,
    folder: str | Path,
    genome: str | Path,
    *,
    only: Sequence[str] = (),
    progress: Progress | None = None,
    title: str = "",
    **options: object,
) -> VariantBenchmarkResult:
    """Score the labelled variants of a folder and measure as their suites do.

    Args:
        model: A trained genome model with one token a base.
        folder: Holds sets in the layout of TraitGym, BEND or DART-Eval task 5.
        genome: The FASTA of the sets' assembly.
        only: Names of sets; none means all.
        progress: Called with the set's name, variants done, and variants in all, once for each pass.
        title: What the model is called; its own name if not given.
        options: `subset` (of TraitGym), `scores` ("auto": what the model can, "all", "likelihood", "embedding"),
            `window` (bases; the training length if the model knows it), `unscorable` ("refuse" or "skip"), `probe`
            (TraitGym's logistic regression too), `whole_window` (DART-Eval's likelihood of masked models too, two
            forward passes a base of the window and variant), `batch_tokens`, `seed` (of standard errors).

    Raises:
        UserError: The folder, the genome, a row, or an option that does not fit; one line says what to do.
    """
    chosen = Options(**options)  # type: ignore[arg-type]
    if chosen.unscorable not in ("refuse", "skip"):
        raise unknown_name("unscorable", chosen.unscorable, ("refuse", "skip"))
    window = window_of_model(model, ScoreOptions(window=chosen.window, batch_tokens=chosen.batch_tokens))
    tasks = recognise(folder, only)
    for task in tasks:  # before hours of work
        _check_fit(model, task, chosen)
    genomes = open_both(genome, model.tokenizer)
    done = [_one(model, task, genomes, str(genome), window, chosen, progress) for task in tasks]
    hidden = genomes[0].census.lower_case if model.tokenizer.lower != "upper" else 0
    return VariantBenchmarkResult(title or str(model.model.name), tuple(done), hidden)


def _check_fit(model: GenomeModel, task: VariantTask, options: Options) -> None:
    """Raise a UserError where a set, the model and the options do not go together."""
    if options.probe and task.suite is not TRAITGYM:
        raise UserError(f"--probe: {task.path} is of {task.suite.title}; only TraitGym defines this probing.")
    if task.suite is BEND and model.model.config.head == "leave_one_out":
        raise UserError(
            f"{task.path}: BEND compares the features at the variant's own base, which a leave-one-out model never "
            "sees: all distances are 0; choose other sets with --only, or another model."
        )
    _passes(model, task.suite, options)


def _one(
    model: GenomeModel,
    task: VariantTask,
    genomes: tuple[Genome, Genome],
    name: str,
    window: int,
    options: Options,
    progress: Progress | None,
) -> TaskResult:
    """Read, check, score and measure one set."""
    checked = check_variants(task.read(options.subset), genomes[1], name, task.suite, options.unscorable)
    passes = _passes(model, task.suite, options)
    values: dict[str, np.ndarray] = {}
    for scorer in passes:
        values |= _score(scorer, checked.variants, genomes[0], window, _told(progress, task.name))
    found = _suite_scores(task.suite, values, checked.variants)
    if options.probe:
        features = _probe_features(values)
        variants = checked.variants
        found[PROBE] = probe_scores(features, variants.labels, variants.chroms, variants.source)
    rows, chromosomes = _measure(task.suite, found, checked.variants, options.seed)
    return TaskResult(
        task,
        checked.variants,
        window,
        rows,
        found,
        chromosomes,
        checked.left_out,
        checked.examples,
        checked.swapped,
        options.subset,
    )


def _wanted_kinds(suite: VariantSuite, model: GenomeModel, scores: Scores) -> set[str]:
    """Return which kinds of the suite's scores to compute.

    Raises:
        UserError: The suite has none of the kind asked for, or the model cannot give it.
    """
    if scores not in ("auto", "all", "likelihood", "embedding"):
        raise unknown_name("scores", scores, ("auto", "all", "likelihood", "embedding"))
    kinds: set[str] = {score.kind for score in suite.scores}
    can = {"embedding"} | ({"likelihood"} if model.model.config.head in OF_HEAD else set())
    if scores == "auto":
        return kinds & can
    asked = kinds if scores == "all" else {scores}
    if not asked <= kinds:
        raise UserError(f"--scores {scores}: {suite.title} defines no such score; use --scores {' or '.join(kinds)}.")
    if not asked <= can:
        raise UserError(f"--scores {scores}: the model predicts no bases; use --scores embedding.")
    return set(asked)


def _passes(model: GenomeModel, suite: VariantSuite, options: Options) -> list[Scorer]:
    """Return the scorers to run, one pass over the variants each."""
    kinds = _wanted_kinds(suite, model, options.scores)
    if options.probe:
        if model.model.config.head not in OF_HEAD:
            raise UserError("--probe uses log-likelihood ratios too; the model predicts no bases.")
        kinds = {"likelihood", "embedding"}
    passes: list[Scorer] = []
    if "likelihood" in kinds:
        whole = suite is DART_EVAL and (options.whole_window or model.model.config.head != "masked_lm")
        kind = WindowScorer if whole else Scorer
        passes.append(kind(model.model, model.tokenizer, batch_tokens=options.batch_tokens))
    if "embedding" in kinds:
        passes.append(
            DistanceScorer(model.model, model.tokenizer, batch_tokens=options.batch_tokens, channels=options.probe)
        )
    if not suite.both_strands:
        for scorer in passes:
            scorer.strands = (0,)
    return passes


def _score(
    scorer: Scorer,
    variants: LabelledVariants,
    genome: Genome,
    window: int,
    progress: Callable[[int, int], None],
) -> dict[str, np.ndarray]:
    """Return measure -> (n,), the mean over the strands that were run."""
    contigs = Contigs(genome)
    out = np.empty((len(variants), len(scorer.measures)))
    for first in range(0, len(variants), _BLOCK):
        pairs = []
        for number in range(first, min(first + _BLOCK, len(variants))):
            contig = contigs.find(variants.chroms[number])
            assert contig is not None
            place = variants.positions[number] - 1
            pairs.append(
                windows_of(genome, Variant(contig, place, variants.refs[number], variants.alts[number]), window)
            )
        out[first : first + len(pairs)] = scorer(pairs).mean(-1)
        progress(first + len(pairs), len(variants))
    return dict(zip(scorer.measures, out.T, strict=True))


def _told(progress: Progress | None, name: str) -> Callable[[int, int], None]:
    return (lambda done, variants: None) if progress is None else lambda done, variants: progress(name, done, variants)


def _suite_scores(
    suite: VariantSuite, values: dict[str, np.ndarray], variants: LabelledVariants
) -> dict[str, np.ndarray]:
    """Turn measures into the suite's scores, larger for "more likely a positive"."""
    found = {}
    for score in suite.scores:
        if score.measure not in values:
            continue
        given = values[score.measure]
        found[score.name] = {"plus": given, "minus": -given, "abs": np.abs(given)}[score.turn]
        wrong = np.flatnonzero(~np.isfinite(given))
        if len(wrong):
            at = int(wrong[0])
            raise UserError(
                f"{variants.source}, {variants.places[at]}: {variants.shown(at)}: the model's {score.name} is no "
                f"number, as of {len(wrong)} of {len(variants)} variants; look at its weights with `seqdna verify`."
            )
    return found


def _probe_features(values: dict[str, np.ndarray]) -> np.ndarray:
    """Return (n, 2 + C): the log-likelihood ratio, its magnitude, and the inner product of every channel."""
    channels = [column for name, column in values.items() if name.startswith("inner_product_")]
    return np.stack([values["score"], np.abs(values["score"]), *channels], axis=1)


def _measure(
    suite: VariantSuite, scores: dict[str, np.ndarray], variants: LabelledVariants, seed: int
) -> tuple[tuple[ScoreRow, ...], dict[str, tuple[ChromosomeRow, ...]]]:
    """Return the suite's metrics of each score, and the average precision by chromosome."""
    labels, share = variants.labels, float(variants.labels.mean())
    rows, chromosomes = [], {}
    for name, values in scores.items():
        for metric in suite.metrics:
            if metric == BY_CHROMOSOME:
                chromosomes[name] = by_chromosome(labels, values, variants.chroms)
                rows.append(ScoreRow(name, metric, *weighted_average(chromosomes[name], seed=seed), share))
            elif metric == "AUPRC":
                rows.append(ScoreRow(name, metric, auprc(labels, values), None, share))
            else:
                rows.append(ScoreRow(name, metric, auroc(labels, values), None, 0.5))
    return tuple(rows), chromosomes
