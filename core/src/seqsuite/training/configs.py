"""The options of a training run: torch-free, flat, the base of every training verb's dataclass.

A verb inherits `TrainConfig` and adds its own fields; all of them become flags (`--steps`, `--lr`),
keys of a YAML file and the run folder's config.yaml. `resume_conflicts` decides which options may
change when a run goes on.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from numbers import Integral, Real
from typing import Any, ClassVar, Literal

from seqsuite.errors import UserError, unknown_name

PRECISIONS = ("auto", "32-true", "bf16-mixed", "16-mixed", "bf16-true", "64-true")
DECAY_RULES = ("matrices", "published")


class Interrupted(KeyboardInterrupt):
    """A run that was asked to stop (Ctrl-C, SIGTERM) and has saved its state; exit code 130.

    It is a KeyboardInterrupt, so that a verb never goes on to evaluate half a model by mistake.
    ``str(error)`` is the line to show.
    """


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Options of a training run.

    Args:
        steps: Optimizer steps of the whole run.
        batch_size: Rows of one step, over all devices and accumulated parts.
        accumulate: Split a step's rows into this many parts, to save memory.
        seed: Seed of the sample order and of every random generator.
        lr: Peak learning rate.
        min_lr: Learning rate at the end of the cosine.
        warmup: Linear warm-up: a fraction of all steps below 1, else a number of steps.
        weight_decay: AdamW's weight decay.
        decay: What decays. matrices: no biases, norms and embeddings; published: as in the training code of
            Hyena and Caduceus, which decays the weights of RMSNorm as well.
        betas: AdamW's two averaging rates.
        clip: Largest gradient norm; 0 for no clipping.
        precision: auto, 32-true, bf16-mixed, 16-mixed, bf16-true or 64-true. auto is bf16-mixed on a
            GPU that has it, else 32-true.
        accelerator: auto, cpu, gpu or another of Lightning's accelerators.
        devices: Devices on each machine, auto for all; taken from torchrun where that started us.
        num_nodes: Machines; taken from torchrun where that started us.
        strategy: auto, ddp, fsdp or another of Lightning's strategies.
        checkpoint_activations: Keep each block's input only and run the block again in the backward pass:
            the same gradients from less memory, for a third more time.
        deterministic: Choose deterministic algorithms where there are any.
        workers: Processes that read data ahead; 0 reads in the main process.
        threads: CPU threads of PyTorch, at most four for each of the machine's; 0 leaves its choice.
        checkpoint_every: Steps between checkpoints.
        keep_checkpoints: How many of the newest checkpoints to keep, beside the best one.
        validate_every: Steps between validations; 0 validates at the end only.
        log_every: Steps between lines of metrics.csv and of the terminal.
        max_minutes: Save and stop after this many minutes, to be resumed; 0 for no limit.
        out: The run folder.
        resume: Go on with the run in the run folder.
        overwrite: Replace the run in the run folder.
    """

    steps: int = 1000
    batch_size: int = 16
    accumulate: int = 1
    seed: int = 0
    lr: float = 1e-3
    min_lr: float = 0.0
    warmup: float = 0.05
    weight_decay: float = 0.1
    decay: Literal["matrices", "published"] = "matrices"
    betas: tuple[float, float] = (0.9, 0.95)
    clip: float = 1.0
    precision: str = "auto"
    accelerator: str = "auto"
    devices: int | str = "auto"
    num_nodes: int = 1
    strategy: str = "auto"
    checkpoint_activations: bool = False
    deterministic: bool = True
    workers: int = 0
    threads: int = 0
    checkpoint_every: int = 200
    keep_checkpoints: int = 2
    validate_every: int = 200
    log_every: int = 20
    max_minutes: float = 0.0
    out: str = "runs/run"
    resume: bool = False
    overwrite: bool = False

    # Options that leave the weights as they are, bit for bit; a subclass adds its own.
    free_on_resume: ClassVar[frozenset[str]] = frozenset(
        {"out", "resume", "overwrite", "workers", "checkpoint_every", "keep_checkpoints", "validate_every"}
        | {"log_every", "max_minutes", "checkpoint_activations"}
    )
    # Options of the machine: the run goes on, but another order of summation may change the last bits.
    machine_on_resume: ClassVar[frozenset[str]] = frozenset(
        {"threads", "accelerator", "devices", "num_nodes", "strategy"}
    )

    def __post_init__(self) -> None:
        for item in fields(self):
            # A YAML file says null where nothing is meant; few options know what nothing is.
            if getattr(self, item.name) is None and "None" not in str(item.type):
                raise UserError(f"--{item.name} has no value; give one, or leave the option out")
        for name in ("steps", "batch_size", "accumulate", "num_nodes", "checkpoint_every", "keep_checkpoints"):
            _at_least(name, getattr(self, name), 1, whole=True)
        _at_least("log_every", self.log_every, 1, whole=True)
        for name in ("seed", "workers", "threads", "validate_every"):
            _at_least(name, getattr(self, name), 0, whole=True)
        for name in ("lr", "min_lr", "warmup", "weight_decay", "clip", "max_minutes"):
            _at_least(name, getattr(self, name), 0)
        if self.warmup >= 1 and self.warmup != int(self.warmup):
            raise UserError(f"--warmup is {self.warmup}; give a fraction below 1 or a whole number of steps")
        betas: Any = self.betas
        pair = isinstance(betas, (list, tuple)) and len(betas) == 2
        if not pair or not all(isinstance(beta, (int, float)) and 0 <= beta < 1 for beta in betas):
            raise UserError(f"--betas is {betas}; it must be two numbers from 0 to below 1")
        if self.threads > 4 * (os.cpu_count() or 1):
            raise UserError(f"--threads is {self.threads}; this machine has {os.cpu_count()} CPUs")
        if self.precision not in PRECISIONS:
            raise unknown_name("--precision", self.precision, PRECISIONS)
        if self.decay not in DECAY_RULES:
            raise unknown_name("--decay", self.decay, DECAY_RULES)
        if not self.out:
            raise UserError("--out is empty; name a folder for the run")
        if self.resume and self.overwrite:
            raise UserError("--resume and --overwrite exclude each other: go on with the run, or replace it")

    @property
    def warmup_steps(self) -> int:
        """Steps of the linear warm-up."""
        return round(self.warmup * self.steps) if self.warmup < 1 else int(self.warmup)

    @property
    def schedule_ends(self) -> bool:
        """Whether the learning rate at a step depends on how many steps there are in all."""
        return self.lr != self.min_lr or 0 < self.warmup < 1

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for YAML or JSON, without `resume` and `overwrite`."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self), default=str))
        return {key: value for key, value in plain.items() if key not in ("resume", "overwrite")}


def _at_least(name: str, value: Any, least: int, *, whole: bool = False) -> None:
    if not isinstance(value, Integral if whole else Real) or not math.isfinite(value):
        raise UserError(f"--{name} is {value}; it must be a {'whole ' if whole else ''}number")
    if value < least:
        raise UserError(f"--{name} is {value}; it must be at least {least}")


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def resume_conflicts(old: Mapping[str, Any], config: TrainConfig) -> tuple[list[str], list[str]]:
    """Compare the run folder's config with a new one.

    Args:
        old: What config.yaml holds.
        config: The config to resume with.

    Returns:
        The differences that forbid to go on, and those that may change the last bits; each as
        ``"key: old -> new"``.
    """
    before, after = dict(_flat(old)), dict(_flat(config.to_dict()))
    defaults = {item.name: item.default for item in fields(config) if item.default is not MISSING}
    conflicts, notes = [], []
    for key in sorted(before.keys() | after.keys()):
        top = key.partition(".")[0]
        was, now = before.get(key, "not set"), after.get(key, "not set")
        # A field that a newer version added does not part the runs while it has its default.
        added = key not in before and key in defaults and now == json.loads(json.dumps(defaults[key], default=str))
        if was == now or top in config.free_on_resume or added:
            continue
        text = f"{key}: {was} -> {now}"
        if top in config.machine_on_resume:
            notes.append(text)
        elif key == "steps" and config.schedule_ends:
            conflicts.append(f"{text} (the learning rate's schedule depends on it)")
        elif key != "steps":
            conflicts.append(text)
    return conflicts, notes
