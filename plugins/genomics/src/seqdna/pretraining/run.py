"""`pretrain`: train a genome language model of any objective and measure it; see the package."""

from __future__ import annotations

import time
from pathlib import Path

import torch

import seqsuite
from seqdna.configs.models import GenomeConfig
from seqdna.configs.pretrain import PretrainConfig
from seqdna.data.checksums import sha256
from seqdna.models.base import DNAModel
from seqdna.pretraining.inputs import Inputs, describe, open_inputs, resolve_model
from seqdna.pretraining.measure import measure
from seqdna.pretraining.result import PretrainResult
from seqdna.tasks import LanguageModelling
from seqsuite.training import Interrupted, RunFolder, fit, say, seed_everything
from seqsuite.training.run_folder import process_rank


def pretrain(config: PretrainConfig) -> PretrainResult | None:
    """Pretrain a genome language model, measure it on the held-out block, write the run folder.

    Args:
        config: The options; the model's head decides the objective.

    Returns:
        The result; None where the run is not complete (`max_minutes`) or in the further processes of a
        distributed run.

    Raises:
        UserError: The input, an option or the run folder; one line says what to do.
        Interrupted: Ctrl-C; the state was saved.
    """
    began = time.monotonic()
    kind, options = resolve_model(config)
    if config.threads:
        torch.set_num_threads(config.threads)
    inputs = open_inputs(config, kind)
    fingerprints = {"fasta": inputs.genome.manifest["source"]["sha256"]}
    if config.intervals:
        fingerprints["intervals"] = sha256(Path(config.intervals))
    with RunFolder(config.out).claim(config, fingerprints):
        pass  # `fit` claims it for good; a folder that is refused is the first thing to say
    seed_everything(config.seed)
    model = seqsuite.create_model(config.model, **options)
    assert isinstance(model, DNAModel)
    _announce(config, kind, inputs, model.num_parameters())
    task = LanguageModelling(model, config, inputs.tokenizer)
    done = fit(task, inputs.train, inputs.valid, config, inputs=fingerprints, report=False)
    if process_rank() != 0:
        return None
    if done.reason != "finished":
        say(f"stopped after {done.steps} of {config.steps} steps; go on with --resume")
        return None
    try:
        return measure(config, inputs, model, done, began, say=say)
    except KeyboardInterrupt:
        raise Interrupted(f"stopped while measuring; the model is in {done.model}, --resume measures it") from None


def _announce(config: PretrainConfig, kind: GenomeConfig, inputs: Inputs, parameters: int) -> None:
    say(f"genome: {describe(inputs.genome, inputs.splits)}")
    strands = "both strands" if kind.both_strands else "reverse complements shown" if inputs.augment else "one strand"
    say(f"model: {config.model}, {parameters:,} parameters, {kind.head}, {strands}")
    for stage in config.stage_plan():
        rows = config.batch_size * stage.windows
        say(f"steps {stage.first + 1} to {stage.end}: {rows} x {stage.length} = {rows * stage.length:,} bases each")
