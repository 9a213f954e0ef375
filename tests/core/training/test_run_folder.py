"""The run folder: who may write, what may change on resume, what overwrite removes, full disks."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import re
import resource
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from seqsuite.errors import UserError
from seqsuite.reports.figures import read_metrics
from seqsuite.training import RunFolder, Task, TrainConfig
from seqsuite.training.checkpoint_io import ExactCheckpointIO, load_checkpoint, save_checkpoint
from seqsuite.training.configs import resume_conflicts
from seqsuite.training.metrics import MetricsFile, read_rows
from seqsuite.training.run_folder import write_json


def claim(path: Path, **options: Any) -> None:
    with RunFolder(path).claim(TrainConfig(**options)):
        pass


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


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
        with pytest.raises(UserError, match=r"holds no run, but config\.yaml"):
            claim(tmp_path, overwrite=overwrite)
    with pytest.raises(UserError, match="nothing was removed"):
        RunFolder(tmp_path).clear()
    assert (tmp_path / "metrics.csv").read_text() == "mine"


@pytest.mark.parametrize("name", ["summary.json", "model", "command.txt", "tensorboard"])
def test_each_name_a_run_writes_makes_a_folder_a_strangers(name: str, tmp_path: Path) -> None:
    (tmp_path / name).symlink_to("nowhere")
    with pytest.raises(UserError, match=f"holds no run, but {name}"):
        claim(tmp_path, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_trained_model_is_a_run_even_without_its_checkpoints(toy: Any, tmp_path: Path) -> None:
    toy(tmp_path, steps=1, valid=0)
    (tmp_path / "metrics.csv").unlink()
    shutil.rmtree(tmp_path / "checkpoints")
    with pytest.raises(UserError, match="already holds a run"):
        claim(tmp_path)


def test_further_parts_are_guarded_as_the_runs_own(toy: Any, tmp_path: Path) -> None:
    """Runs within a run: a stranger's are never touched, our own only where the options say so."""
    names, folder = ("runs", "table.csv"), RunFolder(tmp_path)
    folder.check_further(names, TrainConfig())
    (tmp_path / "runs" / "a").mkdir(parents=True)
    (tmp_path / "table.csv").write_text("1")
    (tmp_path / "notes.md").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(UserError, match="holds no run, but runs, which one would write"):
            folder.check_further(names, TrainConfig(overwrite=overwrite))
    toy(tmp_path, steps=1)
    with pytest.raises(UserError, match="already holds a run; add --resume or --overwrite"):
        folder.check_further(names, TrainConfig())
    for option in ("resume", "overwrite"):
        folder.check_further(names, TrainConfig(**{option: True}))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "linked").symlink_to(tmp_path / "elsewhere")
    folder.remove_further((*names, "linked", "never there"))
    assert {"notes.md", "elsewhere", "model"} < {path.name for path in tmp_path.iterdir()}
    assert not any(os.path.lexists(tmp_path / name) for name in (*names, "linked"))


def test_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert RunFolder("~/runs/a").path == tmp_path / "runs" / "a"


def test_inputs_are_compared_on_resume(toy: Any, kill: Any, unbroken: Any, tmp_path: Path) -> None:
    first, other = {"fasta": "a" * 64}, {"fasta": "b" * 64}
    kill(tmp_path, 5, inputs=first)
    before = contents(tmp_path)
    with pytest.raises(UserError, match=r"fasta has changed .*\(sha256 a+\.\.\. -> b+\.\.\.\); give the same file"):
        toy(tmp_path, resume=True, inputs=other)
    assert contents(tmp_path) == before
    assert json.loads((tmp_path / "inputs.json").read_text()) == first
    assert toy(tmp_path, resume=True, inputs=first).weights == unbroken().weights
    toy(tmp_path, overwrite=True, steps=1, inputs=other)
    assert json.loads((tmp_path / "inputs.json").read_text()) == other


@pytest.mark.parametrize("damage", [None, b"\xff", b"[]"])
def test_a_run_without_fingerprints_goes_on(damage: bytes | None, toy: Any, tmp_path: Path) -> None:
    toy(tmp_path, steps=1, valid=0)
    if damage is not None:
        (tmp_path / "inputs.json").write_bytes(damage)
    toy(tmp_path, steps=1, valid=0, resume=True, inputs={"fasta": "a"})
    assert json.loads((tmp_path / "inputs.json").read_text()) == {"fasta": "a"}


@pytest.mark.parametrize("options", [{"overwrite": True}, {"resume": True}])
def test_one_process_a_folder(options: dict[str, Any], toy: Any, tmp_path: Path) -> None:
    """Also while a child of the first one lives; and nothing is left of a lock after its holder was killed."""
    run = toy(tmp_path, steps=1)
    config = dataclasses.replace(run.config, **options)
    told, tell = os.pipe()
    holder = os.fork()
    if holder == 0:
        with RunFolder(tmp_path).claim(config):
            child = os.fork()
            if child:
                os.write(tell, str(child).encode())
            time.sleep(60)
        os._exit(0)
    child = int(os.read(told, 20))
    before = contents(tmp_path)
    with pytest.raises(UserError, match=rf"is in use by another process \(pid {holder}\); wait for it or choose"):
        toy(tmp_path, steps=1, **options)
    assert contents(tmp_path) == before
    os.kill(holder, signal.SIGKILL)
    os.waitpid(holder, 0)
    toy(tmp_path, steps=1, **options)
    os.kill(child, signal.SIGKILL)


def test_other_ranks_do_not_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    claim(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_json_of_a_run_has_no_bare_nan(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"a": [float("nan"), (1.5, float("-inf"))], "path": Path("b")})
    assert json.loads((tmp_path / "x.json").read_text(), parse_constant=pytest.fail) == {
        "a": [None, [1.5, None]], "path": "b",
    }  # fmt: skip


def test_damaged_small_files_do_not_stop_a_resumed_run(toy: Any, kill: Any, unbroken: Any, tmp_path: Path) -> None:
    kill(tmp_path, 5)
    (tmp_path / "environment.json").write_text('["mine"]')
    (tmp_path / "command.txt").write_bytes(b"\xff\xfe\n")
    aside = tmp_path / ".model.1.tmp"
    aside.mkdir()
    (aside / "half").write_text("")
    assert toy(tmp_path, resume=True).weights == unbroken().weights
    assert len(json.loads((tmp_path / "environment.json").read_text())["starts"]) == 1
    assert (tmp_path / "command.txt").read_text().count("\n") == 2
    assert not aside.exists()


def test_a_damaged_config_is_told(toy: Any, tmp_path: Path) -> None:
    toy(tmp_path, steps=1)
    with open(tmp_path / "config.yaml", "ab") as file:
        file.write(b"\xff")
    with pytest.raises(UserError, match=r"cannot read .*config.yaml"):
        claim(tmp_path, resume=True)


@pytest.mark.parametrize(
    ("data", "kept"),
    [
        (b"step,train_loss\n2,1.5\n3,\xff\n4,2.5\n9,1\n", [2, 4]),
        (b"step,train_loss\n2,1.5\n4,2.5,7,8\n", [2]),
        (b"step,train_loss,\xff\n2,1.5,1\n4,2.5,\n", [2, 4]),
        (b"train_loss\n1.5\n", []),
        (b"\xff\xfe\n", []),
        (b"step,train_loss\n2," + b"1" * 200_000 + b"\n", []),
    ],
)
def test_a_damaged_metrics_file_is_put_aside(data: bytes, kept: list[int], tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_bytes(data)
    file = MetricsFile(path, keep=5)
    file.add(6, {"train_loss": 1.0})
    file.flush()
    assert file.damaged == tmp_path / "metrics.damaged.csv"
    assert file.damaged.read_bytes() == data
    assert [int(row["step"]) for row in read_rows(path)] == [*kept, 6]
    assert read_metrics(tmp_path)["train_loss"][0][-1] == 6


def test_a_run_says_that_its_metrics_were_damaged(toy: Any, kill: Any, tmp_path: Path, capsys: Any) -> None:
    kill(tmp_path, 5)
    with open(tmp_path / "metrics.csv", "ab") as file:
        file.write(b"\xff\n")
    toy(tmp_path, resume=True)
    assert "metrics.csv is damaged; it lies in metrics.damaged.csv" in capsys.readouterr().err
    toy(tmp_path, overwrite=True, steps=1)
    assert not (tmp_path / "metrics.damaged.csv").exists()


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file"):
        claim(tmp_path / "file")


def test_resume_without_a_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no run to resume"):
        claim(tmp_path, resume=True)


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
    ("options", "told"),
    [
        ({"steps": 0}, "--steps is 0; it must be at least 1"),
        ({"steps": None}, "--steps has no value"),
        ({"steps": 2.5}, "--steps is 2.5; it must be a whole number"),
        ({"out": None}, "--out has no value"),
        ({"out": ""}, "--out is empty"),
        ({"warmup": -1}, "--warmup is -1; it must be at least 0"),
        ({"warmup": 2.5}, "--warmup is 2.5"),
        ({"lr": -1}, "--lr is -1"),
        ({"lr": float("nan")}, "--lr is nan; it must be a number"),
        ({"lr": "x"}, "--lr is x; it must be a number"),
        ({"seed": -1}, "--seed is -1"),
        ({"betas": (0.9, 1.0)}, "--betas is"),
        ({"betas": (0.9,)}, "--betas is"),
        ({"betas": 0.9}, "--betas is"),
        ({"threads": 10**6}, "--threads is 1000000; this machine has"),
        ({"precision": "16"}, "--precision '16'"),
        ({"resume": True, "overwrite": True}, "--resume and --overwrite exclude each other"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=re.escape(told)):
        TrainConfig(**options)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        *(({name: "foo"}, f"cannot train with .*--{name} foo") for name in ("accelerator", "strategy", "devices")),
        ({"accelerator": "tpu"}, "cannot train with --accelerator tpu"),
        ({"num_nodes": 2}, "--num_nodes 2 needs a start on each machine: torchrun"),
        ({"accumulate": 3}, r"--batch_size 4 must be a multiple of 3"),
        ({"make": lambda config: Task(nn.Identity(), config), "strategy": "foo"}, "cannot train"),
        ({"make": lambda config: Task(nn.Linear(1, 1).requires_grad_(False), config)}, "no trainable parameters"),
    ],
)
def test_a_bad_option_costs_no_finished_run(options: dict[str, Any], told: str, toy: Any, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(UserError, match=told):
        toy(run, **options)
    assert not run.exists()
    run.mkdir()
    (run / "config.yaml").write_text("# A SeqSuite run.\n")
    (run / "metrics.csv").write_text("step\n")
    before = contents(run)
    with pytest.raises(UserError, match=told):
        toy(run, overwrite=True, **options)
    assert contents(run) == before


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
