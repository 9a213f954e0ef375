"""Verbs of two words: a group is a program within the program."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import pytest

from seqsuite.cli.frame import run
from seqsuite.plugins import Plugin

SEEN: list[object] = []


@dataclass(frozen=True)
class SpeedConfig:
    """Flags of speed.

    Args:
        name: Whose speed.
        times: How often.
    """

    name: str
    times: int = 3


@dataclass(frozen=True, kw_only=True)
class PlainConfig:
    """Flags of plain.

    Args:
        level: A number.
    """

    level: int = 0


def speed(config: SpeedConfig) -> int:
    """Tell how fast."""
    SEEN.append(config)
    return 0


def plain(config: PlainConfig) -> int:
    """Do the plain thing."""
    SEEN.append(config)
    return 0


@pytest.fixture
def program() -> Plugin:
    SEEN.clear()
    sys.modules.setdefault("group_commands", sys.modules[__name__])
    commands = {"measure speed": "group_commands:speed", "measure plain": "group_commands:plain"}
    return Plugin(name="toy", version="9.9", summary="A toy.", commands={"plain": "group_commands:plain", **commands})


def test_a_verb_of_a_group_takes_its_flags(program) -> None:
    assert run(program, ["measure", "speed", "horse", "--times", "5"]) == 0
    assert run(program, ["measure", "plain", "--level=2"]) == 0
    assert run(program, ["plain"]) == 0
    assert SEEN == [SpeedConfig("horse", 5), PlainConfig(level=2), PlainConfig()]


def test_files_and_environment_reach_a_verb_of_a_group(program, tmp_path, monkeypatch) -> None:
    (tmp_path / "a.yaml").write_text("times: 8\n")
    assert run(program, ["measure", "speed", "horse", "--config", str(tmp_path / "a.yaml")]) == 0
    monkeypatch.setenv("TOY_MEASURE_SPEED__TIMES", "7")
    assert run(program, ["measure", "speed", "horse"]) == 0
    assert SEEN == [SpeedConfig("horse", 8), SpeedConfig("horse", 7)]
    monkeypatch.setenv("TOY_MEASURE_SPEED__TIME", "7")
    assert run(program, ["measure", "speed", "horse"]) == 2


def test_help_lists_the_group_and_its_verbs(program, capsys) -> None:
    assert run(program, ["--help"]) == 0
    told = capsys.readouterr().out
    assert "measure" in told
    assert "speed, plain" in told
    for words in (["measure"], ["measure", "--help"]):
        assert run(program, words) == 0
        assert "Tell how fast." in capsys.readouterr().out
    assert run(program, ["measure", "speed", "--help"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("usage: toy measure speed NAME")
    assert "--times" in told


def test_print_config_of_a_verb_of_a_group_is_read_back(program, tmp_path, capsys) -> None:
    assert run(program, ["measure", "plain", "--level", "4", "--print_config"]) == 0
    (tmp_path / "b.yaml").write_text(capsys.readouterr().out)
    assert run(program, ["measure", "plain", "--config", str(tmp_path / "b.yaml")]) == 0
    assert SEEN == [PlainConfig(level=4)]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["measur"], "unknown command 'measur'. Did you mean 'measure'"),
        (["measure", "sped"], "unknown command 'sped'. Did you mean 'speed'?"),
        (["measure", "--times=3"], "unexpected argument '--times=3'"),
        (["measure", "speed"], "missing: NAME."),
        (["measure", "speed", "horse", "--tims", "3"], "unknown flag '--tims'. Did you mean '--times'?"),
        (["measure", "speed", "horse", "--times", "often"], "--times: expected int, got 'often'."),
    ],
)
def test_what_the_user_can_mend_is_one_line(program, capsys, words, said) -> None:
    assert run(program, words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("toy: ")
    assert said in line


def test_shell_completion_knows_the_flags_of_a_group(program, capsys) -> None:
    assert run(program, ["--print_completion", "shtab-bash"]) == 0
    assert "--times" in capsys.readouterr().out
