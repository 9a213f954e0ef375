"""The model of a run: by timm's name, for the data's inputs and classes, with weights to begin from.

model = make_model(config, data)
net, note = begin_from(model.net, "runs/first")         # weights of a run, a timm folder or a file
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import timm
import torch
from timm.models import load_pretrained
from torch import Tensor

from seqsuite.errors import UserError, unknown_name
from seqsuite.models.files import read_config
from seqsuite.models.published import find_weights, own_folder, read_weights
from seqvision.configs import dense, series
from seqvision.configs.models import SIZES, ImageModelConfig
from seqvision.configs.train import VisionTrainConfig
from seqvision.data.labelled import Labelled
from seqvision.models.image_model import ImageModel, is_architecture
from seqvision.models.mamba_nd import CLIP_SIZES, MambaND

_PREFIX = "net."
_OTHERS = dict.fromkeys(series.SIZES, "forecast-train") | {
    name: "weather-train" if name.startswith("weather") else "segment-train" for name in dense.SIZES
}
"""Models of other commands."""


def architecture_of(config: VisionTrainConfig) -> str:
    """Return the architecture that --model names.

    Raises:
        UserError: timm knows no such model; near names are suggested.
    """
    if not is_architecture(config.model):
        command = _OTHERS.get(config.model)
        if command is not None:
            raise UserError(f"--model {config.model} is no classifier of images or clips; see `seqvision {command}`")
        raise unknown_name("model", config.model, {*SIZES, *timm.list_models()})
    return config.model


def make_model(config: VisionTrainConfig, data: Labelled) -> ImageModel:
    """Build the model of a run; its first weights come from PyTorch's global generator.

    Args:
        config: The options.
        data: What it is to classify.

    Raises:
        UserError: There is no such model, or it does not take the inputs or an option.
    """
    name, own_patches = architecture_of(config), "patch_size" in config.model_options
    if name in CLIP_SIZES and config.task == "image" and not own_patches:
        raise UserError(f"--model {name} takes clips: give --task video, or a model of images such as test_mamba_nd")
    plan = ImageModelConfig(
        architecture=name,
        num_classes=len(data.classes),
        in_chans=data.channels,
        img_size=data.size,
        options=config.model_options,
        classes=data.classes,
        mean=data.mean,
        std=data.std,
        interpolation=data.interpolation,
        crop_pct=data.crop_pct,
        crop_mode=data.crop_mode,
        clip=dict(data.clip),
    )
    model = ImageModel(plan)
    model.name = config.model if config.model in SIZES else None
    check_inputs(model)
    return model


def check_inputs(model: ImageModel) -> None:
    """Run one input through a model, so that what does not fit is told before training.

    Raises:
        UserError: The model does not take inputs of this size.
    """
    config, training = model.config, model.training
    _check_patches(model)
    model.eval()
    try:
        with torch.no_grad():
            found = model(torch.zeros(2, config.in_chans, *config.img_size))
    except (RuntimeError, ValueError, AssertionError, TypeError, IndexError) as error:
        size = " x ".join(str(part) for part in config.img_size)
        reason = " ".join(str(error).split()) or type(error).__name__
        way = "--img_size" if len(config.img_size) == 2 else "--img_size or --frames, or give a model of clips"
        raise UserError(f"{config.architecture} does not take inputs of {size}: {reason}; change {way}") from error
    finally:
        model.train(training)
    if found.shape != (2, config.num_classes):
        raise UserError(f"{config.architecture} is no classifier: it gives {tuple(found.shape[1:])}")


def _check_patches(model: ImageModel) -> None:
    """Refuse a size that patches do not divide: what lies beyond the last whole one would be cut off, or filled up.

    Both change the picture in silence; an option of the model that asks for padding makes it no silence.
    """
    embed = getattr(model.net, "patch_embed", None)
    patch, size = getattr(embed, "patch_size", None), model.config.img_size
    if patch is None or model.config.options.get("pad_input") or getattr(embed, "dynamic_img_pad", False):
        return
    patch = (patch,) * len(size) if isinstance(patch, int) else tuple(patch)
    if len(patch) == len(size) and any(length % part for length, part in zip(size, patch, strict=True)):
        cut, whole = " x ".join(map(str, patch)), " x ".join(map(str, size))
        way = "--img_size" if len(size) == 2 else "--img_size or --frames"
        pads = ", or fill up with --model_options.pad_input true" if isinstance(model.net, MambaND) else ""
        raise UserError(
            f"{model.config.architecture} cuts inputs into patches of {cut}: {whole} is no multiple; change {way} or "
            f"--model_options.patch_size{pads}"
        )


def begin_from(model: ImageModel, source: str | Path) -> str:
    """Load weights into a model where they fit: timm's way, with the architecture's own filter.

    The map to classes stays new where the source has other classes; the first convolution is brought to the number of
    channels.

    Args:
        model: Receives them.
        source: A run or model folder, a folder in timm's layout, or a file of weights.

    Returns:
        One line that says what was done.

    Raises:
        UserError: There are none, or they are of another architecture.
    """
    path = Path(os.path.expanduser(source))
    state, known = read_state(path)
    net, config = model.net, model.config
    cfg: dict[str, Any] = dict(net.pretrained_cfg)  # type: ignore[arg-type, operator]
    state = filtered(state, model)
    head, first = cfg.get("classifier"), cfg.get("first_conv")
    _check_names(state, net.state_dict(), head, f"{source}: does not fit {config.architecture}")
    classes = _rows(state, head)
    other = known is not None and known.classes != config.classes
    cfg |= {"state_dict": state, "num_classes": -1 if other or classes != config.num_classes else classes}
    channels = _columns(state, first) or config.in_chans
    cfg["input_size"] = (channels, *cfg.get("input_size", (3, 224, 224))[1:])
    try:
        load_pretrained(net, cfg, num_classes=config.num_classes, in_chans=config.in_chans, strict=True)
    except (RuntimeError, KeyError, AttributeError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise UserError(f"{source}: does not fit {config.architecture}: {reason}") from error
    what = "a new head" if cfg["num_classes"] == -1 else "its head"
    return f"weights of {source}, with {what}"


def read_state(path: Path) -> tuple[dict[str, Tensor], ImageModelConfig | None]:
    """Return the weights of a folder or file under timm's names, and our config where there is one.

    Raises:
        UserError: There are none, or they are damaged or of another kind.
    """
    own = own_folder(path) if path.is_dir() else None
    known = None
    if own is not None:
        config, _ = read_config(own)
        if not isinstance(config, ImageModelConfig):
            raise UserError(f"{path}: holds no classifier of images or clips")
        known = config
    state = read_weights(find_weights(own or path))
    if own is not None or all(name.startswith(_PREFIX) for name in state):
        state = {name.removeprefix(_PREFIX): value for name, value in state.items()}
    return state, known


def filtered(state: dict[str, Tensor], model: ImageModel) -> dict[str, Tensor]:
    """Return weights as the architecture's own `checkpoint_filter_fn` makes them: published names, other sizes.

    Raises:
        UserError: The filter refuses them.
    """
    module = sys.modules[timm.model_entrypoint(model.config.architecture).__module__]
    function: Callable[..., dict[str, Tensor]] | None = getattr(module, "checkpoint_filter_fn", None)
    if function is None:
        return dict(state)
    try:
        return dict(function(dict(state), model.net))
    except UserError:
        raise
    except (KeyError, RuntimeError, ValueError, AssertionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"the weights do not fit {model.config.architecture}: {reason}") from error


def _check_names(state: dict[str, Tensor], own: dict[str, Tensor], head: Any, owner: str) -> None:
    """Refuse weights with other names than the model's, the head's apart; timm would pass over them in silence."""
    heads = tuple(f"{part}." for part in (head if isinstance(head, (list, tuple)) else (head,)))
    wrong = {
        "it lacks": [name for name in own if name not in state and not name.startswith(heads)],
        "it has": [name for name in state if name not in own and not name.startswith(heads)],
    }
    told = [f"{what} {names[0]} and {len(names) - 1} others" for what, names in wrong.items() if names]
    if told:
        raise UserError(f"{owner}: {'; '.join(told)}")


def _rows(state: dict[str, Tensor], name: Any) -> int:
    names = name if isinstance(name, (list, tuple)) else (name,)
    weight = next((state[f"{part}.weight"] for part in names if f"{part}.weight" in state), None)
    return -1 if weight is None else weight.shape[0]


def _columns(state: dict[str, Tensor], name: Any) -> int:
    names = name if isinstance(name, (list, tuple)) else (name,)
    weight = next((state[f"{part}.weight"] for part in names if f"{part}.weight" in state), None)
    return 0 if weight is None or weight.ndim < 2 else weight.shape[1]
