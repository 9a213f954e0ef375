"""The published families of genome models: how to tell them apart, and which functions translate them.

A family is known by the names of its tensors, not by what its config calls itself: Caduceus has
``mamba_fwd``, HyenaDNA ``filter_fn``, and a causal Mamba language model a mixer with neither. The last
is a genome model only if its vocabulary is one of bases, which `seqdna.checkpoints.vocabulary` decides.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from seqdna.configs.hyenadna import HyenaDNAConfig
from seqdna.configs.models import COMPLEMENT, CaduceusConfig, GenomeConfig
from seqsuite.errors import UserError
from seqsuite.models import convert as mamba_lm
from seqsuite.models.configs import MixerLMConfig


@dataclass(frozen=True)
class Family:
    """A published family and its translation; the functions are those of its `convert` module.

    Attributes:
        name: caduceus, hyenadna or mamba.
        config_from_published: ``(config.json, tensors)`` to our config.
        from_published: Its tensors to ours, strictly.
        to_published: Ours to its.
        config_to_published: Our config to its config.json.
        system: Whose tokenizer it has, in `seqdna.tokenizers.PUBLISHED`.
        options: What `config_from_published` takes besides.
    """

    name: str
    config_from_published: Callable[..., Any]
    from_published: Callable[[Mapping[str, Tensor], Any], dict[str, Tensor]]
    to_published: Callable[[Mapping[str, Tensor], Any], dict[str, Tensor]]
    config_to_published: Callable[[Any], dict[str, Any]]
    system: str = "caduceus"
    options: tuple[str, ...] = ()


FAMILIES = ("caduceus", "hyenadna", "mamba")
_MARKS = {
    "caduceus": re.compile(r"mamba_fwd\."),
    "hyenadna": re.compile(r"\.filter_fn\."),
    "mamba": re.compile(r"(^|\.)backbone\.layers\.\d+\.mixer\.A_log$"),
}


def family(name: str) -> Family:
    """Return a family by its name."""
    if name == "caduceus":
        from seqdna import convert as module
    elif name == "hyenadna":
        from seqdna import convert_hyenadna as module  # type: ignore[no-redef]
    else:
        return Family("mamba", _mamba_config, _mamba_from, _mamba_to, _mamba_raw)
    functions = (module.config_from_published, module.from_published, module.to_published, module.config_to_published)
    if name == "hyenadna":
        return Family(name, *functions, system="hyenadna", options=("shift",))
    return Family(name, *functions, options=("swap_halves",))


def detect(names: Iterable[str], raw: Mapping[str, Any]) -> str:
    """Return the name of the family that tensors of these names belong to.

    Args:
        names: Names of the tensors.
        raw: The config, for the message.

    Raises:
        UserError: It is no genome model that is known here.
    """
    names = list(names)
    for found, mark in _MARKS.items():
        if any(mark.search(name) for name in names):
            return found
    called = f"its config calls it {raw['model_type']!r}, " if isinstance(raw.get("model_type"), str) else ""
    shown = ", ".join(names[:2])
    raise UserError(
        f"is no genome model that is known here ({called}its tensors are {shown}, ...); known: {', '.join(FAMILIES)}"
    )


def family_of(config: GenomeConfig) -> str:
    """Return the family in whose layout a model of ours can be written.

    Raises:
        UserError: No published system has such a model.
    """
    if isinstance(config, CaduceusConfig):
        found, mixer = "mamba" if config.head == "causal_lm" else "caduceus", "mamba"
    elif isinstance(config, HyenaDNAConfig):
        found, mixer = "hyenadna", "hyena"
    else:
        kind = type(config).__name__.removesuffix("Config")
        raise UserError(f"is a {kind}, for which there is no published layout; keep the folder as it is")
    if config.mixer != mixer:
        raise UserError(f"has the mixer {config.mixer!r}; the published layout of {found} has {mixer!r} alone")
    return found


def _mamba_config(raw: Mapping[str, Any], _: Mapping[str, Tensor] | None = None) -> CaduceusConfig:
    lm = mamba_lm.config_from_published(raw)
    if not lm.tie_embeddings:
        raise UserError("its output projection is not its embedding; only tied Mamba models are read as genome models")
    return CaduceusConfig(
        d_model=lm.d_model,
        n_layer=lm.n_layer,
        vocab_size=lm.vocab_size,
        pad_vocab_size_multiple=lm.pad_vocab_size_multiple,
        mixer_options=lm.mixer_options,
        norm=lm.norm,
        norm_epsilon=lm.norm_epsilon,
        residual_in_fp32=lm.residual_in_fp32,
        bidirectional=False,
        head="causal_lm",
        padding="as_published",
        pad_token_id=None,
        complement_map=COMPLEMENT if lm.padded_vocab_size >= len(COMPLEMENT) else (),
    )


def _language_model(config: CaduceusConfig) -> MixerLMConfig:
    return MixerLMConfig(
        d_model=config.d_model,
        n_layer=config.n_layer,
        vocab_size=config.vocab_size,
        pad_vocab_size_multiple=config.pad_vocab_size_multiple,
        mixer_options=config.mixer_options,
        norm=config.norm,
        norm_epsilon=config.norm_epsilon,
        residual_in_fp32=config.residual_in_fp32,
    )


def _mamba_from(state: Mapping[str, Tensor], config: CaduceusConfig) -> dict[str, Tensor]:
    # Lightning writes "model." in front of every name; our names of a causal stack are the language model's.
    plain = {name.removeprefix("model."): tensor for name, tensor in state.items()}
    return mamba_lm.from_published(plain, _language_model(config))


def _mamba_to(state: Mapping[str, Tensor], config: CaduceusConfig) -> dict[str, Tensor]:
    return mamba_lm.to_published(state, _language_model(config))


def _mamba_raw(config: CaduceusConfig) -> dict[str, Any]:
    return {
        "model_type": "mamba",
        "d_model": config.d_model,
        "n_layer": config.n_layer,
        "vocab_size": config.padded_vocab_size,
        "pad_vocab_size_multiple": config.pad_vocab_size_multiple,
        "ssm_cfg": dict(config.mixer_options),
        "rms_norm": config.norm == "rms",
        "norm_epsilon": config.norm_epsilon,
        "residual_in_fp32": config.residual_in_fp32,
        "fused_add_norm": True,
        "tie_embeddings": True,
    }
