"""Published checkpoints into our format, and our models into the published layouts.

An import writes config.json, model.safetensors, audio.json and a model card; an export writes the published names
beside a config that both the import and the published code understand.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from seqaudio import convert, convert_diffwave
from seqaudio.checkpoints.reading import FAMILIES, Checkpoint, read_checkpoint
from seqaudio.training.tasks import SETTINGS
from seqsuite.errors import UserError
from seqsuite.models.published import own_folder
from seqsuite.models.transfer import Transfer, free_folder, make_folder, write_published
from seqsuite.training.run_folder import write_json

_TORCH_FILES = {"sashimi": ("model.ckpt", "state_dict"), "diffwave_sashimi": ("model.pkl", "model_state_dict")}


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
    if options.get("file") is None and own_folder(Path(source).expanduser()) is not None:
        raise UserError(f"{source}: is a model of SeqSuite already and needs no import")
    checkpoint = read_checkpoint(source, **options)
    make_folder(folder)
    write_json(folder / SETTINGS, dict(checkpoint.settings))
    checkpoint.model.save_pretrained(folder)
    return _transfer(checkpoint, folder, list(checkpoint.notes))


def export_checkpoint(
    source: str | Path,
    out: str | Path,
    *,
    layout: Literal["v3", "v4"] | None = None,
    length: int | None = None,
    weights: Literal["safetensors", "torch"] = "safetensors",
    overwrite: bool = False,
) -> Transfer:
    """Write a model in the layout of the system that it belongs to.

    Args:
        source: A model folder, a run folder, or anything else that `read_checkpoint` reads.
        out: The folder to write.
        layout: Which S4 layer is to read it. SaShiMi: "v4"; DiffWave: "v3" (None), as its own code has, or "v4".
        length: Samples that every C is attuned to; 0: C stays plain, as in a model that has never run. None: the
            window of training, of DiffWave its `kernel_length`; 0 where that is not known.
        weights: "safetensors", or "torch": a pickle of tensors as the published code reads it.
        overwrite: Write into a folder that holds something.

    Raises:
        UserError: No published system has such a model, or the folder cannot be written.
    """
    folder = free_folder(out, overwrite)
    checkpoint = read_checkpoint(source)
    if checkpoint.family not in FAMILIES:
        raise UserError(f"{source}: is a {checkpoint.family}, for which there is no published layout")
    length = _length(checkpoint) if length is None else length
    if length < 0:
        raise UserError(f"--length is {length}; it must be at least 0")
    try:
        config, state = _published(checkpoint, layout, length)
    except UserError as error:
        raise UserError(f"{source}: {error}") from error
    name, key = _TORCH_FILES[checkpoint.family] if weights == "torch" else ("model.safetensors", "state_dict")
    write_published(folder, config, state, weights=name, key=key)  # type: ignore[arg-type]
    return _transfer(checkpoint, folder, _export_notes(checkpoint, length))


def _length(checkpoint: Checkpoint) -> int:
    if checkpoint.family == "diffwave_sashimi":
        return int(checkpoint.config.kernel_length or 0)
    return int(checkpoint.settings.get("length", 0))


def _published(checkpoint: Checkpoint, layout: str | None, length: int) -> tuple[dict[str, Any], dict[str, Tensor]]:
    config, state = checkpoint.config, checkpoint.model.state_dict()
    if checkpoint.family == "diffwave_sashimi":
        chosen: Any = layout or "v3"
        raw = convert_diffwave.config_to_published(config)
        return raw, convert_diffwave.to_published(state, config, layout=chosen, length=length)
    if layout == "v3":
        raise UserError("SaShiMi is written for S4 v4 alone; leave --layout away")
    dataset = {
        "quantization": "linear" if config.quantization == "linear" else "mu-law",
        "bits": config.bits,
        "sampling_rate": config.sample_rate,
    }
    # Said aloud: a reader that is told nothing takes exp, and a file that is told nothing says so on import.
    raw = {"model": {"dt_transform": "exp"} | convert.config_to_published(config), "dataset": dataset}
    return raw, convert.to_published(state, config, length=length)


def _export_notes(checkpoint: Checkpoint, length: int) -> list[str]:
    """Return what the published layout cannot say."""
    config, notes = checkpoint.config, []
    attuned = (
        f"C is attuned to {length} samples" if length else "C is plain; the published code attunes it on first use"
    )
    notes.append(f"{attuned}; --length chooses another")
    if getattr(config, "kernel_length", 0) is None:
        notes.append("the config's L is null, which only SeqSuite reads; the published code needs a length there")
    if getattr(config, "s4_kernel", "exact") != "exact":
        notes.append("the published layout cannot say s4_kernel='half_spectrum'; its readers run what they have")
    if getattr(config, "mel_alignment", "as_published") != "as_published" and config.conditional:
        notes.append("the published layout cannot say mel_alignment='pooled'; its readers align as published")
    level = checkpoint.settings.get("normalize", "minmax")
    if checkpoint.family == "sashimi" and level != "minmax":
        notes.append(f"the published layout cannot say normalize={level!r}; its readers level by the extremes")
    return notes


def _transfer(checkpoint: Checkpoint, folder: Path, notes: list[str]) -> Transfer:
    return Transfer(
        source=checkpoint.source,
        out=str(folder),
        family=checkpoint.family,
        parameters=checkpoint.model.num_parameters(),
        flags=checkpoint.flags,
        notes=tuple(notes),
    )
