"""The laws that every plugin keeps: `check_plugin`, for the tests of its author."""

from __future__ import annotations

import inspect
import subprocess
import sys

from seqsuite.plugins import KINDS, Plugin, import_target

_TORCH_FREE = """
import importlib, sys
from importlib.metadata import entry_points
(entry,) = [e for e in entry_points(group="seqsuite.plugins") if e.name == {name!r}]
plugin = entry.load()
for target in [*plugin.models.values(), *plugin.commands.values()]:
    importlib.import_module(target.partition(":")[0])
heavy = sorted({{"torch", "lightning", "timm"}} & set(sys.modules))
assert not heavy, f"plugin table, model sizes or commands import {{heavy}}"
"""


def check_plugin(plugin: Plugin) -> None:
    """Check a plugin that is installed in this environment.

    Every name is an identifier, every target resolves, model sizes return a config that can be built
    and used, commands take one documented config dataclass, and reading the tables, the sizes and the
    commands imports no torch.

    Args:
        plugin: The object that the entry point names.

    Raises:
        AssertionError: A law is broken; the message says which and where.
    """
    from seqsuite.plugins import discover

    assert plugin.name in discover(), f"{plugin.name!r} is not announced as an entry point of seqsuite.plugins"
    assert plugin.version, f"{plugin.name} states no version"
    for kind in KINDS:
        for name, target in plugin.table(kind).items():
            where = f"{plugin.name}: {kind}[{name!r}] -> {target}"
            plain = name.replace("-", "_").replace(" ", "_") if kind == "commands" else name
            assert plain.isidentifier(), f"{where}: the name is no identifier"
            assert callable(import_target(target)), f"{where}: is not callable"
    _check_sizes(plugin)
    _check_commands(plugin)
    script = _TORCH_FREE.format(name=plugin.name)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, f"{plugin.name}: {done.stderr.strip().splitlines()[-1]}"


def _check_sizes(plugin: Plugin) -> None:
    import dataclasses

    from seqsuite.models import create_model

    for name, target in plugin.models.items():
        config = import_target(target)()
        assert dataclasses.is_dataclass(config), f"{plugin.name}: size {name!r} returns no config dataclass"
        if name.endswith("_debug"):
            assert sum(p.numel() for p in create_model(name).parameters()) > 0, f"{name!r} has no parameters"


def _check_commands(plugin: Plugin) -> None:
    import dataclasses

    from seqsuite.cli.frame import config_of

    for verb, target in plugin.commands.items():
        function = import_target(target)
        assert inspect.getdoc(function), f"{plugin.name}: command {verb!r} has no docstring, so no help"
        assert dataclasses.is_dataclass(config_of(function)), f"{plugin.name}: {verb!r} takes no config dataclass"
