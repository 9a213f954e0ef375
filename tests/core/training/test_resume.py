"""A run that was killed and resumed ends with the bits of one that never was."""

from __future__ import annotations

import csv
import io
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import EarlyStopping
from safetensors.torch import load_file

from seqsuite.errors import UserError
from seqsuite.training import Interrupted, RunFolder
from seqsuite.training.callbacks import Keeper
from seqsuite.training.checkpoint_io import load_checkpoint

TIMES = ("seconds", "tokens_per_second")


def rows(folder: Path) -> list[dict[str, str]]:
    with open(folder / "metrics.csv", newline="") as file:
        return [{name: value for name, value in row.items() if name not in TIMES} for row in csv.DictReader(file)]


class Signal(Callback):
    """Sends this process a signal in the middle of a step."""

    def __init__(self, step: int, number: int = signal.SIGINT) -> None:
        self.step, self.number = step, number

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        if trainer.global_step == self.step - 1:
            os.kill(os.getpid(), self.number)


# 3: a validation step; 4: a checkpoint; 5: nothing; 6: in the second epoch of the data; 11: before the end.
@pytest.mark.parametrize("step", [0, 1, 3, 4, 5, 6, 8, 11])
def test_killed_at_any_step(step: int, toy: Any, kill: Any, unbroken: Any, tmp_path: Path) -> None:
    kill(tmp_path, step)
    resumed = toy(tmp_path, resume=True)
    whole = unbroken()
    assert resumed.weights == whole.weights
    assert rows(tmp_path) == rows(whole.result.folder)


def test_killed_twice_between_checkpoints(toy: Any, kill: Any, unbroken: Any, tmp_path: Path) -> None:
    kill(tmp_path, 6)
    kill(tmp_path, 10, resume=True)
    resumed = toy(tmp_path, resume=True)
    assert resumed.weights == unbroken().weights
    assert rows(tmp_path) == rows(unbroken().result.folder)


@pytest.mark.parametrize("options", [{"accumulate": 2}, {"workers": 2}, {"valid": 0}, {"precision": "bf16-mixed"}])
def test_killed_with_other_options(options: dict[str, Any], toy: Any, kill: Any, unbroken: Any, tmp_path: Path) -> None:
    kill(tmp_path, 7, **options)
    resumed = toy(tmp_path, resume=True, **options)
    assert resumed.weights == unbroken(**options).weights
    assert rows(tmp_path) == rows(unbroken(**options).result.folder)


def test_workers_change_nothing(unbroken: Any, toy: Any, kill: Any, tmp_path: Path) -> None:
    assert unbroken(workers=2).weights == unbroken().weights
    kill(tmp_path, 7, workers=2)
    assert toy(tmp_path, resume=True, workers=0, checkpoint_every=3, log_every=1).weights == unbroken().weights


def test_seed_changes_the_run(unbroken: Any) -> None:
    assert unbroken(seed=1).weights != unbroken().weights


def test_validation_changes_nothing(unbroken: Any) -> None:
    assert unbroken(validate_every=5).weights == unbroken().weights == unbroken(valid=0).weights


@pytest.fixture
def _no_nohup() -> Iterator[None]:
    """Take a hang-up as on a terminal: nohup has it ignored, and training leaves it so."""
    before = signal.getsignal(signal.SIGHUP)
    if before is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("_no_nohup")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("step", [5, 6])
def test_stopped_by_signal(number: int, step: int, toy: Any, unbroken: Any, tmp_path: Path) -> None:
    """The step is finished, with its validation where one is due (6), saved, and nothing is lost."""
    before = signal.getsignal(number)
    with pytest.raises(Interrupted, match=f"stopped at step {step}; state saved in .*--resume"):
        toy(tmp_path, callbacks=[Signal(step, number)])
    assert signal.getsignal(number) is before
    assert (tmp_path / "checkpoints" / f"step-{step:08d}.ckpt").exists()
    assert toy(tmp_path, resume=True).weights == unbroken().weights
    assert rows(tmp_path) == rows(unbroken().result.folder)


def test_stopped_by_signal_with_workers(toy: Any, unbroken: Any, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        toy(tmp_path, callbacks=[Signal(6)], workers=2)
    assert toy(tmp_path, resume=True, workers=2).weights == unbroken().weights


def test_second_ctrl_c_leaves_at_once(toy: Any, unbroken: Any, tmp_path: Path) -> None:
    class Twice(Signal):
        def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
            if trainer.global_step == self.step:
                os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted, match="at once"):
        toy(tmp_path, callbacks=[Twice(6)])
    assert not (tmp_path / "checkpoints" / "step-00000006.ckpt").exists()
    assert toy(tmp_path, resume=True).weights == unbroken().weights


def test_ctrl_c_in_the_middle_of_a_line_saves_too(toy: Any, unbroken: Any, tmp_path: Path, monkeypatch: Any) -> None:
    class Busy(io.StringIO):
        """Like a buffered file: writing while it writes is an error. Ctrl-C comes while a line is written."""

        writing = interrupted = False

        def write(self, text: str) -> int:
            if self.writing:
                raise RuntimeError("reentrant call")
            self.writing = True
            if text.startswith("step 6/") and not self.interrupted:
                self.interrupted = True
                os.kill(os.getpid(), signal.SIGINT)
            self.writing = False
            return super().write(text)

    monkeypatch.setattr(sys, "stderr", Busy())
    with pytest.raises(Interrupted, match="state saved"):
        toy(tmp_path)
    monkeypatch.undo()
    assert toy(tmp_path, resume=True).weights == unbroken().weights


def test_time_limit_saves_and_stops(toy: Any, unbroken: Any, tmp_path: Path) -> None:
    first = toy(tmp_path, max_minutes=1e-9)
    assert (first.result.reason, first.result.steps, first.result.model) == ("time", 1, None)
    assert toy(tmp_path, resume=True).weights == unbroken().weights


def test_finished_run_resumes_to_itself(toy: Any, tmp_path: Path) -> None:
    first = toy(tmp_path)
    again = toy(tmp_path, resume=True)
    assert again.weights == first.weights
    assert (again.result.steps, again.result.reason) == (12, "finished")
    assert again.result.metrics == first.result.metrics


def test_more_steps_where_the_schedule_permits(toy: Any, tmp_path: Path) -> None:
    flat = {"lr": 0.01, "min_lr": 0.01, "warmup": 2}
    whole = toy(tmp_path / "whole", steps=12, **flat)
    toy(tmp_path / "short", steps=5, **flat)
    longer = toy(tmp_path / "short", steps=12, resume=True, **flat)
    assert longer.weights == whole.weights
    with pytest.raises(UserError, match=r"has done 12 steps already"):
        toy(tmp_path / "short", steps=6, resume=True, **flat)


def test_damaged_newest_checkpoint_falls_back(
    toy: Any, kill: Any, unbroken: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kill(tmp_path, 10, validate_every=5)
    older, newest = sorted((tmp_path / "checkpoints").glob("step-*.ckpt"))
    data = bytearray(newest.read_bytes())
    data[len(data) // 3] ^= 1  # one bit, inside a tensor or its description
    newest.write_bytes(data)
    assert toy(tmp_path, resume=True).weights == unbroken().weights
    told = capsys.readouterr().err
    assert f"{newest} is damaged" in told
    assert f"at step {int(older.stem[5:])} of 12" in told


def test_all_checkpoints_damaged(toy: Any, kill: Any, tmp_path: Path) -> None:
    kill(tmp_path, 10)
    for path in (tmp_path / "checkpoints").glob("*.ckpt"):
        path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"no checkpoint of .* can be read.*--overwrite"):
        toy(tmp_path, resume=True)


def rewrite(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    content = torch.load(path, weights_only=True)
    change(content)
    torch.save(content, path)


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.pop("global_step"),
        lambda content: content["callbacks"].pop("Meter"),
        lambda content: content["state_dict"].update({"model.0.bias": torch.zeros(9)}),
        lambda content: content["state_dict"].pop("model.0.bias"),
    ],
)
def test_a_checkpoint_with_wrong_content_is_passed_over(
    change: Callable[[dict[str, Any]], None], toy: Any, kill: Any, unbroken: Any, tmp_path: Path, capsys: Any
) -> None:
    kill(tmp_path, 10, validate_every=5)
    older, newest = sorted((tmp_path / "checkpoints").glob("step-*.ckpt"))
    rewrite(newest, change)
    assert toy(tmp_path, resume=True).weights == unbroken().weights
    told = capsys.readouterr().err
    assert re.search(rf"{newest} (is damaged|does not fit): .*; trying the one before", told)
    assert f"at step {int(older.stem[5:])} of 12" in told


def test_damaged_checkpoints_of_later_steps_do_not_displace_good_ones(toy: Any, kill: Any, tmp_path: Path) -> None:
    kill(tmp_path, 5, checkpoint_every=1, keep_checkpoints=3)
    for path in RunFolder(tmp_path).steps_saved()[:-1]:
        path.write_bytes(b"")
    good = tmp_path / "checkpoints" / "step-00000002.ckpt"
    kill(tmp_path, 3, resume=True, checkpoint_every=1, keep_checkpoints=1)
    assert not good.exists() or load_checkpoint(good)
    assert toy(tmp_path, resume=True, keep_checkpoints=2).result.steps == 12


def test_nothing_is_changed_where_no_checkpoint_can_be_read(toy: Any, kill: Any, tmp_path: Path) -> None:
    flat = {"lr": 0.01, "min_lr": 0.01, "warmup": 2}
    kill(tmp_path, 5, **flat)
    for path in (tmp_path / "checkpoints").glob("*.ckpt"):
        path.write_bytes(b"")
    before = contents(tmp_path)
    with pytest.raises(UserError, match="no checkpoint of"):
        toy(tmp_path, resume=True, **{**flat, "steps": 20})
    assert contents(tmp_path) == before


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_checkpoints_hold_no_code(toy: Any, tmp_path: Path) -> None:
    toy(tmp_path)
    for path in (tmp_path / "checkpoints").glob("*.ckpt"):
        assert torch.load(path, weights_only=True)["global_step"] > 0


def test_best_and_newest_are_kept(toy: Any, tmp_path: Path) -> None:
    result = toy(tmp_path, checkpoint_every=1, keep_checkpoints=3).result
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert names == ["best.ckpt", "step-00000010.ckpt", "step-00000011.ckpt", "step-00000012.ckpt"]
    valid = {int(row["step"]): float(row["valid_loss"]) for row in rows(tmp_path) if row["valid_loss"]}
    assert torch.load(result.best, weights_only=True)["global_step"] == min(valid, key=lambda step: valid[step])


def test_the_best_named_again_leaves_nothing_beside(toy: Any, tmp_path: Path) -> None:
    flat = {"min_lr": 1e-2, "lr": 1e-2, "warmup": 0, "checkpoint_every": 2, "validate_every": 2}
    first = toy(tmp_path, steps=4, **flat).result
    assert torch.load(first.best, weights_only=True)["global_step"] == 4  # so that going on names it again
    toy(tmp_path, resume=True, steps=6, **flat)
    assert not [path.name for path in (tmp_path / "checkpoints").iterdir() if path.suffix == ".tmp"]


def test_killed_between_a_checkpoint_and_its_name_as_the_best(
    toy: Any, unbroken: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    whole = unbroken()
    step = torch.load(whole.result.best, weights_only=True)["global_step"]

    def killed(keeper: Keeper, path: Path) -> None:
        if path == keeper.folder.checkpoint(step):
            raise RuntimeError("killed")
        copy_best(keeper, path)

    copy_best = Keeper._copy_best
    monkeypatch.setattr(Keeper, "_copy_best", killed)
    with pytest.raises(RuntimeError, match="killed"):
        toy(tmp_path)
    monkeypatch.undo()
    resumed = toy(tmp_path, resume=True)
    assert torch.load(resumed.result.best, weights_only=True)["global_step"] == step


@pytest.mark.parametrize("which", ["last", "best"])
def test_export(which: str, toy: Any, tmp_path: Path) -> None:
    result = toy(tmp_path, export=which).result
    weights = load_file(result.model / "model.safetensors")
    source = torch.load(result.best if which == "best" else result.checkpoint, weights_only=True)
    assert source["global_step"] == 12 or which == "best"
    assert {f"model.{name}" for name in weights} == set(source["state_dict"])
    assert all(torch.equal(value, source["state_dict"][f"model.{name}"]) for name, value in weights.items())


@pytest.mark.parametrize("options", [{"valid": 0}, {"validate_every": 0}, {"validate_every": 5}, {"steps": 3}])
def test_the_last_step_is_saved_and_validated(options: dict[str, Any], toy: Any, tmp_path: Path) -> None:
    run = toy(tmp_path, **options)
    last = run.config.steps
    assert run.result.checkpoint.name == f"step-{last:08d}.ckpt"
    validated = [int(row["step"]) for row in rows(tmp_path) if row.get("valid_loss")]
    every = run.config.validate_every or last
    assert validated == ([] if options.get("valid") == 0 else sorted({*range(every, last + 1, every), last}))


def test_lightning_callbacks_see_validation_metrics(toy: Any, tmp_path: Path) -> None:
    """EarlyStopping ends the run after the first validation without a gain of 100."""
    stopper = EarlyStopping("valid_loss", min_delta=100.0, patience=1)
    result = toy(tmp_path, callbacks=[stopper]).result
    assert (result.reason, result.steps) == ("early", 6)
    assert result.checkpoint.name == "step-00000006.ckpt"
