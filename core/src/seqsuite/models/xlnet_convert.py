"""Published XLNet language models, read and written under their own names.

    model = seqsuite.models.xlnet_convert.load_published("xlnet-base-cased", gelu="gelu")     # a folder

Our parameters bear the published names, so that only the config and the tied weight need work. `gelu` says what the
word means in a config: transformers before version 4 computed the tanh approximation ("gelu_tanh") where later ones
compute the exact form ("gelu").
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from seqsuite.errors import UserError
from seqsuite.models.configs import XLNetConfig
from seqsuite.models.files import load_weights
from seqsuite.models.published import read_published
from seqsuite.models.xlnet import XLNetLM

Gelu = Literal["gelu", "gelu_tanh"]
_ACTIVATIONS = {
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}
_SAME = ("d_model", "n_layer", "n_head", "d_inner", "dropout", "layer_norm_eps", "initializer_range", "attn_type",
         "same_length", "mem_len", "reuse_len", "clamp_len", "bi_data")  # fmt: skip
_SPELLINGS = {"hidden_size": "d_model", "num_hidden_layers": "n_layer", "num_attention_heads": "n_head"}
HEAD, EMBEDDING = "lm_loss.weight", "transformer.word_embedding.weight"


def config_from_published(raw: Mapping[str, Any], *, gelu: Gelu = "gelu") -> XLNetConfig:
    """Translate a published config.json.

    Args:
        raw: Its values; names that say nothing of the model are passed over.
        gelu: What the config's activation "gelu" means.

    Raises:
        UserError: It lacks a size, or asks for what is not known.
    """
    spelled = dict(raw)
    for theirs, ours in _SPELLINGS.items():
        if theirs in spelled:
            spelled.setdefault(ours, spelled[theirs])
    lacking = [name for name in ("vocab_size", "d_model", "n_layer", "n_head", "d_inner") if name not in spelled]
    if lacking:
        raise UserError(f"the config lacks {', '.join(lacking)}; is this an XLNet?")
    if spelled.get("d_head", spelled["d_model"] // spelled["n_head"]) * spelled["n_head"] != spelled["d_model"]:
        raise UserError(f"d_head {spelled['d_head']} times n_head {spelled['n_head']} is not d_model "
                        f"{spelled['d_model']}")  # fmt: skip
    name = spelled.get("ff_activation", "gelu")
    activation = gelu if name == "gelu" else _ACTIVATIONS.get(name)
    if activation is None:
        raise UserError(f"ff_activation {name!r} is not known; known are {', '.join(['gelu', *_ACTIVATIONS])}")
    fields = {key: spelled[key] for key in _SAME if key in spelled}
    return XLNetConfig(n_token=spelled["vocab_size"], activation=activation, **fields)  # type: ignore[arg-type]


def config_to_published(config: XLNetConfig) -> dict[str, Any]:
    """Return the values of a config.json that transformers of version 4 and later reads."""
    names = {ours: theirs for theirs, ours in _ACTIVATIONS.items() if theirs != "swish"}
    names |= {"gelu": "gelu", "gelu_tanh": "gelu_new"}
    fields = {name: getattr(config, name) for name in _SAME}
    return fields | {
        "model_type": "xlnet",
        "architectures": ["XLNetLMHeadModel"],
        "vocab_size": config.n_token,
        "d_head": config.d_model // config.n_head,
        "ff_activation": names[config.activation],
        "untie_r": True,
    }


def from_published(state: Mapping[str, Tensor], config: XLNetConfig) -> dict[str, Tensor]:
    """Map a published state dict to ours, differentiably: both names of the tied matrix are there afterwards.

    Where a file holds both, they must agree and the embedding's carries the gradient.

    Raises:
        UserError: The tied matrices differ, or neither is there.
    """
    tensors = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    tied = tensors.get(EMBEDDING, tensors.get(HEAD))
    if tied is None:
        raise UserError(f"the checkpoint has no {EMBEDDING}; is this an XLNet language model?")
    head = tensors.get(HEAD, tied)
    if head.shape != tied.shape or not bool((head == tied).all()):
        raise UserError(f"the checkpoint's {HEAD} and {EMBEDDING} differ, but the model ties them")
    return tensors | {EMBEDDING: tied, HEAD: tied}


def load_published(source: str | Path, *, config: Mapping[str, Any] | None = None, gelu: Gelu = "gelu") -> XLNetLM:
    """Load a published XLNet language model from its folder or weights file, in evaluation mode.

    Args:
        source: See `seqsuite.models.published.read_published`.
        config: The configuration, in place of config.json.
        gelu: What its activation "gelu" means.

    Raises:
        UserError: It is missing, damaged, or not such a model.
    """
    raw, state = read_published(source, config)
    try:
        ours = config_from_published(raw, gelu=gelu)
        tensors = from_published(state, ours)
    except UserError as error:
        raise UserError(f"{source}: {error}") from error
    model = XLNetLM(ours)
    load_weights(model, tensors, source)
    return model.eval()
