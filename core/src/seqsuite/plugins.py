"""Plugins: what a domain brings, found by entry point and resolved on use.

A plugin is a torch-free table of names. A package announces one in its `pyproject.toml`::

    [project.entry-points."seqsuite.plugins"]
    seqdna = "seqdna.plugin:plugin"

Tables map a name to ``"module:attribute"``; nothing is imported before it is asked for. The core
lists its own models and mixers in the same way (`seqsuite.plugin`).
"""

from __future__ import annotations

import fnmatch
import functools
import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any

from seqsuite.errors import UserError, unknown_name

GROUP = "seqsuite.plugins"
KINDS = ("models", "mixers", "tokenizers", "datasets", "tasks", "commands")

Table = Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Plugin:
    """One domain's table of names.

    Args:
        name: The plugin's name: its import package and its command.
        version: Version of the distribution.
        summary: One line for `seqsuite plugins`.
        models: Named sizes; each value is a function that returns the size's config.
        mixers: Sequence mixers; each value is a `seqsuite.mixers.Mixer` class.
        tokenizers: Tokenizer classes.
        datasets: Data set classes.
        tasks: Training tasks.
        commands: Verbs of the command line; each value is a function of one config dataclass.
    """

    name: str
    version: str
    summary: str = ""
    models: Table = field(default_factory=dict)
    mixers: Table = field(default_factory=dict)
    tokenizers: Table = field(default_factory=dict)
    datasets: Table = field(default_factory=dict)
    tasks: Table = field(default_factory=dict)
    commands: Table = field(default_factory=dict)

    def table(self, kind: str) -> Table:
        """Return the table of one kind.

        Args:
            kind: One of `KINDS`.

        Returns:
            Names to targets, "module:attribute".

        Raises:
            UnknownNameError: There is no such kind.
        """
        if kind not in KINDS:
            raise unknown_name("kind of table", kind, KINDS)
        return getattr(self, kind)


@dataclass(frozen=True)
class Broken:
    """A plugin that could not be loaded, and why."""

    name: str
    target: str
    reason: str


@functools.cache
def _scan() -> tuple[dict[str, Plugin], tuple[Broken, ...]]:
    found: dict[str, Plugin] = {}
    broken: list[Broken] = []
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: (entry.name != "seqsuite", entry.name)):
        # A stranger's package may fail in any way at all; it must break nothing else.
        try:
            loaded = entry.load()
            if not isinstance(loaded, Plugin):
                raise TypeError(f"is a {type(loaded).__name__}, not a seqsuite.plugins.Plugin")
            if loaded.name != entry.name:
                raise ValueError(f"is announced as {entry.name!r} but calls itself {loaded.name!r}")
            if loaded.name in found:
                raise ValueError("another package has announced this name before")
        except Exception as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            broken.append(Broken(entry.name, entry.value, reason))
        else:
            found[loaded.name] = loaded
    return found, tuple(broken)


def discover() -> dict[str, Plugin]:
    """Return the installed plugins by name, the core's own table first."""
    return dict(_scan()[0])


def broken() -> tuple[Broken, ...]:
    """Return the plugins that are announced but could not be loaded."""
    return _scan()[1]


def refresh() -> None:
    """Forget what was discovered: the next call looks at the environment again."""
    _scan.cache_clear()


def names(kind: str, pattern: str = "*") -> dict[str, str]:
    """Return the entries of one kind that match a wildcard, of all plugins.

    Args:
        kind: One of `KINDS`.
        pattern: The wildcard, as in file names.

    Returns:
        Names to the names of their plugins.
    """
    found: dict[str, str] = {}
    for plugin in discover().values():
        for name in plugin.table(kind):
            if fnmatch.fnmatchcase(name, pattern):
                found.setdefault(name, plugin.name)
    return found


def import_target(target: str) -> Any:
    """Import ``"module:attribute"``."""
    module, _, attribute = target.partition(":")
    if not attribute:
        raise ValueError(f"{target!r} is not of the form 'module:attribute'")
    return getattr(importlib.import_module(module), attribute)


def lookup(kind: str, name: str) -> Any:
    """Resolve one name of one kind to the object behind it.

    Args:
        kind: One of `KINDS`.
        name: The name in that table.

    Returns:
        The object, imported.

    Raises:
        UnknownNameError: The name is in no table; near names are suggested.
        UserError: The plugin that owns the name cannot import it.
    """
    for plugin in discover().values():
        target = plugin.table(kind).get(name)
        if target is None:
            continue
        try:
            return import_target(target)
        except ImportError as error:
            raise UserError(f"{kind[:-1]} {name!r} of plugin {plugin.name!r} needs {target}: {error}") from error
    raise unknown_name(kind[:-1], name, names(kind))
