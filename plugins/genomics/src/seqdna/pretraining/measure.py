"""Measuring a pretrained model: held-out bits beside count models of the same kind, and the run's report."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from seqdna.baselines import CountBaselines, count_baselines
from seqdna.configs.pretrain import PretrainConfig
from seqdna.data import EvalSites, shared_kmers
from seqdna.evaluation import score_sites, standard_error
from seqdna.likelihood import evaluating, language_head
from seqdna.models.base import DNAModel
from seqdna.pretraining.inputs import Inputs, describe
from seqdna.pretraining.result import PretrainResult, caption
from seqsuite.objectives import cross_entropy
from seqsuite.reports import Report, training_report
from seqsuite.training.run_folder import write_json

if TYPE_CHECKING:
    from seqdna.tasks import ObjectiveWindows
    from seqsuite.training import FitResult

Bits = dict[str, np.ndarray]
"""Bits at the same positions by model: "model", and "pool", "markov_0" .., "two_sided_0" .. where counted."""


def measure(
    config: PretrainConfig,
    inputs: Inputs,
    model: DNAModel,
    done: FitResult,
    began: float,
    *,
    say: Callable[[str], None],
) -> PretrainResult:
    """Score a trained model and the count models, and write summary.json and report.html."""
    sites, objective = inputs.sites, language_head(model)
    say(f"measuring {len(sites):,} held-out bases, one at a time")
    bits: Bits = {"model": score_sites(model, sites, inputs.tokenizer).bits}
    there: Bits = {} if inputs.also is None else {"model": score_sites(model, inputs.also, inputs.tokenizer).bits}
    counts = None
    if config.baselines:
        say("fitting the count models on the same split")
        counts = count_baselines(inputs.genome, inputs.splits, sites=sites, elsewhere=inputs.also, seed=config.seed)
        bits, there = {**bits, **counts.at(sites)}, {**there, **counts.elsewhere}
    best = None if counts is None else best_of_kind(counts, objective)
    shared = shared_kmers(inputs.genome, inputs.splits.train, inputs.splits.test, k=24)
    result = PretrainResult(
        folder=done.folder,
        model=config.model,
        objective=objective,
        length=config.length,
        rc_augment=inputs.augment,
        bits_per_base=float(bits["model"].mean()),
        bits_standard_error=standard_error(bits["model"]),
        bits_at_mask_rate=bits_of_rows(model, inputs.test) if objective == "masked_lm" else None,
        **_beside(bits, counts, best, objective),
        positions=len(sites),
        shared_24mers=shared.share,
        shared_windows=shared.window_share(config.length),
        by_homology=by_homology(bits, best, shared.in_shared(sites)),
        elsewhere=None if inputs.also is None else _elsewhere(config, there, inputs.also, best),
        census=inputs.genome.census.to_dict(),
        tokens_per_second=done.tokens_per_second,
        seconds=time.monotonic() - began,
        steps=done.steps,
        sites=sites,
        site_bits=bits,
    )
    _write(config, result, inputs)
    return result


def best_of_kind(counts: CountBaselines, objective: str) -> str:
    """Name the count model that sees what the language model sees; its order was chosen on the validation split."""
    return f"markov_{counts.best_markov}" if objective == "causal_lm" else f"two_sided_{counts.best_two_sided}"


def _beside(bits: Bits, counts: CountBaselines | None, best: str | None, objective: str) -> dict[str, Any]:
    """Return the count models' figures on the model's positions and on the whole block."""
    if counts is None or best is None:
        return {"markov": {}, "two_sided": {}, "pooled": None, "best": None, "versus_best": None, "versus_pool": None,
                "block": {}}  # fmt: skip
    mean = {name: float(values.mean(dtype="float64")) for name, values in bits.items()}
    sees_both = objective != "causal_lm"
    return {
        "markov": {str(k): mean[f"markov_{k}"] for k in counts.markov},
        "two_sided": {str(k): mean[f"two_sided_{k}"] for k in counts.two_sided},
        "pooled": mean["pool"],
        "best": best,
        "versus_best": _paired(bits["model"], bits[best]),
        # The pool reads both sides of a base, which a causal model cannot.
        "versus_pool": _paired(bits["model"], bits["pool"]) if sees_both else None,
        "block": counts.to_dict(),
    }


def _paired(model: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    difference = model - other
    return float(difference.mean()), standard_error(difference)


def by_homology(bits: Bits, best: str | None, inside: np.ndarray) -> dict[str, dict[str, Any]]:
    """Return the bits of the model and of the best count model inside shared 24-mers and outside; None where empty."""
    named = {"bits_per_base": bits["model"], **({"best": bits[best]} if best else {})}
    return {
        part: {"positions": int(chosen.sum())}
        | {name: float(values[chosen].mean()) if chosen.any() else None for name, values in named.items()}
        for part, chosen in (("shared", inside), ("unshared", ~inside))
    }


def _elsewhere(config: PretrainConfig, bits: Bits, sites: EvalSites, best: str | None) -> dict[str, Any]:
    """Return the bits on the other genome, of the model and of the count models of the training genome."""
    mean = {name: float(values.mean(dtype="float64")) for name, values in bits.items()}
    return {
        "genome": Path(config.also).name,
        "positions": len(sites),
        "bits_per_base": mean.pop("model"),
        "bits_standard_error": standard_error(bits["model"]),
        "counts": mean,
        "versus_best": None if best is None else _paired(bits["model"], bits[best]),
        "census": sites.genome.census.to_dict(),
    }


def bits_of_rows(model: DNAModel, rows: ObjectiveWindows) -> float | None:
    """Return the loss over all rows, in bits per label; None where nothing is asked."""
    total, count = 0.0, 0
    at_once = max(1, 16384 // rows.windows.length)
    with evaluating(model) as device:
        for first in range(0, len(rows), at_once):
            items = [rows[i] for i in range(first, min(first + at_once, len(rows)))]
            ids, labels = (torch.stack([item[key] for item in items]).to(device) for key in ("input_ids", "labels"))
            loss = cross_entropy(model(ids), labels)
            total, count = total + float(loss.total), count + int(loss.count)
    return total / count / math.log(2) if count else None


def _write(config: PretrainConfig, result: PretrainResult, inputs: Inputs) -> None:
    folder = result.folder
    write_json(folder / "summary.json", result.to_dict())
    report = Report(f"{result.model} on {Path(config.fasta).name}", subtitle=folder.name)
    report.heading("Held-out bits per base").table(result.table())
    report.text(caption(result)).figure(result.figure(), caption="Count models by context, and this run")
    report.heading("Inside and outside of 24-mers shared with training").table(result.homology_table())
    if result.elsewhere is not None:
        assert inputs.also is not None
        report.heading(f"On {result.elsewhere['genome']}").table(result.elsewhere_table())
        report.text(describe(inputs.also.genome))
    report.heading("Genome").text(describe(inputs.genome, inputs.splits))
    report.text(f"Lower case is read as {config.lower}, ambiguity codes as {config.iupac}, U as {config.uracil}.")
    report.table({name: ", ".join(where) for name, where in inputs.splits.to_dict().items()})
    training_report(folder, into=report).write(folder / "report.html")
