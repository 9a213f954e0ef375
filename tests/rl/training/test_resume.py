"""A run that is killed in the middle and resumed ends with the bits of one that was not, evaluations included."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from seqrl.training import train
from seqrl.training.playing import Playing
from seqrl.training.task import RLTask
from seqsuite.training.checkpoint_io import load_checkpoint

_KILLED = """
import json, os, signal, sys
from seqrl.configs.train import PolicyTrainConfig
from seqrl.training import train
from seqrl.training.playing import Playing

def die(self, trainer, *rest):
    if trainer.global_step == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    before(self, trainer, *rest)

before, Playing.on_train_batch_end = Playing.on_train_batch_end, die
train(PolicyTrainConfig(**json.loads(sys.argv[1])))
"""
FAMILIES: dict[str, dict[str, Any]] = {
    "decision_transformer": {"model": "decision_transformer_debug", "model_options": {"mixer": "attention, mamba"}},
    "multi_objective": {"state_loss": 0.5, "return_loss": 0.5, "delayed": True, "top_fraction": 0.5},
    "behavior_cloning": {"model": "behavior_cloning_debug", "windows": "inside", "workers": 1},
    "rate": {"model": "rate_debug", "segments": 2},
    "trajectory_transformer": {"model": "trajectory_transformer_debug", "warmup": 2.0, "accumulate": 2},
}


class Killed(BaseException):
    """Stands for the power going off: nothing may be saved on its way."""


def final(folder: Path, step: int = 6) -> dict[str, Any]:
    loaded = load_checkpoint(folder / "checkpoints" / f"step-{step:08d}.ckpt")
    return {"weights": loaded["state_dict"], "optimizer": loaded["optimizer_states"][0]["state"]}


def assert_same(one: Any, other: Any) -> None:
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    else:
        assert one == other


def test_a_killed_process_with_evaluations(options, tmp_path):
    playing = {"eval_every": 2, "eval_episodes": 2, "targets": (40.0, 10.0)}
    train(options("whole", **playing))
    told = json.dumps({**dataclasses.asdict(options("killed", **playing)), "resume": False})
    done = subprocess.run([sys.executable, "-c", _KILLED, told], capture_output=True, text=True)
    assert done.returncode == -9, done.stderr
    assert not (tmp_path / "killed" / "model").exists()
    train(options("killed", **playing, resume=True))
    assert_same(final(tmp_path / "whole"), final(tmp_path / "killed"))
    for name in ("model/model.safetensors", "model/config.json", "best/model.safetensors", "evaluations.csv"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "killed" / name).read_bytes(), name
    summaries = [json.loads((tmp_path / name / "summary.json").read_text()) for name in ("whole", "killed")]
    for name in ("last", "data", "parameters"):
        assert summaries[0][name] == summaries[1][name]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_goes_on_exactly(options, tmp_path, monkeypatch, family):
    more = FAMILIES[family]
    train(options("whole", **more))
    before = RLTask.on_before_optimizer_step

    def die(self: RLTask, *rest: Any) -> None:
        if self.trainer.global_step == 3:
            raise Killed
        before(self, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(RLTask, "on_before_optimizer_step", die)
        with pytest.raises(Killed):
            train(options("killed", **more))
    assert not (tmp_path / "killed" / "model").exists()
    train(options("killed", **more, resume=True))
    assert_same(final(tmp_path / "whole"), final(tmp_path / "killed"))


def test_evaluations_leave_the_run_as_it_is(options, tmp_path, monkeypatch):
    """An evaluation draws, and takes the model out of training mode; nothing of it may stay."""
    plain = train(options("plain"))
    draws = Playing._evaluate

    def greedy(self: Playing, task: Any, step: int) -> None:
        draws(self, task, step)
        assert task.model.training

    monkeypatch.setattr(Playing, "_evaluate", greedy)
    played = train(options("played", eval_every=1, eval_episodes=2, targets=(100.0, 20.0)))
    assert_same(final(plain.fit.folder), final(played.fit.folder))
    assert len(played.played) == 12


def test_what_was_played_belongs_to_its_run(options, tmp_path):
    playing = {"eval_every": 2, "eval_episodes": 2, "targets": (40.0,)}
    first = train(options(steps=4, warmup=1.0, **playing))
    assert [row.step for row in first.played] == [2, 4]
    silent = train(options(steps=6, warmup=1.0, resume=True))
    assert silent.played == first.played
    assert (tmp_path / "run" / "evaluations.csv").is_file()
    assert train(options(steps=2, overwrite=True)).played == ()
    assert not (tmp_path / "run" / "best").exists()
    assert not (tmp_path / "run" / "evaluations.csv").exists()


def test_other_data_is_refused_on_resume(options, cartpole, tmp_path):
    import numpy as np

    from seqsuite.errors import UserError

    path = tmp_path / cartpole.name
    path.write_bytes(cartpole.read_bytes())
    train(options(source=str(path), steps=2))
    arrays = dict(np.load(path))
    arrays["obs"][0] += 1
    np.savez(path, **arrays)
    with pytest.raises(UserError, match="data has changed"):
        train(options(source=str(path), steps=2, resume=True))
