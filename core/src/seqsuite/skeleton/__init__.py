"""The skeleton behind `seqsuite new-plugin`: a small plugin for byte sequences that works from the start.

`template/` holds one file for each file written; ``$package``, ``$modality``, ``$title`` and ``$program``
are filled in.
"""

from __future__ import annotations

import re
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template

from seqsuite.errors import UserError


def write_plugin(modality: str, folder: str | Path | None = None) -> Path:
    """Write a working plugin and return its folder.

    Args:
        modality: A lower-case word such as ``"text"``; the package is called ``"seqtext"``.
        folder: Where to write; ``./seq<modality>`` by default. It must not exist or be empty.

    Raises:
        UserError: The word is no identifier, or the folder holds something.
    """
    if not re.fullmatch(r"[a-z][a-z0-9]*", modality):
        raise UserError(f"modality {modality!r} must be a lower-case word of letters and digits, such as 'text'.")
    package = f"seq{modality}"
    target = Path(folder or package)
    if target.is_file() or (target.is_dir() and any(target.iterdir())):
        raise UserError(f"{target} exists and is not empty: choose another place with --folder.")
    names = {"package": package, "modality": modality, "title": modality.capitalize(), "program": package}
    for source, relative in _files(resources.files(__name__) / "template", Path()):
        path = target / str(relative).replace("package", package).removesuffix(".in")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(Template(source.read_text(encoding="utf-8")).substitute(names), encoding="utf-8")
    return target


def _files(folder: Traversable, relative: Path) -> list[tuple[Traversable, Path]]:
    found = []
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            found += _files(entry, relative / entry.name)
        elif entry.name.endswith(".in"):
            found.append((entry, relative / entry.name))
    return found
