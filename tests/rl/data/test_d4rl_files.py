"""Reading D4RL's files: where episodes end, what follows them, and what is wrong with a file."""

from __future__ import annotations

import numpy as np
import pytest

from seqrl.data import open_episodes, read_d4rl, write_d4rl
from seqsuite.errors import UserError


def test_episodes_end_at_terminals_and_timeouts(hdf5, flat):
    read = open_episodes(hdf5(**flat))
    assert read.offsets.tolist() == [0, 4, 8]
    np.testing.assert_array_equal(read.observations, flat["observations"][:8])
    np.testing.assert_allclose(read.returns, [flat["rewards"][:4].sum(), flat["rewards"][4:8].sum()], rtol=1e-6)
    assert read.final_observations is None
    assert (read.rewards.dtype, read.reward_type) == (np.float64, "float32")
    assert any("dropped the last 2 rows" in note for note in read.notes)
    assert (float(read.action_space.low.min()), float(read.action_space.high.max())) == (-1.0, 1.0)


@pytest.mark.parametrize("limit", [1, 2, 3, 4])
def test_without_timeouts_episodes_are_cut(hdf5, flat, limit):
    """Against a plain loop: count steps, end at a terminal or at the limit."""
    read = read_d4rl(hdf5(**flat | {"timeouts": None}), max_episode_steps=limit)
    ends, since = [], 0
    for row, terminal in enumerate(flat["terminals"]):
        since += 1
        if terminal or since == limit:
            ends.append(row + 1)
            since = 0
    assert read.offsets.tolist() == [0, *ends]
    np.testing.assert_array_equal(read.terminations, flat["terminals"][: ends[-1]])
    assert (read.truncations | read.terminations)[np.array(ends) - 1].all()
    assert any(f"cut after {limit}" in note for note in read.notes)


def test_the_next_observation_is_the_final_one(hdf5, flat):
    following = np.roll(flat["observations"], -1, axis=0)
    following[[3, 7]] = [[1, 2, 3], [4, 5, 6]]
    read = open_episodes(hdf5(**flat, next_observations=following))
    np.testing.assert_array_equal(read.final_observations, [[1, 2, 3], [4, 5, 6]])
    assert not read.infos
    odd = following.copy()
    odd[1] += 1  # not the observation of the next row: then it is kept as it is
    read = open_episodes(hdf5("odd.hdf5", **flat, next_observations=odd))
    np.testing.assert_array_equal(read.infos["next_observations"], odd[:8])


def test_odd_shapes_nested_infos_and_metadata(hdf5, flat, tmp_path):
    columns = {key: flat[key].reshape(-1, 1) for key in ("rewards", "terminals", "timeouts")}
    columns["terminals"] = columns["terminals"].astype(np.uint8)
    extra = {
        "infos/qpos": np.arange(20.0).reshape(10, 2),
        "infos/deep/goal": np.arange(10),
        "metadata/algorithm": "SAC",
        "metadata/policy/w": np.eye(2),
        "metadata/iteration": 7,
    }
    read = open_episodes(hdf5(**flat | columns, **extra))
    plain = open_episodes(hdf5("plain.hdf5", **flat))
    assert read.fingerprint == plain.fingerprint
    np.testing.assert_array_equal(read.infos["deep/goal"], np.arange(8))
    said = read.metadata["d4rl"]
    assert (said["algorithm"], int(said["iteration"]), said["policy/w"].tolist()) == ("SAC", 7, [[1, 0], [0, 1]])
    again = open_episodes(write_d4rl(read, tmp_path / "again.hdf5"))
    assert again.metadata["d4rl"]["algorithm"] == "SAC"


def test_written_files_have_what_public_readers_ask_for(make, tmp_path):
    """The flat keys, one row a step, next observations shifted by one and the flags where episodes end."""
    import h5py

    episodes = make()
    with h5py.File(write_d4rl(episodes, tmp_path / "a.hdf5")) as file:
        arrays = {
            key: file[key][()] for key in ("observations", "next_observations", "rewards", "terminals", "timeouts")
        }
    assert {len(values) for values in arrays.values()} == {11}
    done = arrays["terminals"] | arrays["timeouts"]
    assert np.flatnonzero(done).tolist() == [3, 4, 10]
    np.testing.assert_array_equal(arrays["next_observations"][~done], arrays["observations"][1:][~done[:-1]])
    np.testing.assert_array_equal(arrays["next_observations"][done], episodes.final_observations)
    assert arrays["rewards"].dtype == np.float32


def test_name_tells_environment_and_references(hdf5, flat):
    read = open_episodes(hdf5("hopper_medium-v2.hdf5", **flat))
    assert (read.env_id, read.reference.maximum) == ("Hopper-v2", 3234.3)
    other = open_episodes(hdf5("mine.hdf5", **flat))
    assert (other.env_id, other.reference) == ("", None)


def test_integer_actions_are_choices(hdf5, flat):
    read = open_episodes(hdf5(**flat | {"actions": np.array([0, 1, 2, 0, 1, 2, 0, 1, 2, 0])}))
    assert str(read.action_space) == "Discrete(3)"


BAD = {
    "missing": ({"terminals": None, "terminal": np.zeros(10)}, r"has no 'terminals'.*Did you mean 'terminal'\?"),
    "short": ({"actions": np.zeros((9, 2))}, "'actions' has 9 rows, 'observations' 10"),
    "short info": ({"infos/qpos": np.zeros((3, 2))}, "'infos/qpos' has 3 rows"),
    "nan reward": (
        {"rewards": np.array([0, 1, np.nan] + [0] * 7)},
        r"rewards: row 2 \(episode 0, step 2\) is not finite",
    ),
    "inf action": (
        {"actions": np.where(np.arange(20).reshape(10, 2) == 13, np.inf, 0)},
        r"actions: row 6 \(episode 1, step 2\)",
    ),
    "nan observation": ({"observations": np.full((10, 3), np.nan)}, r"observations: row 0 "),
    "no end": ({"terminals": np.zeros(10), "timeouts": np.zeros(10)}, "none of its 10 rows ends an episode"),
    "no end, cut": ({"terminals": np.zeros(10), "timeouts": None}, "fewer than 1000 steps"),
    "flags": ({"terminals": np.full(10, 2)}, "'terminals' must be one 0 or 1 a row"),
    "wide rewards": ({"rewards": np.zeros((10, 2))}, "one number a row"),
    "text": ({"actions": np.array([b"a"] * 10)}, "'actions' is no array of numbers"),
    "no rows": (
        {key: np.zeros((0, 2)) for key in ("observations", "actions", "rewards", "terminals", "timeouts")},
        "no steps",
    ),
}


@pytest.mark.parametrize("fault", BAD)
def test_bad_files_in_one_line(hdf5, flat, fault):
    changed, words = BAD[fault]
    path = hdf5("bad.hdf5", **flat | changed)
    with pytest.raises(UserError, match=words) as caught:
        open_episodes(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("content", "words"), [(b"", "is empty"), (b"<html>404</html>", "neither HDF5 nor npz")])
def test_no_hdf5(tmp_path, content, words):
    path = tmp_path / "a.hdf5"
    path.write_bytes(content)
    with pytest.raises(UserError, match=words):
        open_episodes(path)


@pytest.mark.parametrize("part", [0.02, 0.3, 0.6, 0.95])
def test_truncated(hdf5, flat, tmp_path, part):
    whole = hdf5(**flat, **{"infos/big": np.random.default_rng(0).normal(size=(10, 500))}).read_bytes()
    path = tmp_path / "cut.hdf5"
    path.write_bytes(whole[: int(part * len(whole))])
    with pytest.raises(UserError, match=r"cut short|no HDF5 file, or a damaged one"):
        open_episodes(path)


def test_damaged_chunk(make, tmp_path):
    """Bytes of a compressed array overwritten: the key is named, whatever HDF5 says."""
    episodes = make(infos={"noise": np.random.default_rng(0).normal(size=(11, 999))})
    path = write_d4rl(episodes, tmp_path / "a.hdf5")
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 4000] = b"\xff" * 4000
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"'infos/noise' cannot be read"):
        open_episodes(path)


def test_unknown_names_are_helped(tmp_path, hdf5, flat):
    hdf5("walker.hdf5", **flat)
    with pytest.raises(UserError, match=r"Did you mean .*walker\.hdf5"):
        open_episodes(str(tmp_path / "walkr.hdf5"))
    with pytest.raises(UserError, match="seqrl fetch hopper-medium-v2"):
        open_episodes("hopper-medium-v2")


def test_episodes_that_d4rl_cannot_hold(make, tmp_path):
    for name, change in (("neither terminates", 0), ("goes on", 1)):
        episodes = make()
        if change:
            episodes.truncations[0] = True
        else:
            episodes.truncations[:], episodes.terminations[:] = False, False
        with pytest.raises(UserError, match=name):
            write_d4rl(episodes, tmp_path / "a.hdf5")
    assert not list(tmp_path.iterdir())
