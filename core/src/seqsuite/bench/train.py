"""Train one small language model of mixers on one synthetic task, and test it at and beyond that length.

    cell = train_cell(create_task("parity"), Row("lstm", "lstm", {}), Training(steps=500), seed=0)
    cell.accuracy                                  # {1: 1.0, 2: 1.0, 4: 0.98}

The loop is plain: AdamW and its schedule are `seqsuite.training`'s, but rows are drawn afresh at each step, there
is nothing to resume within a cell, and the start of a Trainer would take longer than a small cell. All mixers see the
same rows for one seed; the tests' rows are others.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from seqsuite.bench.presets import Training
from seqsuite.bench.tasks.base import Batch, Task
from seqsuite.errors import UserError
from seqsuite.mixers.create import is_pattern, parse_pattern, settled_mixer
from seqsuite.models.configs import MixerLMConfig
from seqsuite.models.mixer_lm import MixerLM
from seqsuite.training.configs import TrainConfig
from seqsuite.training.optim import lr_factor, make_optimizer

FACTORS = (1, 2, 4)
_TEST_BATCH = 64


@dataclass(frozen=True)
class Row:
    """A row of the table: a stack of mixers.

    Attributes:
        label: What the table calls it.
        mixer: A mixer's name or a pattern of blocks.
        options: Its options, as `MixerLMConfig.mixer_options`.
    """

    label: str
    mixer: str
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Cell:
    """What became of one row on one task with one seed.

    Attributes:
        task: The task's name.
        label: The row's.
        seed: Of weights and data.
        accuracy: Multiple of the training length -> accuracy at the scored positions.
        chance: Accuracy of a guess.
        loss: Mean training loss of the last tenth of the steps; None where it is not finite.
        parameters: Of the model.
        seconds: Wall time of training and tests.
    """

    task: str
    label: str
    seed: int
    accuracy: dict[int, float]
    chance: float
    loss: float | None
    parameters: int
    seconds: float


def stream(*keys: object) -> torch.Generator:
    """Return a generator of its own for these keys, the same on every machine."""
    digest = hashlib.sha256("/".join(map(str, keys)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))


def build(task: Task, row: Row, training: Training, seed: int) -> MixerLM:
    """Build the model of a cell, its weights drawn from the seed and nothing else.

    Raises:
        UserError: A mixer or an option that does not exist, or a mixer that sees what follows.
    """
    config = MixerLMConfig(
        d_model=training.d_model,
        n_layer=training.n_layer,
        vocab_size=task.vocab_size,
        pad_vocab_size_multiple=1,
        mixer=row.mixer,
        mixer_options=row.options,
        tie_embeddings=False,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MixerLM(config)


def check_lengths(task: Task, row: Row, training: Training, factors: Sequence[int] = FACTORS) -> None:
    """Run one row of the longest test through fresh weights: what cannot be run is told before anything is trained."""
    model, batch = build(task, row, training, 0), task.draw_at(1, max(factors) * task.length, stream("check"))
    with torch.no_grad():
        model(batch.inputs)


def loss_of(model: MixerLM, batch: Batch) -> Tensor:
    """Return the mean cross-entropy at the positions that are trained on."""
    return F.cross_entropy(model(batch.inputs)[batch.loss], batch.targets[batch.loss])


def train(model: MixerLM, task: Task, training: Training, rows: torch.Generator) -> float | None:
    """Train a model in place and return its last losses' mean, None where training went astray."""
    schedule = TrainConfig(
        steps=training.steps, lr=training.lr, warmup=training.warmup, weight_decay=training.weight_decay
    )
    optimizer = make_optimizer(model, schedule)
    peaks = [group["lr"] for group in optimizer.param_groups]
    losses = []
    model.train()
    for step in range(training.steps):
        for group, peak in zip(optimizer.param_groups, peaks, strict=True):
            group["lr"] = peak * lr_factor(step, schedule)
        loss = loss_of(model, task.draw(training.batch_size, rows))
        losses.append(loss.item())
        if not math.isfinite(losses[-1]):
            return None
        optimizer.zero_grad()
        loss.backward()
        if training.clip:
            torch.nn.utils.clip_grad_norm_(model.parameters(), training.clip)
        optimizer.step()
    last = losses[-max(1, len(losses) // 10) :]
    return sum(last) / len(last)


@torch.no_grad()
def accuracy(model: MixerLM, task: Task, length: int, count: int, rows: torch.Generator) -> float:
    """Return the share of right answers at the scored positions of `count` rows."""
    model.eval()
    right = total = 0
    for start in range(0, count, _TEST_BATCH):
        batch = task.draw_at(min(_TEST_BATCH, count - start), length, rows)
        guess = model(batch.inputs).argmax(-1)
        right += int((guess == batch.targets)[batch.scored].sum())
        total += int(batch.scored.sum())
    return right / total


def train_cell(task: Task, row: Row, training: Training, seed: int, factors: Sequence[int] = FACTORS) -> Cell:
    """Train and test one row on one task.

    Args:
        task: The task.
        row: The stack of mixers.
        training: How.
        seed: Of the first weights and of the rows.
        factors: Multiples of the training length to test at.
    """
    began = time.perf_counter()
    model = build(task, row, training, seed)
    with torch.random.fork_rng(devices=[]):  # dropout, where a mixer has any
        torch.manual_seed(seed)
        loss = train(model, task, training, stream(task.name, seed, "train"))
    found = {
        factor: accuracy(model, task, factor * task.length, training.test_rows, stream(task.name, seed, "test", factor))
        for factor in factors
    }
    seconds = time.perf_counter() - began
    return Cell(task.name, row.label, seed, found, task.chance, loss, model.num_parameters(), seconds)


def row_of(text: str, options: Mapping[str, Mapping[str, Any]]) -> Row:
    """Read a row as it is written on a command line: a mixer, a pattern, or ``label=mixer`` of either.

    Args:
        text: "mamba", "mamba, attention" or "local=attention".
        options: Options by mixer, and by label: a label's win. A pattern's label holds them by mixer.

    Raises:
        UserError: The text cannot be read, or names what does not exist.
    """
    label, equals, mixer = text.rpartition("=")
    label, mixer = (label if equals else mixer).strip(), mixer.strip()
    if not label or not mixer:
        raise UserError(f"--mixers: {text!r} is no mixer; write a name, a pattern, or label=name")
    own = dict(options.get(label, {})) if equals else {}
    chosen: dict[str, Any]
    if is_pattern(mixer):
        names = dict(parse_pattern(mixer))
        chosen = {name: {**options.get(name, {}), **own.pop(name, {})} for name in names}
        chosen = {name: given for name, given in chosen.items() if given} | own
    else:
        chosen = {**options.get(mixer, {}), **own}
    mixer, chosen = settled_mixer(mixer, chosen)
    return Row(label if equals else mixer, mixer, chosen)
