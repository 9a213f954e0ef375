"""What a pretraining run stands on: genome, splits, rows by objective and stage, test positions.

All of it is opened and checked before anything is written, so that a mistake costs no run folder.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from seqdna.baselines.counts import check_size
from seqdna.configs.filter_reach import filter_reach
from seqdna.configs.models import GenomeConfig
from seqdna.configs.pretrain import PretrainConfig
from seqdna.data import (
    EvalSites,
    Genome,
    Interval,
    Splits,
    TiledWindows,
    open_genome,
    total_length,
)
from seqdna.evaluation import language_sites
from seqdna.likelihood import LANGUAGE_HEADS
from seqdna.pretraining.splits import about, open_splits
from seqdna.tasks import (
    CausalWindows,
    LeaveOneOutWindows,
    MaskedWindows,
    ObjectiveWindows,
    StagedWindows,
)
from seqdna.tokenizers import NucleotideTokenizer
from seqsuite.errors import UserError
from seqsuite.models import model_config


@dataclass(frozen=True)
class Inputs:
    """What a run reads.

    Attributes:
        genome: The genome.
        splits: Its training, validation and test intervals.
        tokenizer: Its letters.
        train: Training rows by position.
        valid: Validation rows.
        test: Tiles of the test block, corrupted as in training.
        sites: Test positions, measured one at a time.
        also: Positions of the other genome, if there is one.
        augment: Whether training shows reverse complements.
    """

    genome: Genome
    splits: Splits
    tokenizer: NucleotideTokenizer
    train: StagedWindows
    valid: ObjectiveWindows
    test: ObjectiveWindows
    sites: EvalSites
    also: EvalSites | None
    augment: bool


def resolve_model(config: PretrainConfig) -> tuple[GenomeConfig, dict[str, Any]]:
    """Return the config of the run's model, and the options that make it.

    A model pretrained with the published masking reads [PAD] as that recipe's models do, as any other token.

    Raises:
        UserError: Unknown model, no language model of genomes, or an option that is not for its objective.
    """
    options = {"vocab_size": NucleotideTokenizer().vocab_size, **config.model_options}
    if config.masking == "published":
        options.setdefault("padding", "as_published")
    known = model_config(config.model, **config.model_options)
    if not isinstance(known, GenomeConfig):
        raise UserError(f"--model {config.model} is no genome model; `seqsuite models` lists all, such as caduceus_ps")
    if known.head not in LANGUAGE_HEADS:
        raise UserError(
            f"--model {config.model} has the head {known.head!r}; pretrain takes models with one of "
            f"{', '.join(LANGUAGE_HEADS)}."
        )
    if config.masking == "published" and known.head != "masked_lm":
        raise UserError(f"--masking is for masked models; --model {config.model} has the head {known.head!r}.")
    if config.eos and known.head != "causal_lm":
        raise UserError(f"--eos is for causal models; --model {config.model} has the head {known.head!r}.")
    settled = model_config(config.model, **options)
    assert isinstance(settled, GenomeConfig)
    longest = filter_reach(getattr(settled, "mixer_options", {}))
    if longest is not None and config.length > longest:
        raise UserError(
            f"--length is {config.length}, and --model {config.model} takes at most {longest} bases; "
            "choose a smaller --length or a larger --model_options.mixer_options.l_max."
        )
    return settled, options


def augments(config: PretrainConfig, model: GenomeConfig) -> bool:
    """Tell whether training shows reverse complements; see `PretrainConfig.rc_augment`."""
    if config.rc_augment != "auto":
        return config.rc_augment == "yes"
    return not model.both_strands and not config.model.startswith("bimamba")


def open_inputs(config: PretrainConfig, model: GenomeConfig) -> Inputs:
    """Open and check everything a run reads.

    Raises:
        UserError: A file, a split or a length; one line says which part of the genome it is about.
    """
    tokenizer = NucleotideTokenizer(lower=config.lower, iupac=config.iupac, uracil=config.uracil)
    genome = open_genome(config.fasta, tokenizer)
    splits, train_windows = open_splits(config, genome)
    if config.baselines:
        with about(config.fasta, "training part"):
            check_size(splits)
    length, seed, augment = config.length, config.seed, augments(config, model)
    rows = _rows(config, model.head, tokenizer)
    plan = config.stage_plan()
    where = "intervals" if config.intervals else "records" if config.valid_chromosomes else "block (--{}_fraction)"
    with about(config.fasta, "training part"):
        train = [train_windows(stage.length) for stage in plan]
    with about(config.fasta, f"validation {where.format('valid')}"):
        valid = TiledWindows(genome, splits.valid, length, seed=seed)
    choose = functools.partial(language_sites, n=config.eval_sites, length=length, objective=model.head, seed=seed)
    with about(config.fasta, f"test {where.format('test')}"):
        tiles = TiledWindows(genome, splits.test, length, seed=seed)
        sites = choose(splits.test, genome)
    return Inputs(
        genome=genome,
        splits=splits,
        tokenizer=tokenizer,
        train=StagedWindows(plan, [rows(windows, augment=augment) for windows in train], config.batch_size),
        valid=rows(valid, length=min(len(valid), config.valid_windows)),
        test=rows(tiles, length=min(len(tiles), config.valid_windows)),
        sites=sites,
        also=_open_also(config, tokenizer, choose),
        augment=augment,
    )


def _rows(config: PretrainConfig, head: str, tokenizer: NucleotideTokenizer) -> Callable[..., ObjectiveWindows]:
    """Return what makes windows into rows of the model's objective."""
    common: dict[str, Any] = {"tokenizer": tokenizer, "seed": config.seed}
    if head == "causal_lm":
        return functools.partial(CausalWindows, eos=config.eos, **common)
    if head == "leave_one_out":
        return functools.partial(LeaveOneOutWindows, **common)
    return functools.partial(MaskedWindows, mask_rate=config.mask_rate, masking=config.masking, **common)


def _open_also(
    config: PretrainConfig, tokenizer: NucleotideTokenizer, choose: Callable[..., EvalSites]
) -> EvalSites | None:
    if not config.also:
        return None
    with about(config.also, "other genome (--also)"):
        genome = open_genome(config.also, tokenizer)
        return choose([Interval(record.name, 0, record.length) for record in genome.records], genome)


def describe(genome: Genome, splits: Splits | None = None) -> str:
    """Say in a line how large a genome is, how it is split, and which letters it has besides A, C, G, T."""
    counted = ", ".join(f"{count:,} {name}" for name, count in genome.census.to_dict().items() if name != "length")
    parts = ""
    if splits is not None:
        lengths = {name: total_length(getattr(splits, name)) for name in ("train", "valid", "test")}
        parts = f" ({', '.join(f'{name} {length:,}' for name, length in lengths.items())})"
    return f"{genome.length:,} bases{parts}; letters: {counted}"
