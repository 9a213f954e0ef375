"""Published Trajectory Transformers (jannerm's code), read and written under their own names.

    model = import_jannerm("state_38.pt", observation_dim=11, discretizer="thresholds.npz")

A state dict tells neither the heads nor where an observation ends; both are given. The discretiser is pickled with its
class there, which is not read: save its `thresholds` (numpy, or a tensor) beside. The maps are pure functions of
tensors and strict: a name that is missing or left over is an error. The causal masks, constant buffers, are passed by.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seqrl.configs.trajectory import Strategy, TrajectoryTransformerConfig
from seqrl.data.discretizers import Discretizer
from seqrl.models.trajectory_transformer import TrajectoryTransformer
from seqsuite.errors import UserError
from seqsuite.models.files import load_weights, read_tensors
from seqsuite.models.published import find_weights, read_weights, rename
from seqsuite.models.tensors_only import read_tensors_only

_MASK = re.compile(r"blocks\.\d+\.attn\.mask")
_PROJECTIONS = ("query", "key", "value")
_BLOCK = {"norm1": "ln1", "norm2": "ln2", "mixer.out_proj": "attn.proj", "mlp.fc1": "mlp.0", "mlp.fc2": "mlp.2"}
_THRESHOLDS = ("thresholds", "bin_edges", "edges")


def config_from_jannerm(given: Mapping[str, Any], **choices: Any) -> TrajectoryTransformerConfig:
    """Return the config of the published GPT's hyperparameters.

    Args:
        given: `vocab_size`, `block_size`, `n_layer`, `n_head`, `n_embd`, `observation_dim`, `action_dim`, and perhaps
            dropout rates and weights of the loss.
        choices: Fields of the config that stand above everything.

    Raises:
        UserError: One is missing, or the block is no whole number of rows less one token.
    """
    try:
        period = given["observation_dim"] + given["action_dim"] + 2
        fields = {name: given[name] for name in ("observation_dim", "action_dim", "vocab_size", "n_layer", "n_head")}
        block, fields["d_model"] = given["block_size"], given["n_embd"]
    except KeyError as error:
        raise UserError(f"the hyperparameters lack {error.args[0]}") from error
    if given.get("transition_dim", period) != period or (block + 1) % period:
        raise UserError(f"a block of {block} tokens is not one less than rows of {period}: check observation_dim")
    optional = ("embd_pdrop", "resid_pdrop", "attn_pdrop", "action_weight", "reward_weight", "value_weight")
    fields |= {name: given[name] for name in optional if name in given}
    return TrajectoryTransformerConfig(**fields | {"transitions": (block + 1) // period} | choices)


def published_names(config: TrajectoryTransformerConfig) -> dict[str, str]:
    """Return ``our name -> published name`` of every parameter but the queries', keys' and values' projections."""
    ends = ("weight", "bias")
    names = {"embedding.weight": "tok_emb.weight", "position": "pos_emb", "head": "head.weight"}
    names |= {f"backbone.norm_f.{end}": f"ln_f.{end}" for end in ends}
    for layer in range(config.n_layer):
        for ours, theirs in _BLOCK.items():
            names |= {f"backbone.layers.{layer}.{ours}.{end}": f"blocks.{layer}.{theirs}.{end}" for end in ends}
    return names


def _projections(config: TrajectoryTransformerConfig) -> dict[str, list[str]]:
    """Return our name of each fused projection, and the published names of its three parts."""
    return {
        f"backbone.layers.{layer}.mixer.in_proj.{end}": [f"blocks.{layer}.attn.{part}.{end}" for part in _PROJECTIONS]
        for layer in range(config.n_layer)
        for end in ("weight", "bias")
    }


def from_jannerm(state: Mapping[str, Tensor], config: TrajectoryTransformerConfig) -> dict[str, Tensor]:
    """Map a published state dict to ours, differentiably and strictly.

    Raises:
        UserError: A name is missing or left over.
    """
    fused = _projections(config)
    parts = {part: part for several in fused.values() for part in several}
    kept = {name: tensor for name, tensor in state.items() if not _MASK.fullmatch(name)}
    found = rename(kept, published_names(config) | parts)
    ours = {name: torch.cat([found.pop(part) for part in several]) for name, several in fused.items()} | found
    return ours | {"position": ours["position"].squeeze(0)}


def to_jannerm(state: Mapping[str, Tensor], config: TrajectoryTransformerConfig) -> dict[str, Tensor]:
    """Map our state dict to the published names, without the masks."""
    fused = _projections(config)
    plain = {name: tensor for name, tensor in state.items() if name not in fused}
    published = rename(plain, {theirs: ours for ours, theirs in published_names(config).items()})
    for name, several in fused.items():
        published |= dict(zip(several, state[name].chunk(3), strict=True))
    return published | {"pos_emb": published["pos_emb"][None]}


def import_jannerm(
    source: str | Path,
    *,
    observation_dim: int,
    n_head: int = 4,
    discretizer: str | Path | Discretizer | None = None,
    strategy: Strategy = "quantile",
    **choices: Any,
) -> TrajectoryTransformer:
    """Load a published checkpoint, in evaluation mode; sizes are those of its tensors.

    Args:
        source: A file of tensors (`state_*.pt`, .safetensors), or a folder with one.
        observation_dim: Numbers of an observation; actions have the rest of a row but two.
        n_head: Heads of the attention.
        discretizer: Its thresholds: a file that `read_discretizer` takes; None: the model cannot plan.
        strategy: Of the discretiser: "quantile" is the published code's.
        choices: Fields of the config, such as `env_id` and the spaces.

    Raises:
        UserError: A file is missing or damaged, or does not fit.
    """
    state = read_weights(find_weights(source))
    try:
        period, tokens, width = state["head.weight"].shape
        block = state["pos_emb"].shape[1]
    except (KeyError, ValueError) as error:
        raise UserError(f"{source}: has no head.weight and pos_emb of a Trajectory Transformer ({error})") from error
    layers = {int(found[1]) for name in state if (found := re.match(r"blocks\.(\d+)\.", name))}
    sizes = {
        "observation_dim": observation_dim,
        "action_dim": period - observation_dim - 2,
        "vocab_size": tokens - 1,
        "block_size": block,
        "n_layer": len(layers),
        "n_head": n_head,
        "n_embd": width,
    }
    if isinstance(discretizer, str | Path):
        discretizer = read_discretizer(discretizer, strategy=strategy)
    if discretizer is not None:
        if (discretizer.bins, discretizer.dims) != (tokens - 1, period):
            raise UserError(
                f"the discretizer has {discretizer.bins} bins of {discretizer.dims} numbers, the checkpoint "
                f"{tokens - 1} of {period}"
            )
        choices["discretizer"] = discretizer.to_dict()
    try:
        model = TrajectoryTransformer(config_from_jannerm(sizes, **choices))
        tensors = from_jannerm(state, model.config)
    except UserError as error:
        raise UserError(f"{source}: {error}") from error
    load_weights(model, tensors, source)
    return model.eval()


def read_discretizer(path: str | Path, *, strategy: Strategy = "quantile") -> Discretizer:
    """Read the thresholds of a discretiser.

    Args:
        path: .npz, .safetensors or .pt with `thresholds` (N + 1, T) or `bin_edges` (T, N + 1), or .npy with the
            thresholds themselves.
        strategy: How numbers at an edge are treated; see `seqrl.data.discretizers`.

    Raises:
        UserError: The file is missing, damaged, or holds no thresholds.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: does not exist")
    arrays = _read_arrays(path)
    for name in _THRESHOLDS:
        if name in arrays:
            edges = np.asarray(arrays[name], dtype=np.float64)
            return Discretizer(edges.T if name == "bin_edges" else edges, strategy)
    raise UserError(
        f"{path}: holds none of {', '.join(_THRESHOLDS)}; it has {', '.join(sorted(arrays)[:5]) or 'nothing'}"
    )


def _read_arrays(path: Path) -> dict[str, Any]:
    if path.suffix not in (".npz", ".npy"):
        tensors = read_tensors(path) if path.suffix == ".safetensors" else read_tensors_only(path)
        return {name: tensor.numpy() for name, tensor in tensors.items()}
    try:
        found = np.load(path, allow_pickle=False)
        return {"thresholds": found} if path.suffix == ".npy" else {name: found[name] for name in found.files}
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path}: cannot be read ({' '.join(str(error).split())})") from error
