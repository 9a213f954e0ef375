"""Published checkpoints into our format, and our models into the published layout.

An import writes config.json, model.safetensors, tokenizer.json and a model card; an export writes the
published names into model.safetensors beside the published config.json and a vocab.json. One after the
other gives the same tensors, bit for bit.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from seqdna.checkpoints.families import family, family_of
from seqdna.checkpoints.reading import Checkpoint, own_folder, read_checkpoint
from seqdna.checkpoints.vocabulary import write_json
from seqdna.tokenizers import NucleotideTokenizer
from seqsuite.errors import UserError, unknown_name
from seqsuite.models.files import shared_tensors
from seqsuite.reports import TableView

LAYOUTS = ("huggingface",)


@dataclass(frozen=True)
class Transfer(TableView):
    """What was read and written.

    Attributes:
        source: What was read.
        out: The folder that was written.
        family: caduceus, hyenadna or mamba.
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


def import_checkpoint(source: str | Path, out: str | Path, *, overwrite: bool = False, **options: Any) -> Transfer:
    """Bring a published checkpoint into our format.

    Args:
        source: A folder, a weights file or a hub id.
        out: The folder to write.
        overwrite: Write into a folder that holds something.
        options: See `read_checkpoint`.

    Raises:
        UserError: It cannot be read, is a model of ours already, or the folder cannot be written.
    """
    folder = _free(out, overwrite)
    if own_folder(Path(source).expanduser()) is not None:
        raise UserError(f"{source}: is a model of SeqSuite already and needs no import")
    checkpoint = read_checkpoint(source, **options)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot write the model ({error.strerror or error})") from error
    write_json(checkpoint.tokenizer.to_dict(), folder / "tokenizer.json")
    checkpoint.model.save_pretrained(folder)
    return _transfer(checkpoint, folder, _import_notes(checkpoint))


def export_checkpoint(
    source: str | Path, out: str | Path, *, layout: str = "huggingface", overwrite: bool = False
) -> Transfer:
    """Write a model in the layout of the system that it belongs to.

    Args:
        source: A model folder, a run folder, or anything else that `read_checkpoint` reads.
        out: The folder to write.
        layout: "huggingface": config.json and model.safetensors under the published names.
        overwrite: Write into a folder that holds something.

    Raises:
        UserError: No published system has such a model, or the folder cannot be written.
    """
    if layout not in LAYOUTS:
        raise unknown_name("layout", layout, LAYOUTS)
    folder = _free(out, overwrite)
    checkpoint = read_checkpoint(source)
    try:
        chosen = family(family_of(checkpoint.config))
    except UserError as error:
        raise UserError(f"{source}: {error}") from error
    if not isinstance(checkpoint.tokenizer, NucleotideTokenizer):
        raise UserError(f"{source}: reads words of several bases; the published layouts have single bases alone")
    state = chosen.to_published(checkpoint.model.state_dict(), checkpoint.config)
    same = shared_tensors(state)
    # Tied tensors are stored under each of their names: a strict reader wants them, safetensors copies.
    state = {name: (t.clone() if name in same else t).detach().cpu().contiguous() for name, t in state.items()}
    _write_published(folder, chosen.config_to_published(checkpoint.config), state, checkpoint)
    notes = []
    if checkpoint.config.padding == "masked":
        notes.append("the published layout cannot say padding='masked'; its readers take [PAD] as a token")
    return _transfer(checkpoint, folder, notes, family_name=chosen.name)


def _write_published(
    folder: Path, config: dict[str, Any], state: dict[str, torch.Tensor], checkpoint: Checkpoint
) -> None:
    """Write all files aside, then rename each into place, the config last."""
    aside: Path | None = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        save_file(state, aside / "model.safetensors", metadata={"format": "pt"})
        write_json({token: number for number, token in enumerate(checkpoint.tokenizer.tokens)}, aside / "vocab.json")
        write_json(config, aside / "config.json")
        shutil.copymode(aside / "config.json", aside / "model.safetensors")  # safetensors writes for the owner only
        for name in ("model.safetensors", "vocab.json", "config.json"):
            os.replace(aside / name, folder / name)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{folder}: cannot write the model ({' '.join(str(error).split())})") from error
    finally:
        if aside is not None:
            shutil.rmtree(aside, ignore_errors=True)


def _free(out: str | Path, overwrite: bool) -> Path:
    folder = Path(out).expanduser()
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: is a file; give a folder to write")
    if folder.is_dir() and any(folder.iterdir()) and not overwrite:
        raise UserError(f"{folder} is not empty; add --overwrite or choose another folder")
    return folder


def _import_notes(checkpoint: Checkpoint) -> list[str]:
    """Return what an import decided and the user cannot see in the weights."""
    config, words = checkpoint.config, checkpoint.tokenizer
    notes = []
    if config.both_strands:
        does = "each block exchanges the strands' halves" if checkpoint.flags.get("swap_halves") else "no block does"
        notes.append(f"swap_halves={checkpoint.flags.get('swap_halves')} ({does}); --swap_halves overrules it")
    if "shift" in checkpoint.flags:
        notes.append(f"shift={checkpoint.flags['shift']} is the floor of the filter's fading; --shift overrules it")
    if config.padding == "as_published":
        notes.append("padding='as_published': [PAD] is a token like any other; --padding masked makes it invisible")
    else:
        notes.append("padding='masked': [PAD] changes no other position; the checkpoint was trained with it as a token")
    if getattr(words, "lower", None) == "unk":
        notes.append("lower case letters become [UNK], as published; --lower upper reads them as upper case")
    return notes


def _transfer(checkpoint: Checkpoint, folder: Path, notes: list[str], *, family_name: str | None = None) -> Transfer:
    return Transfer(
        source=checkpoint.source,
        out=str(folder),
        family=family_name or checkpoint.family,
        parameters=checkpoint.model.num_parameters(),
        flags=checkpoint.flags,
        notes=tuple(notes),
    )
