"""Published SaShiMi checkpoints to our model and back (state-spaces/s4).

    model = load_published("sashimi_sc09.pt", dt_transform="exp")
    tensors = to_published(model.state_dict(), model.config, length=16000)

Known are the stand-alone module's names (``d_layers.0.linear.weight``), those of the two training backbones
(``norm.norm``, weight normalisation, the U-net's flat ``u_layers``), Lightning's prefixes (``model.``,
``encoder.0.``, ``decoder.0.output_transform.``), their older forms (``encoder.weight``), and every generation of
S4 (`seqaudio.convert_s4`). Every size follows from the shapes; whether step sizes are exp or softplus of their
parameters does not. The maps are pure functions of tensors: gradients flow through them.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from seqaudio.configs.models import SashimiConfig
from seqaudio.convert_names import ENDS, canonical, is_linear, layers_below, places, published_names
from seqaudio.convert_s4 import is_old, s4_block
from seqaudio.models.sashimi import Sashimi
from seqsuite.errors import UserError
from seqsuite.mixers.options import build_config, replace_config
from seqsuite.mixers.s4 import s4_from_published, s4_options_from_published, s4_to_published
from seqsuite.models.files import load_weights
from seqsuite.models.published import find_weights, read_json, read_weights, rename

_log = logging.getLogger(__name__)


def config_from_published(
    raw: Mapping[str, Any] | None, state: Mapping[str, Tensor], *, dt_transform: str | None = None
) -> SashimiConfig:
    """Return our config: sizes by the tensors, and what shapes do not say by the published configuration.

    Args:
        raw: The stand-alone module's arguments, or a training configuration (with its parts ``model`` and
            ``dataset``, which says the quantisation); None: unknown.
        state: The tensors.
        dt_transform: Overrules the configuration: "exp" or "softplus".

    Raises:
        UserError: They do not describe a SaShiMi, or disagree with each other.
    """
    given = canonical(state)
    told = _told(raw or {})
    widths, pool = _tiers(given)
    unet, n_layer, ff = _blocks(given, widths[0])
    layer = layers_below(given, "c_layers.0.layer")
    options = _s4_options(layer, told, dt_transform)
    both = options.pop("bidirectional")
    encoder, decoder = given.get("encoder.0.weight"), given.get("decoder.0.output_transform.weight")
    classes = 256 if encoder is None else len(encoder)
    if classes & (classes - 1):
        raise UserError(f"the checkpoint's encoder has {classes} codes, not a power of 2")
    values = {
        "d_model": widths[0],
        "n_layer": n_layer,
        "bits": classes.bit_length() - 1,
        "quantization": _quantization(raw or {}),
        "head": "none" if decoder is None else "next_sample" if len(decoder) == classes else "classification",
        "num_classes": 10 if decoder is None or len(decoder) == classes else len(decoder),
        "pool": pool,
        "expand": widths[1] // widths[0] if pool else 2,
        "ff": ff,
        "unet": unet,
        "bidirectional": both,
        "norm": "frame" if "c_layers.0.norm.m" in given else "layer",
        "dropout": float(told.get("dropout", 0.0)),
        "mixer_options": options,
    }
    _agree(told, values)
    if both and values["head"] == "next_sample":
        raise UserError("the checkpoint looks both ways and predicts the next sample: no such model is known")
    return build_config(SashimiConfig, values, owner="the checkpoint")


def _s4_options(layer: Mapping[str, Tensor], told: Mapping[str, Any], dt_transform: str | None) -> dict[str, Any]:
    """Return the options of the S4 layers, `bidirectional` among them, by one of them."""
    block = s4_block(layer)
    options = s4_options_from_published(block)
    options.pop("d_model")
    if options["n_ssm"] == block["layer.kernel.C"].shape[1]:
        options["n_ssm"] = None  # one a channel, at every width
    old = is_old(layer)
    if old and (dt_transform or "exp") != "exp":
        raise UserError(
            f"dt_transform={dt_transform!r}, but the checkpoint's S4 is of a generation whose step sizes are exp"
        )
    options["dt_transform"] = "exp" if old else dt_transform or told.get("dt_transform", "exp")
    return {name: value for name, value in options.items() if value is not None}


def _told(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments in a published configuration, whichever part they stand in."""
    model = raw.get("model", raw)
    model = dict(model) if isinstance(model, Mapping) else {}
    layer = model.pop("layer", None)
    told = model | (dict(layer) if isinstance(layer, Mapping) else {})
    return told | ({"dropout": model["dropout"]} if "dropout" in model else {})


def _quantization(raw: Mapping[str, Any]) -> str:
    """Return how a training configuration quantises; mu-law where it does not say."""
    dataset = raw.get("dataset")
    kind = dataset.get("quantization", "mu-law") if isinstance(dataset, Mapping) else "mu-law"
    if kind not in ("mu-law", "linear"):
        raise UserError(f"the config's dataset.quantization must be 'mu-law' or 'linear', not {kind!r}")
    return "linear" if kind == "linear" else "mu_law"


def _agree(told: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    same = {"d_model": "d_model", "n_layers": "n_layer", "pool": "pool", "expand": "expand", "ff": "ff", "unet": "unet"}
    for theirs, ours in same.items():
        want = told.get(theirs)
        want = tuple(want) if isinstance(want, list | tuple) else want
        if want is not None and want != values[ours] and (values["pool"] or ours != "expand"):
            raise UserError(f"the config says {theirs}={want}, the tensors say {values[ours]}")


def _tiers(state: Mapping[str, Tensor]) -> tuple[list[int], tuple[int, ...]]:
    """Return the widths and the factors of the pooling."""
    if "norm.weight" not in state or not layers_below(state, "c_layers.0.layer"):
        raise UserError("the checkpoint has no norm.weight or no c_layers: it is no SaShiMi")
    widths, pool = [len(state["norm.weight"])], []
    places = [name for name in state if re.fullmatch(r"d_layers\.\d+\.linear\.weight", name)]
    for name in sorted(places, key=lambda name: int(name.split(".")[1])):
        outputs, inputs = state[name].shape
        pool.append(inputs // widths[-1])
        widths.append(outputs)
    return widths, tuple(pool)


def _blocks(state: Mapping[str, Tensor], width: int) -> tuple[bool, int, int]:
    """Return whether there are blocks on the way down, how many S4 layers a tier has, and the width of the FFs."""
    count = 1 + max(int(name.split(".")[1]) for name in state if name.startswith("c_layers."))
    inner = next((x for name, x in state.items() if re.fullmatch(r"c_layers\.1\.layer\.ff\.0\.0\.weight", name)), None)
    ff = 0 if inner is None else inner.shape[0] // inner.shape[1]
    unet = any(re.match(r"d_layers\.\d+\.layer\.", name) for name in state)
    return unet, count // (2 if ff else 1), ff


def _ends(config: SashimiConfig) -> dict[str, str]:
    head = {f"head.{end}": f"decoder.0.output_transform.{end}" for end in ENDS}
    return {"embedding.weight": "encoder.0.weight"} | (head if config.head != "none" else {})


def backbone_from_published(state: Mapping[str, Tensor], config: SashimiConfig) -> dict[str, Tensor]:
    """Map the tensors of a published backbone to ours, differentiably and strictly.

    Raises:
        UserError: A name is missing or left over.
    """
    given = canonical(state)
    blocks = {place.theirs: place for place in places(config) if place.kind == "s4"}
    inside = {path: layers_below(given, f"{path}.layer") for path in blocks}
    taken = {f"{path}.layer.{name}" for path, layer in inside.items() for name in layer}
    ours = rename({name: x for name, x in given.items() if name not in taken}, published_names(config))
    transform = config.mixer_options.get("dt_transform", "exp")
    for path, layer in inside.items():
        try:
            converted = s4_from_published(s4_block(layer), dt_transform=transform)
        except UserError as error:
            raise UserError(f"{path}.layer: {error}") from error
        ours |= {f"{blocks[path].ours}.layer.{name}": tensor for name, tensor in converted.items()}
    return ours


def from_published(state: Mapping[str, Tensor], config: SashimiConfig) -> dict[str, Tensor]:
    """Map a published model (encoder, backbone, decoder) to ours, differentiably and strictly.

    Raises:
        UserError: A name is missing or left over.
    """
    given, ends = canonical(state), _ends(config)
    outside = {name: x for name, x in given.items() if name.startswith(("encoder.", "decoder."))}
    inside = {name: x for name, x in given.items() if name not in outside}
    backbone = backbone_from_published(inside, config)
    return rename(outside, ends) | {f"backbone.{name}": tensor for name, tensor in backbone.items()}


def to_published(state: Mapping[str, Tensor], config: SashimiConfig, *, length: int = 0) -> dict[str, Tensor]:
    """Map our state dict to the published one: the stand-alone module's names behind Lightning's prefixes.

    Args:
        state: Our tensors by name.
        config: The model's.
        length: Samples that every C is attuned to, in the inner tiers the same time span; 0: C stays plain, as in
            a model that has never run.

    Raises:
        UserError: A name is missing or left over, or the mixer is not S4.
    """
    if config.mixer != "s4" or config.norm != "layer":
        raise UserError(
            f"the published layout holds mixer 's4' with norm 'layer', not {config.mixer!r}, {config.norm!r}"
        )
    prefix, ends = "backbone.", _ends(config)
    inside = {name.removeprefix(prefix): x for name, x in state.items() if name.startswith(prefix)}
    outside = {name: x for name, x in state.items() if not name.startswith(prefix)}
    published = rename(outside, {theirs: ours for ours, theirs in ends.items()})
    own = published_names(config)
    blocks = [place for place in places(config) if place.kind == "s4"]
    s4 = {place.ours: layers_below(inside, f"{place.ours}.layer") for place in blocks}
    taken = {f"{path}.layer.{name}" for path, layer in s4.items() for name in layer}
    rest = {name: x for name, x in inside.items() if name not in taken}
    plain = rename(rest, {theirs: ours for ours, theirs in own.items()})
    published |= {f"model.{name}": x[..., None] if is_linear(name) else x for name, x in plain.items()}
    transform = config.mixer_options.get("dt_transform", "exp")
    for place in blocks:
        # As the published layers do: what does not fill the last step is padded.
        layer = s4_to_published(s4[place.ours], -(-length // place.rate), dt_transform=transform)
        published |= {f"model.{place.theirs}.layer.{name}": x for name, x in layer.items()}
    return published


def config_to_published(config: SashimiConfig) -> dict[str, Any]:
    """Return the stand-alone module's arguments."""
    options = {name: value for name, value in config.mixer_options.items() if name not in ("d_state", "ssm_lr_scale")}
    return {
        "d_model": config.d_model,
        "n_layers": config.n_layer,
        "pool": list(config.pool),
        "expand": config.expand,
        "ff": config.ff,
        "unet": config.unet,
        "bidirectional": config.bidirectional,
        "dropout": config.dropout,
    } | options


def load_published(
    source: str | Path,
    *,
    config: Mapping[str, Any] | None = None,
    dt_transform: str | None = None,
    **overrides: Any,
) -> Sashimi:
    """Load a published SaShiMi from its folder or weights file, in evaluation mode.

    Args:
        source: A folder or a weights file (.safetensors; .pt, .ckpt and .bin of tensors).
        config: Its configuration; None: config.json beside the weights, if there is one.
        dt_transform: "exp" or "softplus", where the configuration does not say; "exp" where nothing does.
        overrides: Fields of `SashimiConfig`: ``quantization="linear"``, or ``head="classification"`` for a fresh head.

    Raises:
        UserError: It is missing, damaged, or no SaShiMi.
    """
    path = find_weights(source)
    if config is None and (path.parent / "config.json").is_file():
        config = read_json(path.parent / "config.json")
    state = read_weights(path)
    try:
        ours = config_from_published(config, state, dt_transform=dt_transform)
        tensors = from_published(state, ours)
    except UserError as error:
        raise UserError(f"{source}: {error}") from error
    ours = replace_config(ours, overrides, owner="load_published")
    model = Sashimi(ours)
    fresh = {name: tensor for name, tensor in model.state_dict().items() if name.startswith("head.")}
    same = all(name in tensors and tensors[name].shape == tensor.shape for name, tensor in fresh.items())
    kept = {
        name: tensor for name, tensor in tensors.items() if not name.startswith("head.") or (same and name in fresh)
    }
    load_weights(model, fresh | kept, source)
    _log.warning("%s: dt_transform=%r", source, ours.mixer_options["dt_transform"])
    return model.eval()
