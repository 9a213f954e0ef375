"""The data are a function of the seed: not of how many play at once, nor of an interruption."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from seqrl.collection.journal import Journal, Trajectory
from seqrl.environments import make_environment
from seqsuite.errors import UserError
from seqsuite.training.configs import Interrupted

MIXED: dict[str, Any] = {"policy": "scripted", "epsilon": (0.0, 0.5, 1.0)}
CASES: list[tuple[str, dict[str, Any]]] = [
    ("CartPole-v1", {**MIXED, "episodes": 10}),
    ("CartPole-v1", {**MIXED, "steps": 1100}),
    ("Pendulum-v1", {**MIXED, "episodes": 4, "max_episode_steps": 30}),
    ("FrozenLake-v1", {"policy": "optimal", "epsilon": (0.0, 0.4), "steps": 300}),
    ("seqrl/TMaze-v0", {**MIXED, "episodes": 9, "env_options": {"corridor_length": 4}}),
    ("Blackjack-v1", {"episodes": 12}),  # observations that are tuples
    ("Hopper-v5", {"episodes": 4}),
]


def same(one: Any, other: Any) -> None:
    assert one.fingerprint == other.fingerprint
    assert one.seeds == other.seeds
    for name in ("policy", "epsilon"):
        np.testing.assert_array_equal(one.infos[name], other.infos[name])


@pytest.mark.parametrize(("env_id", "options"), CASES)
def test_the_number_of_environments_changes_nothing(small: Any, env_id: str, options: dict[str, Any]) -> None:
    results = [small(env_id, f"n{n}", num_envs=n, **options) for n in (1, 3, 8)]
    for result, episodes in results[1:]:
        same(episodes, results[0][1])
        assert {**result.to_dict(), "out": ""} == {**results[0][0].to_dict(), "out": ""}


def test_processes_change_nothing(small: Any) -> None:
    _, expected = small("CartPole-v1", "loop", episodes=6, num_envs=2)
    _, found = small("CartPole-v1", "processes", episodes=6, num_envs=2, processes=True)
    same(found, expected)


@pytest.mark.parametrize(("env_id", "options"), CASES[:5])
def test_an_interruption_changes_nothing(
    small: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, env_id: str, options: dict[str, Any]
) -> None:
    _, expected = small(env_id, "whole", **options)
    append = Journal.append
    for num_envs, after in ((4, 1), (1, 2), (3, 2)):  # three starts, each stopped after a few more episodes
        left = iter(range(after))

        def stop(journal: Journal, trajectory: Trajectory, left: Any = left) -> None:
            if next(left, None) is None:
                raise KeyboardInterrupt
            append(journal, trajectory)

        monkeypatch.setattr(Journal, "append", stop)
        with pytest.raises(Interrupted, match="go on with --resume"):
            small(env_id, "parts", num_envs=num_envs, resume=num_envs != 4, **options)
        assert not (tmp_path / "parts").exists()
    monkeypatch.setattr(Journal, "append", append)
    _, found = small(env_id, "parts", num_envs=2, resume=True, **options)
    same(found, expected)
    assert not (tmp_path / "parts.parts").exists()


def test_a_kill_loses_no_finished_episode(small: Any, tmp_path: Path) -> None:
    options = {"policy": "scripted", "epsilon": (0.0, 1.0), "episodes": 60, "num_envs": 3}
    flags = ["--policy=scripted", "--epsilon=0,1", "--episodes=60", "--num_envs=3", "--reference_episodes=2"]
    code = "import sys; from seqrl.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "collect", "CartPole-v1", *flags, f"--out={tmp_path / 'killed'}"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    journal = tmp_path / "killed.parts" / "episodes.journal"
    deadline = time.monotonic() + 60
    while not (journal.exists() and journal.stat().st_size > 20_000) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "killed").exists()
    kept = Journal(journal)
    assert 0 < len(kept.lengths) < 62
    kept.close()
    told: list[str] = []
    _, found = small("CartPole-v1", "killed", told.append, resume=True, **options)
    assert told[0] == f"{len(kept.lengths)} finished episodes are there"
    same(found, small("CartPole-v1", "whole", **options)[1])


def test_more_episodes_can_be_added_to_an_interrupted_collection(small: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    append, left = Journal.append, iter(range(3))

    def stop(journal: Journal, trajectory: Trajectory) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt
        append(journal, trajectory)

    monkeypatch.setattr(Journal, "append", stop)
    with pytest.raises(Interrupted):
        small("CartPole-v1", episodes=5)
    monkeypatch.setattr(Journal, "append", append)
    _, found = small("CartPole-v1", episodes=9, resume=True)
    same(found, small("CartPole-v1", "whole", episodes=9)[1])


@pytest.mark.parametrize(("env_id", "options"), CASES)
def test_replaying_the_actions_gives_the_same_episodes(small: Any, env_id: str, options: dict[str, Any]) -> None:
    """Every observation, the last one too, every reward and how each episode ended, in an environment of its own."""
    _, episodes = small(env_id, **options)
    limit = {"max_episode_steps": options["max_episode_steps"]} if "max_episode_steps" in options else {}
    environment = make_environment(env_id, **options.get("env_options", {}), **limit)

    def plain(observation: Any) -> Any:
        composite = isinstance(environment.observation_space, spaces.Tuple)
        return spaces.flatten(environment.observation_space, observation) if composite else observation

    for number in range(len(episodes)):
        episode = episodes.episode(number)
        observation, _ = environment.reset(seed=episodes.seeds[number])
        for step in range(len(episode)):
            np.testing.assert_array_equal(episode.observations[step], plain(observation))
            observation, reward, ended, cut, _ = environment.step(episode.actions[step])
            assert episode.rewards[step] == float(reward)
            assert bool(episode.terminations[step]) == ended
            assert bool(episode.truncations[step]) == (cut and not ended)
        assert ended or cut
        np.testing.assert_array_equal(episode.final_observation, plain(observation))


def test_epsilon_is_the_share_of_random_actions(small: Any) -> None:
    _, episodes = small("CartPole-v1", policy="scripted", epsilon=(0.4,), episodes=8)
    expert = (episodes.observations @ np.array([0.02, 0.1, 1.0, 0.5]) > 0).astype(int)
    other = (episodes.actions != expert).mean()
    assert abs(other - 0.2) < 4 * np.sqrt(0.2 * 0.8 / episodes.steps)  # half of the random ones agree by chance


def test_steps_are_shared_evenly_over_the_mixture(small: Any) -> None:
    result, episodes = small("CartPole-v1", policy="scripted", epsilon=(0.0, 1.0), steps=2000)
    steady, shaky = result.parts
    assert steady.lengths.sum() == 1000
    assert 1000 <= shaky.lengths.sum() < 1000 + shaky.lengths[-1]
    assert episodes.steps == result.steps
    np.testing.assert_array_equal(np.unique(episodes.infos["epsilon"]), [0, 1])


def test_references_and_how_it_was_made_are_written(small: Any) -> None:
    result, episodes = small("FrozenLake-v1", policy="optimal", episodes=4, reference_episodes=30, seed=5)
    assert episodes.reference is not None
    assert episodes.reference.minimum == result.reference_min
    assert episodes.reference.maximum == pytest.approx(0.7441902878)  # 100 steps; also tested by playing
    assert "exact value of the optimal policy" in episodes.reference.source
    assert episodes.metadata["policy"] == "optimal"
    assert episodes.metadata["seed"] == 5
    _, given = small("CartPole-v1", "given", episodes=2, reference_min=20.0, reference_max=475.0)
    assert (given.reference.minimum, given.reference.maximum) == (20, 475)
    result, none = small("CartPole-v1", "none", episodes=2)
    assert none.reference is None
    assert none.metadata["reference_min"] == result.reference_min


@pytest.mark.parametrize("data_format", ["minari-hdf5", "minari-arrow", "d4rl"])
def test_every_format_holds_the_same(small: Any, data_format: str) -> None:
    _, expected = small("CartPole-v1", episodes=4)
    name = "other.hdf5" if data_format == "d4rl" else "other"
    _, found = small("CartPole-v1", name, episodes=4, format=data_format)
    same(found, expected)


def test_minari_reads_it_and_makes_the_environment(small: Any, tmp_path: Path) -> None:
    import minari

    small("seqrl/TMaze-v0", episodes=3, env_options={"corridor_length": 6})
    found = minari.MinariDataset(tmp_path / "data" / "data")
    assert found.total_episodes == 3
    assert found.recover_environment().unwrapped.corridor_length == 6


def test_an_environment_without_a_time_limit_gets_one(small: Any) -> None:
    told: list[str] = []
    _, episodes = small("CliffWalking-v1", tell=told.append, episodes=1, policy="optimal", reference_min=-9000.0)
    assert "1000 steps" in told[0]
    assert episodes.lengths.tolist() == [13]


def test_the_result_shows_itself(small: Any) -> None:
    result, _ = small("CartPole-v1", policy="scripted", epsilon=(0.0, 1.0), episodes=4)
    first, _, whole = result.table()
    assert (first["mean"], first["steps"], whole["episodes"]) == ("500", "1000", "4")
    assert "scripted" in result._repr_html_()
    assert len(result.figure().axes[0].containers) == 2


def test_what_is_there_is_not_written_over(small: Any, tmp_path: Path) -> None:
    small("CartPole-v1", episodes=2)
    with pytest.raises(UserError, match="exists; add --overwrite"):
        small("CartPole-v1", episodes=2)
    with pytest.raises(UserError, match="is complete, nothing to resume"):
        small("CartPole-v1", episodes=2, resume=True)
    with pytest.raises(UserError, match="holds no collection"):
        small("CartPole-v1", "new", episodes=2, resume=True)
    _, episodes = small("CartPole-v1", episodes=3, overwrite=True)
    assert len(episodes) == 3
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match="no data set"):
        small("CartPole-v1", "mine", episodes=3, overwrite=True)
    assert (tmp_path / "mine" / "thesis.txt").exists()


def test_other_options_are_another_collection(small: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    append, left = Journal.append, iter(range(2))

    def stop(journal: Journal, trajectory: Trajectory) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt
        append(journal, trajectory)

    monkeypatch.setattr(Journal, "append", stop)
    with pytest.raises(Interrupted):
        small("CartPole-v1", episodes=5)
    monkeypatch.setattr(Journal, "append", append)
    with pytest.raises(UserError, match="--seed 0 -> 1"):
        small("CartPole-v1", episodes=5, seed=1, resume=True)
    with pytest.raises(UserError, match="interrupted collection; add --resume or --overwrite"):
        small("CartPole-v1", episodes=5)
    assert len(small("CartPole-v1", episodes=5, seed=1, overwrite=True)[1]) == 5
