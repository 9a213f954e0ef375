"""`seqrl collect` in a terminal: what it prints, and one line and exit code 2 for what the user can mend."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from seqrl.cli import main
from seqrl.data import open_episodes


def test_a_mixture_from_flags(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--policy", "scripted", "--epsilon", "0,0.3,1", "--episodes", "6", "--env_options.corridor_length", "5"]
    out = tmp_path / "maze"
    assert main(["collect", "seqrl/TMaze-v0", *flags, "--out", str(out), "--reference_episodes", "3"]) == 0
    printed = capsys.readouterr().out
    assert f"wrote {out}: 6 episodes" in printed
    assert "score 0 and 1" in printed
    episodes = open_episodes(out)
    assert episodes.lengths[0] == 6  # the shortest way
    assert sorted(set(episodes.infos["epsilon"].tolist())) == [0, 0.3, 1]


def test_json_and_a_default_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["collect", "CartPole-v1", "--steps", "50", "--format", "d4rl", "--json", "--reference_min", "20"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["steps"] >= 50
    assert result["reference_min"] == 20
    assert open_episodes(tmp_path / "CartPole-v1-random.hdf5").steps == result["steps"]


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["CartPol-v1"], "Did you mean 'CartPole-v1'"),
        (["LunarLander-v3"], "pip install 'gymnasium[box2d]'"),
        (["CartPole-v1", "--policy", "optimal"], "no table of transitions"),
        (["Hopper-v5", "--policy", "scripted"], "none for Hopper-v5"),
        (["CartPole-v1", "--policy", "script"], "Did you mean 'scripted'"),
        (["CartPole-v1", "--policy", "model.zip"], "write sb3:model.zip"),
        (["CartPole-v1", "--policy", "sb3:missing.zip"], "cannot read it"),
        (["CartPole-v1", "--policy", "scripted", "--epsilon", "1.5"], "--epsilon 1.5 is no probability"),
        (["CartPole-v1", "--policy", "scripted", "--epsilon", "0,-0.1"], "--epsilon -0.1"),
        (["CartPole-v1", "--policy", "scripted", "--epsilon", ".nan"], "--epsilon nan"),
        (["CartPole-v1", "--epsilon", "0.5"], "no meaning for --policy random"),
        (["CartPole-v1", "--checkpoints", "3"], "--checkpoints goes with"),
        (["CartPole-v1", "--episodes", "-1"], "--episodes is -1"),
        (["CartPole-v1", "--num_envs", "0"], "--num_envs is 0"),
        (["CartPole-v1", "--episodes", "5", "--steps", "5"], "not both"),
        (["CartPole-v1", "--resume", "--overwrite"], "not both"),
        (["CartPole-v1", "--resume"], "holds no collection"),
        (["CartPole-v1", "--format", "d4rl", "--out", "there"], "end it in .hdf5"),
        (["CartPole-v1", "--reference_max", ".inf"], "--reference_max is inf"),
        (["CartPole-v1", "--env_options.gravity", "3"], "Unknown option of CartPole-v1 'gravity'"),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_bad_input_is_one_line(
    flags: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["collect", *flags]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert told in lines[0]
    assert not list(tmp_path.iterdir())


def test_existing_output_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "there").mkdir()
    assert main(["collect", "CartPole-v1", "--out", str(tmp_path / "there")]) == 2
    assert "exists; add --overwrite" in capsys.readouterr().err


def test_ctrl_c_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from seqrl.collection.journal import Journal

    append, left = Journal.append, iter(range(4))

    def stop(journal: Journal, trajectory: object) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt
        append(journal, trajectory)  # type: ignore[arg-type]

    flags = ["collect", "CartPole-v1", "--episodes", "9", "--out", str(tmp_path / "x"), "--reference_episodes", "2"]
    monkeypatch.setattr(Journal, "append", stop)
    assert main(flags) == 130
    assert "4 finished episodes are kept, go on with --resume" in capsys.readouterr().err
    monkeypatch.setattr(Journal, "append", append)
    assert main([*flags, "--resume"]) == 0
    assert len(open_episodes(tmp_path / "x")) == 9
