"""Published Decision Transformers, read and written under their own names.

    model = convert.load_published("decision-transformer-gym-hopper-medium")         # a Hugging Face folder
    model = convert.load_published("dt.pt", layout="kzl", n_head=1, context=20)      # a state dict of the first code

Three layouts are known: `kzl` (gym) and `kzl-atari` of the first authors' code, and `hf`, transformers'
DecisionTransformerModel. The maps are pure functions of tensors, so gradients flow through them, and strict: a name
that is missing or left over is an error. transformers adds row 0 of its position embedding to every normalised token;
that is a bias behind a layer norm and becomes part of the norm's. What none of them uses (`wte`, the causal masks) is
passed by knowingly.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from seqrl.configs.models import DecisionTransformerConfig
from seqsuite.errors import UserError
from seqsuite.models.published import rename

Layout = Literal["kzl", "kzl-atari", "hf"]
LAYOUTS: tuple[Layout, ...] = ("kzl", "kzl-atari", "hf")
_ACTIVATIONS = {
    "relu": "relu",
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "silu": "silu",
}
_ENDS = (("weight", "weight"), ("bias", "bias"))
_BODY = {"kzl": "transformer", "hf": "encoder"}
_GYM_BLOCK = {
    "norm1": "ln_1", "norm2": "ln_2", "mixer.in_proj": "attn.c_attn", "mixer.out_proj": "attn.c_proj",
    "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj",
}  # fmt: skip
_GYM_ENDS = {
    "tokens.embed_return": "embed_return", "tokens.embed_state": "embed_state", "tokens.embed_action": "embed_action",
    "tokens.norm": "embed_ln", "heads.action": "predict_action.0", "heads.state": "predict_state",
    "heads.return_to_go": "predict_return",
}  # fmt: skip
_ATARI_BLOCK = {"norm1": "ln1", "norm2": "ln2", "mixer.out_proj": "attn.proj", "mlp.fc1": "mlp.0", "mlp.fc2": "mlp.2"}
_ATARI_ENDS = {
    "tokens.embed_return": "ret_emb.0", "tokens.embed_state.conv1": "state_encoder.0",
    "tokens.embed_state.conv2": "state_encoder.2", "tokens.embed_state.conv3": "state_encoder.4",
    "tokens.embed_state.linear": "state_encoder.7", "backbone.norm_f": "ln_f",
}  # fmt: skip
# Buffers by their whole names: c_attn.bias, a weight, ends like the first of them.
_BUFFERS = re.compile(r"(transformer|encoder)\.h\.\d+\.attn\.(bias|masked_bias)|blocks\.\d+\.attn\.mask")


def detect_layout(state: Mapping[str, Tensor]) -> Layout | Literal["jannerm"]:
    """Tell by the names whose checkpoint it is.

    Raises:
        UserError: It is none that is known.
    """
    names = set(state)
    if "embed_timestep.weight" in names:
        body = {name.partition(".")[0] for name in names}
        for layout in ("hf", "kzl"):
            if _BODY[layout] in body:
                return layout  # type: ignore[return-value]
    if "global_pos_emb" in names:
        return "kzl-atari"
    if "tok_emb.weight" in names and "pos_emb" in names:
        return "jannerm"
    shown = ", ".join(sorted(names)[:3])
    raise UserError(f"its tensors ({shown}, ...) are neither kzl's, Hugging Face's nor jannerm's; give --format")


def config_from_published(
    state: Mapping[str, Tensor], layout: Layout, raw: Mapping[str, Any] | None = None, **choices: Any
) -> DecisionTransformerConfig:
    """Return the config of a published model.

    Sizes are those of the tensors. What tensors do not tell is taken from `raw`, transformers' config.json, or from
    `choices`, and else is as published.

    Args:
        state: Its tensors.
        layout: Its layout.
        raw: Its config.json.
        choices: Fields of the config that stand above everything: `n_head`, `context`, `activation`, `action_tanh`,
            and what an agent must know.

    Raises:
        UserError: A tensor that tells a size is missing, or a value is not known.
    """
    try:
        fields = _atari_sizes(state) if layout == "kzl-atari" else _gym_sizes(state, layout, raw or {})
    except KeyError as error:
        raise UserError(f"the checkpoint lacks {error.args[0]}; is its layout {layout}?") from error
    return DecisionTransformerConfig(**fields | choices)


def _gym_sizes(state: Mapping[str, Tensor], layout: Layout, raw: Mapping[str, Any]) -> dict[str, Any]:
    body = _BODY[layout]
    activation = raw.get("activation_function", "relu")
    if activation not in _ACTIVATIONS:
        raise UserError(f"activation_function is {activation!r}; known are {', '.join(_ACTIVATIONS)}")
    for name, plain in {"scale_attn_weights": True, "scale_attn_by_inverse_layer_idx": False}.items():
        if raw.get(name, plain) != plain:
            raise UserError(f"{name} is {raw[name]}; only {plain} is known")
    width, inner = state[f"{body}.h.0.mlp.c_fc.weight"].shape
    rates = {name: raw[name] for name in ("embd_pdrop", "resid_pdrop", "attn_pdrop") if name in raw}
    return {
        "observation_shape": (state["embed_state.weight"].shape[1],),
        "action_dim": state["embed_action.weight"].shape[1],
        "return_dim": state["embed_return.weight"].shape[1],
        "action_tanh": raw.get("action_tanh", True),
        "max_ep_len": len(state["embed_timestep.weight"]),
        "d_model": width,
        "n_layer": _count(state, rf"{body}\.h\.(\d+)\."),
        "n_head": raw.get("n_head", 1),
        "d_inner": None if inner == 4 * width else inner,
        "activation": _ACTIVATIONS[activation],
        "norm_epsilon": raw.get("layer_norm_epsilon", 1e-5),
        "initializer_range": raw.get("initializer_range", 0.02),
    } | rates  # fmt: skip


def _atari_sizes(state: Mapping[str, Tensor]) -> dict[str, Any]:
    tokens, width = state["pos_emb"].shape[1:]
    return {
        "observation_shape": (state["state_encoder.0.weight"].shape[1], 84, 84),
        "action_dim": len(state["head.weight"]),
        "discrete": True,
        "context": (tokens - 1) // 3,
        "max_ep_len": state["global_pos_emb"].shape[1],
        "d_model": width,
        "n_layer": _count(state, r"blocks\.(\d+)\."),
        "n_head": 8,
        "activation": "gelu",
        "position": "global",
        "token_norm": False,
        "token_tanh": True,
        "head_bias": False,
        "state_head": False,
        "return_head": False,
    }


def _count(state: Mapping[str, Tensor], pattern: str) -> int:
    """Return one more than the largest number in the names that match."""
    found = [int(match[1]) for name in state if (match := re.match(pattern, name))]
    return 1 + max(found, default=-1)


def from_published(state: Mapping[str, Tensor], config: DecisionTransformerConfig, layout: Layout) -> dict[str, Tensor]:
    """Map a published state dict to ours, differentiably and strictly.

    Raises:
        UserError: A name is missing or left over, or a tensor has another shape than its neighbours ask for.
    """
    state = {name: tensor for name, tensor in state.items() if not _BUFFERS.fullmatch(name)}
    if layout == "kzl-atari":
        return _from_atari(state, config)
    body = _BODY[layout]
    moved = {}
    if layout == "hf":
        if "encoder.wpe.weight" not in state:
            raise UserError("the checkpoint lacks encoder.wpe.weight; is its layout kzl?")
        moved["tokens.norm.bias"] = state["encoder.wpe.weight"][0]
    ours = rename(state, gym_names(config, layout), optional=(f"{body}.wte.weight", "encoder.wpe.weight"))
    ours = {name: tensor.mT if _is_conv1d(name) else tensor for name, tensor in ours.items()}
    return ours | {name: ours[name] + tensor for name, tensor in moved.items()}


def gym_names(config: DecisionTransformerConfig, layout: Layout) -> dict[str, str]:
    """Return ``our name -> published name`` of the gym layouts."""
    body = _BODY[layout]
    names = {"tokens.embed_timestep.weight": "embed_timestep.weight"}
    pairs = {**_GYM_ENDS, "backbone.norm_f": f"{body}.ln_f"}
    for layer in range(config.n_layer):
        pairs |= {f"backbone.layers.{layer}.{a}": f"{body}.h.{layer}.{b}" for a, b in _GYM_BLOCK.items()}
    return names | {f"{a}.{end}": f"{b}.{other}" for a, b in pairs.items() for end, other in _ENDS}


def _is_conv1d(name: str) -> bool:
    """Whether GPT-2 stores a weight as (in, out)."""
    return name.startswith("backbone.layers.") and name.endswith(".weight") and "norm" not in name


def _from_atari(state: Mapping[str, Tensor], config: DecisionTransformerConfig) -> dict[str, Tensor]:
    pairs = dict(_ATARI_ENDS)
    for layer in range(config.n_layer):
        pairs |= {f"backbone.layers.{layer}.{a}": f"blocks.{layer}.{b}" for a, b in _ATARI_BLOCK.items()}
    names = {f"{a}.{end}": f"{b}.{other}" for a, b in pairs.items() for end, other in _ENDS}
    names |= {
        "tokens.embed_place": "pos_emb", "tokens.embed_start": "global_pos_emb",
        "tokens.embed_action.weight": "action_embeddings.0.weight", "heads.action.weight": "head.weight",
    }  # fmt: skip
    parts = ("query", "key", "value")
    for layer in range(config.n_layer):
        own, theirs = f"backbone.layers.{layer}.mixer.in_proj", f"blocks.{layer}.attn"
        names |= {f"{own}.{part}.{end}": f"{theirs}.{part}.{end}" for part in parts for end, _ in _ENDS}
    unused = ["tok_emb.weight"]
    if not config.condition_on_returns:  # the first code has this layer all the same
        unused += [names.pop(f"tokens.embed_return.{end}") for end, _ in _ENDS]
    given = rename(state, names, optional=unused)
    ours = {name: tensor for name, tensor in given.items() if ".in_proj." not in name}
    for name in ("tokens.embed_place", "tokens.embed_start"):
        ours[name] = ours[name][0]
    for layer in range(config.n_layer):
        own = f"backbone.layers.{layer}.mixer.in_proj"
        ours |= {f"{own}.{end}": torch.cat([given[f"{own}.{part}.{end}"] for part in parts]) for end, _ in _ENDS}
    return ours


def to_huggingface(
    state: Mapping[str, Tensor], config: DecisionTransformerConfig
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return config.json and the tensors of transformers' DecisionTransformerModel.

    Raises:
        UserError: transformers has no such model; the message says what differs.
    """
    _require_huggingface(config)
    tensors = rename(state, {theirs: ours for ours, theirs in gym_names(config, "hf").items()})
    conv = {theirs for ours, theirs in gym_names(config, "hf").items() if _is_conv1d(ours)}
    tensors = {name: tensor.mT.contiguous() if name in conv else tensor for name, tensor in tensors.items()}
    positions = max(1024, 3 * config.context)
    tensors["encoder.wpe.weight"] = tensors["embed_ln.bias"].new_zeros(positions, config.d_model)
    tensors["encoder.wte.weight"] = tensors["embed_ln.bias"].new_zeros(1, config.d_model)
    activation = next(theirs for theirs, ours in _ACTIVATIONS.items() if ours == config.activation)
    raw = {
        "architectures": ["DecisionTransformerModel"], "model_type": "decision_transformer",
        "state_dim": config.observation_shape[0], "act_dim": config.action_dim, "hidden_size": config.d_model,
        "max_ep_len": config.max_ep_len, "action_tanh": config.action_tanh, "vocab_size": 1, "n_positions": positions,
        "n_layer": config.n_layer, "n_head": config.n_head, "n_inner": config.d_inner,
        "activation_function": activation, "layer_norm_epsilon": config.norm_epsilon,
        "initializer_range": config.initializer_range, "embd_pdrop": config.embd_pdrop,
        "resid_pdrop": config.resid_pdrop, "attn_pdrop": config.attn_pdrop, "bos_token_id": None, "eos_token_id": None,
    }  # fmt: skip
    return raw, tensors


def _require_huggingface(config: DecisionTransformerConfig) -> None:
    """Raise unless transformers' model can be this one."""
    needed = {
        "mixer": "attention", "mixer_options": {}, "discrete": False, "pixels": False, "condition_on_returns": True,
        "return_dim": 1, "state_head": True, "return_head": True, "position": "timestep", "token_norm": True,
        "token_tanh": False, "head_bias": True,
    }  # fmt: skip
    told = [f"{name} is {getattr(config, name)!r}" for name, value in needed.items() if getattr(config, name) != value]
    if type(config) is not DecisionTransformerConfig:
        told = [f"it is a {type(config).__name__.removesuffix('Config')}"]
    if told:
        raise UserError(f"transformers has no such Decision Transformer: {', '.join(told[:3])}")
