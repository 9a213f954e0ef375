"""A timm model as a model of the suite: by name, saved as config.json and model.safetensors.

    model = seqsuite.create_model("test_mamba_nd", num_classes=10, in_chans=1, img_size=(28, 28))
    logits = model(images)                       # (B, C, H, W), of clips (B, C, T, H, W) -> (B, num_classes)
    model.net                                    # timm's model itself

Importing this module imports `seqvision.models`, which fills timm's registry.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable, Iterable
from typing import Any

import timm
import torch
from torch import Tensor, nn

from seqsuite.errors import UserError, suggest, unknown_name
from seqsuite.models.base import Model
from seqvision.configs.models import ImageModelConfig
from seqvision.models.mamba_nd import CLIP_SIZES  # importing the package fills timm's registry


class ImageModel(Model):
    """A classifier of images or clips; see `ImageModelConfig`.

    Attributes:
        net: timm's model.
    """

    config: ImageModelConfig

    def __init__(self, config: ImageModelConfig) -> None:
        config = settled(config)
        super().__init__(config)
        self.net = build_net(config)
        self._checkpoints = False

    def forward_features(self, inputs: Tensor) -> Tensor:  # type: ignore[override]
        """Return the feature map, in the architecture's own layout.

        Args:
            inputs: (B, C, H, W), of clips (B, C, T, H, W); normalised.
        """
        return self.net.forward_features(inputs)  # type: ignore[operator]

    def forward_head(self, features: Tensor) -> Tensor:  # type: ignore[override]
        """Return the logits (B, num_classes) of what `forward_features` returned."""
        return self.net.forward_head(features)  # type: ignore[operator]

    def forward(self, inputs: Tensor) -> Tensor:  # type: ignore[override]
        """Return the logits (B, num_classes). Arguments as `forward_features`."""
        return self.net(inputs)

    def embed(self, inputs: Tensor) -> Tensor:
        """Return the features (B, D) in front of the last map. Arguments as `forward_features`."""
        return self.net.forward_head(self.net.forward_features(inputs), pre_logits=True)  # type: ignore[operator]

    def no_weight_decay(self) -> set[str]:
        """Return the names of the parameters that the architecture asks not to decay."""
        asked = getattr(self.net, "no_weight_decay", None)
        return {f"net.{name}" for name in (asked() if asked else ())}

    @property
    def checkpoint_activations(self) -> bool:
        """Whether blocks run again in the backward pass instead of keeping their activations."""
        return self._checkpoints

    @checkpoint_activations.setter
    def checkpoint_activations(self, on: bool) -> None:
        try:
            self.net.set_grad_checkpointing(on)  # type: ignore[operator]
        except (AttributeError, AssertionError) as error:
            name = self.config.architecture
            raise UserError(f"{name} cannot checkpoint its activations; leave --checkpoint_activations out") from error
        self._checkpoints = on


def is_architecture(name: str) -> bool:
    """Return whether timm knows a name, a tag of pretrained weights (``name.tag``) included."""
    return timm.is_model(name)


def data_config(architecture: str) -> dict[str, Any]:
    """Return what an architecture says of its inputs: input_size, mean, std, interpolation, crop_pct, crop_mode.

    Of a model of clips input_size is (C, T, H, W), where timm's own configuration leaves the frames out.

    Raises:
        UserError: timm knows no such architecture; near names are suggested.
    """
    if not is_architecture(architecture):
        raise unknown_name("model", architecture, timm.list_models())
    cfg = timm.get_pretrained_cfg(architecture)
    found = {} if cfg is None else cfg.to_dict()
    defaults: dict[str, Any] = {"input_size": (3, 224, 224), "mean": (0.5,), "std": (0.5,), "interpolation": "bicubic"}
    defaults |= {"crop_pct": 0.875, "crop_mode": "center", "fixed_input_size": False}
    if architecture in CLIP_SIZES:
        found["input_size"] = (found["input_size"][0], *CLIP_SIZES[architecture])
    return {name: found.get(name, value) for name, value in defaults.items()}


def settled(config: ImageModelConfig) -> ImageModelConfig:
    """Return a config with what the architecture says of its inputs filled in, so that an export says it all.

    Raises:
        UserError: timm knows no such architecture.
    """
    says = data_config(config.architecture)

    def channels(values: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(values) if len(values) == config.in_chans else (sum(values) / len(values),) * config.in_chans

    return dataclasses.replace(
        config,
        img_size=config.img_size or tuple(says["input_size"][1:]),
        mean=config.mean or channels(says["mean"]),
        std=config.std or channels(says["std"]),
        interpolation=config.interpolation or says["interpolation"],
        crop_pct=config.crop_pct or says["crop_pct"],
        crop_mode=config.crop_mode or says["crop_mode"] or "center",
    )


def build_net(config: ImageModelConfig, **more: Any) -> nn.Module:
    """Build timm's model for a settled config.

    Args:
        config: What to build.
        more: Further arguments of `timm.create_model`, for pretrained weights.

    Raises:
        UserError: The architecture refuses an option or the size.
    """
    arguments: dict[str, Any] = {**config.options, **more, "in_chans": config.in_chans}
    arguments = {**arguments, **{name: size for name, size in size_argument(config).items() if name not in arguments}}
    try:
        return _create(config, arguments)
    except UserError:
        raise
    except (TypeError, ValueError, AssertionError, RuntimeError, KeyError) as error:
        if not _of_options(error, arguments):
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        hint = strange_argument(error, lambda: arguments_of(config.architecture))
        raise UserError(f"{config.architecture} with {_shown(arguments)}: {reason}{hint}") from error


def size_argument(config: ImageModelConfig) -> dict[str, Any]:
    """Return the argument that builds an architecture for a config's size; empty where that is its own size.

    An architecture without a size of its own, such as a convolutional network, knows no such argument.
    """
    size = config.img_size
    if not size or size == tuple(data_config(config.architecture)["input_size"][1:]):
        return {}
    return {"img_size": size}


def _create(config: ImageModelConfig, arguments: dict[str, Any]) -> nn.Module:
    """Call timm; leave the size out where the architecture does not take it and nobody asked for it."""
    try:
        return timm.create_model(config.architecture, num_classes=config.num_classes, **arguments)
    except TypeError as error:
        if strange_name(error) != "img_size" or "img_size" in config.options:
            raise
    kept = {name: value for name, value in arguments.items() if name != "img_size"}
    return timm.create_model(config.architecture, num_classes=config.num_classes, **kept)


def takes_size(net: nn.Module) -> bool:
    """Return whether a model is built for a size: whether its class has the argument `img_size`."""
    return "img_size" in inspect.signature(type(net)).parameters


def strange_name(error: Exception) -> str:
    """Return the argument that a call did not know, from its TypeError; empty where it failed on something else."""
    found = re.search(r"unexpected keyword argument '(\w+)'", str(error))
    return found[1] if found else ""


def strange_argument(error: Exception, known: Callable[[], Iterable[str]]) -> str:
    """Return near names of an argument that a call did not know; empty where it failed on something else."""
    name = strange_name(error)
    return f".{suggest(name, known())}" if name else ""


def trial_model(architecture: str) -> nn.Module:
    """Build an architecture as it is, on no device: to see what it is."""
    with torch.device("meta"):
        return timm.create_model(architecture)


def arguments_of(architecture: str) -> set[str]:
    """Return the arguments that an architecture's class takes, without those that its caller gives."""
    taken = {"self", "device", "dtype", "kwargs", "num_classes", "in_chans"}
    return set(inspect.signature(type(trial_model(architecture))).parameters) - taken


def _of_options(error: Exception, arguments: dict[str, Any]) -> bool:
    """Return whether building failed on what was asked for, and not by a fault of the architecture's code."""
    return bool(set(arguments) - {"in_chans"}) or inspect.trace()[-1].function == "create_model"


def _shown(arguments: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in arguments.items() if not name.startswith("pretrained"))
