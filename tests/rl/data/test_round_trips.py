"""What is written is what is read, through every format and back."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import gymnasium
import minari
import numpy as np
import pytest

from seqrl.data import open_episodes, write_d4rl, write_minari
from seqsuite.errors import UserError

MINARI = ("hdf5", "arrow")
OBSERVATIONS = ("box", "box64", "pixels", "discrete", "multi", "dict", "tuple")
ACTIONS = ("box", "discrete", "shifted", "multi", "tuple")


@pytest.mark.parametrize("data_format", MINARI)
@pytest.mark.parametrize("observations", OBSERVATIONS)
def test_minari_keeps_observations(make, tmp_path, same, observations, data_format):
    episodes = make(observations)
    write_minari(episodes, tmp_path / "set", data_format=data_format)
    same(open_episodes(tmp_path / "set"), episodes)


@pytest.mark.parametrize("data_format", MINARI)
@pytest.mark.parametrize("actions", ACTIONS)
def test_minari_keeps_actions(make, tmp_path, same, actions, data_format):
    episodes = make("box", actions)
    write_minari(episodes, tmp_path / "set", data_format=data_format)
    same(open_episodes(tmp_path / "set"), episodes)


@pytest.mark.parametrize("data_format", MINARI)
@pytest.mark.parametrize("finals", [True, False])
@pytest.mark.parametrize(("observations", "actions"), [("box", "box"), ("discrete", "shifted"), ("dict", "tuple")])
def test_d4rl_minari_d4rl(make, tmp_path, same, observations, actions, finals, data_format):
    """T observations and T + 1: neither invents nor loses the last one."""
    episodes = make(
        observations, actions, finals=finals, metadata={"author": ["A"], "d4rl": {"policy/w": np.eye(2, dtype="f4")}}
    )
    first = open_episodes(write_d4rl(episodes, tmp_path / "a.hdf5"))
    same(first, episodes)
    second = open_episodes(write_minari(first, tmp_path / "set", data_format=data_format))
    same(second, episodes)
    third = open_episodes(write_d4rl(second, tmp_path / "b.hdf5"))
    same(third, episodes)
    assert first.fingerprint == second.fingerprint == third.fingerprint == episodes.fingerprint
    assert third.metadata["author"] == ["A"]
    weights = third.metadata["d4rl"]["policy/w"]
    assert weights.dtype == np.float32
    assert np.array_equal(weights, np.eye(2))


@pytest.mark.parametrize("data_format", MINARI)
def test_nested_and_final_infos(make, tmp_path, same, data_format):
    generator = np.random.default_rng(3)
    infos = {"a/b": generator.normal(size=(11, 2, 2)), "c": np.arange(11), "flag": np.arange(11) % 2 == 0}
    finals = {"a/b": generator.normal(size=(3, 2, 2)), "c": np.arange(3), "flag": np.ones(3, dtype=bool)}
    episodes = make(infos=infos, final_infos=finals, options=({"x": 1}, None, {"y": 2.5}))
    read = open_episodes(write_minari(episodes, tmp_path / "set", data_format=data_format))
    same(read, episodes)
    same(open_episodes(write_d4rl(read, tmp_path / "a.hdf5")), episodes)


@pytest.mark.parametrize("data_format", MINARI)
@pytest.mark.parametrize("observations", ["box", "dict", "pixels", "tuple"])
def test_minari_itself_reads_ours(make, tmp_path, observations, data_format):
    """Minari's own class sees T + 1 observations of its structure, the flags, the references and the id."""
    episodes = make(observations, infos={})
    write_minari(episodes, tmp_path / "toy-v3", data_format=data_format)
    dataset = minari.MinariDataset(tmp_path / "toy-v3" / "data")
    assert (dataset.total_episodes, dataset.total_steps, dataset.spec.dataset_id) == (3, 11, "toy-v3")
    np.testing.assert_allclose(minari.get_normalized_score(dataset, np.array([20.25, -1.5])), [1.0, 0.0])
    for number, theirs in enumerate(dataset.iterate_episodes()):
        ours = episodes.episode(number)
        np.testing.assert_array_equal(theirs.rewards, ours.rewards)
        np.testing.assert_array_equal(theirs.terminations, ours.terminations)
        expected = np.concatenate([ours.observations, ours.final_observation[None]])
        seen = theirs.observations
        if observations in ("dict", "tuple"):
            row = gymnasium.spaces.flatten(
                dataset.observation_space,
                {k: v[1] for k, v in seen.items()} if observations == "dict" else (seen[0][1], {"a": seen[1]["a"][1]}),
            )
            np.testing.assert_array_equal(row, expected[1])
        else:
            np.testing.assert_array_equal(seen, expected)


@pytest.mark.filterwarnings("ignore:`")
def test_reads_what_minari_writes(tmp_path, monkeypatch):
    """A set made by Minari's own function, JPEG and all defaults on, from lists as its collector makes them."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
    observations = np.random.default_rng(0).uniform(-1, 1, size=(4, 2)).astype(np.float32)
    buffer = minari.data_collector.EpisodeBuffer(
        seed=11,
        observations=observations,
        actions=[np.int64(1), np.int64(0), np.int64(1)],
        rewards=[1.0, 2.0, 3.5],
        terminations=[False, False, True],
        truncations=[False, False, False],
        infos={"deep": {"x": np.arange(4.0)}, "name": ["a", "b", "c", "d"]},
    )
    with pytest.warns(UserWarning, match="env_spec is None"):
        minari.create_dataset_from_buffers(
            "toy/made-v0",
            [buffer],
            observation_space=space,
            action_space=gymnasium.spaces.Discrete(2),
            author="Somebody",
        )
    read = open_episodes("toy/made-v0")
    np.testing.assert_array_equal(read.observations, observations[:3])
    np.testing.assert_array_equal(read.final_observations, observations[3:])
    np.testing.assert_array_equal(read.infos["deep/x"], [0, 1, 2])
    np.testing.assert_array_equal(read.final_infos["deep/x"], [3])
    assert (read.seeds, read.returns.tolist(), read.metadata["author"]) == ((11,), [6.5], ["Somebody"])
    assert "name" in read.notes[0]  # a text a step is no array of numbers
    assert open_episodes("minari:toy/made-v0").fingerprint == read.fingerprint


def test_by_id(make, tmp_path, same, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    folder = write_minari(make(), "minari:toy/mixed-v1")
    assert folder == tmp_path / "toy" / "mixed-v1"
    assert minari.load_dataset("toy/mixed-v1").total_steps == 11
    assert list(minari.list_local_datasets()) == ["toy/mixed-v1"]
    same(open_episodes("toy/mixed-v1"), make())
    with pytest.raises(UserError, match="no id of a Minari set"):
        write_minari(make(), "minari:nonsense!")


def test_outputs_are_not_overwritten(make, tmp_path, same):
    write_minari(make(), tmp_path / "set")
    path = write_d4rl(make(), tmp_path / "a.hdf5")
    for write, target in ((write_minari, tmp_path / "set"), (write_d4rl, path)):
        with pytest.raises(UserError, match="exists; give --overwrite"):
            write(make(), target)
        write(make("discrete"), target, overwrite=True)
        same(open_episodes(target), make("discrete"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("dear")
    with pytest.raises(UserError, match="other than a Minari set"):
        write_minari(make(), tmp_path / "mine", overwrite=True)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "dear"
    assert not list(tmp_path.glob(".*"))  # nothing unfinished is left


def test_a_failed_write_leaves_nothing(make, tmp_path, monkeypatch):
    from minari.dataset._storages.hdf5_storage import HDF5Storage

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(HDF5Storage, "update_episodes", fail)
    with pytest.raises(UserError, match="No space left"):
        write_minari(make(), tmp_path / "set")
    assert not list(tmp_path.iterdir())


def test_no_jax_no_torch(tmp_path: Path):
    """Reading and writing import neither."""
    code = (
        "import sys; from seqrl.data import open_episodes, write_minari\n"
        "from tests_toy import toy; write_minari(toy(), sys.argv[1]); open_episodes(sys.argv[1])\n"
        "print([name for name in ('jax', 'torch', 'd4rl', 'gym') if name in sys.modules])"
    )
    (tmp_path / "tests_toy.py").write_text(
        "import numpy as np\nfrom gymnasium.spaces import Box, Discrete\nfrom seqrl.data import Episodes\n"
        "def toy():\n    end = np.array([False, True])\n"
        "    return Episodes(np.zeros((2, 1), 'f4'), np.zeros(2, 'i8'), np.ones(2), end, ~end, np.array([0, 2]),\n"
        "                    Box(-1, 1, (1,)), Discrete(2))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "set")], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_metadata_is_json(make, tmp_path):
    write_minari(make(), tmp_path / "set")
    said = json.loads((tmp_path / "set" / "data" / "metadata.json").read_text())
    assert (said["ref_min_score"], said["ref_max_score"], said["jpeg_encoding"]) == (-1.5, 20.25, False)
