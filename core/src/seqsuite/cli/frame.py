"""The command frame that every program of the suite shares.

A program is a plugin's table of commands: verb -> ``"module:function"``. The function takes one
config dataclass; its fields become flags (fields without a default are positional), its docstring
the help. Flags, ``--config file.yaml`` and environment variables (``SEQDNA_PRETRAIN__LR``) fill it.
A verb of two words, ``"bench tasks"``, is one of a group: `seqsuite bench` lists the group's verbs.
What the user can mend ends as one line on stderr and exit code 2; an interrupted run ends with 130.
"""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import json
import os
import re
import signal
import sys
import threading
import typing
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import yaml
from jsonargparse import ArgumentParser, Namespace, set_parsing_settings

from seqsuite.errors import UserError, suggest
from seqsuite.plugins import Plugin, import_target

EXIT_USER, EXIT_INTERRUPTED = 2, 130
_OWN_FLAGS = ("help", "config", "print_config")
_BOOLEANS = dict.fromkeys(("true", "yes", "on", "1"), "true") | dict.fromkeys(("false", "no", "off", "0"), "false")


class _Parser(ArgumentParser):
    """Raises `UserError` where argparse would print its usage and exit."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        raise UserError(_readable(" ".join(message.split()))) from ex


def run(plugin: Plugin, argv: Sequence[str] | None = None) -> int:
    """Run one program and return its exit code.

    Args:
        plugin: Whose commands to offer; its name is the program's name.
        argv: Arguments without the program's name; `sys.argv[1:]` when None.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    # OpenMP's threads spin while they wait: with one core busy elsewhere, two threads are then several
    # times slower than one. It must be said before torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        with _interruptible(plugin):
            return _dispatch(plugin, arguments)
    except UserError as error:
        _tell(plugin, " ".join(str(error).split()))
        return EXIT_USER
    except KeyboardInterrupt as stop:  # training.Interrupted is one, and tells what was saved
        _tell(plugin, str(stop) or "interrupted")
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader of a pipe (`| head`) has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except SystemExit as stop:  # --help, --version, --print_config
        return stop.code if isinstance(stop.code, int) else 0


@contextlib.contextmanager
def _interruptible(plugin: Plugin) -> Iterator[None]:
    """Let Ctrl-C while modules are imported end the program at once.

    An exception in the middle of an extension's import can abort the whole process with a core dump; at
    such a time there is nothing to save.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        while frame is not None:
            if frame.f_code.co_filename.startswith("<frozen importlib"):
                _tell(plugin, "interrupted")
                os._exit(EXIT_INTERRUPTED)
            frame = frame.f_back
        signal.default_int_handler(number, frame)

    ours = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
    if ours:
        signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        if ours and signal.getsignal(signal.SIGINT) is stop:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _tell(plugin: Plugin, line: str) -> None:
    with contextlib.suppress(OSError):  # a terminal that was closed
        print(f"{plugin.name}: {line}", file=sys.stderr)


def _dispatch(plugin: Plugin, arguments: list[str]) -> int:
    set_parsing_settings(add_print_completion_argument=True)
    verb = arguments[0] if arguments and not arguments[0].startswith("-") else None
    groups = _groups(plugin)
    if verb in groups:
        return _dispatch(groups[verb], arguments[1:])
    if verb is not None and verb not in plugin.commands:
        raise UserError(f"unknown command {verb!r}.{suggest(verb, {*plugin.commands, *groups})}")
    names = plugin.commands if verb is None else [verb]
    functions = {name: import_target(plugin.commands[name]) for name in names}
    shows_help = not arguments or bool({"-h", "--help"} & set(arguments))
    parser = build_parser(plugin, functions, environment=not shows_help)
    if not arguments:
        parser.print_help()
        return 0
    if verb is None:
        parser.parse_args(arguments)  # --help, --version and --print_completion end here
        raise UserError(f"name a command before its flags; run `{plugin.name} --help`.")
    function, config_class = functions[verb], config_of(functions[verb])
    arguments = _normalise(arguments, _fields(config_class))
    _check_names(arguments, _fields(config_class))
    arguments = _gather(_joined(arguments, _fields(config_class)), _fields(config_class))
    _check_environment(_variable(plugin, verb), _fields(config_class))
    parsed = _parse(parser, arguments, plugin, verb)
    values = parsed[verb]
    return function(config_class(**{field: _plain(values[field]) for field in _fields(config_class)})) or 0


def _groups(plugin: Plugin) -> dict[str, Plugin]:
    """Return the groups of verbs of two words, each as a program of its own: `seqsuite bench` with its verbs."""
    tables: dict[str, dict[str, str]] = {}
    for name, target in plugin.commands.items():
        group, space, verb = name.partition(" ")
        if space:
            tables.setdefault(group, {})[verb] = target
    return {
        group: Plugin(name=f"{plugin.name} {group}", version=plugin.version, summary=", ".join(table), commands=table)
        for group, table in tables.items()
    }


def build_parser(plugin: Plugin, functions: dict[str, Callable[..., Any]], *, environment: bool = True) -> _Parser:
    """Build the parser of a program with the given verbs.

    Args:
        plugin: Names the program and its version.
        functions: Verb -> function of one config dataclass.
        environment: Read flags from environment variables too.
    """
    prefix = _variable_name(plugin.name)
    epilog = f"Every flag can also be set as {prefix}_<COMMAND>__<FLAG> in the environment or in a --config file."
    settings: dict[str, Any] = {"default_env": environment, "env_prefix": prefix}
    parser = _Parser(
        prog=plugin.name,
        description=plugin.summary,
        version=plugin.version,
        epilog=epilog,
        **settings,
    )
    _add_verbs(parser, plugin, functions, epilog=epilog, settings=settings)
    return parser


def _add_verbs(
    parser: _Parser,
    plugin: Plugin,
    functions: dict[str, Callable[..., Any]],
    *,
    epilog: str,
    settings: dict[str, Any],
) -> None:
    """Give a parser its verbs; those of a group go into a parser between."""
    if not functions:
        return
    commands = parser.add_subcommands(required=False, dest="command", title="commands", description="")
    for verb, function in functions.items():
        if " " in verb:
            continue
        text = inspect.getdoc(function) or ""
        needed = "".join(f" {name.upper()}" for name in _required(config_of(function)))
        usage = f"{plugin.name} {verb}{needed} [--flag value ...]"
        command = _Parser(description=text, epilog=epilog, usage=usage, **settings)
        command.add_argument("--config", action="config", help="YAML file of flags; flags given beside it win.")
        command.add_class_arguments(config_of(function), as_positional=True)
        commands.add_subcommand(verb, command, help=text.splitlines()[0] if text else "")
    for group, program in _groups(plugin).items():
        inside = {verb: functions[f"{group} {verb}"] for verb in program.commands if f"{group} {verb}" in functions}
        if inside:
            between = _Parser(description=program.summary, epilog=epilog, **settings)
            commands.add_subcommand(group, between, help=program.summary)
            _add_verbs(between, program, inside, epilog=epilog, settings=settings)


def config_of(function: Callable[..., Any]) -> type:
    """Return the config dataclass that a verb's function takes."""
    hints = typing.get_type_hints(function)
    hints.pop("return", None)
    (config_class,) = hints.values()
    return config_class


def _fields(config_class: type) -> dict[str, Any]:
    hints = typing.get_type_hints(config_class)
    return {field.name: hints[field.name] for field in dataclasses.fields(config_class) if field.init}


def _required(config_class: type) -> list[str]:
    missing = dataclasses.MISSING
    fields = dataclasses.fields(config_class)
    return [field.name for field in fields if field.default is missing and field.default_factory is missing]


def _normalise(arguments: list[str], fields: dict[str, Any]) -> list[str]:
    """Let people write flags as they do: ``--checkpoint-every``, a bare ``--resume``, ``--betas 0.9,0.95``."""
    result: list[str] = []
    value_of: str | None = None
    for position, word in enumerate(arguments):
        if not word.startswith("--") or word == "--":
            result.append(_value(word, fields.get(value_of or "")))
            value_of = None
            continue
        name, equals, value = word[2:].partition("=")
        name = name.replace("-", "_")
        value_of = None if equals else name
        result.append(f"--{name}{equals}{_value(value, fields.get(name))}")
        following = arguments[position + 1] if position + 1 < len(arguments) else ""
        if fields.get(name) is bool and not equals and following.lower() not in _BOOLEANS:
            result.append("true")
    return result


def _value(text: str, hint: Any) -> str:
    if hint is bool:
        return _BOOLEANS.get(text.lower(), text)
    # Of an option that may also be one number, a comma says which is meant.
    tuples = [kind for kind in (hint, *typing.get_args(hint)) if typing.get_origin(kind) is tuple]
    if tuples and text and not text.startswith("[") and (tuples[0] is hint or "," in text):
        return f"[{text}]"
    return text


def _joined(arguments: list[str], fields: dict[str, Any]) -> list[str]:
    """Make one flag of a list that was given in several: ``--goal a --goal b`` becomes ``--goal=[a, b]``.

    jsonargparse keeps the last of them.
    """
    lists = {f"--{name}" for name, hint in fields.items() if typing.get_args(hint)[-1:] == (Ellipsis,)}
    parts: dict[str, list[str]] = {}
    result: list[str] = []
    words = iter(arguments)
    for word in words:
        flag, equals, text = word.partition("=")
        value = text if equals or flag not in lists else next(words, None)
        if flag not in lists or value is None:
            result.append(word)
            continue
        if flag not in parts:
            result.append(flag)
        parts.setdefault(flag, []).append(value)
    return [f"{word}={_one_list(parts[word])}" if word in parts else word for word in result]


def _one_list(values: list[str]) -> str:
    """Return lists in brackets as one of them."""
    return values[0] if len(values) == 1 else f"[{', '.join(value.strip()[1:-1] for value in values)}]"


def _gather(arguments: list[str], fields: dict[str, Any]) -> list[str]:
    """Make one flag of all below an option's option: ``--a.b.c 1 --a.b.d 2`` becomes ``--a.b={"c": 1, "d": 2}``.

    jsonargparse lets the last of them replace the others, and what a --config file says beside them.
    """
    trees: dict[str, dict[str, Any]] = {}
    result: list[str] = []
    words = iter(arguments)
    for word in words:
        name, equals, text = word[2:].partition("=")
        path = name.split(".")
        if not word.startswith("--") or len(path) < 3 or path[0] not in fields:
            result.append(word)
            continue
        value = text if equals else next(words, None)
        if value is None:
            raise UserError(f"--{name}: needs a value.")
        key = ".".join(path[:2])
        if key not in trees:
            trees[key] = _below(arguments, path[0], path[1])
            result.append(f"--{key}")
        _set(trees[key], path[2:], value)
    return [f"{word}={json.dumps(trees[word[2:]], default=str)}" if word[2:] in trees else word for word in result]


def _below(arguments: list[str], field: str, name: str) -> dict[str, Any]:
    """Return what the --config file, the last one that has the option, holds of an option's option."""
    options: Any = None
    for word, following in zip(arguments, [*arguments[1:], ""], strict=True):
        flag, equals, value = word.partition("=")
        if flag == "--config":
            content = yaml.safe_load(Path(value if equals else following).read_text(encoding="utf-8"))
            options = content.get(field, options)
    found = options.get(name) if isinstance(options, dict) else None
    return found if isinstance(found, dict) else {}


def _set(tree: dict[str, Any], path: list[str], text: str) -> None:
    """Set a value deep in a mapping; the text is read as YAML, as everywhere on a command line."""
    *above, last = path
    for name in above:
        if not isinstance(tree.get(name), dict):
            tree[name] = {}
        tree = tree[name]
    try:
        tree[last] = yaml.safe_load(text)
    except yaml.YAMLError:
        tree[last] = text


def _check_names(arguments: list[str], fields: dict[str, Any]) -> None:
    """Refuse unknown flags, and unknown keys of ``--config`` files, with near names."""
    for position, word in enumerate(arguments):
        flag, equals, value = word.partition("=")
        if word.startswith("-") and not word.startswith("--") and flag[1:].replace("-", "_") in fields:
            raise UserError(f"unknown flag {flag!r}. Did you mean '-{flag}'?")
        if not word.startswith("--") or word == "--":
            continue
        name = flag[2:].partition(".")[0]
        if name not in fields and name not in _OWN_FLAGS:
            raise UserError(f"unknown flag {flag!r}.{suggest(flag, [f'--{field}' for field in fields])}")
        if name == "config":
            _check_file(value if equals else "".join(arguments[position + 1 : position + 2]), fields)


def _parse(parser: _Parser, arguments: list[str], plugin: Plugin, verb: str) -> Any:
    """Parse; say where a bad value comes from when it was no flag."""
    try:
        return parser.parse_args(arguments)
    except UserError as error:
        named = re.match(r"--(\w+)", str(error))
        if named is None or any(word.partition("=")[0] == named[0] for word in arguments):
            raise
        variable = _variable(plugin, verb, named[1])
        source = f"environment variable {variable}" if variable in os.environ else "--config"
        raise UserError(f"{error} (from {source})") from error


def _variable(plugin: Plugin, verb: str, flag: str = "") -> str:
    """Return the environment variable of a flag, or what those of a verb begin with; a shell allows no dash in it."""
    return _variable_name(f"{plugin.name}_{verb}__{flag}")


def _variable_name(text: str) -> str:
    return text.upper().replace("-", "_").replace(" ", "_")


def _check_environment(prefix: str, fields: dict[str, Any]) -> None:
    known = [name.upper() for name in (*fields, "config")]
    for name in os.environ:
        if name.startswith(prefix) and name.removeprefix(prefix) not in known:
            raise UserError(f"unknown environment variable {name}.{suggest(name.removeprefix(prefix), known)}")


def _check_file(path: str, fields: dict[str, Any]) -> None:
    try:
        with open(path, encoding="utf-8") as file:
            content = yaml.safe_load(file)
    except OSError as error:
        raise UserError(f"--config {path}: {error.strerror or error}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"--config {path}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise UserError(
            f"--config {path}: must hold 'key: value' lines; {'is empty' if content is None else 'does not'}."
        )
    for key in content:
        if key not in fields:
            raise UserError(f"--config {path}: unknown key {str(key)!r}.{suggest(str(key), fields)}")


def _plain(value: Any) -> Any:
    if isinstance(value, Namespace):
        return value.as_dict()
    return value


def _readable(message: str) -> str:
    """Shorten jsonargparse's message to what a user needs."""
    stray = re.search(r"[Uu]nrecognized arguments: (\S+)", message)
    if stray:
        return f"unexpected argument {stray[1]!r}."
    missing = re.search(r"arguments are required: (.+)", message)
    if missing:
        return f"missing: {', '.join(name.rpartition('.')[2].upper() for name in missing[1].split(', '))}."
    message = re.sub(r"^Parser key \"([^\"]+)\": ?", r"--\1: ", message)
    message = re.sub(r"<class '(\w+)'>", r"\1", message)
    union = re.search(r"^(--\S+: )?Does not validate .*? Subtypes: \[(.*?)\] .*Given value: ?(.*)$", message, re.DOTALL)
    if union:
        kinds = [kind for kind in union[2].split(", ") if kind != "NoneType"]
        return f"{union[1] or ''}expected {' or '.join(kinds)}, got {union[3]!r}."
    message = re.sub(r"Expected an? (?:typing\.Literal\[(.*?)\])?", lambda m: f"expected {m[1] or ''}", message)
    message = message.replace("expected tuple", "expected a list, as in 'a,b'")
    return re.sub(r"\. Got value: ?(.*)$", r", got '\1'.", message)
