"""Evaluating a policy: the same numbers as episodes played one by one, targets, scores, spaces, files, video."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import seqrl
from seqrl.environments import make_environment
from seqrl.evaluation import episode_seeds
from seqsuite.errors import UserError

MakeRun = Callable[..., Path]


@pytest.mark.parametrize("name", ["decision_transformer_debug", "behavior_cloning_debug", "rate_debug"])
def test_an_evaluation_is_its_episodes_played_by_hand(make_run: MakeRun, name: str) -> None:
    policy = seqrl.load(make_run("CartPole-v1", name))
    found = policy.evaluate(targets="30,5", episodes=4, num_envs=3, seed=2)
    aims = [None] if name.startswith("behavior") else [30.0, 5.0]
    assert [entry.target for entry in found.targets] == aims
    environment, agent = make_environment("CartPole-v1"), policy.agent()
    for aim in aims:
        returns = []
        for episode in range(4):
            observation, _ = environment.reset(seed=episode_seeds(2, episode)[0])
            agent.reset(aim)
            over, gained = False, 0.0
            while not over:
                observation, reward, terminated, truncated, _ = environment.step(agent.act(observation))
                agent.observe(float(reward))
                gained, over = gained + float(reward), terminated or truncated
            returns.append(gained)
        entry = found[aim]
        assert entry.rollouts.returns.tolist() == returns
        assert entry.mean == pytest.approx(np.mean(returns))
        assert entry.std == pytest.approx(np.std(returns))
    with pytest.raises(KeyError, match="no episodes for target 7"):
        found[7]


def test_draws_do_not_depend_on_how_many_run_at_once(make_run: MakeRun) -> None:
    policy = seqrl.load(make_run("CartPole-v1"))
    found = [policy.evaluate(targets=20, episodes=5, num_envs=n, temperature=1.0)[20.0].rollouts for n in (1, 3, 8)]
    assert found[0].returns.tolist() == found[1].returns.tolist() == found[2].returns.tolist()
    assert len(set(found[0].returns.tolist())) > 1
    other = policy.evaluate(targets=20, episodes=5, seed=1, temperature=1.0)[20.0].rollouts
    assert other.returns.tolist() != found[0].returns.tolist()


def test_targets_come_from_the_run_the_literature_or_the_data(make_run: MakeRun) -> None:
    run = make_run("CartPole-v1")
    policy = seqrl.load(run)
    assert [entry.target for entry in policy.evaluate(episodes=1).targets] == [40.0, 22.5]
    policy.options = {"targets": [12.0]}
    assert [entry.target for entry in policy.evaluate(episodes=1).targets] == [12.0]
    policy.options, policy.summary = {}, {"last": [{"target": 9.0}, {"target": 8.0}]}
    assert [entry.target for entry in policy.evaluate(episodes=1).targets] == [9.0, 8.0]
    policy.summary = {}
    with pytest.raises(UserError, match="nothing says what returns to ask for in CartPole-v1"):
        policy.evaluate(episodes=1)


def test_published_targets_and_scores_of_hopper(make_run: MakeRun) -> None:
    policy = seqrl.load(make_run("Hopper-v5", return_scale=1000.0))
    found = policy.evaluate(episodes=1)
    assert [entry.target for entry in found.targets] == [3600.0, 1800.0]
    assert not found.comparable
    assert "Hopper-v5" in found.note
    mean = found[3600.0].mean
    row = found.table()[0]
    assert row["score"] == pytest.approx((mean + 20.272305) / (3234.3 + 20.272305))
    assert row["score x100"] == pytest.approx(100 * row["score"])


def test_the_references_of_the_data_come_first(make_run: MakeRun) -> None:
    reference = {"minimum": 10.0, "maximum": 30.0, "source": "two policies"}
    found = seqrl.load(make_run("Hopper-v5", reference=reference)).evaluate(targets=1, episodes=1)
    assert found.comparable
    assert found.table()[0]["score"] == pytest.approx((found[1.0].mean - 10) / 20)
    bare = seqrl.load(make_run("CartPole-v1")).evaluate(targets=1, episodes=1)
    assert "score" not in bare.table()[0]
    assert any("no normalised score" in line for line in bare.notes())


def test_an_environment_without_a_limit_is_cut_at_that_of_the_policy(make_run: MakeRun) -> None:
    policy = seqrl.load(make_run("seqrl/TMaze-v0", max_ep_len=7))
    # T-Maze has a limit of its own, from its options.
    found = policy.evaluate(targets=1, episodes=2, env_options={"corridor_length": 9})
    assert (found[1.0].rollouts.lengths <= 11).all()
    assert found[1.0].rollouts.lengths.max() > 7 or found[1.0].rollouts.terminated.all()
    assert (policy.evaluate(targets=1, episodes=2, max_steps=3)[1.0].rollouts.lengths <= 3).all()


@pytest.mark.parametrize(
    ("env", "match"),
    [
        ("Pendulum-v1", r"Pendulum-v1 has observations Box.*\(3,\).*those of the checkpoint are Box.*\(4,\)"),
        ("Acrobot-v1", r"Acrobot-v1 has observations"),
        ("FrozenLake-v1", r"observations Discrete\(16\)"),
        ("CartPole-v9", "CartPole-v1"),
    ],
)
def test_other_environments_are_refused_with_both_spaces(make_run: MakeRun, env: str, match: str) -> None:
    with pytest.raises(UserError, match=match):
        seqrl.load(make_run("CartPole-v1")).evaluate(env, targets=1, episodes=1)


def test_actions_of_another_number_are_refused(make_run: MakeRun) -> None:
    policy = seqrl.load(make_run("seqrl/TMaze-v0"))
    with pytest.raises(UserError, match=r"CartPole-v1 has observations|has actions Discrete\(2\).*Discrete\(4\)"):
        policy.evaluate("CartPole-v1", targets=1, episodes=1)


def test_a_checkpoint_that_knows_no_spaces_takes_those_of_the_environment(make_run: MakeRun) -> None:
    policy = seqrl.load(make_run("CartPole-v1", told=False))
    with pytest.raises(UserError, match="give --env"):
        policy.evaluate(targets=1, episodes=1)
    assert policy.evaluate("CartPole-v1", targets=1, episodes=2)[1.0].mean > 0
    with pytest.raises(UserError, match=r"takes observations of shape \(4,\)"):
        policy.evaluate("Pendulum-v1", targets=1, episodes=1)


def test_what_is_written(make_run: MakeRun, tmp_path: Path) -> None:
    found = seqrl.load(make_run("CartPole-v1")).evaluate(targets="30,5", episodes=3)
    out = found.save(tmp_path / "out" / "deep")
    told = json.loads((out / "evaluation.json").read_text())
    assert [part["returns"] for part in told["targets"]] == [e.rollouts.returns.tolist() for e in found.targets]
    with open(out / "episodes.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(float(row["target"]), float(row["return"])) for row in rows] == [
        (entry.target, value) for entry in found.targets for value in entry.rollouts.returns
    ]
    assert "CartPole-v1" in (out / "report.html").read_text()
    axes = found.figure().axes[0]
    drawn = {line.get_label(): line.get_xydata() for line in axes.get_lines()}
    assert np.asarray(drawn["mean"]).tolist() == [[5.0, found[5.0].mean], [30.0, found[30.0].mean]]
    assert np.asarray(drawn["as asked for"]).tolist() == [[5.0, 5.0], [30.0, 30.0]]


def test_a_policy_without_targets_is_drawn_by_episode(make_run: MakeRun) -> None:
    found = seqrl.load(make_run("CartPole-v1", "behavior_cloning_debug")).evaluate(episodes=3)
    lines = found.figure().axes[0].get_lines()
    assert np.asarray(lines[0].get_ydata()).tolist() == found[None].rollouts.returns.tolist()


def test_a_video_shows_the_episode_of_the_evaluation(make_run: MakeRun, tmp_path: Path) -> None:
    av: Any = pytest.importorskip("av")
    policy = seqrl.load(make_run("seqrl/TMaze-v0"))
    film = policy.record(tmp_path / "maze.mp4", target=1.0, seed=3)
    played = policy.evaluate(targets=1, episodes=1, seed=3)[1.0].rollouts
    assert film.achieved == played.returns[0]
    assert film.frames == played.lengths[0] + 1
    with av.open(str(film.path)) as container:
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        assert container.streams.video[0].codec_context.name == "h264"
    assert len(pictures) == film.frames
    environment = make_environment("seqrl/TMaze-v0", render_mode="rgb_array")
    environment.reset(seed=episode_seeds(3, 0)[0])
    wanted: Any = environment.render()
    assert pictures[0].shape == wanted.shape
    assert np.abs(pictures[0].astype(int) - wanted).mean() < 12
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".mp4"] == ["maze.mp4"]


def test_an_environment_that_cannot_draw_says_so(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from seqrl.environments.tmaze import TMaze

    pytest.importorskip("av")

    def broken(self: TMaze) -> None:
        raise RuntimeError("no GL here\nand more lines")

    monkeypatch.setattr(TMaze, "render", broken)
    policy = seqrl.load(make_run("seqrl/TMaze-v0"))
    with pytest.raises(UserError, match=r"seqrl/TMaze-v0 cannot draw itself here: no GL here$"):
        policy.record(tmp_path / "maze.mp4", target=1.0)
    assert not list(tmp_path.glob("*.mp4"))


def test_a_video_that_cannot_be_written_is_told(make_run: MakeRun, tmp_path: Path) -> None:
    pytest.importorskip("av")
    with pytest.raises(UserError, match=r"cannot write .*maze.mp4: No such file"):
        seqrl.load(make_run("seqrl/TMaze-v0")).record(tmp_path / "none" / "maze.mp4", target=1.0)
