"""The skeleton behind `seqsuite new-plugin`: a small plugin for byte sequences that works from the start.

`template/` holds one file for each file written; ``$package``, ``$modality``, ``$title`` and ``$program``
are filled in.
"""

from __future__ import annotations

import re
from importlib import resources
from importlib.resources.abc import Traversable
from importlib.util import find_spec
from pathlib import Path
from string import Template

from seqsuite import plugins
from seqsuite.errors import UserError


def write_plugin(modality: str, folder: str | Path | None = None) -> Path:
    """Write a working plugin and return its folder.

    Args:
        modality: A lower-case word such as ``"text"``; the package is called ``"seqtext"``.
        folder: Where to write; ``./seq<modality>`` by default. It must not exist or be empty.

    Raises:
        UserError: The word is no identifier, its package exists already, or the folder holds something or
            cannot be written.
    """
    if not re.fullmatch(r"[a-z][a-z0-9]*", modality):
        raise UserError(f"modality {modality!r} must be a lower-case word of letters and digits, such as 'text'.")
    package = f"seq{modality}"
    if folder == "":
        raise UserError("--folder is empty: name a folder, or leave the flag out.")
    target = Path(package if folder is None else folder)
    try:
        if target.is_file() or (target.is_dir() and any(target.iterdir())):
            raise UserError(f"{target} exists and is not empty: choose another place with --folder.")
        if _taken(package):
            raise UserError(f"modality {modality!r}: a package called {package!r} exists already; choose another word.")
        _write(package, modality, target)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"{target}: cannot write the plugin there ({reason}); choose another --folder.") from error
    return target


def _taken(package: str) -> bool:
    """Return whether a plugin or an importable package has that name; a bare folder of that name is neither."""
    if package in plugins.discover() or package in {item.name for item in plugins.broken()}:
        return True
    found = find_spec(package)
    return found is not None and found.origin is not None


def _write(package: str, modality: str, target: Path) -> None:
    names = {"package": package, "modality": modality, "title": modality.capitalize(), "program": package}
    for source, relative in _files(resources.files(__name__) / "template", Path()):
        path = target / str(relative).replace("package", package).removesuffix(".in")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(Template(source.read_text(encoding="utf-8")).substitute(names), encoding="utf-8")


def _files(folder: Traversable, relative: Path) -> list[tuple[Traversable, Path]]:
    found = []
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            found += _files(entry, relative / entry.name)
        elif entry.name.endswith(".in"):
            found.append((entry, relative / entry.name))
    return found
