"""Two callbacks: the meter writes down what happens, the keeper saves and stops.

A step ends in this order: its metrics, its validation if one is due, its checkpoint, then a stop if
one was asked for. A checkpoint at a validation step is therefore taken after the validation, and a
resumed run repeats neither.
"""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from torch.optim import Optimizer

from seqsuite.errors import UserError
from seqsuite.training.checkpoint_io import write_aside
from seqsuite.training.configs import TrainConfig
from seqsuite.training.metrics import Clock, MetricsFile, Totals, means
from seqsuite.training.progress import Progress
from seqsuite.training.run_folder import RunFolder, told
from seqsuite.training.task import Task


class StopRun(Exception):
    """Raised inside the trainer to leave it after the state was saved.

    Args:
        reason: "signal" or "time".
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class AbortRun(BaseException):
    """The second Ctrl-C: leave at once, without saving."""


def ends_step(trainer: Trainer, batch_idx: int) -> bool:
    """Whether a batch is the last part of its step."""
    return (batch_idx + 1) % trainer.accumulate_grad_batches == 0


def validation_due(trainer: Trainer, config: TrainConfig) -> bool:
    """Whether the step that just ended is followed by a validation: every so often, and at the end."""
    step = trainer.global_step
    often = config.validate_every and step % config.validate_every == 0
    return sum(trainer.num_val_batches) > 0 and bool(often or step >= config.steps)


def _diverged(what: str, step: int, folder: RunFolder) -> UserError:
    saved = folder.steps_saved()
    good = f"the last good checkpoint is {saved[0]}" if saved else "no checkpoint was saved before"
    way = "start anew with a lower --lr, a longer --warmup or --precision 32-true"
    return UserError(f"{what} at step {step}; {good}; {way}")


def learning_rate(optimizer: Optimizer) -> float:
    """Return the rate of the parameters whose rate is not scaled, as the next update takes it.

    Args:
        optimizer: Of a task; a group says by `lr_scale` how its rate is scaled, as timm's groups do. Of groups that do
            not say it, the one with the highest rate counts.
    """
    return max(float(group["lr"]) / float(group.get("lr_scale", 1.0)) for group in optimizer.param_groups)


class Meter(Callback):
    """Adds up metrics and writes them to metrics.csv, TensorBoard, further loggers and the terminal.

    Args:
        config: The run's options.
        folder: The run folder.
    """

    def __init__(self, config: TrainConfig, folder: RunFolder) -> None:
        self.config = config
        self.folder = folder
        self.clock = Clock()
        self.latest: dict[str, float] = {}
        self.progress: Progress | None = None
        self._train, self._valid = Totals(), Totals()
        self._tokens = 0.0
        self._rate = math.nan
        self._seconds = 0.0
        self._restored: dict[str, Any] = {}
        self._file: MetricsFile | None = None
        self._events: Any = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the files, drop what lies beyond the restored step."""
        assert isinstance(pl_module, Task)
        step = trainer.global_step
        if trainer.is_global_zero:
            self._train.carry(self._restored.get("train", {}))
            self._file = MetricsFile(self.folder.metrics, keep=step)
            from torch.utils.tensorboard import SummaryWriter

            self._events = SummaryWriter(str(self.folder.tensorboard), purge_step=step + 1 if step else None)
        self.progress = Progress(self.config.steps, start=step, unit=pl_module.unit, shown=trainer.is_global_zero)
        if self._file is not None and self._file.damaged is not None:
            self.progress.say(f"{self._file.path} is damaged; it lies in {self._file.damaged.name}, its good rows stay")
        self.clock = Clock()

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Note the rate of the update that comes: when its row is written, the schedule has moved on."""
        self._rate = learning_rate(optimizer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Add up a batch; at the end of a logged step, write its row."""
        assert isinstance(pl_module, Task)
        self._train.add(outputs)
        self._tokens += outputs["tokens"] * trainer.world_size
        if not ends_step(trainer, batch_idx):
            return
        assert self.progress is not None
        step = trainer.global_step
        self.clock.step(self._tokens)
        self._tokens = 0.0
        self.progress.step(step)
        if step % self.config.log_every == 0 or step >= self.config.steps:
            metrics = pl_module.finish(means(self.check(step)))
            self._train.reset()
            self._write(trainer, "train", metrics, {"lr": self._rate, **self._times()})
            self.progress.train(step, metrics, self.clock.rate)

    def check(self, step: int) -> dict[str, list[float]]:
        """Return the sums since the last row, over all ranks; every rank calls it at once.

        Raises:
            UserError: The loss of a step since the last row was not finite.
        """
        gathered = self._train.gather()
        total, count = gathered.get("loss", [0.0, 0.0])
        if not math.isfinite(total):
            raise _diverged(f"the training loss is {total / count if count else total}", step, self.folder)
        return gathered

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock."""
        self._valid.reset()
        self.clock.pause()

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        """Add up a validation batch."""
        self._valid.add(outputs)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the row of a validation; offer its metrics to other callbacks as valid_<name>."""
        assert isinstance(pl_module, Task)
        metrics = pl_module.finish({**means(self._valid.gather()), **pl_module.summarize()})
        self._valid.reset()
        for name, value in metrics.items():
            pl_module.log(f"valid_{name}", value, logger=False)
        self._write(trainer, "valid", metrics, {})
        if self.progress is not None:
            self.progress.valid(trainer.global_step, metrics)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock again."""
        self.clock.go()

    def _times(self) -> dict[str, float]:
        return {"tokens_per_second": self.clock.rate, "seconds": self._seconds + self.clock.elapsed}

    def _write(self, trainer: Trainer, stage: str, metrics: dict[str, float], more: dict[str, float]) -> None:
        values = {**{f"{stage}_{name}": value for name, value in metrics.items()}, **more}
        self.latest.update(values)
        step = trainer.global_step
        if self._file is not None:
            self._file.add(step, values)
        if self._events is not None:
            with told(self.folder.tensorboard):
                for name, value in values.items():
                    self._events.add_scalar(name.replace("_", "/", 1) if name not in more else name, value, step)
        for logger in trainer.loggers:
            logger.log_metrics(values, step)

    def flush(self) -> None:
        """Bring everything to the disk."""
        if self._file is not None:
            self._file.flush()
        if self._events is not None:
            with told(self.folder.tensorboard):
                self._events.flush()

    def close(self) -> None:
        """Stop the clock, flush and close; safe to call twice."""
        self.clock.pause()
        with contextlib.suppress(Exception):
            self.flush()
        if self._events is not None:
            self._events.close()
            self._events = None
        if self.progress is not None:
            self.progress.close()

    def state_dict(self) -> dict[str, Any]:
        """Return the sums since the last row, over all ranks, so that the next row is the same after a restart."""
        return {"train": self._train.gather(), "latest": dict(self.latest), "seconds": self._times()["seconds"]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the sums of a checkpoint."""
        self._restored = state_dict
        self.latest = dict(state_dict["latest"])
        self._seconds = state_dict["seconds"]


class Keeper(Checkpoint):
    """Saves checkpoints, keeps the newest and the best, and stops the run when asked to.

    Args:
        config: The run's options.
        folder: The run folder.
        meter: Its metrics choose the best; it is flushed before a checkpoint.
    """

    def __init__(self, config: TrainConfig, folder: RunFolder, meter: Meter) -> None:
        self.config, self.folder, self.meter = config, folder, meter
        self.best: float | None = None
        self.best_loss: float | None = None
        self.best_step: int | None = None
        self.saved: Path | None = None
        self._asked = False
        self._handlers: dict[int, Any] = {}

    @property
    def best_path(self) -> Path | None:
        """The checkpoint with the best validation, if there is one."""
        path = self.folder.checkpoints / "best.ckpt"
        return path if self.best is not None and path.exists() else None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Note who listens to the signals before Lightning and this run do."""
        if threading.current_thread() is not threading.main_thread():
            return
        # SLURM announces the end of a job's time with SIGUSR1 where it is asked to.
        names = ["SIGINT", "SIGTERM"] + (["SIGUSR1"] if "SLURM_JOB_ID" in os.environ else [])
        # A terminal that is closed sends SIGHUP; under nohup it is ignored, and stays so.
        if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
            names.append("SIGHUP")
        self._handlers = {getattr(signal, name): signal.getsignal(getattr(signal, name)) for name in names}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen to Ctrl-C, SIGTERM and SIGHUP, after Lightning has put its own handlers in place."""
        loader: Any = trainer.train_dataloader
        if loader.batch_sampler.start != trainer.global_step:
            # Lightning makes the loader after it has restored the step; nothing is exact if it does not.
            raise RuntimeError(f"the loader starts at {loader.batch_sampler.start}, the run at {trainer.global_step}")
        for number in self._handlers:
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _frame: Any) -> None:
        if self._asked and number == signal.SIGINT:
            raise AbortRun
        self._asked = True
        if self.meter.progress is not None and number == signal.SIGINT:
            # Past Python's buffers: the signal may have come in the middle of a print, which is not reentrant.
            with contextlib.suppress(OSError):
                os.write(2, b"\nstopping after this step; Ctrl-C again to stop at once, without saving\n")

    def release(self) -> None:
        """Give the signals back; safe to call twice."""
        for number, handler in self._handlers.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._handlers.clear()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """End a step that no validation follows."""
        if not ends_step(trainer, batch_idx):
            return
        if not validation_due(trainer, self.config):
            self._end_step(trainer)
        elif trainer.global_step >= self.config.steps:
            # Lightning validates at multiples of the interval, and whenever it is told to stop.
            trainer.should_stop = True

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End a step that a validation has followed."""
        assert isinstance(pl_module, Task)
        value = self.meter.latest.get(f"valid_{pl_module.monitor}")
        better: Callable[[float, float], bool] = float.__lt__ if pl_module.lower_is_better else float.__gt__
        loss = self.meter.latest.get("valid_loss", math.inf)
        improved = value is not None and math.isfinite(value) and (self.best is None or better(value, self.best))
        # An accuracy has few values on few rows; between equals the one with less loss is kept.
        least = math.inf if self.best_loss is None else self.best_loss
        improved = improved or (value is not None and value == self.best and loss < least)
        if improved:
            self.best, self.best_loss, self.best_step = value, loss, trainer.global_step
        self._end_step(trainer, improved=improved)

    def _end_step(self, trainer: Trainer, *, improved: bool = False) -> None:
        step = trainer.global_step
        reason = self._reason(trainer)
        last = step >= self.config.steps or trainer.should_stop
        if improved or last or reason or step % self.config.checkpoint_every == 0:
            self._check(trainer)
            self._save(trainer, improved=improved)
        # Asked to stop at the last step of all, a run is complete; but what comes after it is not wanted.
        if reason == "signal" or (reason and not last):
            raise StopRun(reason)

    def _reason(self, trainer: Trainer) -> str:
        late = self.config.max_minutes and self.meter.clock.elapsed > 60 * self.config.max_minutes
        # The ranks are told at different moments; they stop at the same step.
        if trainer.world_size > 1:
            asked = trainer.strategy.reduce_boolean_decision(self._asked, all=False)
            late = trainer.strategy.reduce_boolean_decision(bool(late), all=False)
        else:
            asked = self._asked
        return "signal" if asked else "time" if late else ""

    def _check(self, trainer: Trainer) -> None:
        """Refuse to save what has diverged, for the checkpoints before it would be deleted in its favour.

        A finite loss may still have had a gradient that was not.
        """
        step = trainer.global_step
        self.meter.check(step)
        weights = [part.detach() for part in trainer.lightning_module.parameters() if part.requires_grad]
        finite = all(bool(part.isfinite().all()) for part in weights)
        if trainer.world_size > 1:
            finite = trainer.strategy.reduce_boolean_decision(finite)
        if not finite:
            raise _diverged("the weights are no longer finite", step, self.folder)

    def _save(self, trainer: Trainer, *, improved: bool) -> None:
        path = self.folder.checkpoint(trainer.global_step)
        self.meter.clock.pause()
        self.meter.flush()
        trainer.save_checkpoint(path)
        self.saved = path
        if trainer.is_global_zero:
            if improved:
                self._copy_best(path)
            # Damaged checkpoints of later steps, which a resumed run has passed over, do not count.
            saved = self.folder.steps_saved()
            for old in saved[saved.index(path) + self.config.keep_checkpoints :]:
                old.unlink(missing_ok=True)
        self.meter.clock.go()

    def _copy_best(self, path: Path) -> None:
        best = self.folder.checkpoints / "best.ckpt"
        link = best.with_name(f".{best.name}.{os.getpid()}.tmp")
        try:
            os.link(path, link)
            os.replace(link, best)
            link.unlink(missing_ok=True)  # POSIX: renaming onto another name of the same file does nothing
        except OSError:  # a file system without hard links
            with open(path, "rb") as source, write_aside(best) as target:
                shutil.copyfileobj(source, target)

    def state_dict(self) -> dict[str, Any]:
        """Return the best validation so far."""
        best = {"best": self.best, "best_loss": self.best_loss, "best_step": self.best_step}
        return {**best, "steps": self.config.steps}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the best validation so far."""
        self.best, self.best_step = state_dict["best"], state_dict["best_step"]
        self.best_loss = state_dict.get("best_loss")

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Make up for a kill right after the best step was saved; open a finished run that is to take more steps."""
        state = checkpoint["callbacks"].get(self.state_key, {})
        if trainer.is_global_zero and state.get("best_step") == checkpoint["global_step"]:
            self._copy_best(self.folder.checkpoint(checkpoint["global_step"]))
        if checkpoint["global_step"] < self.config.steps:
            checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]["is_last_batch"] = False
