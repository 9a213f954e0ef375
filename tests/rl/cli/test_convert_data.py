"""`seqrl convert-data` there and back."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest

from seqrl.cli import main
from seqrl.data import open_episodes


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "log.npz"
    generator = np.random.default_rng(0)
    np.savez(
        path,
        obs=generator.normal(size=(6, 4)).astype("f4") / 100,
        actions=np.array([[0], [1], [1], [0], [0], [1]]),
        rewards=np.ones(6, dtype="f4"),
        episode_starts=np.array([True, False, False, True, False, False]),
    )
    return path


def test_there_and_back(log, tmp_path, capsys):
    first = open_episodes(log)
    source = log
    for number, kind in enumerate(("d4rl", "minari-arrow", "minari-hdf5", "d4rl")):
        out = tmp_path / f"step{number}"
        assert main(["convert-data", str(source), str(out), "--format", kind, "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert (told["episodes"], told["steps"], told["format"]) == (2, 6, kind)
        source = out
    assert open_episodes(source).fingerprint == first.fingerprint
    with h5py.File(source) as file:
        assert file["rewards"].dtype == np.float32


def test_environment_goes_along(log, tmp_path, capsys):
    assert main(["convert-data", str(log), str(tmp_path / "set"), "--env", "CartPole-v1"]) == 0
    assert "wrote" in capsys.readouterr().out
    import minari

    environment = minari.MinariDataset(tmp_path / "set" / "data").recover_environment()
    assert environment.spec.id == "CartPole-v1"


def test_errors(log, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["convert-data", str(log), str(out), "--format", "d4rl"]) == 0
    for arguments, words in (
        ([str(log), str(out), "--format", "d4rl"], "give --overwrite"),
        ([str(log), str(out), "--format", "minari-hdf5", "--overwrite"], "other than a Minari set"),
        ([str(tmp_path / "lgo.npz"), str(out)], "Did you mean"),
        ([str(log), "minari:x-v0", "--format", "d4rl"], "a D4RL file has a path"),
        ([str(log), str(out), "--format", "csv"], "csv"),
    ):
        capsys.readouterr()
        assert main(["convert-data", *arguments]) == 2
        told = capsys.readouterr().err
        assert words in told
        assert told.count("\n") == 1
    assert len(open_episodes(out)) == 2


@pytest.mark.parametrize("kind", ["minari-hdf5", "minari-arrow"])
def test_paths_may_be_relative(log, tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    assert main(["convert-data", "log.npz", "below/set", "--format", kind]) == 0
    assert open_episodes("below/set").fingerprint == open_episodes(log).fingerprint


def test_the_name_tells_the_format(log, tmp_path, capsys):
    assert main(["convert-data", str(log), str(tmp_path / "log.hdf5")]) == 0
    assert "rewards" in h5py.File(tmp_path / "log.hdf5")
    assert main(["convert-data", str(log), str(tmp_path / "set.hdf5"), "--format", "minari-hdf5"]) == 2
    assert "a Minari set is a folder" in capsys.readouterr().err
    assert not (tmp_path / "set.hdf5").exists()


@pytest.mark.parametrize("command", [["convert-data", "LOG", "SET"], ["collect", "CartPole-v1", "--out", "SET"]])
def test_what_lies_beside_a_set_is_not_replaced_with_it(log, tmp_path, capsys, command):
    folder = tmp_path / "set"
    assert main(["convert-data", str(log), str(folder)]) == 0
    (folder / "notes.txt").write_text("weeks of work")
    names = {"LOG": str(log), "SET": str(folder)}
    assert main([names.get(word, word) for word in command] + ["--overwrite"]) == 2
    assert "seqrl: " in capsys.readouterr().err
    assert (folder / "notes.txt").read_text() == "weeks of work"
    (folder / "notes.txt").unlink()
    assert main(["convert-data", str(log), str(folder), "--overwrite"]) == 0
