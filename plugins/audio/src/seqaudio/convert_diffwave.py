"""Published DiffWave-SaShiMi checkpoints to our model and back (albertfgu/diffwave-sashimi).

    model = load_published("500000.safetensors", config=config)   # config: the model part of its YAML

Each S4 layer is looked at on its own, in any generation that `seqaudio.convert_s4` knows; "v3" and "v4" can be
written. The S4 of January 2022 (``kernel.krylov``), with which the repository's own files were trained, has an
untied low-rank term and joins its directions by concatenation: it is another layer, and refused.

The repository tells of files that give noise because ``x += y`` became ``x = x + y``: that was in its WaveNet,
where the tensor changed in place was the residual stream too. Its SaShiMi blocks add out of place, one model
serves all. The maps are pure functions of tensors: gradients flow through them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from seqaudio.configs.diffwave import DiffWaveConfig
from seqaudio.convert_s4 import s4_block, to_v3
from seqaudio.models.diffwave import DiffWave, parts
from seqsuite.errors import UserError
from seqsuite.mixers.options import build_config, replace_config
from seqsuite.mixers.s4 import s4_from_published, s4_to_published
from seqsuite.models.files import load_weights
from seqsuite.models.published import read_published, rename

Layout = Literal["v3", "v4"]

_S4 = re.compile(r"(?P<block>[dcu]_layers\.\d+)\.layer\.(?P<name>.+)")
_NORMED = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
_FIELDS: dict[str, str] = {
    "d_model": "d_model",
    "n_layers": "n_layer",
    "pool": "pool",
    "expand": "expand",
    "ff": "ff",
    "unet": "unet",
    "in_channels": "audio_channels",
    "L": "kernel_length",
    "diffusion_step_embed_dim_in": "step_embed_in",
    "diffusion_step_embed_dim_mid": "step_embed_mid",
    "diffusion_step_embed_dim_out": "step_embed_out",
    "T": "diffusion_steps",
    "beta_0": "beta_first",
    "beta_T": "beta_last",
    "sampling_rate": "sample_rate",
    "filter_length": "mel_fft",
    "win_length": "mel_window",
    "mel_fmin": "mel_fmin",
    "mel_fmax": "mel_fmax",
}
_DATASET = ("sampling_rate", "filter_length", "win_length", "mel_fmin", "mel_fmax")
_PUBLISHED_DEFAULTS = {"n_layers": 8, "d_model": 64, "L": 16000, "unconditional": False, "mel_upsample": (16, 16)}


def config_from_published(raw: Mapping[str, Any], state: Mapping[str, Tensor] | None = None) -> DiffWaveConfig:
    """Translate a published configuration.

    Args:
        raw: The model's part of it, or the whole with the parts model, diffusion and dataset.
        state: The tensors: they say the state size, the number of state matrices and of mel bands.

    Raises:
        UserError: It describes another model, or a value has the wrong type.
    """
    parts = [raw.get(part) for part in ("model", "diffusion", "dataset")]
    given: dict[str, Any] = dict(_PUBLISHED_DEFAULTS) | dict(raw)
    for part in parts:
        given |= dict(part) if isinstance(part, Mapping) else {}
    backbone = given.get("_name_", given.get("backbone", "sashimi"))
    if backbone != "sashimi":
        raise UserError(f"the config's backbone is {backbone!r}; only 'sashimi' is known")
    if given.get("out_channels", given.get("in_channels", 1)) != given.get("in_channels", 1):
        raise UserError("the config's in_channels and out_channels differ; noise has the channels of the audio")
    values = {ours: given[theirs] for theirs, ours in _FIELDS.items() if given.get(theirs) is not None}
    if not given["unconditional"]:
        values |= {"mel_upsample": given["mel_upsample"], "mel_alignment": "as_published"}
    values |= _options_of(canonical(state or {}))
    return build_config(DiffWaveConfig, values, owner="the config")


def config_to_published(config: DiffWaveConfig) -> dict[str, Any]:
    """Return a published configuration in its parts model, diffusion and dataset.

    It has no place for `s4_kernel`, for a pooled `mel_alignment`, and for what the shapes of the tensors say.
    """
    said = {theirs: getattr(config, ours) for theirs, ours in _FIELDS.items()}
    diffusion = {name: said.pop(name) for name in ("T", "beta_0", "beta_T")}
    dataset = {name: said.pop(name) for name in _DATASET}
    model = {"_name_": "sashimi", "unconditional": not config.conditional, "out_channels": config.audio_channels}
    model |= said | {"pool": list(config.pool)}
    if config.conditional:
        model["mel_upsample"] = list(config.mel_upsample)
        dataset["hop_length"] = config.hop
    return {"model": model, "diffusion": diffusion, "dataset": dataset}


def _options_of(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return what the shapes say that no published config does."""
    found: dict[str, Any] = {}
    first = next((name for name in state if _S4.fullmatch(name)), None)
    if first is not None:
        block = _S4.fullmatch(first)["block"]  # type: ignore[index]
        layer = _s4_block(state, block)
        if "layer.kernel.C" in layer and "layer.kernel.A_real" in layer:
            copies, heads = len(layer["layer.kernel.A_real"]), layer["layer.kernel.C"].shape[1]
            found |= {"d_state": 2 * layer["layer.kernel.C"].shape[2], "n_ssm": None if copies == heads else copies}
    bands = next((x.shape[1] for name, x in state.items() if name.endswith(".mel_conv.conv.weight_v")), None)
    return found | ({} if bands is None else {"n_mels": bands})


def canonical(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a published state dict without the prefix of parallel training."""
    return {name.removeprefix("module."): tensor for name, tensor in state.items()}


def published_names(config: DiffWaveConfig) -> tuple[dict[str, str], dict[str, int]]:
    """Return ``our name -> published name`` of all parameters but S4's, and the rates of the blocks by path."""
    names = {
        **_normed("init_conv", "init_conv.0.conv"),
        **_normed("final", "final_conv.0.conv"),
        **{f"{layer}.{end}": f"{layer}.{end}" for layer in ("fc_t1", "fc_t2") for end in ("weight", "bias")},
        **{f"head.{end}": f"final_conv.2.conv.{end}" for end in ("weight", "bias")},
        **{f"norm.{name}": f"norm.{name}" for name in ("m", "s")},
    }
    for part in parts(config):
        if part.kind == "block":
            names |= _names_of_block(part.path, len(config.mel_upsample))
        else:
            names |= _normed(f"{part.path}.linear", f"{part.path}.linear.conv")
    return names, {part.path: part.rate for part in parts(config) if part.kind == "block"}


def _names_of_block(path: str, upsamples: int) -> dict[str, str]:
    names = {f"{path}.fc_t.{end}": f"{path}.fc_t.{end}" for end in ("weight", "bias")}
    names |= {f"{path}.{norm}.{end}": f"{path}.{norm}.{end}" for norm in ("norm1", "norm2") for end in ("m", "s")}
    for place in (0, 2):
        names |= _normed(f"{path}.ff.{place}", f"{path}.ff.ff.{place}.conv")
    for place in range(upsamples):
        names |= _normed(f"{path}.mel.upsample.{place}", f"{path}.upsample_conv2d.{place}")
    return names | (_normed(f"{path}.mel.project", f"{path}.mel_conv.conv") if upsamples else {})


def _normed(ours: str, theirs: str) -> dict[str, str]:
    """Return the names of a weight-normed layer."""
    pairs = {"bias": "bias"} | _NORMED
    return {f"{ours}.{mine}": f"{theirs}.{name}" for mine, name in pairs.items()}


def _is_pointwise(theirs: str) -> bool:
    """Return whether a published weight is that of a convolution of width 1, which is a linear layer here."""
    return ".conv.weight" in theirs


def _s4_block(state: Mapping[str, Tensor], block: str) -> dict[str, Tensor]:
    """Return an S4 layer's tensors under the names of layout "v4"."""
    start = f"{block}.layer."
    return s4_block({name.removeprefix(start): tensor for name, tensor in state.items() if name.startswith(start)})


def from_published(state: Mapping[str, Tensor], config: DiffWaveConfig) -> dict[str, Tensor]:
    """Map a published state dict to ours, differentiably and strictly.

    Args:
        state: Its tensors, of either layout.
        config: Ours, as from `config_from_published`.

    Raises:
        UserError: A name is missing or left over, or the S4 is too old.
    """
    state = canonical(state)
    names, blocks = published_names(config)
    layers = [name for name in state if (match := _S4.fullmatch(name)) and match["block"] in blocks]
    ours = rename({name: tensor for name, tensor in state.items() if name not in layers}, names)
    ours = {name: x.flatten(1) if _is_pointwise(names[name]) else x for name, x in ours.items()}
    for block in blocks:
        try:
            layer = s4_from_published(_s4_block(state, block))
        except UserError as error:
            raise UserError(f"{block}: {error}") from error
        ours |= {f"{block}.layer.{name}": tensor for name, tensor in layer.items()}
    return ours


def to_published(
    state: Mapping[str, Tensor], config: DiffWaveConfig, *, layout: Layout = "v3", length: int = 0
) -> dict[str, Tensor]:
    """Map our state dict to the published names.

    Args:
        state: Our tensors by name.
        config: The model's.
        layout: Which S4 layer is to read them.
        length: Samples that every C is attuned to, at lower rates the same time span; 0: C stays plain.

    Raises:
        UserError: A name is missing or left over.
    """
    names, blocks = published_names(config)
    layers = [name for name in state if (match := _S4.fullmatch(name)) and match["block"] in blocks]
    rest = {name: tensor for name, tensor in state.items() if name not in layers}
    published = rename(rest, {theirs: ours for ours, theirs in names.items()})
    published = {name: x[..., None] if _is_pointwise(name) else x for name, x in published.items()}
    for block, rate in blocks.items():
        start = f"{block}.layer."
        own = {name.removeprefix(start): state[name] for name in layers if name.startswith(start)}
        layer = s4_to_published(own, length // rate)
        published |= {f"{start}{name}": x for name, x in (to_v3(layer) if layout == "v3" else layer).items()}
    return published


def load_published(source: str | Path, *, config: Mapping[str, Any] | None = None, **overrides: Any) -> DiffWave:
    """Load a published DiffWave-SaShiMi from its folder or weights file, in evaluation mode.

    Args:
        source: A folder with config.json and its weights, or a weights file.
        config: The configuration, in place of config.json.
        overrides: Fields of `DiffWaveConfig`: ``s4_kernel="half_spectrum"`` if its samples are noise and it was trained
            without CUDA extension and pykeops; ``mel_alignment="pooled"`` or ``kernel_length=None`` to train on.

    Raises:
        UserError: It is missing, damaged, or does not fit its config.
    """
    raw, state = read_published(source, config)
    try:
        ours = replace_config(config_from_published(raw, state), overrides, owner="load_published")
        tensors = from_published(state, ours)
    except UserError as error:
        raise UserError(f"{source}: {error}") from error
    model = DiffWave(ours)
    load_weights(model, tensors, source)
    return model.eval()
