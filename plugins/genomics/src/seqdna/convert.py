"""Published Caduceus checkpoints, read and written under their own key names.

    model = seqdna.convert.load_published("caduceus-ps_seqlen-131k_d_model-256_n_layer-16")

One weight file has two meanings: with `fused_add_norm` (every published one) each PS block exchanges
the strands' halves, without it none does. Here that is `swap_halves`, taken from the config and told.
The maps are pure functions of tensors: gradients flow through them.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from seqdna.configs import COMPLEMENT, CaduceusConfig
from seqdna.models.caduceus import Caduceus
from seqsuite.errors import UserError
from seqsuite.mixers.options import replace_config
from seqsuite.models.convert import mamba_names, mixer_options_from_published
from seqsuite.models.files import load_weights
from seqsuite.models.published import read_published, rename

_log = logging.getLogger(__name__)

_BACKBONE = "caduceus.backbone"
_WORDS = f"{_BACKBONE}.embeddings.word_embeddings"
_ARCHITECTURES = {
    "masked_lm": "CaduceusForMaskedLM",
    "sequence_classification": "CaduceusForSequenceClassification",
    "none": "Caduceus",
}
_PADDING = {
    "as_published": "[PAD] is a token like any other; padding='masked' makes it invisible",
    "masked": "[PAD] changes no other position; the checkpoint was trained with it as a token",
}
_MAPS = (f"{_WORDS}.complement_map", "lm_head.complement_map")


def config_from_published(
    raw: Mapping[str, Any], state: Mapping[str, Tensor] | None = None, *, swap_halves: bool | None = None
) -> CaduceusConfig:
    """Translate a published configuration.

    Args:
        raw: Its config.json.
        state: Its tensors: they say which head there is and hold the complement table that the model was
            trained with (config.json lists it in insertion order, whatever its keys).
        swap_halves: Overrules what the config and the tensors' names say.

    Raises:
        UserError: The config and the names of the tensors disagree about `fused_add_norm`.
    """
    names = {_canonical(name): name for name in state or {}}
    rcps = bool(raw.get("rcps", False))
    head = _head(raw, names)
    values: dict[str, Any] = {
        "d_model": raw["d_model"],
        "n_layer": raw["n_layer"],
        "vocab_size": raw["vocab_size"],
        "pad_vocab_size_multiple": raw.get("pad_vocab_size_multiple", 8),
        "mixer_options": mixer_options_from_published(raw.get("ssm_cfg")),
        "norm": "rms" if raw.get("rms_norm", True) else "layer",
        "norm_epsilon": raw.get("norm_epsilon", 1e-5),
        "residual_in_fp32": raw.get("residual_in_fp32", True),
        "rcps": rcps,
        "bidirectional": raw.get("bidirectional", True),
        "bidirectional_strategy": raw.get("bidirectional_strategy") or "add",
        "bidirectional_weight_tie": raw.get("bidirectional_weight_tie", True),
        "swap_halves": rcps and (_fused(raw, state) if swap_halves is None else swap_halves),
        "pad_token_id": pad if (pad := raw.get("pad_token_id")) is not None and pad >= 0 else None,
        "padding": "as_published",
        "head": head,
        "pooling": raw.get("pooling_strategy") or "mean",
        "complement_map": _complement_map(raw, state, names),
    }
    if head == "sequence_classification":
        values["num_classes"] = len((state or {})[names["score.weight"]])
        values["conjoin_train"] = not rcps and bool(raw.get("conjoin_train", False))
        values["conjoin_eval"] = not rcps and bool(raw.get("conjoin_eval", False))
    return CaduceusConfig(**values)


def _head(raw: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """Return which head there is: by its tensors, or by the class where a tied head was not stored."""
    heads = {"score.weight": "sequence_classification", "lm_head.weight": "masked_lm"}
    stored = next((head for name, head in heads.items() if name in names), None)
    written_by = "".join(raw.get("architectures") or ["CaduceusForMaskedLM"])
    return stored or ("masked_lm" if "MaskedLM" in written_by else "none")


def _complement_map(
    raw: Mapping[str, Any], state: Mapping[str, Tensor] | None, names: Mapping[str, str]
) -> tuple[int, ...]:
    for name in _MAPS:
        if name in names:
            return tuple((state or {})[names[name]].tolist())
    table = raw.get("complement_map")
    if table is not None:
        return tuple(table.values())
    if raw.get("rcps", False):
        raise UserError(
            "the checkpoint is RC-equivariant, but neither its config nor its tensors give a complement_map"
        )
    return COMPLEMENT if raw["vocab_size"] >= len(COMPLEMENT) else ()


def _fused(raw: Mapping[str, Any], state: Mapping[str, Tensor] | None) -> bool:
    """Return whether a PS checkpoint was trained with the fused kernel, whose blocks exchange the halves."""
    fused = raw.get("fused_add_norm")
    if state is None:
        return True if fused is None else bool(fused)
    by_names = not any(".norm.submodule." in name for name in state)
    if fused is not None and bool(fused) != by_names:
        kind = "fused" if by_names else "unfused"
        raise UserError(
            f"the config says fused_add_norm={fused}, but the tensors have the names of a {kind} model; "
            f"say swap_halves=True (fused: each block exchanges the strands' halves) or False"
        )
    return by_names


def _canonical(name: str) -> str:
    """Bring a key of any published layout into the plainest one, that of Ph."""
    name = name.removeprefix("model.")
    if name.startswith("backbone."):
        name = f"caduceus.{name}"
    # PS wraps norms (unfused), mixers, embedding and head in modules of their own.
    wrapped = {"lm_head.lm_head.": "lm_head.", "word_embeddings.embedding.": "word_embeddings."}
    wrapped |= {f"{part}.submodule.": f"{part}." for part in ("norm", "norm_f", "mixer")}
    for long, short in wrapped.items():
        name = name.replace(long, short)
    return name


def _published_form(name: str, config: CaduceusConfig) -> str:
    """Return a canonical key as the reference writes it for this config."""
    if not config.rcps:
        return name
    name = name.replace("word_embeddings.weight", "word_embeddings.embedding.weight")
    name = name.replace(".mixer.", ".mixer.submodule.").replace("lm_head.weight", "lm_head.lm_head.weight")
    if config.swap_halves:
        return name
    return name.replace(".norm.", ".norm.submodule.").replace(".norm_f.", ".norm_f.submodule.")


def published_names(config: CaduceusConfig) -> tuple[dict[str, str], dict[str, str]]:
    """Return ``our name -> canonical published name``, and ``tied duplicate -> first`` of the published names.

    Canonical names are those of Ph, without Lightning's prefix and without PS's wrappers.
    """
    names = {"embedding.weight": f"{_WORDS}.weight"}
    ties: dict[str, str] = {}
    norm = ["weight"] + ["bias"] * (config.norm == "layer")
    options = config.mixer_options
    for layer in range(config.n_layer):
        ours, theirs = f"backbone.layers.{layer}", f"{_BACKBONE}.layers.{layer}"
        forward = f"{ours}.mixer.forward_mixer" if config.bidirectional else f"{ours}.mixer"
        names |= {f"{forward}.{n}": f"{theirs}.mixer.mamba_fwd.{n}" for n in mamba_names(options)}
        if config.bidirectional:
            tied = config.bidirectional_weight_tie
            own = mamba_names(options, projections=not tied)
            names |= {f"{ours}.mixer.reverse_mixer.{n}": f"{theirs}.mixer.mamba_rev.{n}" for n in own}
            shared = set(mamba_names(options)) - set(own)
            ties |= {f"{theirs}.mixer.mamba_rev.{n}": f"{theirs}.mixer.mamba_fwd.{n}" for n in sorted(shared)}
        names |= {f"{ours}.norm.{n}": f"{theirs}.norm.{n}" for n in norm}
    names |= {f"backbone.norm_f.{n}": f"{_BACKBONE}.norm_f.{n}" for n in norm}
    if config.head == "sequence_classification":
        names["score.weight"] = "score.weight"
    elif config.head == "masked_lm":
        ties["lm_head.weight"] = f"{_WORDS}.weight"
    return names, ties


def from_published(state: Mapping[str, Tensor], config: CaduceusConfig) -> dict[str, Tensor]:
    """Map a published state dict to ours, differentiably and strictly.

    Tied duplicates may be missing (safetensors drops them) or there; Lightning's prefix, fused and unfused
    names are all understood.

    Raises:
        UserError: A name is missing or left over, tied tensors differ, or the complement table is another one.
    """
    names, ties = published_names(config)
    given = {_canonical(name): tensor for name, tensor in state.items()}
    for name in _MAPS:
        if name in given and tuple(given[name].tolist()) != config.full_complement_map:
            raise UserError(f"the checkpoint's {name} is not the config's complement_map")
    return rename(given, names, ties=ties, optional=_MAPS)


def to_published(state: Mapping[str, Tensor], config: CaduceusConfig) -> dict[str, Tensor]:
    """Map our state dict to the reference's names: tied tensors under each name, complement tables included.

    `config.swap_halves` decides between the names of a fused and of an unfused model.
    """
    names, ties = published_names(config)
    published = rename(state, {theirs: ours for ours, theirs in names.items()})
    published |= {duplicate: published[first] for duplicate, first in ties.items()}
    out = {_published_form(name, config): tensor for name, tensor in published.items()}
    if config.rcps:
        table = torch.tensor(config.full_complement_map, device=state["embedding.weight"].device)
        out |= dict.fromkeys(_MAPS if config.head == "masked_lm" else _MAPS[:1], table)
    return out


def config_to_published(config: CaduceusConfig) -> dict[str, Any]:
    """Return the config.json that the reference reads for a model with Mamba mixers."""
    table = {str(token): other for token, other in enumerate(config.full_complement_map)}
    pooled = ("conjoin_train", "conjoin_eval") if config.head == "sequence_classification" else ()
    classes = {"num_labels": config.num_classes, "pooling_strategy": config.pooling} if pooled else {}
    return (
        {name: getattr(config, name) for name in pooled}
        | classes
        | {
            "model_type": "caduceus",
            "architectures": [_ARCHITECTURES[config.head]],
            "d_model": config.d_model,
            "n_layer": config.n_layer,
            "vocab_size": config.padded_vocab_size,
            "pad_vocab_size_multiple": config.pad_vocab_size_multiple,
            "ssm_cfg": dict(config.mixer_options),
            "rms_norm": config.norm == "rms",
            "norm_epsilon": config.norm_epsilon,
            "residual_in_fp32": config.residual_in_fp32,
            "fused_add_norm": config.swap_halves,
            "bidirectional": config.bidirectional,
            "bidirectional_strategy": config.bidirectional_strategy,
            "bidirectional_weight_tie": config.bidirectional_weight_tie,
            "rcps": config.rcps,
            "complement_map": table,
            "pad_token_id": config.pad_token_id,
        }
    )


def load_published(
    source: str | Path,
    *,
    config: Mapping[str, Any] | None = None,
    swap_halves: bool | None = None,
    **overrides: Any,
) -> Caduceus:
    """Load a published Caduceus from its folder or weights file, in evaluation mode.

    Args:
        source: A folder with config.json and model.safetensors, or a weights file (.safetensors, or .bin and
            .ckpt that hold tensors alone).
        config: The configuration, in place of config.json.
        swap_halves: Overrules what the config says with `fused_add_norm`.
        overrides: Fields of `CaduceusConfig`: ``padding="masked"``, or ``head="sequence_classification",
            num_classes=3`` for a fresh head on the published backbone.

    Raises:
        UserError: It is missing, damaged, or does not fit its config.
    """
    raw, state = read_published(source, config)
    try:
        ours = config_from_published(raw, state, swap_halves=swap_halves)
        tensors = from_published(state, ours)
    except KeyError as error:
        raise UserError(f"{source}: its config lacks {error}; is this a Caduceus?") from error
    except UserError as error:
        raise UserError(f"{source}: {error}") from error
    ours = replace_config(ours, overrides, owner="load_published")
    model = Caduceus(ours)
    # A head that the checkpoint lacks keeps its fresh weights, one that is not asked for is left behind.
    fresh = {name: tensor for name, tensor in model.state_dict().items() if name == "score.weight"}
    kept = {name: tensor for name, tensor in tensors.items() if name != "score.weight" or name in fresh}
    load_weights(model, fresh | kept, source)
    _log.warning("%s: swap_halves=%s, padding=%r (%s)", source, ours.swap_halves, ours.padding, _PADDING[ours.padding])
    return model.eval()
