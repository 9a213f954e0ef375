"""A run that is killed in the middle and resumed ends with the bits of one that was not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from seqsuite.training.checkpoint_io import load_checkpoint
from seqvision.configs.train import VisionTrainConfig
from seqvision.training import train
from seqvision.training.task import Averaging

EVERYTHING: dict[str, Any] = {
    "aa": "rand-m5-mstd0.5",
    "color_jitter": 0.3,
    "reprob": 0.5,
    "mixup": 0.4,
    "cutmix": 1.0,
    "mixup_off": 0.2,
    "ema": True,
    "ema_decay": 0.9,
    "model_options": {"drop_path_rate": 0.2},
    "layer_decay": 0.8,
}
_KILLED = """
import json, os, signal, sys
from seqvision.configs.train import VisionTrainConfig
from seqvision.training import train
from seqvision.training.task import Averaging

def die(self, trainer, *rest):
    if trainer.global_step == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    before(self, trainer, *rest)

before, Averaging.on_train_batch_end = Averaging.on_train_batch_end, die
train(VisionTrainConfig(**json.loads(sys.argv[1])))
"""


class Killed(BaseException):
    """Stands for the power going off: nothing may be saved on its way."""


def options(out: Path, **more: Any) -> dict[str, Any]:
    plain = {"model": "test_resnet", "hflip": 0.0, "steps": 8, "batch_size": 8, "checkpoint_every": 2, "threads": 1}
    return {"source": "digits", "validate_every": 4, "log_every": 1, "out": str(out), **plain, **more}


def final(folder: Path) -> dict[str, Any]:
    """Return weights, averaged weights and the optimiser's state at the end."""
    loaded = load_checkpoint(folder / "checkpoints" / "step-00000008.ckpt")
    return {"weights": loaded["state_dict"], "optimizer": loaded["optimizer_states"][0]["state"]}


def assert_same(one: Any, other: Any) -> None:
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other)
        for pair in zip(one, other, strict=True):
            assert_same(*pair)
    else:
        assert one == other


def stop_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    before = Averaging.on_train_batch_end

    def die(self: Averaging, trainer: Any, *rest: Any) -> None:
        if trainer.global_step == step:
            raise Killed
        before(self, trainer, *rest)

    monkeypatch.setattr(Averaging, "on_train_batch_end", die)


def test_a_killed_process_with_everything_that_is_random(tmp_path):
    train(VisionTrainConfig(**options(tmp_path / "whole", **EVERYTHING)))
    told = json.dumps(options(tmp_path / "killed", **EVERYTHING))
    done = subprocess.run([sys.executable, "-c", _KILLED, told], capture_output=True, text=True)
    assert done.returncode == -9, done.stderr
    assert not (tmp_path / "killed" / "model").exists()
    train(VisionTrainConfig(**options(tmp_path / "killed", **EVERYTHING), resume=True))
    whole = final(tmp_path / "whole")
    assert any(name.startswith("ema.module.") for name in whole["weights"])
    assert_same(whole, final(tmp_path / "killed"))
    names = ("model/model.safetensors", "model/config.json")
    for name in names:
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "killed" / name).read_bytes()
    tests = [json.loads((tmp_path / name / "summary.json").read_text())["test"] for name in ("whole", "killed")]
    assert tests[0]["confusion"] == tests[1]["confusion"]


@pytest.mark.parametrize(
    "more",
    [
        {"opt": "sgd", "sched": "step", "sched_options": {"decay_epochs": 3}, "lr": 0.05},
        {"opt": "lamb", "sched": "wsd"},
        {"opt": "lion", "sched": "tanh", "mixup": 0.5, "mixup_mode": "elem"},
        {"opt": "adafactor", "sched": "poly", "cutmix": 0.5, "mixup_mode": "pair"},
        {"opt": "radam", "sched": "rsqrt", "warmup": 2.0},
        {"opt": "adamw", "sched": "none", "accumulate": 2, "ema": True},
        {"opt": "nadamw", "sched": "cosine", "sched_options": {"noise": [0.2, 0.9]}, "workers": 1},
    ],
    ids=lambda more: "-".join((more["opt"], more["sched"])),
)
def test_optimisers_and_schedules(tmp_path, monkeypatch, more):
    train(VisionTrainConfig(**options(tmp_path / "whole", **more)))
    with monkeypatch.context() as patch:
        stop_at(patch, 5)
        with pytest.raises(Killed):
            train(VisionTrainConfig(**options(tmp_path / "killed", **more)))
    train(VisionTrainConfig(**options(tmp_path / "killed", **more), resume=True))
    assert_same(final(tmp_path / "whole"), final(tmp_path / "killed"))


@pytest.mark.parametrize("model", ["test_mamba_nd", "test_simba_einfft"])
def test_our_models(tmp_path, monkeypatch, model):
    more = {"model": model, "img_size": 32, "mixup": 0.5, "ema": True, "batch_size": 4}
    train(VisionTrainConfig(**options(tmp_path / "whole", **more)))
    with monkeypatch.context() as patch:
        stop_at(patch, 5)
        with pytest.raises(Killed):
            train(VisionTrainConfig(**options(tmp_path / "killed", **more)))
    train(VisionTrainConfig(**options(tmp_path / "killed", **more), resume=True))
    assert_same(final(tmp_path / "whole"), final(tmp_path / "killed"))
