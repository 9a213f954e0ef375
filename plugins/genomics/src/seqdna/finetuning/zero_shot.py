"""The data sets of a benchmark folder that judge a model as it is: what `seqdna benchmark` does with footprints.

check_zero_shot(task, config)      # everything that can be wrong, before hours with other data sets
accuracy = judge(task, config)     # writes OUT/TASK/footprints.csv
"""

from __future__ import annotations

import json
from pathlib import Path

import torch

from seqdna.api import load
from seqdna.configs.benchmark import BenchmarkConfig
from seqdna.finetuning.footprints import Footprint, footprints, read_footprints
from seqdna.finetuning.labelled import check_reach
from seqdna.finetuning.suites import SuiteTask
from seqdna.likelihood import language_head
from seqdna.models.base import longest_input
from seqdna.tokenizers import NucleotideTokenizer
from seqsuite.data.order import item_rng
from seqsuite.errors import UserError
from seqsuite.reports.csv_files import write_csv
from seqsuite.training import say
from seqsuite.training.run_folder import told, write_json

QUICK_PAIRS = 16
RESULT = "result.json"


def check_zero_shot(task: SuiteTask, config: BenchmarkConfig) -> None:
    """Read and check everything that judging a model stands on; nothing is written.

    Raises:
        UserError: The data, the model or the folder; one line says what to do.
    """
    pairs = read_footprints(task.path)
    if not Path(config.model).expanduser().is_dir() or config.from_scratch:
        raise UserError(
            f"{task.path}: footprints judge a trained language model; name its run folder with --model, without "
            "--from_scratch, or leave this data set out with --only."
        )
    loaded = load(config.model)
    try:
        language_head(loaded.model)
    except UserError as error:
        raise UserError(f"{task.path}: {error}") from None
    if not isinstance(loaded.tokenizer, NucleotideTokenizer):
        raise UserError(f"{config.model}: footprints need a tokenizer with one token a base.")
    texts = [pair.true for pair in pairs]
    check_reach(longest_input(loaded.model), texts, lambda row: f"{task.path}, pair {row + 1}", way="cut it.")
    out = Path(config.out).expanduser() / task.name
    if (out / RESULT).exists() and not (config.resume or config.overwrite):
        raise UserError(f"{out} already holds a result; add --resume or --overwrite, or choose another --out.")


def judge(task: SuiteTask, config: BenchmarkConfig) -> float:
    """Return the accuracy of a model on footprints, and write it motif by motif; a result that is there is kept.

    Raises:
        UserError: As `check_zero_shot`, or the disk is full.
    """
    out = Path(config.out).expanduser() / task.name
    if config.resume and (out / RESULT).is_file():
        return float(json.loads((out / RESULT).read_text(encoding="utf-8"))["accuracy"])
    pairs = _chosen(read_footprints(task.path), config)
    loaded = load(config.model)
    cuda = config.accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    loaded.model.to("cuda" if cuda else "cpu")
    if config.threads:
        torch.set_num_threads(config.threads)
    told_at = 0

    def progress(done: int) -> None:
        nonlocal told_at
        if 10 * done // len(pairs) > told_at:
            told_at = 10 * done // len(pairs)
            say(f"{task.name}: {done:,} of {len(pairs):,} pairs")

    found = footprints(loaded.model, loaded.tokenizer, pairs, progress=progress)
    with told(out):
        out.mkdir(parents=True, exist_ok=True)
    write_csv(out / "footprints.csv", ["motif", "pairs", "accuracy"], [list(row.values()) for row in found.table()])
    write_json(out / RESULT, {"accuracy": found.accuracy, "motifs": len(found.motifs), "pairs": len(pairs)})
    return found.accuracy


def _chosen(pairs: list[Footprint], config: BenchmarkConfig) -> list[Footprint]:
    if not config.quick or len(pairs) <= QUICK_PAIRS:
        return pairs
    return [pairs[row] for row in sorted(item_rng(config.seed, 0).permutation(len(pairs))[:QUICK_PAIRS])]
