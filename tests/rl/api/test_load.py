"""`seqrl.load`: what a folder holds, last and best told apart, and one line where it is not a policy."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

import seqrl
import seqsuite
from seqsuite.errors import UserError

MakeRun = Callable[..., Path]


def test_a_run_shows_what_it_is(make_run: MakeRun) -> None:
    run = make_run("CartPole-v1", reference={"minimum": 20.0, "maximum": 500.0, "source": "two policies"})
    policy = seqrl.load(run)
    table = policy.table()
    assert table["policy"] == "DecisionTransformer"
    assert table["environment"] == "CartPole-v1"
    assert table["observations"] == "Box(4,) float32"
    assert table["actions"] == "Discrete(2)"
    assert table["weights"] == "last"
    assert "two policies" in table["score 0 and 100"]
    assert "CartPole-v1" in repr(policy)
    assert "CartPole-v1" in policy._repr_html_()
    assert policy.figure() is None


def test_the_figure_is_the_returns_of_the_run(make_run: MakeRun) -> None:
    run = make_run("CartPole-v1")
    (run / "metrics.csv").write_text("step,train_loss\n10,0.7\n20,0.5\n")
    figure: Any = seqrl.load(run).figure()
    assert figure.axes[0].get_lines()[0].get_ydata().tolist() == [0.7, 0.5]
    (run / "evaluations.csv").write_text(
        "step,target,return_mean\n10,500.0,30\n10,100.0,20\n20,500.0,60\n20,100.0,25\n"
    )
    figure = seqrl.load(run).figure()
    drawn = {line.get_label(): line.get_ydata().tolist() for line in figure.axes[0].get_lines()}
    assert drawn == {"target 500.0": [30.0, 60.0], "target 100.0": [20.0, 25.0]}


def test_an_agent_plays(make_run: MakeRun) -> None:
    agent = seqrl.load(make_run("CartPole-v1")).agent(temperature=0.5)
    agent.reset(target_return=20)
    assert agent.act(np.zeros(4, np.float32)) in (0, 1)
    agent.observe(1.0)


def test_a_policy_of_delayed_rewards_keeps_its_target(make_run: MakeRun) -> None:
    run = make_run("CartPole-v1")
    (run / "config.yaml").write_text(yaml.safe_dump({"source": "data", "delayed": True}))
    agent: Any = seqrl.load(run).agent()
    assert agent.delayed
    agent = seqrl.load(run).agent(delayed=False)
    assert not agent.delayed


def test_last_and_best_weights_are_told_apart(make_run: MakeRun) -> None:
    run, other, third = (make_run("CartPole-v1", seed=seed) for seed in range(3))

    def first(policy: Any) -> torch.Tensor:
        return policy.model.heads.action.weight

    last, played, scored = (first(seqrl.load(folder)) for folder in (run, other, third))
    with pytest.raises(UserError, match="kept no best weights"):
        seqrl.load(run, checkpoint="best")
    state = {f"{name}.{key}": value for name in ("model", "policy")
             for key, value in seqrl.load(third).model.state_dict().items()}  # fmt: skip
    torch.save({"state_dict": state}, run / "checkpoints" / "best.ckpt")
    found = seqrl.load(run, checkpoint="best")
    assert torch.equal(first(found), scored)
    assert found.weights == "best (validation loss)"
    shutil.copytree(other / "model", run / "best")
    found = seqrl.load(run, checkpoint="best")
    assert torch.equal(first(found), played)
    assert found.weights == "best (return during training)"
    assert torch.equal(first(seqrl.load(run)), last)
    with pytest.raises(UserError, match="one set of weights"):
        seqrl.load(run / "model", checkpoint="best")


def test_what_is_no_policy_is_told_in_one_line(make_run: MakeRun, tmp_path: Path) -> None:
    (tmp_path / "half" / "checkpoints").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    seqsuite.create_model("mamba_lm_debug").save_pretrained(tmp_path / "lm")
    for name, match in (
        ("nothing", "there is no such folder"),
        ("file", "is a file"),
        ("empty", "holds no model; give a run folder"),
        ("half", "its run is not complete"),
        ("lm", "holds a MambaLM|holds a .*which is no policy"),
    ):
        with pytest.raises(UserError, match=match) as told:
            seqrl.load(tmp_path / name)
        assert "\n" not in str(told.value)
    run = make_run("CartPole-v1")
    for damaged, content in (("config.yaml", "a: [1"), ("summary.json", "{"), ("model/config.json", "{")):
        kept = (run / damaged).read_text()
        (run / damaged).write_text(content)
        with pytest.raises(UserError, match=damaged.rpartition("/")[2]):
            seqrl.load(run)
        (run / damaged).write_text(kept)
    with pytest.raises(UserError, match="only a TrajectoryTransformer plans"):
        seqrl.load(run).plan(np.zeros(4))
