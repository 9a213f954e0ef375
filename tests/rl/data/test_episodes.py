"""The form in memory: views, selection, returns, checks; Minari sets that are broken; npz logs."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from seqrl.data import Episodes, join_episodes, open_episodes, returns_to_go, write_minari
from seqsuite.errors import UserError


def test_views_and_counts(make):
    episodes = make()
    assert (len(episodes), episodes.steps, episodes.lengths.tolist()) == (3, 11, [4, 1, 6])
    one = episodes.episode(-1)
    assert np.shares_memory(one.observations, episodes.observations)
    np.testing.assert_array_equal(one.rewards, episodes.rewards[5:])
    np.testing.assert_array_equal(one.infos["qpos"], episodes.infos["qpos"][5:])
    assert one.total_return == pytest.approx(episodes.returns[2])
    with pytest.raises(IndexError):
        episodes.episode(3)


def test_select_is_a_list_of_episodes(make, same):
    episodes = make(final_infos={"qpos": np.arange(6.0).reshape(3, 2)})
    chosen = episodes.select([2, 0, 2])
    chosen.check()
    assert chosen.lengths.tolist() == [6, 4, 6]
    assert chosen.seeds == (2**40, 7, 2**40)
    for place, number in enumerate((2, 0, 2)):
        np.testing.assert_array_equal(chosen.episode(place).observations, episodes.episode(number).observations)
        np.testing.assert_array_equal(chosen.final_infos["qpos"][place], episodes.final_infos["qpos"][number])
    same(episodes.select(episodes.returns > -np.inf), episodes)
    assert len(episodes.select([])) == 0
    same(join_episodes([episodes.select([0]), episodes.select([1, 2])]), episodes)
    with pytest.raises(UserError, match="cannot be joined"):
        join_episodes([episodes, make("discrete")])


def test_fingerprint_is_of_contents(make):
    assert make().fingerprint == make(env_id="Other-v1", infos={}).fingerprint
    changed = make()
    changed.rewards[4] += 1e-9
    assert changed.fingerprint != make().fingerprint
    assert make(finals=False).fingerprint != make().fingerprint


@pytest.mark.parametrize("discount", [1.0, 0.9, 0.0])
def test_returns_to_go(discount):
    rewards = np.random.default_rng(0).normal(size=7)
    found = returns_to_go(rewards, discount)
    expected = [sum(discount**k * r for k, r in enumerate(rewards[t:])) for t in range(7)]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert returns_to_go(rewards[:0]).shape == (0,)


BAD = {
    "empty episode": (lambda e: replace(e, offsets=np.array([0, 4, 4, 11])), "episode 1 has no steps"),
    "no episode": (lambda e: e.select([]), "holds no episode"),
    "lengths": (lambda e: replace(e, actions=e.actions[:-1]), "actions has 10 rows, rewards 11"),
    "ends": (lambda e: replace(e, offsets=np.array([0, 4, 10])), "end at row 10, the arrays at 11"),
    "final": (lambda e: replace(e, final_observations=np.full((3, 3), np.inf)), "final observation of episode 0"),
    "out of the box": (
        lambda e: replace(e, actions=e.actions + np.eye(11, 2, -4, dtype="f4") * 9),
        r"row 4 \(episode 1, step 0\).*out of the space Box.*2 such rows",
    ),
}


@pytest.mark.parametrize("fault", BAD)
def test_check(make, fault):
    change, words = BAD[fault]
    assert make().check() is not None
    with pytest.raises(UserError, match=words) as caught:
        change(make()).check()
    assert "\n" not in str(caught.value)


def test_choices_out_of_the_space(make):
    for actions, wrong in (("discrete", 3), ("shifted", -2), ("discrete", -1)):
        episodes = make("box", actions)
        episodes.actions[9] = wrong
        with pytest.raises(UserError, match=rf"row 9 \(episode 2, step 4\) is {wrong}, out of the space Discrete"):
            episodes.check()


def test_bounds_have_room_for_rounding(make):
    episodes = make()
    episodes.actions[0] = np.nextafter(np.float32(1), np.float32(2))
    assert episodes.check() is episodes


@pytest.mark.parametrize("data_format", ["hdf5", "arrow"])
def test_broken_minari_sets(make, tmp_path, data_format):
    folder = write_minari(make(), tmp_path / "set", data_format=data_format)
    data = folder / "data"

    def broken(change, words):
        shutil.copytree(data, tmp_path / "bad" / "data")
        change(tmp_path / "bad" / "data")
        with pytest.raises(UserError, match=words) as caught:
            open_episodes(tmp_path / "bad")
        assert "\n" not in str(caught.value)
        assert str(tmp_path / "bad") in str(caught.value)
        shutil.rmtree(tmp_path / "bad")

    def cut(folder):
        path = folder / ("main_data.hdf5" if data_format == "hdf5" else "1/part-0.arrow")
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    def lose(folder):
        (folder / "main_data.hdf5").unlink() if data_format == "hdf5" else shutil.rmtree(folder / "2")

    def claim(**said):
        return lambda folder: (folder / "metadata.json").write_text(
            json.dumps(json.loads((folder / "metadata.json").read_text()) | said)
        )

    broken(cut, f"its {data_format} data cannot be read")
    broken(lose, f"its {data_format} data cannot be read")
    broken(claim(total_episodes=0), "holds no episode")
    broken(claim(total_episodes=5), "cannot be read")
    broken(claim(data_format="zarr"), "'zarr'; hdf5 and arrow and parquet can be read")
    broken(claim(action_space="{}"), "no space")
    broken(lambda folder: (folder / "metadata.json").write_text("{"), "is no JSON, or cut short")
    broken(lambda folder: (folder / "metadata.json").write_text("{}"), "no 'data_format'")
    broken(lambda folder: (folder / "metadata.json").unlink(), "no Minari set")


def test_minari_lengths(make, tmp_path):
    """Rewards of another length than actions, and an episode without steps, name the episode."""
    import h5py

    for change, words in (("actions", "episode 1 has 3 actions and 1 rewards"), ("all", "episode 1 has no steps")):
        folder = write_minari(make(), tmp_path / change)
        with h5py.File(folder / "data" / "main_data.hdf5", "a") as file:
            group = file["episode_1"]
            if change == "actions":
                group["actions"].resize((3, 2))
            else:
                for name in ("actions", "rewards", "terminations", "truncations"):
                    group[name].resize((0, *group[name].shape[1:]))
        with pytest.raises(UserError, match=words):
            open_episodes(folder)


def test_a_folder_that_is_no_set(tmp_path):
    (tmp_path / "photo.jpg").touch()
    with pytest.raises(UserError, match=r"no Minari set .*it holds photo\.jpg"):
        open_episodes(tmp_path)


def test_npz_logs(real_data):
    """The logs of both projects sum to the returns that they state (their README's numbers)."""
    told = {
        "expert_cartpole_stable_baselines": (100, 49527, 495.3, "Discrete(2)"),
        "expert_cartpole_imitation": (57, 26964, 473.1, "Discrete(2)"),
        "expert_pendulum_stable_baselines": (100, 20000, -149.9, None),
        "expert_pendulum_imitation": (56, 11200, -189.4, None),
    }
    for name, (count, steps, mean, space) in told.items():
        episodes = open_episodes(real_data / "rl" / f"{name}.npz")
        assert (len(episodes), episodes.steps, round(float(episodes.returns.mean()), 1)) == (count, steps, mean)
        assert space is None or str(episodes.action_space) == space
        assert (episodes.final_observations is not None) == name.endswith("imitation")
        ends = episodes.offsets[1:] - 1
        assert (episodes.terminations | episodes.truncations)[ends].all()
    with np.load(real_data / "rl" / "expert_cartpole_imitation.npz") as file:
        following = file["next_obs"]
    episodes = open_episodes(real_data / "rl" / "expert_cartpole_imitation.npz", env_id="CartPole-v1")
    inside = np.setdiff1d(np.arange(episodes.steps), episodes.offsets[1:] - 1)
    np.testing.assert_array_equal(following[inside], episodes.observations[inside + 1])
    assert episodes.env_id == "CartPole-v1"
    assert float(episodes.observation_space.high[2]) == pytest.approx(0.41887903)


def test_bad_npz(tmp_path):
    good = {
        "obs": np.zeros((4, 2), "f4"),
        "actions": np.array([0, 1, 0, 1]),
        "rewards": np.ones(4),
        "episode_starts": np.array([True, False, True, False]),
    }
    path = tmp_path / "log.npz"

    def refuse(words, **changed):
        np.savez(path, **{k: v for k, v in (good | changed).items() if v is not None})
        with pytest.raises(UserError, match=words):
            open_episodes(path)

    refuse("has no 'obs'.*Did you mean 'obs_'", obs=None, obs_=good["obs"])
    refuse("'rewards' has 3 rows, 'obs' 4", rewards=np.ones(3))
    refuse("row 0 begins no episode", episode_starts=np.array([False, True, False, False]))
    refuse("episode 1 sum to 2, 'episode_returns' says 3", episode_returns=np.array([2.0, 3.0]))
    refuse("holds Python objects", obs=np.array([{}, {}, {}, {}], dtype=object))
    np.savez(path, **good)
    assert isinstance(open_episodes(path), Episodes)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(UserError, match="cut short"):
        open_episodes(path)


def test_environment_of_other_shapes(make, tmp_path):
    folder = write_minari(make(), tmp_path / "set")
    with pytest.raises(UserError, match=r"one observation has shape \(3,\), in CartPole-v1 \(4,\)"):
        open_episodes(folder, env_id="CartPole-v1")
