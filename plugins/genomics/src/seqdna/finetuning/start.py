"""The model that fine-tuning starts from: a checkpoint with a new head, or fresh weights.

    start = open_start(config)                    # reads and checks, builds nothing
    model = new_classifier(start, config, outputs=3)

All weights of the backbone come from the checkpoint, by name and strictly; only the head is fresh.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from seqdna.api import load
from seqdna.configs.finetune import FinetuneConfig
from seqdna.configs.models import GenomeConfig
from seqdna.models.base import POOLINGS, DNAModel
from seqdna.tokenizers import NucleotideTokenizer
from seqsuite.errors import UserError, suggest, unknown_name
from seqsuite.models import list_models, model_config
from seqsuite.models.create import build_model
from seqsuite.training import seed_everything

HEAD = "score"
"""Name of the classification head in a genome model."""


@dataclass(frozen=True)
class Start:
    """Where fine-tuning starts.

    Attributes:
        name: Of the model, for tables.
        config: Of the model, with whatever head it had.
        tokenizer: Its tokenizer.
        weights: Of the checkpoint; None for fresh ones.
        source: The checkpoint, or the name.
        model: The checkpoint itself, for a probe; None for fresh weights.
    """

    name: str
    config: GenomeConfig
    tokenizer: Any
    weights: Mapping[str, Tensor] | None = field(repr=False)
    source: str
    model: DNAModel | None = field(default=None, repr=False)

    @property
    def pretrained(self) -> bool:
        """Whether there are weights to start from."""
        return self.weights is not None


def open_start(config: FinetuneConfig) -> Start:
    """Read what `--model` names and check that the options fit it.

    Raises:
        UserError: There is no such model, it is of another domain, or its tokenizer does not match.
    """
    start = _open(config)
    check_tokenizer(start)
    poolings = config.pooling.split("+")
    for pooling in poolings:
        if pooling not in POOLINGS:
            raise unknown_name("--pooling", pooling, POOLINGS)
    if config.conjoin and start.config.both_strands:
        raise UserError(f"--conjoin: {start.name} reads both strands already; leave it out.")
    if config.strand_specific and not start.config.both_strands:
        raise UserError(f"--strand_specific: {start.name} reads one strand and is specific to it; leave it out.")
    if config.mode in ("frozen", "probe", "lora") and not start.pretrained and config.mode != "probe":
        raise UserError(
            f"--mode {config.mode} needs a pretrained model, and {start.source} gives fresh weights; name a run folder "
            "with --model, or use --mode full."
        )
    return start


def _open(config: FinetuneConfig) -> Start:
    if not config.model:
        raise UserError("--model is missing; name a run folder or model folder, or a model to train from scratch.")
    policies = {name: value for name in ("lower", "iupac", "uracil") if (value := getattr(config, name)) is not None}
    path = Path(config.model).expanduser()
    if path.is_dir():
        if config.model_options:
            raise UserError("--model_options are for a model's name; a folder brings its own config.")
        loaded = load(path)
        model, tokenizer = loaded.model, loaded.tokenizer
        if policies:
            tokenizer = dataclasses.replace(tokenizer, **policies)
        name = model.name or type(model).__name__
        fresh = config.from_scratch
        weights = None if fresh else model.state_dict()
        return Start(name, model.config, tokenizer, weights, str(path), None if fresh else model)
    known = list_models()
    if config.model not in known:
        hint = suggest(config.model, known)
        raise UserError(
            f"--model {config.model}: there is no such folder, and no model of this name."
            f"{hint if 'Did you mean' in hint else ' `seqsuite models` lists the names.'}"
        )
    tokenizer = NucleotideTokenizer(**policies)
    chosen = model_config(config.model, **{"vocab_size": tokenizer.vocab_size, **config.model_options})
    if not isinstance(chosen, GenomeConfig):
        raise UserError(f"--model {config.model} is no genome model; `seqsuite models` lists those of seqdna.")
    return Start(config.model, chosen, tokenizer, None, config.model)


def check_tokenizer(start: Start) -> None:
    """Refuse a tokenizer whose ids mean something else to the model.

    Raises:
        UserError: Vocabulary or padding differ.
    """
    config, tokenizer = start.config, start.tokenizer
    wrong = ""
    if tokenizer.vocab_size != config.vocab_size:
        wrong = f"the tokenizer has {tokenizer.vocab_size} tokens, the model {config.vocab_size}"
    elif config.pad_token_id is not None and tokenizer.pad_id != config.pad_token_id:
        wrong = f"the tokenizer pads with id {tokenizer.pad_id}, the model with {config.pad_token_id}"
    if wrong:
        raise UserError(
            f"{start.source}: the tokenizer does not match the model: {wrong}; give the one that belongs to it."
        )


def new_classifier(start: Start, options: FinetuneConfig, *, outputs: int, bases_per_label: int = 0) -> DNAModel:
    """Build the model with a fresh head, over the checkpoint's backbone where there is one.

    Args:
        start: Where from.
        options: What kind of head; their seed is the head's, and the backbone's where it is fresh.
        outputs: Outputs of the head.
        bases_per_label: Of labels along the sequences, which belong to the strand given; 0: one label a sequence.

    Raises:
        UserError: The model has no classification head, or the checkpoint lacks a weight of the backbone.
    """
    config = dataclasses.replace(
        start.config,
        head="sequence_classification",
        num_classes=outputs,
        classifier="positions" if bases_per_label else options.classifier,
        bases_per_label=bases_per_label or 1,
        pooling=options.pooling,  # type: ignore[arg-type]
        strand_specific=options.strand_specific or (bases_per_label > 0 and start.config.both_strands),
        conjoin_train=False,
        conjoin_eval=options.conjoin,
    )
    seed_everything(options.seed)
    model = build_model(config)
    assert isinstance(model, DNAModel)
    model.name = start.name
    if start.weights is None:
        return model
    wanted = model.state_dict()
    backbone = {name: start.weights.get(name) for name in wanted if not name.startswith(f"{HEAD}.")}
    lacking = [name for name, weight in backbone.items() if weight is None or weight.shape != wanted[name].shape]
    if lacking:
        raise UserError(
            f"{start.source}: has no weight {lacking[0]!r} of the right shape; the head cannot be exchanged."
        )
    heads = {name: weight for name, weight in wanted.items() if name.startswith(f"{HEAD}.")}
    model.load_state_dict({**backbone, **heads})
    return model
