"""Models into timm's own layout and out of it, and published weights into ours.

    export_checkpoint("runs/digits", "published")       # timm.create_model("local-dir:published", pretrained=True)
    import_checkpoint("published", "models/digits")
    import_checkpoint("mamba2d_s.pth", "models/nd", model="mamba_nd_small_patch8_224")

Nothing in a file of weights is executed: tensors and tables are all that is read of it.
"""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from timm.models import save_for_hf

from seqsuite.errors import UserError
from seqsuite.models.create import load_model
from seqsuite.models.files import load_weights
from seqsuite.models.published import find_weights, own_folder, read_json, read_weights
from seqsuite.models.transfer import Transfer, free_folder, write_published
from seqvision.configs.models import SIZES, ImageModelConfig
from seqvision.models.image_model import ImageModel, data_config, settled, size_argument, takes_size, trial_model
from seqvision.models.mamba_nd import CLIP_SIZES
from seqvision.training.models import filtered

_CLIP = "seqvision_clip"


def export_checkpoint(source: str | Path, out: str | Path, *, overwrite: bool = False) -> Transfer:
    """Write a model in timm's layout: config.json and model.safetensors.

    Args:
        source: A run folder or a model folder.
        out: The folder to write.
        overwrite: Write into a folder that holds something.

    Raises:
        UserError: There is no classifier of images or clips, or the folder cannot be written.
    """
    folder = free_folder(out, overwrite)
    own = own_folder(Path(os.path.expanduser(source)))
    if own is None:
        raise UserError(f"{source}: holds no model of SeqSuite; give a run folder or a model folder")
    model = load_model(own)
    if not isinstance(model, ImageModel):
        raise UserError(f"{source}: holds a {type(model).__name__}, which is no model of timm's registry")
    config = model.config
    said: dict[str, Any] = {"label_names": list(config.classes)} if config.classes else {}
    inputs: dict[str, Any] = {"mean": config.mean, "std": config.std, "interpolation": config.interpolation}
    inputs |= {"crop_pct": config.crop_pct, "crop_mode": config.crop_mode}
    said["pretrained_cfg"] = {**inputs, "input_size": (config.in_chans, *config.img_size)}
    with tempfile.TemporaryDirectory() as aside:
        save_for_hf(model.net, aside, model_config=said, model_args=_arguments(model), safe_serialization=True)
        described = json.loads((Path(aside) / "config.json").read_text(encoding="utf-8"))
    if config.clip:
        described[_CLIP] = dict(config.clip)
    write_published(folder, described, model.net.state_dict())
    return _transfer(source, folder, model, ())


def import_checkpoint(
    source: str | Path,
    out: str | Path,
    *,
    model: str = "",
    model_options: Mapping[str, Any] | None = None,
    img_size: Sequence[int] = (),
    classes: str | Path = "",
    overwrite: bool = False,
) -> Transfer:
    """Bring a model of timm's layout, or a file of weights, into our format.

    Args:
        source: A folder with config.json and weights, or a file of weights.
        out: The folder to write.
        model: The architecture, where the source does not name it.
        model_options: Further arguments of `timm.create_model`.
        img_size: (H, W) or (T, H, W), where it is not the architecture's own.
        classes: A text file with the name of a class on each line.
        overwrite: Write into a folder that holds something.

    Raises:
        UserError: It cannot be read, is of another architecture, or the folder cannot be written.
    """
    folder, path = free_folder(out, overwrite), Path(os.path.expanduser(source))
    if path.is_dir() and own_folder(path) is not None:
        raise UserError(f"{source}: is a model of SeqSuite already and needs no import")
    weights = find_weights(path)
    state = read_weights(weights)
    config = _described(path if path.is_dir() else path.parent, model, path.is_dir())
    if img_size:
        options = {name: value for name, value in config.options.items() if name != "img_size"}
        config = dataclasses.replace(config, img_size=tuple(img_size), options=options)
    config = dataclasses.replace(config, options={**config.options, **(model_options or {})})
    names = _names(classes) if classes else config.classes
    config = settled(dataclasses.replace(config, classes=()))
    state, config = _counted(state, config)
    if names and len(names) != config.num_classes:
        raise UserError(f"{classes or source}: names {len(names)} classes, the weights have {config.num_classes}")
    config = dataclasses.replace(config, classes=names)
    made = ImageModel(config)
    load_weights(made.net, filtered(state, made), weights)
    made.name = config.architecture if config.architecture in SIZES else None
    made.save_pretrained(folder)
    notes = () if names else ("the source names no classes; give them with --classes",)
    return _transfer(source, folder, made, notes)


def _arguments(model: ImageModel) -> dict[str, Any]:
    """Return the arguments with which timm builds the model again."""
    config = model.config
    size = size_argument(config) if takes_size(model.net) else {}
    return {**{name: list(value) for name, value in size.items()}, **config.options, "in_chans": config.in_chans}


def _described(folder: Path, model: str, whole: bool) -> ImageModelConfig:
    """Return what a folder's config.json says; of a single file, what --model says."""
    path = folder / "config.json"
    raw = read_json(path) if whole and path.is_file() else {}
    try:
        architecture = model or raw.get("architecture") or raw.get("pretrained_cfg", {}).get("architecture", "")
        if not architecture:
            raise UserError(f"{folder}: does not name the architecture; give it with --model")
        return _as_said(raw, str(architecture))
    except (TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path}: holds a value of the wrong kind ({error})") from error


def _as_said(raw: dict[str, Any], architecture: str) -> ImageModelConfig:
    """Return the config that timm's own description stands for."""
    said: dict[str, Any] = {**raw, **raw.get("pretrained_cfg", {})}
    arguments = dict(raw.get("model_args", {}))
    size = tuple(int(length) for length in said.get("input_size") or ())
    if architecture in CLIP_SIZES and len(size) == 3:  # as timm itself writes it, without the frames
        size = (size[0], CLIP_SIZES[architecture][0], *size[1:])
    arguments.pop("num_classes", None)
    _keep_table(architecture, arguments, size[1:])
    labels = raw.get("label_names") or ()
    channels = int(arguments.pop("in_chans", size[0] if size else 3))
    colours = {name: tuple(float(value) for value in said.get(name, ())) for name in ("mean", "std")}
    return ImageModelConfig(
        architecture=architecture,
        num_classes=int(raw.get("num_classes", len(labels) or 1000)),
        in_chans=channels,
        img_size=size[1:],
        options=arguments,
        classes=tuple(str(name) for name in (labels.values() if isinstance(labels, dict) else labels)),
        interpolation=str(said.get("interpolation", "")),
        crop_pct=float(said.get("crop_pct", 0.0)),
        crop_mode=said.get("crop_mode", ""),
        clip=dict(raw.get(_CLIP, {})),
        **{name: values if len(values) == channels else () for name, values in colours.items()},
    )


def _keep_table(architecture: str, arguments: dict[str, Any], size: tuple[int, ...]) -> None:
    """Leave `img_size` among the arguments only where positions are of another size than the inputs.

    Models that resample them at every call are published so; they stay exact with the table that they have.
    """
    says = data_config(architecture)
    own = tuple(says["input_size"][1:])
    given = arguments.pop("img_size", None)
    if says["fixed_input_size"] or not size:
        return
    table = own if given is None else (given,) * len(size) if isinstance(given, int) else tuple(given)
    if table != size and takes_size(trial_model(architecture)):
        arguments["img_size"] = table


def _counted(state: dict[str, Any], config: ImageModelConfig) -> tuple[dict[str, Any], ImageModelConfig]:
    """Return the config with the number of classes that the weights have."""
    probe = ImageModel(config)
    head = probe.net.pretrained_cfg.get("classifier")  # type: ignore[union-attr, operator]
    weight = filtered(state, probe).get(f"{head}.weight")
    if weight is None or weight.shape[0] == config.num_classes:
        return state, config
    return state, dataclasses.replace(config, num_classes=int(weight.shape[0]))


def _names(path: str | Path) -> tuple[str, ...]:
    try:
        lines = Path(os.path.expanduser(path)).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {path}: {error}") from error
    return tuple(line.strip() for line in lines if line.strip())


def _transfer(source: str | Path, folder: Path, model: ImageModel, notes: tuple[str, ...]) -> Transfer:
    config = model.config
    flags = {"inputs": " x ".join(str(part) for part in (config.in_chans, *config.img_size))}
    flags |= {"classes": str(config.num_classes), **{name: str(value) for name, value in config.options.items()}}
    return Transfer(str(source), str(folder), config.architecture, model.num_parameters(), flags, notes)
