"""Published checkpoints into our format, and our models into the published layout.

An import writes config.json, model.safetensors, tokenizer.json and a model card; an export writes the
published names into model.safetensors beside the published config.json and a vocab.json. One after the
other gives the same tensors, bit for bit.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from seqdna.checkpoints.families import family, family_of
from seqdna.checkpoints.reading import Checkpoint, read_checkpoint
from seqdna.tokenizers import NucleotideTokenizer
from seqsuite.errors import UserError, unknown_name
from seqsuite.models.published import own_folder
from seqsuite.models.transfer import Transfer, free_folder, make_folder, write_published
from seqsuite.training.run_folder import write_json

LAYOUTS = ("huggingface",)


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
    folder = free_folder(out, overwrite)
    if own_folder(Path(source).expanduser()) is not None:
        raise UserError(f"{source}: is a model of SeqSuite already and needs no import")
    checkpoint = read_checkpoint(source, **options)
    make_folder(folder)
    write_json(folder / "tokenizer.json", checkpoint.tokenizer.to_dict())
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
    folder = free_folder(out, overwrite)
    checkpoint = read_checkpoint(source)
    try:
        chosen = family(family_of(checkpoint.config))
    except UserError as error:
        raise UserError(f"{source}: {error}") from error
    if not isinstance(checkpoint.tokenizer, NucleotideTokenizer):
        raise UserError(f"{source}: reads words of several bases; the published layouts have single bases alone")
    state = chosen.to_published(checkpoint.model.state_dict(), checkpoint.config)
    vocabulary = {token: number for number, token in enumerate(checkpoint.tokenizer.tokens)}
    config = chosen.config_to_published(checkpoint.config)
    write_published(folder, config, state, tables={"vocab.json": vocabulary})
    notes = []
    if checkpoint.config.padding == "masked":
        notes.append("the published layout cannot say padding='masked'; its readers take [PAD] as a token")
    return _transfer(checkpoint, folder, notes, family_name=chosen.name)


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
