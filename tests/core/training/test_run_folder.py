"""The run folder: who may write, what may change on resume, what overwrite removes, full disks."""

from __future__ import annotations

import csv
import json
import os
import re
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st

from seqsuite.errors import UserError
from seqsuite.training import RunFolder, TrainConfig
from seqsuite.training.checkpoint_io import ExactCheckpointIO, load_checkpoint, save_checkpoint
from seqsuite.training.configs import resume_conflicts
from seqsuite.training.metrics import MetricsFile, read_rows


def test_what_a_run_leaves(toy: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = toy(tmp_path, report=True).result
    out, told = capsys.readouterr()
    assert out == ""
    lines = r"step 12/12  loss [\d.]+  place [\d.]+  [\d.]+[kM]? tok/s  eta 0:00\nstep 12/12  validation: loss "
    assert re.search(lines, told)
    assert "valid_loss" in (tmp_path / "report.html").read_text()
    options = yaml.safe_load((tmp_path / "config.yaml").read_text())
    assert options["steps"] == result.steps == 12
    assert "resume" not in options
    starts = json.loads((tmp_path / "environment.json").read_text())["starts"]
    assert [start["start_step"] for start in starts] == [0]
    assert {"torch", "lightning", "seqsuite"} <= starts[0]["versions"].keys()
    assert (tmp_path / "command.txt").read_text().count("\n") == 1
    assert list((tmp_path / "tensorboard").glob("events.out.tfevents.*"))
    assert (tmp_path / "model" / "model.safetensors").exists()
    assert not list(tmp_path.rglob("*.tmp"))
    assert "<table>" in result._repr_html_()


def test_a_run_is_not_written_over(toy: Any, tmp_path: Path) -> None:
    toy(tmp_path, steps=2)
    with pytest.raises(UserError, match=r"already holds a run; add --resume or --overwrite"):
        toy(tmp_path, steps=2)


def test_overwrite_replaces_the_run_and_nothing_else(toy: Any, tmp_path: Path) -> None:
    first = toy(tmp_path, steps=3)
    (tmp_path / "notes.md").write_text("mine")
    second = toy(tmp_path, steps=2, overwrite=True)
    assert (tmp_path / "notes.md").read_text() == "mine"
    assert second.result.steps == 2 < first.result.steps
    assert [path.name for path in RunFolder(tmp_path).steps_saved()] == ["step-00000002.ckpt"]
    assert max(int(row["step"]) for row in read_rows(tmp_path / "metrics.csv")) == 2


def test_a_strangers_folder_is_safe(tmp_path: Path) -> None:
    """A folder with files that a run would write over, but without a run, is refused in any case."""
    (tmp_path / "metrics.csv").write_text("mine")
    (tmp_path / "config.yaml").write_text("mine: 1\n")
    for overwrite in (False, True):
        with pytest.raises(UserError, match="would write over"):
            RunFolder.claim(TrainConfig(out=str(tmp_path), overwrite=overwrite))
    with pytest.raises(UserError, match="nothing was removed"):
        RunFolder(tmp_path).clear()
    assert (tmp_path / "metrics.csv").read_text() == "mine"


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file"):
        RunFolder.claim(TrainConfig(out=str(tmp_path / "file")))


def test_resume_without_a_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no run to resume"):
        RunFolder.claim(TrainConfig(out=str(tmp_path), resume=True))


@pytest.mark.parametrize(
    ("change", "told"),
    [({"lr": 0.02}, r"lr: 0\.01 -> 0\.02"), ({"seed": 3}, "seed: 0 -> 3"), ({"batch_size": 8}, "batch_size: 4 -> 8"),
     ({"steps": 20}, r"steps: 12 -> 20 \(the learning rate's schedule depends on it\)")],
)  # fmt: skip
def test_resume_with_another_config(change: dict[str, Any], told: str, toy: Any, kill: Any, tmp_path: Path) -> None:
    kill(tmp_path, 5)
    with pytest.raises(UserError, match=told):
        toy(tmp_path, resume=True, **change)


def test_machine_options_may_change_and_say_so(toy: Any, kill: Any, tmp_path: Path, capsys: Any) -> None:
    kill(tmp_path, 5)
    toy(tmp_path, resume=True, threads=2)
    assert "not bit for bit: threads: 1 -> 2" in capsys.readouterr().err


def test_an_option_that_a_newer_version_added_is_no_conflict() -> None:
    old = {name: value for name, value in TrainConfig().to_dict().items() if name != "clip"}
    assert resume_conflicts(old, TrainConfig()) == ([], [])
    assert resume_conflicts(old, TrainConfig(clip=3.0)) == (["clip: not set -> 3.0"], [])


def test_nested_options_are_named_in_full() -> None:
    old = {**TrainConfig().to_dict(), "model": {"d_model": 64, "n_layer": 2}}
    conflicts, _ = resume_conflicts({**old, "model": {"d_model": 32}}, TrainConfig())
    assert "model.d_model: 32 -> not set" in conflicts


@pytest.mark.parametrize(
    "options",
    [
        {"steps": 0},
        {"warmup": -1},
        {"warmup": 2.5},
        {"lr": -1},
        {"precision": "16"},
        {"resume": True, "overwrite": True},
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        TrainConfig(**options)


@pytest.mark.parametrize("options", [{"accelerator": "foo"}, {"strategy": "foo"}, {"devices": "x"}])
def test_machines_that_are_not_here(options: dict[str, Any], toy: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"cannot train on .*{next(iter(options.values()))}"):
        toy(tmp_path, **options)
    toy(tmp_path, steps=1)  # the failed attempt holds nothing that would have to be overwritten


def test_batch_that_does_not_divide(toy: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"batch_size 4 must be a multiple of 3"):
        toy(tmp_path, accumulate=3)


@pytest.fixture
def small_disk() -> Iterator[None]:
    """The system refuses bytes beyond 100 kB in the middle of a file, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_the_last_good_checkpoint(small_disk: None, tmp_path: Path) -> None:
    def state(step: int, size: int) -> dict[str, Any]:
        return {"state_dict": {"w": torch.full((size,), float(step))}, "global_step": step}

    writer = ExactCheckpointIO()
    good = tmp_path / "step-00000001.ckpt"
    writer.save_checkpoint(state(1, 1000), good)
    for path in (tmp_path / "step-00000002.ckpt", good):
        with pytest.raises(UserError, match="File too large") as caught:
            writer.save_checkpoint(state(2, 10**6), path)
        assert str(caught.value).startswith(f"cannot write {path}: ")
        assert f"the last good checkpoint is {good}" in str(caught.value)
        assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == [good]
    assert load_checkpoint(good)["global_step"] == 1


def test_a_full_disk_ends_a_run_with_one_line(
    toy: Any, unbroken: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fsync

    def full(descriptor: int) -> None:
        if os.readlink(f"/proc/self/fd/{descriptor}").find("step-00000008") >= 0:
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"cannot write .*step-00000008.ckpt: No space left .* last good .*00000006"):
        toy(tmp_path)
    monkeypatch.undo()
    assert toy(tmp_path, resume=True).weights == unbroken().weights


def test_a_checkpoint_survives_whatever_happens_during_the_next(tmp_path: Path) -> None:
    path = tmp_path / "step-00000001.ckpt"
    save_checkpoint({"state_dict": {}, "global_step": 1}, path)
    with pytest.raises(Exception, match="pickle"):
        save_checkpoint({"state_dict": {}, "bad": lambda: None}, path)
    assert load_checkpoint(path)["global_step"] == 1
    assert list(tmp_path.iterdir()) == [path]


@given(cut=st.floats(0, 0.999), flip=st.booleans())
def test_damage_is_always_noticed(cut: float, flip: bool, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("damage") / "step-00000001.ckpt"
    save_checkpoint({"state_dict": {"w": torch.arange(200)}, "global_step": 1}, path)
    data = path.read_bytes()
    path.write_bytes(data[: int(cut * len(data))])
    with pytest.raises(UserError, match="is damaged or no checkpoint"):
        load_checkpoint(path)
    assert ExactCheckpointIO((path, {"global_step": 7})).load_checkpoint(str(path)) == {"global_step": 7}


steps = st.lists(st.integers(1, 50), unique=True, max_size=20).map(sorted)


@given(done=steps, keep=st.integers(0, 60), torn=st.sampled_from(["", "7", "99,0.5,", '12,"']))
def test_metrics_file_has_no_row_twice(
    done: list[int], keep: int, torn: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("metrics") / "metrics.csv"
    file = MetricsFile(path)
    for step in done:
        file.add(step, {"train_loss": step / 7})
        if step % 3 == 0:
            file.add(step, {"valid_loss": 1.0})
    file.flush()
    with open(path, "a") as end:
        end.write(torn)
    again = MetricsFile(path, keep=keep)
    for step in [step for step in done if step > keep] + [100]:
        again.add(step, {"train_loss": step / 7, "new, column": 1.0})
    again.flush()
    with open(path, newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [int(row["step"]) for row in rows] == [step for step in done if step <= keep] + [
        step for step in done if step > keep
    ] + [100]
    assert all(float(row["train_loss"]) == pytest.approx(int(row["step"]) / 7) for row in rows)


def test_metrics_file_on_a_full_disk(tmp_path: Path) -> None:
    file = MetricsFile(tmp_path / "metrics.csv")
    file.add(1, {"step": 1})
    file.path = Path("/dev/full")
    with pytest.raises(UserError, match="cannot write /dev/full: No space left on device"):
        file.flush()
