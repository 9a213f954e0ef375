"""fit(): one call from a task and its data to a run folder, through Lightning's Trainer.

The whole run is one epoch of Lightning's, as long as the run has steps; epochs of the data are the
business of the sample order. That leaves the Trainer's own bookkeeping one integer, the step, and a
loader that starts there continues the run exactly.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch import Callback, LightningDataModule, Trainer
from lightning.pytorch.loggers import Logger
from lightning.pytorch.plugins.environments import SLURMEnvironment
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from safetensors import SafetensorError
from torch.utils.data import DataLoader, Dataset

from seqsuite.data.loaders import PositionBatches, ScoringBatches, make_loader
from seqsuite.errors import UserError
from seqsuite.reports import TableView, training_report
from seqsuite.training.callbacks import AbortRun, Keeper, Meter, StopRun
from seqsuite.training.checkpoint_io import ExactCheckpointIO, load_checkpoint, newest_checkpoint
from seqsuite.training.configs import Interrupted, TrainConfig
from seqsuite.training.generators import Generators
from seqsuite.training.optim import make_optimizer
from seqsuite.training.progress import say
from seqsuite.training.run_folder import RunFolder
from seqsuite.training.task import Task


@dataclass(frozen=True)
class FitResult(TableView):
    """How a run went.

    Args:
        folder: The run folder.
        steps: Steps done in all.
        seconds: Seconds of all starts together.
        tokens_per_second: Training alone, of this start; 0 where nothing was trained.
        metrics: The last value of each column of metrics.csv.
        checkpoint: The last checkpoint.
        best: The checkpoint with the best validation, if there was a validation.
        model: The exported model.
        reason: "finished", "time" (max_minutes; resume to go on) or "early" (a callback stopped it).
    """

    folder: Path
    steps: int
    seconds: float
    tokens_per_second: float
    metrics: dict[str, float] = field(default_factory=dict)
    checkpoint: Path | None = None
    best: Path | None = None
    model: Path | None = None
    reason: Literal["finished", "time", "early"] = "finished"

    def table(self) -> dict[str, Any]:
        """Return what a notebook shows."""
        facts = {"steps": self.steps, "seconds": self.seconds, "tokens per second": self.tokens_per_second}
        shown = {name: value for name, value in self.metrics.items() if name.startswith(("train_", "valid_"))}
        return {**facts, **shown, "folder": str(self.folder)}


class RunData(LightningDataModule):
    """The loaders of a run; the training loader starts at the trainer's step.

    Args:
        train: Positions without end, see `seqsuite.data.loaders`.
        valid: A data set with a length, or None.
        config: The run's options.
    """

    def __init__(self, train: Dataset[Any], valid: Dataset[Any] | None, config: TrainConfig) -> None:
        super().__init__()
        self.train, self.valid, self.config = train, valid, config

    def _loader(self, dataset: Dataset[Any], batches: PositionBatches | ScoringBatches) -> DataLoader[Any]:
        assert self.trainer is not None
        on_gpu = self.trainer.strategy.root_device.type == "cuda"
        return make_loader(dataset, batches, workers=self.config.workers, seed=self.config.seed, pin_memory=on_gpu)

    def train_dataloader(self) -> DataLoader[Any]:
        """Return the loader from the current step to the end."""
        trainer, config = self.trainer, self.config
        assert trainer is not None
        batches = PositionBatches(
            steps=config.steps,
            batch_size=config.batch_size,
            start=trainer.global_step,
            accumulate=config.accumulate,
            rank=trainer.global_rank,
            world=trainer.world_size,
        )
        return self._loader(self.train, batches)

    def val_dataloader(self) -> Any:
        """Return the loader over this rank's share of the validation set."""
        if self.valid is None:
            return []
        trainer, config = self.trainer, self.config
        assert trainer is not None
        rows = max(1, config.batch_size // (config.accumulate * trainer.world_size))
        length = len(self.valid)  # type: ignore[arg-type]
        return self._loader(
            self.valid, ScoringBatches(length, rows=rows, rank=trainer.global_rank, world=trainer.world_size)
        )


def _devices(config: TrainConfig) -> tuple[int | str, int]:
    """Return devices per machine and machines, from torchrun where it started this process."""
    local, world = os.environ.get("LOCAL_WORLD_SIZE"), os.environ.get("WORLD_SIZE")
    if "TORCHELASTIC_RUN_ID" in os.environ and local and world:
        return int(local), int(world) // int(local)
    placed = SLURMEnvironment.detect() or "MASTER_ADDR" in os.environ
    if config.num_nodes > 1 and not placed:
        raise UserError(
            f"--num_nodes {config.num_nodes} needs a start on each machine: torchrun --nnodes {config.num_nodes} "
            "--nproc-per-node N --rdzv-backend c10d --rdzv-endpoint HOST:PORT ..., or srun within SLURM"
        )
    devices = config.devices
    return int(devices) if isinstance(devices, str) and devices.isdigit() else devices, config.num_nodes


def _precision(config: TrainConfig) -> str:
    if config.precision != "auto":
        return config.precision
    on_gpu = config.accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    return "bf16-mixed" if on_gpu and torch.cuda.is_bf16_supported() else "32-true"


def make_trainer(config: TrainConfig, **options: Any) -> Trainer:
    """Build Lightning's Trainer for a config.

    Args:
        config: The run's options.
        options: Further arguments of `lightning.pytorch.Trainer`.

    Raises:
        UserError: Lightning refuses the devices, strategy or precision.
    """
    devices, nodes = _devices(config)
    if SLURMEnvironment.detect():
        # Its own requeueing would save and resume behind the run folder's back.
        options["plugins"] = [*options.get("plugins", []), SLURMEnvironment(auto_requeue=False)]
    settings: dict[str, Any] = {
        "max_steps": config.steps,
        "max_epochs": -1,
        "accumulate_grad_batches": config.accumulate,
        "gradient_clip_val": config.clip or None,
        "precision": _precision(config),
        "accelerator": config.accelerator,
        "devices": devices,
        "num_nodes": nodes,
        "strategy": config.strategy,
        "deterministic": "warn" if config.deterministic else None,
        "benchmark": False,
        "check_val_every_n_epoch": None,
        "val_check_interval": (config.validate_every or config.steps + 1) * config.accumulate,
        "num_sanity_val_steps": 0,
        "use_distributed_sampler": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "logger": False,
    }
    try:
        return Trainer(**{**settings, **options})
    except (ValueError, RuntimeError, TypeError, ImportError, MisconfigurationException) as error:
        if "keyword argument" in str(error):
            raise
        reason = " ".join(str(error).split())
        raise UserError(
            f"cannot train with --accelerator {config.accelerator}, --devices {devices}, "
            f"--strategy {config.strategy}: {reason}"
        ) from error


@contextlib.contextmanager
def _surroundings(config: TrainConfig) -> Iterator[None]:
    """Silence Lightning's chatter and put back the process's switches afterwards."""
    logger = logging.getLogger("lightning.pytorch"), logging.getLogger("lightning.fabric")
    levels = [item.level for item in logger]
    deterministic = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    switches: Any = torch.utils.deterministic
    filling, threads = switches.fill_uninitialized_memory, torch.get_num_threads()
    for item in logger:
        item.setLevel(logging.ERROR)
    # Writing NaN into every fresh tensor finds bugs, at the price of a pass over the memory.
    switches.fill_uninitialized_memory = False
    if config.threads:
        torch.set_num_threads(config.threads)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\..*")
            warnings.filterwarnings("ignore", message=r".*does not have many workers.*")
            yield
    finally:
        for item, level in zip(logger, levels, strict=True):
            item.setLevel(level)
        torch.use_deterministic_algorithms(deterministic[0], warn_only=deterministic[1])
        switches.fill_uninitialized_memory = filling
        torch.set_num_threads(threads)


def _export(task: Task, folder: RunFolder) -> Path:
    """Write the model aside, then put it in place."""
    aside = folder.path / f".model.{os.getpid()}.tmp"
    shutil.rmtree(aside, ignore_errors=True)
    try:
        aside.mkdir()
        task.export(aside)
        if folder.model.exists():
            shutil.rmtree(folder.model)
        os.replace(aside, folder.model)
    except (OSError, SafetensorError) as error:
        raise UserError(f"cannot write {folder.model}: {getattr(error, 'strerror', None) or error}") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return folder.model


def fit(
    task: Task,
    train_data: Dataset[Any],
    valid_data: Dataset[Any] | None,
    config: TrainConfig,
    *,
    inputs: Mapping[str, str] | None = None,
    callbacks: Sequence[Callback] = (),
    loggers: Sequence[Logger] = (),
    export: Literal["last", "best", "none"] = "last",
    report: bool = True,
    **trainer_options: Any,
) -> FitResult:
    """Train a task, from the start or from where its run folder is.

    Args:
        task: The task; build it after `seed_everything(config.seed)` for reproducible first weights.
        train_data: Map-style and pure: ``train_data[position]`` for any position from 0 on is a
            dictionary of tensors that depends on the position alone (`ShuffledOrder`, `item_rng`).
        valid_data: Map-style, with a length; scored in order. None for no validation.
        config: The options; `out`, `resume` and `overwrite` decide about the run folder.
        inputs: Fingerprints of what the run reads, name -> SHA-256; a run goes on with the same ones only.
        callbacks: Further Lightning callbacks. Validation metrics are known to them as valid_<name>.
        loggers: Further Lightning loggers.
        export: Which weights go to model/: those of the last step or of the best validation.
        report: Write report.html.
        trainer_options: Further arguments of `lightning.pytorch.Trainer`.

    Returns:
        How the run went. The task holds the weights that were exported, and is back on the CPU.

    Raises:
        UserError: The run folder, the options or a checkpoint; the disk is full; the loss is not finite.
        Interrupted: Ctrl-C, SIGTERM or SIGHUP: the state was saved. At a second Ctrl-C it was not.
    """
    folder = RunFolder(config.out)
    meter = Meter(config, folder)
    keeper = Keeper(config, folder, meter)
    files = ExactCheckpointIO()
    with _surroundings(config):
        trainer = make_trainer(
            config,
            callbacks=[*callbacks, Generators(config.seed), meter, keeper],
            plugins=[files],
            **({"logger": list(loggers)} if loggers else {}),
            **trainer_options,
        )
        _check_plan(config, task, trainer.world_size)
        with folder.claim(config, inputs):
            files.loaded = _restored(folder, task, config)
            folder.begin(config, inputs)
            keeper.saved = checkpoint = files.loaded[0] if files.loaded else None
            if trainer.is_global_zero:
                devices = f"{trainer.world_size} x {trainer.strategy.root_device.type}"
                start = files.loaded[1]["global_step"] if files.loaded else 0
                folder.record_environment(devices=devices, precision=str(trainer.precision), start_step=start)
            reason = _run(trainer, task, RunData(train_data, valid_data, config), checkpoint, keeper)
            if reason == "signal":
                raise Interrupted(
                    f"stopped at step {trainer.global_step}; state saved in {keeper.saved}; go on with --resume"
                )
            return _finish(trainer, task, keeper, export if reason != "time" else "none", report, reason)


def _restored(folder: RunFolder, task: Task, config: TrainConfig) -> tuple[Path, dict[str, Any]] | None:
    """Return where a resumed run goes on, having said so."""
    if not config.resume:
        return None
    loaded = newest_checkpoint(folder, task, say)
    start = loaded[1]["global_step"] if loaded else 0
    if start > config.steps:
        raise UserError(f"{folder} has done {start} steps already, more than --steps {config.steps}")
    for note in folder.notes:
        say(f"the run goes on, but not bit for bit: {note}")
    say(f"resuming {folder} at step {start} of {config.steps}")
    return loaded


def _check_plan(config: TrainConfig, task: Task, world: int) -> None:
    """Find what would end the run before its first step, while there is nothing yet to be lost."""
    parts = config.accumulate * world
    if config.batch_size % parts:
        raise UserError(
            f"--batch_size {config.batch_size} must be a multiple of {parts} (--accumulate {config.accumulate} x "
            f"{world} devices)"
        )
    if type(task).configure_optimizers is Task.configure_optimizers and next(task.parameters(), None) is not None:
        make_optimizer(task, config)


def _run(trainer: Trainer, task: Task, data: RunData, checkpoint: Path | None, keeper: Keeper) -> str:
    """Run the trainer; return "", "signal" or "time"."""
    try:
        trainer.fit(task, datamodule=data, ckpt_path=None if checkpoint is None else str(checkpoint))
    except StopRun as stop:
        return stop.reason
    except (AbortRun, SystemExit) as error:
        # Lightning turns a Ctrl-C before the first step into SystemExit.
        raise Interrupted("stopped at once; nothing was saved since the last checkpoint") from error
    finally:
        # An exception in a validation makes Lightning forget the training loader and its workers.
        trainer.fit_loop.teardown()
        keeper.meter.close()
        keeper.release()
    return ""


def _finish(trainer: Trainer, task: Task, keeper: Keeper, export: str, report: bool, reason: str) -> FitResult:
    folder, meter = keeper.folder, keeper.meter
    steps = trainer.global_step
    if export == "best" and keeper.best_path is not None:
        weights = load_checkpoint(keeper.best_path)["state_dict"]
        task.load_state_dict({name: value.to(task.device) for name, value in weights.items()})
    ending: Literal["finished", "time", "early"] = "finished"
    if steps < keeper.config.steps:
        ending = "time" if reason == "time" else "early"
    result = FitResult(
        folder=folder.path,
        steps=steps,
        seconds=meter.latest.get("seconds", 0.0),
        tokens_per_second=meter.clock.rate,
        metrics=dict(meter.latest),
        checkpoint=keeper.saved,
        best=keeper.best_path,
        model=folder.model if export != "none" else None,
        reason=ending,
    )
    if trainer.is_global_zero:
        if export != "none":
            _export(task, folder)
        if report:
            training_report(folder.path).write(folder.path / "report.html")
    trainer.strategy.barrier("seqsuite.fit")
    return result
