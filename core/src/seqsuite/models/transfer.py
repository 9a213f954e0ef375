"""What every plugin's import and export share: the folder that is written, and the account of it.

folder = free_folder(out, overwrite)                    # before anything is read
write_published(folder, config, tensors, tables={"vocab.json": ids})
return Transfer(source, str(folder), "caduceus", model.num_parameters(), flags, notes)

A folder that holds something is written only where that was asked for, and never half.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from seqsuite.errors import UserError
from seqsuite.models.files import shared_tensors
from seqsuite.reports import TableView
from seqsuite.training.run_folder import write_json


@dataclass(frozen=True)
class Transfer(TableView):
    """What was read and written.

    Attributes:
        source: What was read.
        out: The folder that was written.
        family: The published system.
        parameters: Number of parameters.
        flags: What decides which function the weights are.
        notes: What the user should know, one sentence each.
    """

    source: str
    out: str
    family: str
    parameters: int
    flags: dict[str, Any] = field(repr=False)
    notes: tuple[str, ...] = field(repr=False)

    def table(self) -> list[dict[str, Any]]:
        """Return one row a fact."""
        facts = {"family": self.family, "parameters": self.parameters, **self.flags, "out": self.out}
        return [{"what": name, "value": value} for name, value in facts.items()]

    def figure(self) -> None:
        """There is nothing to draw."""
        return None


def free_folder(out: str | Path, overwrite: bool) -> Path:
    """Return the folder to write.

    Raises:
        UserError: It is a file, or holds something and `overwrite` is False.
    """
    folder = Path(out).expanduser()
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: is a file; give a folder to write")
    if folder.is_dir() and any(folder.iterdir()) and not overwrite:
        raise UserError(f"{folder} is not empty; add --overwrite or choose another folder")
    return folder


def make_folder(folder: Path) -> None:
    """Make a folder.

    Raises:
        UserError: The place is not writable.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot write the model ({error.strerror or error})") from error


def write_published(
    folder: Path,
    config: Mapping[str, Any],
    state: Mapping[str, Tensor],
    *,
    tables: Mapping[str, Any] | None = None,
    weights: str = "model.safetensors",
    key: Literal["state_dict", "model_state_dict"] = "state_dict",
) -> None:
    """Write a model under published names: all files aside, then each renamed into place, the config last.

    Args:
        folder: Where; made if need be.
        config: What config.json holds.
        state: The tensors under the published names; tied ones under each of their names.
        tables: Further JSON files by name.
        weights: Name of the file of tensors; what does not end in .safetensors is written by ``torch.save``.
        key: Under which key such a file holds the tensors.

    Raises:
        UserError: The folder cannot be written.
    """
    same = shared_tensors(state)
    # Tied tensors are stored under each of their names: a strict reader wants them, safetensors copies.
    plain = {name: (t.clone() if name in same else t).detach().cpu().contiguous() for name, t in state.items()}
    content = {**(tables or {}), "config.json": dict(config)}
    aside: Path | None = None
    make_folder(folder)
    try:
        aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        for name, value in content.items():
            write_json(aside / name, value)
        if weights.endswith(".safetensors"):
            save_file(plain, aside / weights, metadata={"format": "pt"})
        else:
            torch.save({key: {name: tensor.clone() for name, tensor in plain.items()}}, aside / weights)
        shutil.copymode(aside / "config.json", aside / weights)  # safetensors writes for the owner only
        for name in (weights, *content):
            os.replace(aside / name, folder / name)
    except (OSError, RuntimeError, SafetensorError) as error:
        raise UserError(f"{folder}: cannot write the model ({' '.join(str(error).split())})") from error
    finally:
        if aside is not None:
            shutil.rmtree(aside, ignore_errors=True)


def print_transfer(result: Transfer, *, program: str, json: bool) -> None:
    """Print what was read and written; what it decided goes to stderr.

    Args:
        result: From an import or export.
        program: Name of the command line, in front of the notes.
        json: JSON in place of a table.
    """
    import dataclasses
    import sys

    from seqsuite.cli.output import print_json, print_table

    for note in result.notes:
        print(f"{program}: {note}", file=sys.stderr)
    if json:
        print_json(dataclasses.asdict(result))
    else:
        rows = result.table()
        print_table(tuple(rows[0]), [tuple(row.values()) for row in rows])
