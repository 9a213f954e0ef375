"""`seqrl train`: what it leaves behind, what it prints, and one line where something is wrong."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from seqrl.cli import main

Log = Callable[..., Path]


@pytest.fixture
def log(tmp_path: Path) -> Log:
    """Write a small npz log; arrays can be given in place of those that are made."""

    def write(lengths: Sequence[int] = (30, 20, 40, 10), name: str = "log.npz", **arrays: Any) -> Path:
        rng = np.random.default_rng(0)
        steps = sum(lengths)
        starts = np.zeros(steps, bool)
        starts[np.cumsum([0, *lengths[:-1]])] = True
        made = {
            "obs": rng.normal(size=(steps, 4)).astype(np.float32),
            "actions": rng.integers(0, 2, steps),
            "rewards": np.ones(steps),
            "episode_starts": starts,
            **arrays,
        }
        if "episode_returns" not in made:
            made["episode_returns"] = np.add.reduceat(made["rewards"], np.flatnonzero(starts))
        path = tmp_path / name
        np.savez(path, **made)
        return path

    return write


def words(path: Path, *more: str) -> list[str]:
    known = {"--model": "decision_transformer_debug", "--steps": "4", "--batch_size": "4", "--threads": "1"}
    known |= {"--accelerator": "cpu", "--out": str(path.parent / "run")}
    given = dict(zip(more[::2], more[1::2], strict=True))
    return ["train", str(path), *(word for pair in {**known, **given}.items() for word in pair)]


def told(capsys: pytest.CaptureFixture[str]) -> str:
    """Return the one line of stderr that a refusal is; what was said before it ends with it."""
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("seqrl: ")]
    assert len(lines) == 1
    return lines[0]


def test_a_run_leaves_what_the_next_commands_need(log, tmp_path, capsys):
    more = ("--eval_env", "CartPole-v1", "--eval_every", "2", "--eval_episodes", "2", "--targets", "30,10")
    assert main(words(log(), *more)) == 0
    shown = capsys.readouterr().out
    for said in ("last", "best (of all steps)", "report.html", "seqrl evaluate"):
        assert said in shown
    run = tmp_path / "run"
    names = ("model/config.json", "model/model.safetensors", "best/config.json", "evaluations.csv", "metrics.csv")
    for name in (*names, "report.html", "summary.json", "config.yaml", "inputs.json"):
        assert (run / name).is_file(), name
    config = json.loads((run / "model" / "config.json").read_text())
    assert config["env_id"] == "CartPole-v1"
    assert config["return_scale"] == 40
    assert config["max_ep_len"] == 500
    observations = np.load(tmp_path / "log.npz")["obs"]
    np.testing.assert_allclose(config["state_mean"], observations.mean(0, dtype=np.float64), atol=1e-6)
    np.testing.assert_allclose(config["state_std"], observations.std(0, dtype=np.float64), atol=1e-5)
    with open(run / "evaluations.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["step"], float(row["target"])) for row in rows] == [("2", 30), ("2", 10), ("4", 30), ("4", 10)]
    summary = json.loads((run / "summary.json").read_text())
    assert [row["step"] for row in summary["last"]] == [4, 4]
    assert summary["best"]["return_mean"] == max(float(row["return_mean"]) for row in rows)
    assert "data:image/svg+xml" in (run / "report.html").read_text()


def test_the_published_options_stand_where_none_are_given(log, tmp_path):
    import yaml

    for model, expected in {
        "decision_transformer_debug": {"lr": 1e-4, "min_lr": 1e-4, "weight_decay": 1e-4, "clip": 0.25, "discount": 1.0},
        "trajectory_transformer_debug": {
            "lr": 6e-4,
            "min_lr": 6e-5,
            "weight_decay": 0.1,
            "clip": 1.0,
            "discount": 0.99,
        },
    }.items():
        assert main(words(log(), "--model", model, "--overwrite", "true", "--batch_size", "8")) == 0
        options = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
        assert {name: options[name] for name in expected} == pytest.approx(expected)


@pytest.mark.parametrize("model", ["behavior_cloning_debug", "rate_debug", "trajectory_transformer_debug"])
def test_every_model_trains(log, tmp_path, model):
    assert main(words(log(), "--model", model, "--top_fraction", "0.8", "--json", "true")) == 0
    assert json.loads((tmp_path / "run" / "model" / "config.json").read_text())
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["data"]["training_episodes"] == 2


def test_continuous_actions_beyond_one_have_no_tanh(log, tmp_path, capsys):
    steps = 100
    actions = np.random.default_rng(0).uniform(-2, 2, (steps, 1)).astype(np.float32)
    more = ("--env", "Pendulum-v1", "--state_loss", "0.5", "--return_loss", "0.5")
    path = log(obs=np.random.default_rng(0).uniform(-1, 1, (steps, 3)).astype(np.float32), actions=actions)
    assert main(words(path, *more)) == 0
    config = json.loads((tmp_path / "run" / "model" / "config.json").read_text())
    assert config["action_tanh"] is False
    assert config["max_ep_len"] == 200
    assert "no tanh" in capsys.readouterr().err
    metrics = (tmp_path / "run" / "metrics.csv").read_text().splitlines()[0]
    assert "train_state_loss" in metrics
    assert "train_return_loss" in metrics


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--model", "decision_transfomer"], "Did you mean 'decision_transformer'"),
        (["--model", "mamba_lm_debug"], "is no policy; give one of behavior_cloning"),
        (["--model", "decision_transformer_atari"], "takes pixels"),
        (["--model_options.contxt", "9"], "Did you mean 'context'"),
        (["--model", "behavior_cloning_debug", "--model_options.mixer", "mamba"], "'behavior_cloning_debug' 'mixer'"),
        (["--model_options.context", "none"], "context"),
        (["--model_options.context", "41"], "the context of 41 steps is longer than an episode can be, 40 steps"),
        (["--model_options.return_scale", "3"], "use --return_scale"),
        (["--model_options.action_dim", "3"], "is taken from the data"),
        (["--model_options.state_head", "false", "--state_loss", "1"], "has no head for next states"),
        (["--model", "trajectory_transformer_debug", "--delayed", "true"], "--delayed is for policies over windows"),
        (["--top_fraction", "0"], "--top_fraction is 0.0; it must be above 0"),
        (["--top_fraction", "0.1", "--valid_fraction", "0.6"], "none is left to train on"),
        (["--discount", "1.2"], "--discount is 1.2"),
        (["--return_scale", "-1"], "--return_scale is -1"),
        (["--targets", "3600,high"], "--targets"),
        (["--targets", "nan"], "--targets"),
        (["--eval_every", "2"], "does not say its environment"),
        (["--eval_every", "2", "--eval_env", "CartPol-v1"], "Did you mean 'CartPole-v1'"),
        (["--eval_every", "2", "--env", "CartPole-v1", "--eval_env", "Acrobot-v1"], "Acrobot-v1"),
        (["--env", "Pendulum-v1"], "Pendulum-v1"),
        (["--objectives", "parts"], "has no info 'parts'"),
        (["--lr", "-1"], "--lr is -1"),
        (["--decay", "published"], "use --decay_of"),
    ],
)
def test_wrong_input_is_one_line(log, tmp_path, capsys, more, said):
    assert main(words(log(), *more)) == 2
    assert said in told(capsys)
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_rewards_that_are_no_numbers_are_refused(log, tmp_path, capsys):
    rewards = np.ones(100)
    rewards[33] = np.nan
    assert main(words(log(rewards=rewards))) == 2
    assert "log.npz" in told(capsys)
    assert main(words(tmp_path / "absent.npz")) == 2
    assert "absent.npz" in told(capsys)


def test_pixels_are_for_models_of_pixels(tmp_path, capsys):
    from gymnasium.spaces import Box, Discrete

    from seqrl.data import Episodes, write_minari

    steps = 12
    ends = np.zeros(steps, bool)
    ends[[5, 11]] = True
    episodes = Episodes(
        observations=np.random.default_rng(0).integers(0, 255, (steps, 4, 36, 36), np.uint8),
        actions=np.arange(steps) % 3,
        rewards=np.ones(steps),
        terminations=ends,
        truncations=np.zeros(steps, bool),
        offsets=np.array([0, 6, 12]),
        final_observations=np.zeros((2, 4, 36, 36), np.uint8),
        observation_space=Box(0, 255, (4, 36, 36), np.uint8),
        action_space=Discrete(3),
    )
    folder = tmp_path / "pixels"
    write_minari(episodes, folder)
    assert main(words(folder, "--valid_fraction", "0")) == 2
    assert "holds pixels, 4x36x36: use decision_transformer_atari" in told(capsys)
    assert main(words(folder, "--model", "trajectory_transformer_debug")) == 2
    assert "takes vectors" in told(capsys)
    small = ("--model", "decision_transformer_atari", "--model_options.context", "4", "--model_options.n_layer", "1")
    assert main(words(folder, *small, "--steps", "2", "--valid_fraction", "0")) == 0
    config = json.loads((tmp_path / "run" / "model" / "config.json").read_text())
    assert config["observation_shape"] == [4, 36, 36]
    assert config["return_scale"] == 1.0
    options = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert (options["lr"], options["betas"], options["weight_decay"]) == (6e-4, [0.9, 0.95], 0.1)


@pytest.mark.parametrize("recipe", sorted(Path(__file__).parents[3].glob("examples/rl/*.yaml")), ids=lambda p: p.stem)
def test_recipes_are_options_of_the_command(log, tmp_path, recipe, capsys):
    config = ["--config", str(recipe), "--steps", "1", "--batch_size", "4", "--eval_every", "0", "--warmup", "0"]
    assert main(["train", str(log()), *config, "--accelerator", "cpu", "--out", str(tmp_path / "run")]) == 0
    assert (tmp_path / "run" / "model" / "model.safetensors").is_file()


def test_the_real_log_trains_in_seconds(real_data, tmp_path, capsys):
    path = real_data / "rl" / "expert_cartpole_imitation.npz"
    more = ["--steps", "20", "--accelerator", "cpu", "--out", str(tmp_path / "run"), "--json"]
    assert main(["train", str(path), "--model", "decision_transformer_debug", *more]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["data"]["episodes"] == 57
    assert found["steps"] == 20
    assert found["metrics"]["train_loss"] == pytest.approx(0.69, abs=0.05)


def test_a_run_does_not_lie_in_its_data(log, tmp_path, capsys):
    assert main(["convert-data", str(log()), str(tmp_path / "set")]) == 0
    for out in ("set", "set/run"):
        assert main(words(tmp_path / "set", "--out", str(tmp_path / out))) == 2
        assert "lies in the data's own folder" in told(capsys)
    assert [path.name for path in (tmp_path / "set").iterdir()] == ["data"]


def test_a_context_that_nobody_asked_for_fits_short_episodes(log, tmp_path, capsys):
    path = log((3, 2, 1))
    assert main(words(path)) == 0
    assert "the context is 3 steps" in capsys.readouterr().err
    assert json.loads((tmp_path / "run" / "model" / "config.json").read_text())["context"] == 3


def test_more_steps_keep_the_warm_up(log, tmp_path, capsys):
    path = log()
    assert main(words(path, "--steps", "20", "--checkpoint_every", "20")) == 0
    assert main([*words(path, "--steps", "40"), "--resume"]) == 0
    assert "resuming" in capsys.readouterr().err
    assert main([*words(path, "--steps", "60", "--warmup", "6"), "--resume"]) == 2
    assert "warmup: 2.0 -> 6.0" in told(capsys)


def test_the_checkpoint_knows_its_environment_with_its_arguments(tmp_path, capsys):
    maze = ["seqrl/TMaze-v0", "--policy", "scripted", "--episodes", "3", "--env_options.corridor_length", "4"]
    assert main(["collect", *maze, "--out", str(tmp_path / "maze"), "--reference_episodes", "2"]) == 0
    assert main(words(tmp_path / "maze")) == 0
    for flags, length in (([], 6), (["--env_options.corridor_length", "9"], 11)):
        capsys.readouterr()
        # No episode of an untrained policy that stands at a wall is longer than the limit of its maze.
        more = ["--targets", "1", "--episodes", "8", "--temperature", "100", "--json"]
        assert main(["evaluate", str(tmp_path / "run"), *more, *flags]) == 0
        lengths = json.loads(capsys.readouterr().out)["targets"][0]["lengths"]
        assert max(lengths) == length
