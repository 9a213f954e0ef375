"""The command frame: flags, files, environment, near names, exit codes."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from seqsuite.cli.frame import run
from seqsuite.errors import UserError
from seqsuite.plugins import Plugin
from seqsuite.training.configs import Interrupted

SEEN: list[object] = []


@dataclass(frozen=True, kw_only=True)
class Shared:
    """Shared flags.

    Args:
        learning_rate: Step size.
        resume: Go on with a run.
    """

    learning_rate: float = 1e-3
    resume: bool = False


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Shared):
    """Flags of train.

    Args:
        model: Name of the model.
        model_options: Options of the model.
        deep: Options below options.
        betas: Two numbers.
        goals: Any number of words.
        size: One number, or two.
        fail: How to fail.
    """

    model: str = "small"
    model_options: dict[str, int | float | str | bool] = field(default_factory=dict)
    deep: dict[str, Any] = field(default_factory=dict)
    betas: tuple[float, float] = (0.9, 0.95)
    goals: tuple[str, ...] = ()
    size: int | tuple[int, int] = 0
    fail: str | None = None


@dataclass(frozen=True)
class EmbedConfig:
    """Flags of embed.

    Args:
        run: Folder of a run.
        layer: Which layer.
    """

    run: str
    layer: int = -1


def train(config: TrainConfig) -> int:
    """Train a model."""
    SEEN.append(config)
    failures: dict[str, Callable[[], BaseException]] = {
        "user": lambda: UserError("file.fa, line 3:\nnot DNA; remove it."),
        "ours": lambda: ZeroDivisionError("ours"),
        "keyboard": KeyboardInterrupt,
        "interrupted": lambda: Interrupted("stopped at step 5; state saved"),
    }
    if config.fail:
        raise failures[config.fail]()
    return 0


def embed(config: EmbedConfig) -> None:
    """Embed sequences."""
    SEEN.append(config)


@pytest.fixture
def program() -> Plugin:
    SEEN.clear()
    sys.modules.setdefault("frame_commands", sys.modules[__name__])
    commands = {"train": "frame_commands:train", "embed-all": "frame_commands:embed"}
    return Plugin(name="toy", version="9.9", summary="A toy.", commands=commands)


def test_flags_and_defaults(program: Plugin) -> None:
    assert (
        run(program, ["train", "--learning-rate", "0.5", "--model_options.d_model", "4", "--betas", "[0.1, 0.2]"]) == 0
    )
    (seen,) = SEEN
    assert seen == TrainConfig(learning_rate=0.5, model_options={"d_model": 4}, betas=(0.1, 0.2))


@pytest.mark.parametrize("words", [["--resume"], ["--resume", "true"], ["--resume=true"], ["--resume", "--model", "x"]])
def test_a_switch_needs_no_value(program: Plugin, words: list[str]) -> None:
    assert run(program, ["train", *words]) == 0
    assert SEEN[0].resume is True


@pytest.mark.parametrize("word", ["no", "False", "off", "0"])
def test_a_switch_can_be_turned_off(program: Plugin, word: str) -> None:
    assert run(program, ["train", "--resume", word]) == 0
    assert run(program, ["train", f"--resume={word}"]) == 0
    assert [seen.resume for seen in SEEN] == [False, False]


def test_several_numbers_need_no_brackets(program: Plugin) -> None:
    for words in (["--betas", "0.1,0.2"], ["--betas=0.1,0.2"], ["--betas", "[0.1,0.2]"]):
        assert run(program, ["train", *words]) == 0
    assert {seen.betas for seen in SEEN} == {(0.1, 0.2)}


@pytest.mark.parametrize(
    "words",
    [
        ["--goals", "a=1,b=2", "--goals", "c"],
        ["--goals=a=1", "--model", "x", "--goals=[b=2, c]"],
        ["--goals", "a=1", "--goals", "b=2", "--goals", "c"],
    ],
)
def test_a_list_given_in_several_flags_is_one_list(program: Plugin, words: list[str]) -> None:
    assert run(program, ["train", *words]) == 0
    assert SEEN[0].goals == ("a=1", "b=2", "c")


@pytest.mark.parametrize(("word", "size"), [("36,40", (36, 40)), ("[36,40]", (36, 40)), ("36", 36)])
def test_one_number_or_several_with_commas(program: Plugin, word: str, size: object) -> None:
    assert run(program, ["train", "--size", word]) == 0
    assert SEEN.pop().size == size  # type: ignore[attr-defined]


def test_a_bad_value_in_a_file_or_the_environment_names_its_source(
    program: Plugin, tmp_path, capsys, monkeypatch
) -> None:
    (tmp_path / "e.yaml").write_text("learning_rate: fast\n")
    assert run(program, ["train", "--config", str(tmp_path / "e.yaml")]) == 2
    assert "(from --config)" in capsys.readouterr().err
    monkeypatch.setenv("TOY_TRAIN__LEARNING_RATE", "fast")
    assert run(program, ["train"]) == 2
    assert "TOY_TRAIN__LEARNING_RATE" in capsys.readouterr().err


def test_all_flags_below_one_option_count(program: Plugin, tmp_path) -> None:
    """jsonargparse by itself keeps the last one only, and drops those of the file."""
    file = tmp_path / "deep.yaml"
    file.write_text("deep:\n  mamba:\n    d_state: 1\n    expand: 3\n  hyena:\n    l_max: 64\n")
    words = "--deep.mamba.d_state 4 --deep.mamba.dt.least=1e-3 --deep.mamba.dt.most 0.1 --deep.gru.hidden 8".split()
    assert run(program, ["train", *words]) == 0
    assert SEEN[-1].deep == {"mamba": {"d_state": 4, "dt": {"least": "1e-3", "most": 0.1}}, "gru": {"hidden": 8}}
    assert run(program, ["train", "--config", str(file), *words]) == 0
    assert SEEN[-1].deep == {
        "mamba": {"d_state": 4, "expand": 3, "dt": {"least": "1e-3", "most": 0.1}},
        "hyena": {"l_max": 64},
        "gru": {"hidden": 8},
    }


def test_a_flag_below_an_option_needs_a_value(program: Plugin, capsys) -> None:
    assert run(program, ["train", "--deep.mamba.d_state"]) == 2
    assert "--deep.mamba.d_state: needs a value." in capsys.readouterr().err


def test_of_two_files_the_last_counts_beside_flags_below_an_option(program: Plugin, tmp_path) -> None:
    (tmp_path / "g.yaml").write_text("deep:\n  mamba: {d_state: 1, expand: 3}\n")
    (tmp_path / "h.yaml").write_text("deep:\n  mamba: {d_state: 2}\n")
    (tmp_path / "i.yaml").write_text("model: big\n")
    files = [word for name in "ghi" for word in ("--config", str(tmp_path / f"{name}.yaml"))]
    assert run(program, ["train", *files]) == 0
    assert SEEN[-1].deep == {"mamba": {"d_state": 2}}
    assert run(program, ["train", *files, "--deep.mamba.dt", "1"]) == 0
    assert SEEN[-1].deep == {"mamba": {"d_state": 2, "dt": 1}}


def test_a_flag_below_an_option_that_is_none_in_the_file_is_one_line(program: Plugin, tmp_path, capsys) -> None:
    (tmp_path / "f.yaml").write_text("deep: 3\n")
    assert run(program, ["train", "--config", str(tmp_path / "f.yaml"), "--deep.mamba.d_state", "4"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("toy: --deep: expected dict")


def test_positional_and_optional(program: Plugin) -> None:
    assert run(program, ["embed-all", "runs/a", "--layer", "3"]) == 0
    assert SEEN == [EmbedConfig(run="runs/a", layer=3)]


def test_flags_win_over_file_over_environment(program: Plugin, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("TOY_TRAIN__MODEL", "from_environment")
    monkeypatch.setenv("TOY_TRAIN__LEARNING_RATE", "7")
    (tmp_path / "a.yaml").write_text("learning_rate: 2\nresume: true\n")
    assert run(program, ["train", "--config", str(tmp_path / "a.yaml"), "--learning_rate", "3"]) == 0
    assert SEEN == [TrainConfig(model="from_environment", learning_rate=3, resume=True)]


def test_an_unknown_environment_variable_is_named(program: Plugin, capsys, monkeypatch) -> None:
    monkeypatch.setenv("TOY_TRAIN__LEARNING_RAT", "3")
    assert run(program, ["train"]) == 2
    assert "TOY_TRAIN__LEARNING_RAT. Did you mean 'LEARNING_RATE'?" in capsys.readouterr().err
    monkeypatch.delenv("TOY_TRAIN__LEARNING_RAT")
    monkeypatch.setenv("TOY_EMBED-ALL__NOSUCH", "another verb's")
    assert run(program, ["train"]) == 0


def test_print_config_is_read_back(program: Plugin, tmp_path, capsys) -> None:
    assert run(program, ["train", "--model", "big", "--print_config"]) == 0
    (tmp_path / "b.yaml").write_text(capsys.readouterr().out)
    assert run(program, ["train", "--config", str(tmp_path / "b.yaml")]) == 0
    assert SEEN == [TrainConfig(model="big")]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["tran"], "unknown command 'tran'. Did you mean 'train'?"),
        (["train", "--learning_rat", "3"], "unknown flag '--learning_rat'. Did you mean '--learning_rate'?"),
        (["train", "--learning-rat=3"], "unknown flag '--learning_rat'. Did you mean '--learning_rate'?"),
        (["train", "--learning_rate", "fast"], "--learning_rate: expected float, got 'fast'."),
        (["embed-all"], "missing: RUN."),
        (["train", "-model", "x"], "unknown flag '-model'. Did you mean '--model'?"),
        (["train", "stray"], "unexpected argument 'stray'"),
        (["train", "--config", "no_such.yaml"], "no_such.yaml"),
        (["train", "--fail", "user"], "file.fa, line 3: not DNA; remove it."),
    ],
)
def test_what_the_user_can_mend_is_one_line(program: Plugin, capsys, words, said) -> None:
    assert run(program, words) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("toy: ")
    assert said in lines[0]


def test_an_unknown_key_in_a_file_is_named(program: Plugin, capsys, tmp_path) -> None:
    (tmp_path / "c.yaml").write_text("learning_rte: 2\n")
    assert run(program, ["train", "--config", str(tmp_path / "c.yaml")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "unknown key 'learning_rte'. Did you mean 'learning_rate'?" in line
    assert "c.yaml" in line


@pytest.mark.parametrize("text", ["a: [1, 2\n", "- a list\n", "\x00\x01", ""])
def test_a_file_that_is_no_mapping_is_named(program: Plugin, capsys, tmp_path, text) -> None:
    (tmp_path / "d.yaml").write_text(text)
    assert run(program, ["train", "--config", str(tmp_path / "d.yaml")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "d.yaml" in line


def test_our_own_faults_keep_their_traceback(program: Plugin) -> None:
    with pytest.raises(ZeroDivisionError):
        run(program, ["train", "--fail", "ours"])


@pytest.mark.parametrize(("how", "said"), [("keyboard", "interrupted"), ("interrupted", "state saved")])
def test_an_interrupted_run_ends_with_130(program: Plugin, how: str, said: str, capsys) -> None:
    assert run(program, ["train", "--fail", how]) == 130
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_help_lists_commands_and_flags(program: Plugin, capsys) -> None:
    assert run(program, ["--help"]) == 0
    assert "Train a model." in capsys.readouterr().out
    assert run(program, []) == 0
    assert "embed-all" in capsys.readouterr().out
    assert run(program, ["train", "--help"]) == 0
    told = capsys.readouterr().out
    for name in dataclasses.fields(TrainConfig):
        assert f"--{name.name}" in told
    assert run(program, ["--version"]) == 0
    assert capsys.readouterr().out == "toy 9.9\n"


def test_shell_completion_knows_the_flags(program: Plugin, capsys) -> None:
    assert run(program, ["--print_completion", "shtab-bash"]) == 0
    assert "--learning_rate" in capsys.readouterr().out


@pytest.mark.parametrize("package", ["seqsuite", "seqdna", "seqaudio"])
def test_interrupted_while_modules_load_is_one_line(package: str) -> None:
    code = (
        f"import sys, {package}.cli\n"
        "class Stop:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'jsonargparse': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Stop())\n"
        f"sys.exit({package}.cli.main(['--help']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, f"{package}: interrupted\n")
