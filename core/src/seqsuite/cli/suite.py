"""The verbs of `seqsuite` itself: plugins, models, doctor, new-plugin."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from seqsuite import plugins as registry
from seqsuite.cli.output import print_json, print_table


@dataclass(frozen=True, kw_only=True)
class PluginsConfig:
    """Options of `seqsuite plugins`.

    Args:
        json: Print JSON instead of a table.
    """

    json: bool = False


@dataclass(frozen=True, kw_only=True)
class ModelsConfig:
    """Options of `seqsuite models`.

    Args:
        pattern: Wildcard over names: --pattern 'caduceus*'.
        json: Print JSON instead of a table.
    """

    pattern: str = "*"
    json: bool = False


@dataclass(frozen=True, kw_only=True)
class DoctorConfig:
    """Options of `seqsuite doctor`.

    Args:
        json: Print JSON instead of tables.
    """

    json: bool = False


@dataclass(frozen=True)
class NewPluginConfig:
    """Options of `seqsuite new-plugin`.

    Args:
        modality: What the plugin is for, such as 'text'; its package is called 'seqtext'.
        folder: Where to write it; a new folder named after the package by default.
    """

    modality: str
    folder: str | None = None


def plugins(config: PluginsConfig) -> int:
    """List the installed plugins, and those that are broken."""
    found, broken = registry.discover(), registry.broken()
    if config.json:
        working = [
            {"name": p.name, "version": p.version, **{k: sorted(p.table(k)) for k in registry.KINDS}}
            for p in found.values()
        ]
        print_json({"plugins": working, "broken": [dataclasses.asdict(item) for item in broken]})
        return 0
    rows = []
    for plugin in found.values():
        commands = ", ".join(plugin.commands) or "-"
        rows.append((plugin.name, plugin.version, len(plugin.models), len(plugin.mixers), commands, plugin.summary))
    print_table(("plugin", "version", "models", "mixers", "commands", ""), rows)
    for item in broken:
        print(f"broken: {item.name} ({item.target}): {item.reason}")
    return 0


def models(config: ModelsConfig) -> int:
    """List the models that can be created by name."""
    found = registry.names("models", config.pattern)
    if not found:
        raise registry.unknown_name("model", config.pattern, registry.names("models"))
    entries = []
    for name, plugin in sorted(found.items()):
        size = registry.lookup("models", name)
        numbers = {key: value for key, value in dataclasses.asdict(size()).items() if key in ("d_model", "n_layer")}
        entries.append({"model": name, "plugin": plugin, **numbers})
    if config.json:
        print_json(entries)
        return 0
    columns = ("model", "plugin", "d_model", "n_layer")
    print_table(columns, [tuple(entry.get(column, "") for column in columns) for entry in entries])
    return 0


def doctor(config: DoctorConfig) -> int:
    """Tell versions, devices, which path each operator takes here and why, threads, bad combinations."""
    from seqsuite.doctor import examine

    report = examine()
    if config.json:
        print_json(dataclasses.asdict(report))
        return 0
    print_table(("package", "version"), report.versions.items(), title="Versions")
    print_table(("device", ""), report.devices.items(), title="\nDevices and threads")
    paths = [(path.operator, path.device, path.chosen, path.why, path.kernels) for path in report.paths]
    print_table(("operator", "device", "path", "why", "GPU kernels"), paths, title="\nOperators")
    for line in report.notes:
        print(f"\nnote: {line}")
    for line in report.problems:
        print(f"\nproblem: {line}")
    print("\nNo problem found." if not report.problems else f"\n{len(report.problems)} problem(s) found.")
    return 1 if report.problems else 0


def new_plugin(config: NewPluginConfig) -> int:
    """Write the skeleton of a plugin that works and passes `seqsuite.testing.check_plugin`."""
    from seqsuite.skeleton import write_plugin

    folder = write_plugin(config.modality, config.folder)
    print(f"wrote {folder}")
    print(f"next: pip install -e {folder} && pytest {folder} && seq{config.modality.lower()} --help")
    return 0
