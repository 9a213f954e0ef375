"""Names of SiMBA's parameters: the published layout to ours and back; pure renaming, one to one.

`checkpoint_filter_fn` is what timm calls on a checkpoint; `to_published` gives a state dict that the
public code loads with ``strict=True``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

_TO_OURS = [
    (r"^patch_embed1\.", "stem."),
    (r"^patch_embed(\d+)\.", lambda m: f"stages.{int(m[1]) - 1}.downsample."),
    (r"^block(\d+)\.", lambda m: f"stages.{int(m[1]) - 1}.blocks."),
    (r"^post_network\.", "class_blocks."),
    (r"\.attn\.norm\.", ".norm1."),
    (r"\.attn\.mamba\.", ".mixer."),
    (r"\.mlp\.dwconv\.dwconv\.", ".mlp.dwconv."),
]
_TO_PUBLISHED = [
    (r"^stem\.", "patch_embed1."),
    (r"^stages\.(\d+)\.downsample\.", lambda m: f"patch_embed{int(m[1]) + 1}."),
    (r"^stages\.(\d+)\.blocks\.", lambda m: f"block{int(m[1]) + 1}."),
    (r"^stages\.(\d+)\.norm\.", lambda m: f"norm{int(m[1]) + 1}."),
    (r"^class_blocks\.", "post_network."),
    (r"\.norm1\.", ".attn.norm."),
    (r"\.mixer\.", ".attn.mamba."),
    (r"\.mlp\.dwconv\.", ".mlp.dwconv.dwconv."),
]


def from_published(state: Mapping[str, Tensor], stages: int = 4) -> dict[str, Tensor]:
    """Rename the parameters of a published state dict, or of one block of it.

    Args:
        state: Under the published names.
        stages: Number of stages: the norm of the last one is the model's.

    Returns:
        The same tensors under our names.
    """
    rules = [*_TO_OURS, (rf"^norm{stages}\.", "norm."), (r"^norm(\d+)\.", lambda m: f"stages.{int(m[1]) - 1}.norm.")]
    return {_renamed(name, rules): tensor for name, tensor in state.items()}


def block_from_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the parameters of a single published block, whose `norm2` is its own."""
    prefix = "block1.0."
    renamed = from_published({f"{prefix}{name}": tensor for name, tensor in state.items()})
    return {name.removeprefix("stages.0.blocks.0."): tensor for name, tensor in renamed.items()}


def to_published(state: Mapping[str, Tensor], stages: int = 4) -> dict[str, Tensor]:
    """Rename the parameters of one of our state dicts: the inverse of `from_published`.

    Args:
        state: Under our names.
        stages: Number of stages.

    Returns:
        The same tensors under the published names.
    """
    rules = [*_TO_PUBLISHED, (r"^norm\.", f"norm{stages}.")]
    return {_renamed(name, rules): tensor for name, tensor in state.items()}


def checkpoint_filter_fn(state_dict: Mapping[str, Any], model: nn.Module) -> dict[str, Tensor]:
    """Bring a checkpoint, published or of timm's layout, into the model's names.

    A token-label head of another number of classes is left out, as timm leaves out the classifier.

    Args:
        state_dict: The tensors by name, perhaps below "model" or "state_dict", perhaps with a prefix "module.".
        model: What they are for.

    Returns:
        The state dict to load.
    """
    for wrapper in ("model", "state_dict"):
        if isinstance(state_dict.get(wrapper), Mapping):
            state_dict = state_dict[wrapper]
    state = {name.removeprefix("module."): tensor for name, tensor in state_dict.items()}
    if any(name.startswith("patch_embed1.") for name in state):
        state = from_published(state, len(model.stages))  # type: ignore[arg-type]
    head = getattr(model, "aux_head", None)
    if head is not None and "aux_head.weight" in state and state["aux_head.weight"].shape != head.weight.shape:
        state = {name: tensor for name, tensor in state.items() if not name.startswith("aux_head.")}
    return state


def _renamed(name: str, rules: list[tuple[str, Any]]) -> str:
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name
