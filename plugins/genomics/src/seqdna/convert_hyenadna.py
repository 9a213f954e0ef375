"""Published HyenaDNA checkpoints, read and written under their own key names.

    model = seqdna.convert_hyenadna.load_published("hyenadna-tiny-1k-seqlen")

Both published layouts are known: the original (``backbone...``, behind ``model.`` in a training
checkpoint) and that of the -hf repositories (``hyena.backbone...``). What follows from the sizes is
checked and not kept: the positions' features, where they were not trained, and the fading rates.
The maps are pure functions of tensors: gradients flow through them.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from seqdna.configs.hyenadna import HyenaDNAConfig
from seqdna.configs.models import COMPLEMENT
from seqdna.models.hyenadna import HyenaDNA
from seqsuite.errors import UserError
from seqsuite.mixers.hyena import position_features
from seqsuite.mixers.options import replace_config
from seqsuite.models.files import load_weights
from seqsuite.models.published import read_published, rename

_log = logging.getLogger(__name__)

_WORDS = "backbone.embeddings.word_embeddings.weight"
_FILTER = "backbone.layers.{}.mixer.filter_fn"
_COUNTERS = re.compile(r"(^|\.)(train|val|test)_torchmetrics\.")
_PADDING = {
    "as_published": "[PAD] is a token like any other; padding='masked' makes it invisible",
    "masked": "[PAD] changes no other position; the checkpoint was trained with it as a token",
}
# Option of our mixer: its names in the two layouts, and what it is where neither is there.
_OPTIONS: dict[str, tuple[tuple[str, ...], Any]] = {
    "order": (("order", "hyena_order"), 2),
    "filter_width": (("filter_order",), 64),
    "num_inner_mlps": (("num_inner_mlps",), 2),
    "emb_dim": (("emb_dim",), 5),
    "short_filter": (("short_filter_order",), 3),
    "w": (("w", "activation_freq"), 10.0),
    "modulate": (("modulate",), True),
    "fast_decay_pct": (("fast_decay_pct",), 0.3),
    "slow_decay_pct": (("slow_decay_pct",), 1.5),
    "target": (("target",), 0.01),
    "shift": (("shift",), 0.05),
}
_HERE_WITHOUT_EFFECT = {"_name_", "d_model", "l_max", "local_order", "lr", "wd", "lr_pos_emb"}
_ONLY = {"use_bias": True, "hyena_dropout": 0.0, "hyena_filter_dropout": 0.0}


def config_from_published(
    raw: Mapping[str, Any], state: Mapping[str, Tensor] | None = None, *, shift: float | None = None
) -> HyenaDNAConfig:
    """Translate a published configuration.

    Args:
        raw: Its config.json, of either layout. `local_order` has no effect, as in the published code.
        state: Its tensors: they say which head there is, whether the output projection is the embedding, and
            whether the positions' features were trained.
        shift: Overrules the floor of the fading; the published weights need 0.05, which is not in their configs.

    Raises:
        UserError: A setting has no counterpart here, or config and tensors disagree about the length.
    """
    given = canonical(state or {})
    options = _mixer_options(raw, given, shift)
    head = "sequence_classification" if "head.output_transform.weight" in given else "causal_lm"
    values: dict[str, Any] = {
        "d_model": raw["d_model"],
        "n_layer": raw["n_layer"],
        "d_inner": raw.get("d_inner"),
        "vocab_size": raw["vocab_size"],
        "pad_vocab_size_multiple": raw.get("pad_vocab_size_multiple", 8),
        "mixer_options": options,
        "norm_epsilon": raw.get("layer_norm_epsilon", 1e-5),
        "residual_in_fp32": raw.get("residual_in_fp32", True),
        "embed_dropout": raw.get("embed_dropout", 0.1),
        "resid_dropout": raw.get("resid_dropout", 0.0),
        "tie_embeddings": _tied(raw, given),
        "complement_map": COMPLEMENT if raw["vocab_size"] >= len(COMPLEMENT) else (),
        "padding": "as_published",
        "head": head,
    }
    if head == "sequence_classification":
        values["num_classes"] = len(given["head.output_transform.weight"])
        values["score_bias"] = "head.output_transform.bias" in given
        # The -hf classifier has no bias and reads the last position.
        values["pooling"] = "mean" if values["score_bias"] else "last"
    return HyenaDNAConfig(**values)


def _mixer_options(raw: Mapping[str, Any], given: Mapping[str, Tensor], shift: float | None) -> dict[str, Any]:
    layer = raw.get("layer") or {}
    known = _HERE_WITHOUT_EFFECT | {name for names, _ in _OPTIONS.values() for name in names}
    strange = sorted(set(layer) - known)
    strange += [f"{name}={raw[name]}" for name, value in _ONLY.items() if raw.get(name, value) != value]
    if strange:
        raise UserError(f"the config's {', '.join(strange)} has no counterpart in our Hyena")
    merged = {**raw, **layer}
    options = {
        ours: next((merged[name] for name in names if name in merged), default)
        for ours, (names, default) in _OPTIONS.items()
    }
    options["w"] = float(options["w"])
    options["l_max"] = _l_max(merged, given)
    if shift is not None:
        options["shift"] = shift
    options["trainable_positions"] = bool(merged.get("lr_pos_emb")) or _positions_were_trained(options, given)
    return options


def _l_max(merged: Mapping[str, Any], given: Mapping[str, Tensor]) -> int:
    """Return the number of positions, which config and tensors must agree about."""
    told = merged.get("l_max", merged.get("max_seq_len"))
    stored = {given[name].shape[1] for name in given if name.endswith((".pos_emb.z", ".pos_emb.t"))}
    if told is not None:
        stored.add(int(told))
    if len(stored) != 1:
        found = ", ".join(map(str, sorted(stored))) or "nothing"
        raise UserError(f"the config's l_max (max_seq_len) and the tensors must give one length; they give {found}")
    return stored.pop()


def _positions_were_trained(options: Mapping[str, Any], given: Mapping[str, Tensor]) -> bool:
    formula = position_features(options["l_max"], options["l_max"], options["emb_dim"])
    found = (tensor for name, tensor in given.items() if name.endswith(".pos_emb.z"))
    return any(not _close(tensor, formula) for tensor in found)


def _tied(raw: Mapping[str, Any], given: Mapping[str, Tensor]) -> bool:
    """Return whether the output projection is the embedding; one that is not stored is."""
    if "lm_head.weight" not in given or _WORDS not in given:
        return True
    return bool(raw.get("tie_word_embeddings", torch.equal(given["lm_head.weight"], given[_WORDS])))


def _close(stored: Tensor, formula: Tensor) -> bool:
    stored = stored.detach().reshape(-1)
    # The published tables are rounded sines of float32 angles.
    return len(stored) == formula.numel() and torch.allclose(stored.float().cpu(), formula.reshape(-1), atol=1e-4)


def canonical(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Bring the keys of any published layout into the plainest one; a training run's counters are left out."""
    return {_canonical(name): tensor for name, tensor in state.items() if not _COUNTERS.search(name)}


def _canonical(name: str) -> str:
    name = name.removeprefix("model.").removeprefix("hyena.")
    # Models trained with activation checkpointing wrap mixer and MLP.
    name = name.replace(".mixer.layer.", ".mixer.").replace(".mlp.layer.", ".mlp.")
    for theirs in ("score.", "decoder.0.output_transform."):
        if name.startswith(theirs):
            return "head.output_transform." + name.removeprefix(theirs)
    return name


def published_names(config: HyenaDNAConfig) -> tuple[dict[str, str], dict[str, str]]:
    """Return ``our name -> canonical published name``, and ``tied duplicate -> first`` of the published names."""
    names = {"embedding.weight": _WORDS}
    ties: dict[str, str] = {}
    hidden = config.mixer_options.get("num_inner_mlps", 2) + 1
    ends = ("weight", "bias")
    for index in range(config.n_layer):
        layer, theirs = f"backbone.layers.{index}", _FILTER.format(index)
        inner = [f"{part}.{end}" for part in ("norm1", "norm2", "mlp.fc1", "mlp.fc2") for end in ends]
        inner += [f"mixer.{part}.{end}" for part in ("in_proj", "short_filter", "out_proj") for end in ends]
        names |= {f"{layer}.{name}": f"{layer}.{name}" for name in inner}
        names[f"{layer}.mixer.D"] = f"{theirs}.bias"
        names[f"{layer}.mixer.filter.freq"] = f"{theirs}.implicit_filter.1.freq"
        if config.mixer_options.get("trainable_positions"):
            names[f"{layer}.mixer.filter.z"] = f"{theirs}.pos_emb.z"
        for place in range(hidden):
            ours = f"{layer}.mixer.filter.layers.{place}"
            names |= {f"{ours}.{end}": f"{theirs}.implicit_filter.{2 * place}.{end}" for end in ends}
            if place:  # one sine activation serves all layers
                ties[f"{theirs}.implicit_filter.{2 * place + 1}.freq"] = f"{theirs}.implicit_filter.1.freq"
        names[f"{layer}.mixer.filter.layers.{hidden}.weight"] = f"{theirs}.implicit_filter.{2 * hidden}.weight"
    names |= {f"backbone.norm_f.{end}": f"backbone.ln_f.{end}" for end in ends}
    if config.head == "sequence_classification":
        names |= {f"score.{end}": f"head.output_transform.{end}" for end in ends[: 1 + config.score_bias]}
    elif config.head == "causal_lm" and config.tie_embeddings:
        ties["lm_head.weight"] = _WORDS
    elif config.head == "causal_lm":
        names["lm_head.weight"] = "lm_head.weight"
    return names, ties


def buffers(config: HyenaDNAConfig) -> dict[str, Tensor]:
    """Return what a published state dict holds beside weights, under canonical names, from its formulas."""
    options = {name: default for name, (_, default) in _OPTIONS.items()} | dict(config.mixer_options)
    l_max, width = options["l_max"], config.d_model * (options["order"] - 1)
    slowest, fastest = (math.log(options["target"]) / options[f"{kind}_decay_pct"] for kind in ("slow", "fast"))
    made = {
        "pos_emb.t": torch.linspace(0, 1, l_max)[None, :, None],
        "modulation.deltas": torch.linspace(slowest, fastest, width)[None, None],
    }
    if not options.get("trainable_positions"):
        made["pos_emb.z"] = position_features(l_max, l_max, options["emb_dim"])[None]
    return {f"{_FILTER.format(i)}.{name}": tensor for i in range(config.n_layer) for name, tensor in made.items()}


def from_published(state: Mapping[str, Tensor], config: HyenaDNAConfig) -> dict[str, Tensor]:
    """Map a published state dict to ours, differentiably and strictly.

    Tied duplicates and buffers may be missing or there; both layouts' prefixes are understood.

    Raises:
        UserError: A name is missing or left over, tied tensors differ, or a buffer is not what the config gives.
    """
    names, ties = published_names(config)
    given, constant = canonical(state), buffers(config)
    for name, formula in constant.items():
        if name in given and not _close(given[name], formula):
            raise UserError(f"the checkpoint's {name} is not what its config gives")
    renamed = rename(given, names, ties=ties, optional=constant)
    return {name: _without_batch(name, tensor) for name, tensor in renamed.items()}


def to_published(
    state: Mapping[str, Tensor], config: HyenaDNAConfig, *, layout: Literal["original", "hf"] = "original"
) -> dict[str, Tensor]:
    """Map our state dict to the reference's names: tied tensors under each name, buffers included."""
    names, ties = published_names(config)
    published = rename(state, {theirs: ours for ours, theirs in names.items()})
    published = {name: _with_batch(name, tensor) for name, tensor in published.items()}
    published |= {duplicate: published[first] for duplicate, first in ties.items()}
    published |= {name: tensor.to(state["embedding.weight"].device) for name, tensor in buffers(config).items()}
    if layout == "original":
        return published
    out = {f"hyena.{name}" if name.startswith("backbone.") else name: tensor for name, tensor in published.items()}
    return {name.replace("head.output_transform.", "score."): tensor for name, tensor in out.items()}


def _without_batch(name: str, tensor: Tensor) -> Tensor:
    return tensor[0] if name.endswith((".filter.freq", ".filter.z")) else tensor


def _with_batch(name: str, tensor: Tensor) -> Tensor:
    return tensor[None] if name.endswith((".implicit_filter.1.freq", ".pos_emb.z")) else tensor


def config_to_published(config: HyenaDNAConfig) -> dict[str, Any]:
    """Return the config.json of the original layout."""
    options = {name: default for name, (_, default) in _OPTIONS.items()} | dict(config.mixer_options)
    layer = {names[0]: options[ours] for ours, (names, _) in _OPTIONS.items()}
    layer |= {"l_max": options["l_max"], "lr_pos_emb": 1e-5 if options.get("trainable_positions") else 0.0}
    return {
        "d_model": config.d_model,
        "n_layer": config.n_layer,
        "d_inner": config.mlp_width,
        "vocab_size": config.vocab_size,
        "pad_vocab_size_multiple": config.pad_vocab_size_multiple,
        "layer_norm_epsilon": config.norm_epsilon,
        "residual_in_fp32": config.residual_in_fp32,
        "embed_dropout": config.embed_dropout,
        "resid_dropout": config.resid_dropout,
        "tie_word_embeddings": config.tie_embeddings,
        "layer": layer,
    }


def load_published(
    source: str | Path,
    *,
    config: Mapping[str, Any] | None = None,
    shift: float | None = None,
    **overrides: Any,
) -> HyenaDNA:
    """Load a published HyenaDNA from its folder or weights file, in evaluation mode.

    Args:
        source: A folder with config.json and its weights, or a weights file.
        config: The configuration, in place of config.json.
        shift: The floor of the filter's fading, in place of the config's, or of 0.05 where it says none.
        overrides: Fields of `HyenaDNAConfig`: ``padding="masked"``, or ``head="sequence_classification",
            num_classes=3`` for a fresh head on the published backbone.

    Raises:
        UserError: It is missing, damaged, or does not fit its config.
    """
    raw, state = read_published(source, config)
    try:
        ours = config_from_published(raw, state, shift=shift)
    except KeyError as error:
        raise UserError(f"{source}: its config lacks {error}; is this a HyenaDNA?") from error
    tensors = from_published(state, ours)
    ours = replace_config(ours, overrides, owner="load_published")
    model = HyenaDNA(ours)
    # A head that the checkpoint lacks keeps its fresh weights, one that is not asked for is left behind.
    heads = ("score.", "lm_head.")
    fresh = {name: tensor for name, tensor in model.state_dict().items() if name.startswith(heads)}
    kept = {name: tensor for name, tensor in tensors.items() if name in fresh or not name.startswith(heads)}
    load_weights(model, fresh | kept, source)
    floor = model.config.mixer_options.get("shift")
    _log.warning("%s: shift=%s, padding=%r (%s)", source, floor, ours.padding, _PADDING[ours.padding])
    return model.eval()
