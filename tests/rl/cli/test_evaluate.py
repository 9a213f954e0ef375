"""`seqrl evaluate` on the terminal; bad input is one line and exit code 2."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import seqsuite
from seqrl.cli import main
from seqrl.spaces import space_to_json


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of an untrained policy of T-Maze, which can draw itself without a window system."""
    from seqrl.environments import make_environment

    environment = make_environment("seqrl/TMaze-v0")
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("runs") / "maze"
    seqsuite.create_model(
        "decision_transformer_debug",
        env_id="seqrl/TMaze-v0",
        observation_space=space_to_json(environment.observation_space),
        action_space=space_to_json(environment.action_space),
        action_dim=4,
        discrete=True,
    ).save_pretrained(folder / "model")
    return folder


def test_the_table_names_weights_environment_and_reference(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ("--targets", "1,0.5", "--episodes", "3", "--env_options.corridor_length", "4")
    assert main(["evaluate", str(run), *flags]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0].split()[:3] == ["target", "episodes", "return"]
    assert [line.split()[0] for line in out.splitlines()[1:3]] == ["1", "0.5"]
    assert "weights: last; seqrl/TMaze-v0, seed 0" in out
    assert "no normalised score" in out


def test_numbers_for_machines_do_not_depend_on_num_envs(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = []
    for num_envs in ("1", "4"):
        flags = ("--targets=-1", "--episodes", "4", "--temperature", "1", "--num_envs", num_envs, "--json")
        assert main(["evaluate", str(run), *flags]) == 0
        found.append(json.loads(capsys.readouterr().out))
    assert found[0]["targets"][0]["target"] == -1
    assert found[0]["targets"] == found[1]["targets"]


def test_report_and_video(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("av")
    film = tmp_path / "maze.mp4"
    flags = ("--targets", "1", "--episodes", "2", "--env_options.corridor_length", "3", "--video", str(film))
    assert main(["evaluate", str(run), *flags, "--report"]) == 0
    assert film.stat().st_size > 500
    written = {path.name for path in (run / "evaluation").iterdir()}
    assert written == {"evaluation.json", "episodes.csv", "achieved.png", "report.html"}
    assert main(["evaluate", str(run), *flags]) == 2
    assert "maze.mp4 exists; add --overwrite" in capsys.readouterr().err
    assert main(["evaluate", str(run), "--targets", "1", "--episodes", "1", "--report"]) == 2
    assert "is not empty; add --overwrite" in capsys.readouterr().err
    assert main(["evaluate", str(run), *flags, "--report", "--overwrite"]) == 0


@pytest.mark.parametrize(
    ("flags", "match"),
    [
        (["--targets", "1,,2"], "'' is no number; give returns, as in 3600,1800"),
        (["--targets", "high"], "'high' is no number"),
        (["--targets", "1", "--episodes", "0"], "--episodes is 0; it must be at least 1"),
        (["--targets", "1", "--num_envs", "0"], "--num_envs is 0"),
        (["--targets", "1", "--seed=-1"], "--seed is -1"),
        (["--targets", "1", "--env", "Pendulum-v1"], "Pendulum-v1 has observations Box"),
        (["--targets", "1", "--env", "CartPol-v1"], "Did you mean 'CartPole-v1'"),
        (["--targets", "1", "--env_options.corridor", "3"], "corridor_length"),
        (["--targets", "1", "--temperature=-1"], "temperature is -1.0"),
        (["--targets", "1", "--context", "99"], "context is 99; the network was trained on 5 steps"),
        (["--targets", "1", "--horizon", "3"], "--horizon: only a TrajectoryTransformer plans"),
        (["--targets", "1", "--checkpoint", "best"], "kept no best weights"),
        (["--targets", "1", "--video", "film.avi"], "ends in .mp4"),
        (["--targets", "1", "--video", "nowhere/film.mp4"], "there is no folder nowhere"),
        ([], "nothing says what returns to ask for"),
    ],
)
def test_bad_input_is_one_line(run: Path, flags: list[str], match: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(run), *flags]) == 2
    told = capsys.readouterr().err
    assert match in told
    assert len(told.splitlines()) == 1


def test_folders_that_hold_no_policy(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seqsuite.create_model("mamba_lm_debug").save_pretrained(tmp_path / "lm")
    for folder, match in ((tmp_path, "holds no model"), (tmp_path / "lm", "no policy"), (tmp_path / "x", "no such")):
        assert main(["evaluate", str(folder), "--targets", "1"]) == 2
        told = capsys.readouterr().err
        assert match in told
        assert len(told.splitlines()) == 1
