"""Published Mamba language models, read and written under their own key names.

    model = seqsuite.models.convert.load_published("mamba-130m")      # a folder with config.json

Both published layouts are known: `mamba_ssm`'s (``backbone.embedding.weight``) and transformers'
(``backbone.embeddings.weight``). The maps are pure functions of tensors: gradients flow through them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from seqsuite.errors import UserError
from seqsuite.models.configs import MixerLMConfig
from seqsuite.models.files import load_weights
from seqsuite.models.mixer_lm import MixerLM
from seqsuite.models.published import read_published, rename

MAMBA_NAMES = ("A_log", "D", "conv1d.weight", "x_proj.weight", "dt_proj.weight", "dt_proj.bias")
"""Parameters of every published Mamba mixer besides its outer projections; ours have the same names."""


def mamba_names(options: Mapping[str, Any], *, projections: bool = True) -> list[str]:
    """Return the parameter names of a Mamba mixer with these options.

    Args:
        options: Keyword arguments of `Mamba`.
        projections: Whether it owns `in_proj` and `out_proj`.
    """
    names = [*MAMBA_NAMES] + ["conv1d.bias"] * bool(options.get("conv_bias", True))
    if projections:
        ends = ("in_proj", "out_proj")
        names += [f"{end}.weight" for end in ends] + [f"{end}.bias" for end in ends] * bool(options.get("bias", False))
    return names


def mixer_options_from_published(ssm_cfg: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return `mixer_options` of a published `ssm_cfg`; what only chooses a kernel is left out.

    Raises:
        UserError: It asks for another layer than Mamba.
    """
    options = dict(ssm_cfg or {})
    if (layer := options.pop("layer", "Mamba1")) != "Mamba1":
        raise UserError(f"ssm_cfg names the layer {layer!r}; only 'Mamba1' is known")
    options.pop("use_fast_path", None)
    return options


def config_from_published(raw: Mapping[str, Any]) -> MixerLMConfig:
    """Translate the config.json of `mamba_ssm` or of transformers."""
    if "hidden_size" in raw and "d_model" not in raw:
        return _config_from_transformers(raw)
    if raw.get("attn_layer_idx") or raw.get("d_intermediate"):
        raise UserError("the checkpoint has attention or MLP layers; only pure Mamba models are known")
    return MixerLMConfig(
        d_model=raw["d_model"],
        n_layer=raw["n_layer"],
        vocab_size=raw["vocab_size"],
        pad_vocab_size_multiple=raw.get("pad_vocab_size_multiple", 8),
        mixer_options=mixer_options_from_published(raw.get("ssm_cfg")),
        norm="rms" if raw.get("rms_norm", True) else "layer",
        norm_epsilon=raw.get("norm_epsilon", 1e-5),
        residual_in_fp32=raw.get("residual_in_fp32", True),
        tie_embeddings=raw.get("tie_embeddings", True),
    )


def _config_from_transformers(raw: Mapping[str, Any]) -> MixerLMConfig:
    rank = raw.get("time_step_rank", "auto")
    return MixerLMConfig(
        d_model=raw["hidden_size"],
        n_layer=raw["num_hidden_layers"],
        vocab_size=raw["vocab_size"],
        pad_vocab_size_multiple=1,
        mixer_options={
            "d_state": raw.get("state_size", 16),
            "d_conv": raw.get("conv_kernel", 4),
            "expand": raw.get("expand", 2),
            "dt_rank": rank,
            "conv_bias": raw.get("use_conv_bias", True),
            "bias": raw.get("use_bias", False),
        },
        norm_epsilon=raw.get("layer_norm_epsilon", 1e-5),
        residual_in_fp32=raw.get("residual_in_fp32", True),
        tie_embeddings=raw.get("tie_word_embeddings", True),
    )


def published_names(config: MixerLMConfig) -> dict[str, str]:
    """Return ``our name -> published name`` of every parameter, in mamba_ssm's layout."""
    norm = ["norm.weight"] + ["norm.bias"] * (config.norm == "layer")
    names = {"embedding.weight": "backbone.embedding.weight"}
    for layer in range(config.n_layer):
        own = [f"mixer.{name}" for name in mamba_names(config.mixer_options)] + norm
        names |= {f"backbone.layers.{layer}.{name}": f"backbone.layers.{layer}.{name}" for name in own}
    names |= {f"backbone.{n}": f"backbone.{n}" for n in (name.replace("norm", "norm_f", 1) for name in norm)}
    if not config.tie_embeddings:
        names["lm_head.weight"] = "lm_head.weight"
    return names


def _ties(config: MixerLMConfig) -> dict[str, str]:
    return {"lm_head.weight": "backbone.embedding.weight"} if config.tie_embeddings else {}


def from_published(state: Mapping[str, Tensor], config: MixerLMConfig) -> dict[str, Tensor]:
    """Map a published state dict to ours, differentiably and strictly.

    Raises:
        UserError: A name is missing or left over.
    """
    spelling = {"backbone.embeddings.weight": "backbone.embedding.weight"}
    return rename(state, published_names(config), ties=_ties(config), canonical=lambda name: spelling.get(name, name))


def to_published(state: Mapping[str, Tensor], config: MixerLMConfig) -> dict[str, Tensor]:
    """Map our state dict to mamba_ssm's names, tied tensors under each of their names."""
    published = rename(state, {theirs: ours for ours, theirs in published_names(config).items()})
    return published | {duplicate: published[first] for duplicate, first in _ties(config).items()}


def load_published(source: str | Path, *, config: Mapping[str, Any] | None = None) -> MixerLM:
    """Load a published Mamba language model from its folder or weights file, in evaluation mode.

    Args:
        source: See `seqsuite.models.published.read_published`.
        config: The configuration, in place of config.json.

    Raises:
        UserError: It is missing, damaged, or not such a model.
    """
    raw, state = read_published(source, config)
    try:
        ours = config_from_published(raw)
        model, tensors = MixerLM(ours), from_published(state, ours)
    except KeyError as error:
        raise UserError(f"{source}: its config lacks {error}; is this a Mamba language model?") from error
    except UserError as error:
        raise UserError(f"{source}: {error}") from error
    load_weights(model, tensors, source)
    return model.eval()
