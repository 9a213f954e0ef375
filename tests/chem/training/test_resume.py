"""A run that is killed in the middle and resumed ends with the bits of one that was not, with any number of workers."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from seqchem.training import finetune, pretrain
from seqchem.training.task import RTTask
from seqsuite.errors import UserError
from seqsuite.training.checkpoint_io import load_checkpoint

_KILLED = """
import json, os, signal, sys
from seqchem.configs.finetune import RTFinetuneConfig
from seqchem.training import finetune
from seqchem.training.task import RTTask

def die(self, optimizer):
    if self.trainer.global_step == 5:
        os.kill(os.getpid(), signal.SIGKILL)

RTTask.on_before_optimizer_step = die
finetune(RTFinetuneConfig(**json.loads(sys.argv[1])))
"""
KINDS: dict[str, dict[str, Any]] = {
    "both": {"mask_whole": 0.3, "leading": 0.5},
    "augmented": {"augment": 0.5, "accumulate": 2, "reduction": "masked"},
    "other_mixer": {"model_options": {"d_model": 16, "n_layer": 1, "d_inner": 32, "mixer": "mamba"}},
    "generation": {"task": "generation", "sc_weight": 0.0, "bucket": 1},
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


def killed_at(monkeypatch: pytest.MonkeyPatch, step: int, run: Any) -> None:
    def die(self: RTTask, *_: Any) -> None:
        if self.trainer.global_step == step:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(RTTask, "on_before_optimizer_step", die)
        with pytest.raises(Killed):
            run()


def test_a_killed_process_with_workers(options, tmp_path):
    finetune(options("whole"))
    told = json.dumps({**dataclasses.asdict(options("killed", workers=2)), "resume": False})
    done = subprocess.run([sys.executable, "-c", _KILLED, told], capture_output=True, text=True)
    assert done.returncode == -9, done.stderr
    assert not (tmp_path / "killed" / "model").exists()
    finetune(options("killed", workers=2, resume=True))
    assert_same(final(tmp_path / "whole"), final(tmp_path / "killed"))
    for name in ("model/model.safetensors", "model/config.json", "parts.csv", "predictions.csv", "calibration.json"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "killed" / name).read_bytes(), name
    summaries = [json.loads((tmp_path / name / "summary.json").read_text()) for name in ("whole", "killed")]
    for name in ("scores", "data", "parameters"):
        assert summaries[0][name] == summaries[1][name]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_goes_on_exactly(options, tmp_path, monkeypatch, kind):
    finetune(options("whole", **KINDS[kind]))
    killed_at(monkeypatch, 3, lambda: finetune(options("killed", **KINDS[kind])))
    finetune(options("killed", **KINDS[kind], resume=True))
    assert_same(final(tmp_path / "whole"), final(tmp_path / "killed"))


def test_pretraining_goes_on_exactly(pretraining, tmp_path, monkeypatch):
    pretrain(pretraining("whole", properties=("weight",)))
    killed_at(monkeypatch, 3, lambda: pretrain(pretraining("killed", properties=("weight",))))
    pretrain(pretraining("killed", properties=("weight",), resume=True, workers=1))
    assert_same(final(tmp_path / "whole", 4), final(tmp_path / "killed", 4))


def test_other_data_or_another_start_is_refused_on_resume(options, pretraining, molecule_table, tmp_path):
    pretrain(pretraining("one"))
    pretrain(pretraining("two", seed=1))
    finetune(options("run", start=str(tmp_path / "one"), model_options={}, steps=2))
    with pytest.raises(UserError, match="start has changed"):
        finetune(options("run", start=str(tmp_path / "two"), model_options={}, steps=2, resume=True))
    with pytest.raises(UserError, match="decimals: 3 -> 2"):
        finetune(options("run", start=str(tmp_path / "one"), model_options={}, steps=2, resume=True, decimals=2))
    text = molecule_table.read_text().replace("m3\n", "m3b\n")
    molecule_table.write_text(text)
    with pytest.raises(UserError, match="data has changed"):
        finetune(options("run", start=str(tmp_path / "one"), model_options={}, steps=2, resume=True))
