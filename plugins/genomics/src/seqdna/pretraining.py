"""From a FASTA file to a pretrained model, measured: what `seqdna pretrain` does, as a function.

    from seqdna.pretraining import pretrain
    from seqdna.configs import PretrainConfig
    result = pretrain(PretrainConfig(fasta="genome.fa", out="runs/mine"))
    result.bits_per_base, result.pooled

The run folder is the same as the command's.
"""

from __future__ import annotations

import contextlib
import functools
import math
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

import seqsuite
from seqdna.baselines import CountBaselines, count_baselines
from seqdna.configs import PretrainConfig
from seqdna.data import (
    EvalSites,
    Genome,
    Splits,
    TiledWindows,
    TrainWindows,
    eval_sites,
    held_out_blocks,
    open_genome,
    shared_kmers,
    total_length,
)
from seqdna.evaluation import SiteScores, evaluating, score_sites, standard_error
from seqdna.tasks import MaskedLanguageModelling, MaskedWindows
from seqdna.tokenizers import NucleotideTokenizer
from seqsuite.errors import UserError
from seqsuite.models import Model, model_config
from seqsuite.objectives import cross_entropy
from seqsuite.reports import Report, TableView, line_figure, training_report
from seqsuite.training import Interrupted, fit, seed_everything
from seqsuite.training.run_folder import process_rank, write_json

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from seqsuite.training import FitResult


@dataclass(frozen=True)
class PretrainResult(TableView):
    """A pretrained model beside the count models; every figure in bits per base, on held-out sequence.

    Attributes:
        folder: The run folder.
        model: Name of the model.
        bits_per_base: Of the model, one base masked at a time.
        bits_standard_error: Its Monte-Carlo error.
        bits_at_mask_rate: Of the model at the training mask rate, on the same block; None where nothing was masked.
        markov: Order -> bits of the one-sided chain on the same positions; empty without baselines.
        two_sided: k -> bits of the model with k bases on either side, on the same positions.
        pooled: Bits of their log-linear pool on the same positions; None without baselines.
        versus_pool: The model minus the pool, position by position, and the standard error of that mean; or None.
        block: The count models on the whole test block: ``markov``, ``two_sided``, ``pooled`` and choices.
        positions: Number of positions measured.
        shared_24mers: Share of the test block's bases in a 24-mer that the training split has too.
        tokens_per_second: Training speed.
        seconds: Wall time of the whole command.
        steps: Training steps.
        sites: The measured positions.
        site_bits: Bits at each of them, by model: ``model``, ``pool``, ``markov_0`` .., ``two_sided_0`` ...
    """

    folder: Path
    model: str
    bits_per_base: float
    bits_standard_error: float
    bits_at_mask_rate: float | None
    markov: Mapping[str, float]
    two_sided: Mapping[str, float]
    pooled: float | None
    versus_pool: tuple[float, float] | None
    block: Mapping[str, Any]
    positions: int
    shared_24mers: float
    tokens_per_second: float
    seconds: float
    steps: int
    sites: EvalSites = field(repr=False)
    site_bits: Mapping[str, np.ndarray] = field(repr=False)

    def table(self) -> list[dict[str, Any]]:
        """Return one row a model: the count models that matter, and this one."""
        rows: list[tuple[str, float, float | None, float | None]] = [("uniform over A, C, G, T", 2.0, None, 2.0)]
        if self.markov:
            best, flank = str(self.block["best_markov"]), str(self.block["best_two_sided"])
            chains = {"0": "composition", best: f"one-sided, {best} bases (chosen)"}
            flanks = {k: f"two-sided, {k} + {k} bases" for k in ("2", "3", "4") if k in self.two_sided}
            flanks[flank] = f"two-sided, {flank} + {flank} bases (chosen)"
            rows += [(name, self.markov[k], None, self.block["markov"][k]) for k, name in chains.items()]
            rows += [(name, self.two_sided[k], None, self.block["two_sided"][k]) for k, name in flanks.items()]
            rows.append(("log-linear pool of the chosen", self.pooled or 0.0, None, self.block["pooled"]))
        rows.append((f"{self.model}, this run", self.bits_per_base, self.bits_standard_error, None))
        return [
            {
                "model": name,
                "bits per base": f"{bits:.4f}",
                "+-": "" if error is None else f"{error:.4f}",
                "whole block": "" if block is None else f"{block:.4f}",
            }
            for name, bits, error, block in rows
        ]

    def figure(self) -> Figure:
        """Draw the bits of count models by context size, and the model's."""
        curves = {
            "one-sided, by order": ([int(k) for k in self.markov], list(self.markov.values())),
            "two-sided, by bases on either side": ([int(k) for k in self.two_sided], list(self.two_sided.values())),
        }
        levels = {self.model: self.bits_per_base, **({"pool": self.pooled} if self.pooled is not None else {})}
        curves = {name: curve for name, curve in curves.items() if curve[0]}
        return line_figure(curves, x="context", y="held-out bits per base", levels=levels)

    def to_dict(self) -> dict[str, Any]:
        """Return what summary.json holds."""
        arrays = ("sites", "site_bits")
        values = {item.name: getattr(self, item.name) for item in fields(self) if item.name not in arrays}
        return {**values, "folder": self.folder.name}


@dataclass(frozen=True)
class _Inputs:
    """What a run stands on, checked before anything is written."""

    genome: Genome
    splits: Splits
    tokenizer: NucleotideTokenizer
    train: MaskedWindows
    valid: MaskedWindows
    sites: EvalSites


def pretrain(config: PretrainConfig) -> PretrainResult | None:
    """Pretrain a masked language model, measure it on the held-out block, write the run folder.

    Args:
        config: The options.

    Returns:
        The result; None where the run is not complete (`max_minutes`) or in the further processes of a
        distributed run.

    Raises:
        UserError: The input, an option or the run folder; one line says what to do.
        Interrupted: Ctrl-C; the state was saved.
    """
    began = time.monotonic()
    options = {"vocab_size": NucleotideTokenizer().vocab_size, **config.model_options}
    head = getattr(model_config(config.model, **options), "head", "causal_lm")
    if head != "masked_lm":
        raise UserError(
            f"--model {config.model} has the head {head!r}; pretrain takes models with 'masked_lm': caduceus_*."
        )
    if config.threads:
        torch.set_num_threads(config.threads)
    inputs = _open(config)
    _say(_describe(inputs))
    seed_everything(config.seed)
    model = seqsuite.create_model(config.model, **options)
    _say(f"model: {config.model}, {model.num_parameters():,} parameters; {config.steps} steps of "
         f"{config.batch_size} x {config.length} bases")  # fmt: skip
    task = MaskedLanguageModelling(model, config, inputs.tokenizer)
    fingerprints = {"fasta": inputs.genome.manifest["source"]["sha256"]}
    done = fit(task, inputs.train, inputs.valid, config, inputs=fingerprints, report=False)
    if process_rank() != 0:
        return None
    if done.reason != "finished":
        _say(f"stopped after {done.steps} of {config.steps} steps; go on with --resume")
        return None
    try:
        return _measure(config, inputs, model, done, began)
    except KeyboardInterrupt:
        raise Interrupted(f"stopped while measuring; the model is in {done.model}, --resume measures it") from None


def _open(config: PretrainConfig) -> _Inputs:
    tokenizer = NucleotideTokenizer(lower=config.lower, iupac=config.iupac, uracil=config.uracil)
    genome = open_genome(config.fasta, tokenizer)
    splits = held_out_blocks(genome, valid=config.valid_fraction, test=config.test_fraction)
    length, seed = config.length, config.seed
    with _about("training part"):
        train = TrainWindows(genome, splits.train, length, seed=seed)
    with _about("validation block (--valid_fraction)"):
        valid = TiledWindows(genome, splits.valid, length, seed=seed)
    with _about("test block (--test_fraction)"):
        sites = eval_sites(splits.test, genome, config.eval_sites, length, seed=seed)
    masked = functools.partial(MaskedWindows, tokenizer=tokenizer, mask_rate=config.mask_rate, seed=seed)
    return _Inputs(
        genome,
        splits,
        tokenizer,
        masked(train),
        masked(valid, length=min(len(valid), config.valid_windows)),
        sites,
    )


@contextlib.contextmanager
def _about(part: str) -> Iterator[None]:
    """Say which part of the genome an error is about."""
    try:
        yield
    except UserError as error:
        raise UserError(f"the {part}: {error}") from error


def _describe(inputs: _Inputs) -> str:
    parts = {name: total_length(getattr(inputs.splits, name)) for name in ("train", "valid", "test")}
    census = inputs.genome.census
    counted = ", ".join(f"{count:,} {name}" for name, count in census.to_dict().items() if count and name != "length")
    lengths = ", ".join(f"{name} {length:,}" for name, length in parts.items())
    return f"genome: {inputs.genome.length:,} bases ({lengths}){'; ' + counted if counted else ''}"


def _measure(config: PretrainConfig, inputs: _Inputs, model: Model, done: FitResult, began: float) -> PretrainResult:
    sites = inputs.sites
    _say(f"measuring {len(sites):,} held-out bases, one masked at a time")
    scores = score_sites(model, sites, inputs.tokenizer)
    at_rate = _bits_at_mask_rate(config, inputs, model)
    counts = None
    if config.baselines:
        _say("fitting the count models on the same split")
        counts = count_baselines(inputs.genome, inputs.splits, sites=sites, seed=config.seed)
    result = PretrainResult(
        folder=done.folder,
        model=config.model,
        bits_per_base=scores.mean,
        bits_standard_error=scores.standard_error,
        bits_at_mask_rate=at_rate,
        **_beside(scores, sites, counts),
        positions=len(sites),
        shared_24mers=shared_kmers(inputs.genome, inputs.splits.train, inputs.splits.test, k=24).share,
        tokens_per_second=done.tokens_per_second,
        seconds=time.monotonic() - began,
        steps=done.steps,
        sites=sites,
    )
    _write(config, result, inputs)
    return result


def _beside(scores: SiteScores, sites: EvalSites, counts: CountBaselines | None) -> dict[str, Any]:
    """Return the count models' figures on the model's positions and on the whole block."""
    if counts is None:
        nothing: dict[str, Any] = {"markov": {}, "two_sided": {}, "pooled": None, "versus_pool": None, "block": {}}
        return {**nothing, "site_bits": {"model": scores.bits}}
    here = counts.at(sites)
    mean = {name: float(bits.mean(dtype="float64")) for name, bits in here.items()}
    difference = scores.bits - here["pool"]
    return {
        "markov": {str(k): mean[f"markov_{k}"] for k in counts.markov},
        "two_sided": {str(k): mean[f"two_sided_{k}"] for k in counts.two_sided},
        "pooled": mean["pool"],
        "versus_pool": (float(difference.mean()), standard_error(difference)),
        "block": counts.to_dict(),
        "site_bits": {"model": scores.bits, **here},
    }


def _bits_at_mask_rate(config: PretrainConfig, inputs: _Inputs, model: Model) -> float | None:
    """Return the loss on tiles of the test block at the training mask rate, in bits per masked base."""
    tiles = TiledWindows(inputs.genome, inputs.splits.test, config.length, seed=config.seed)
    data = MaskedWindows(tiles, inputs.tokenizer, mask_rate=config.mask_rate, seed=config.seed)
    total, count = 0.0, 0
    rows = max(1, 16384 // config.length)
    with evaluating(model) as device:
        for first in range(0, min(len(tiles), config.valid_windows), rows):
            batch = [data[i] for i in range(first, min(first + rows, len(tiles), config.valid_windows))]
            ids, labels = (torch.stack([item[key] for item in batch]).to(device) for key in ("input_ids", "labels"))
            loss = cross_entropy(model(ids), labels)
            total, count = total + float(loss.total), count + int(loss.count)
    return total / count / math.log(2) if count else None


def _write(config: PretrainConfig, result: PretrainResult, inputs: _Inputs) -> None:
    folder = result.folder
    write_json(folder / "summary.json", result.to_dict())
    report = Report(f"{result.model} on {Path(config.fasta).name}", subtitle=folder.name)
    report.heading("Held-out bits per base").table(result.table())
    report.text(caption(result)).figure(result.figure(), caption="Count models by context, and this run")
    report.heading("Genome").text(_describe(inputs))
    report.table({name: ", ".join(where) for name, where in inputs.splits.to_dict().items()})
    training_report(folder, into=report).write(folder / "report.html")


def caption(result: PretrainResult) -> str:
    """Say in words how the figures of a result were measured, and how it compares with the pool."""
    text = f"{result.positions:,} held-out bases, each masked alone"
    if result.bits_at_mask_rate is not None:
        text += f"; {result.bits_at_mask_rate:.4f} bits at the training mask rate"
    text += f". {100 * result.shared_24mers:.1f} % of the held-out bases lie in a 24-mer of the training split."
    if result.versus_pool is not None:
        text += f" Against the pool, position by position: {result.versus_pool[0]:+.4f} +- {result.versus_pool[1]:.4f}."
    return text


def _say(line: str) -> None:
    if process_rank() == 0:
        print(line, file=sys.stderr, flush=True)
