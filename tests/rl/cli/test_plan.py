"""`seqrl plan` on the terminal: one decision, several steps, and bad input in one line with exit code 2."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import seqsuite
from seqrl.cli import main
from seqrl.data.discretizers import fit_discretizer
from seqrl.environments import make_environment
from seqrl.spaces import space_to_json

SMALL = ["--horizon", "3", "--beam_width", "4", "--max_context", "3", "--threads", "1"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    environment = make_environment("Pendulum-v1")
    torch.manual_seed(0)
    model = seqsuite.create_model(
        "trajectory_transformer_debug",
        discretizer=fit_discretizer(np.random.default_rng(0).normal(size=(300, 6)), 12).to_dict(),
        env_id="Pendulum-v1",
        observation_space=space_to_json(environment.observation_space),
        action_space=space_to_json(environment.action_space),
    )
    path = tmp_path_factory.mktemp("plan") / "model"
    model.save_pretrained(path)
    return path


def test_a_decision_from_an_observation(folder, capsys):
    assert main(["plan", str(folder), "--observation", "0.5,-0.1,0.3", "--json", *SMALL]) == 0
    found = json.loads(capsys.readouterr().out)
    decision = found["decisions"][0]
    assert np.shape(decision["plan"]["observations"]) == (3, 3)
    assert decision["action"] == pytest.approx(decision["plan"]["actions"][0])
    assert decision["seconds"] > 0
    assert found["plan"]["beam_width"] == 4
    assert main(["plan", str(folder), "--observation", "0.5,-0.1,0.3", "--time", *SMALL]) == 0
    told = capsys.readouterr().out
    assert "s per action" in told
    assert f"value {decision['value']:.5g}, " in told


def test_engines_plan_the_same_while_nothing_is_cropped(folder, capsys):
    plans = []
    for engine in ("cached", "plain", "sliding"):
        assert main(["plan", str(folder), "--observation=0.5,-0.1,0.3", "--engine", engine, "--json", *SMALL]) == 0
        plans.append(json.loads(capsys.readouterr().out)["decisions"][0]["plan"])
    assert plans[0] == plans[1] == plans[2]


def test_steps_in_the_environment_of_the_checkpoint(folder, capsys):
    assert main(["plan", str(folder), "--steps", "4", "--clip", "--json", "--seed", "3", *SMALL]) == 0
    found = json.loads(capsys.readouterr().out)["decisions"]
    assert len(found) == 4
    assert all(decision["reward"] <= 0 for decision in found)
    assert main(["plan", str(folder), "--clip", "--json", "--seed", "3", *SMALL]) == 0
    assert json.loads(capsys.readouterr().out)["decisions"][0]["action"] == found[0]["action"]
    assert main(["plan", str(folder), "--steps", "4", "--clip", *SMALL]) == 0
    assert "4 actions, median" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--horizon", "0"], "--horizon is 0; it must be at least 1"),
        (["--beam_width", "-1"], "--beam_width is -1"),
        (["--cdf_act", "1.5"], "--cdf_act is 1.5"),
        (["--percentile", "most"], "must be mean or a number"),
        (["--percentile", "2"], "percentile must lie between 0 and 1"),
        (["--max_context", "1"], "max_context must be at least 2"),
        (["--temperature", "0"], "--temperature is 0"),
        (["--observation", "1,x"], "write numbers with commas"),
        (["--observation", "1,2"], "has 2 numbers, the model sees 3"),
        (["--observation", "1,2,3", "--steps", "2"], "leave out --env and --steps"),
        (["--env", "Pendulum-v7"], "Pendulum-v7"),
        (["--env", "CartPole-v1"], "give another --env"),
        (["--engine", "fast"], "engine"),
        (["--device", "abacus"], "abacus"),
    ],
)
def test_what_is_wrong_is_one_line_and_exit_code_2(folder, capsys, flags, message):
    assert main(["plan", str(folder), *flags]) == 2
    told = capsys.readouterr().err.strip()
    assert message in told
    assert "\n" not in told


def test_another_model_is_refused(tmp_path, capsys):
    seqsuite.create_model("mamba_lm_debug").save_pretrained(tmp_path / "lm")
    assert main(["plan", str(tmp_path / "lm"), "--observation", "1"]) == 2
    assert "holds a MixerLM" in capsys.readouterr().err
    assert main(["plan", str(tmp_path / "none")]) == 2
    assert "is no folder" in capsys.readouterr().err
