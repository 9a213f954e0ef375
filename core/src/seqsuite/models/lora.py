"""LoRA: train a low-rank change of linear maps and leave the maps themselves alone (Hu et al. 2021).

    names = add_lora(model, rank=8, alpha=16)     # W becomes W + alpha / rank * B A, only A and B train
    ...                                           # train
    merge_lora(model)                             # plain linear maps again, the change added to W

The change is a parametrization of `weight` (torch.nn.utils.parametrize), so that a mixer that reads
`module.weight` itself, as Mamba does for its step size, sees the changed weight too.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from fnmatch import fnmatch
from typing import Any, TypeVar

from torch import Tensor, nn
from torch.nn.utils import parametrize

from seqsuite.errors import UserError, unknown_name

AnyModule = TypeVar("AnyModule", bound=nn.Module)


class LowRankChange(nn.Module):
    """W -> W + scale * B A with A (rank, in) drawn and B (out, rank) zero, so that nothing changes at first.

    Args:
        weight: The weight (out, in); gives shapes, type and device.
        rank: Width of the bottleneck.
        alpha: The change is scaled by alpha / rank.
    """

    def __init__(self, weight: Tensor, rank: int, alpha: float) -> None:
        super().__init__()
        outer, inner = weight.shape
        self.scale = alpha / rank
        self.A = nn.Parameter(weight.new_empty(rank, inner))
        self.B = nn.Parameter(weight.new_zeros(outer, rank))
        nn.init.kaiming_uniform_(self.A, a=math.sqrt(5))

    def forward(self, weight: Tensor) -> Tensor:
        """Return the changed weight (out, in)."""
        return weight + self.scale * (self.B @ self.A)


def add_lora(
    model: nn.Module, *, rank: int = 8, alpha: float = 16.0, targets: Sequence[str] = (), trainable: Sequence[str] = ()
) -> list[str]:
    """Freeze a model and give its linear maps low-rank changes that train.

    The rank of a small matrix is at most half of its lesser side, and at least 1.

    Args:
        model: Changed in place.
        rank: Width of the bottleneck.
        alpha: The change is scaled by alpha / rank.
        targets: Last names of the linear layers, or patterns of whole names; none: all but `trainable`.
        trainable: Modules that stay as they are and train whole, a new head for instance.

    Returns:
        The names of the changed layers.

    Raises:
        UserError: No layer is called so, or the rank is below 1.
    """
    if rank < 1:
        raise UserError(f"the rank of LoRA is {rank}; it must be at least 1")
    kept = {name for name in trainable if name}
    linear = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and not any(name == head or name.startswith(f"{head}.") for head in kept)
    }
    chosen = [name for name in linear if not targets or any(_matches(name, target) for target in targets)]
    for target in targets:
        if not any(_matches(name, target) for name in linear):
            raise unknown_name("linear layer", target, {name.rpartition(".")[2] for name in linear})
    if not chosen:
        raise UserError(f"{type(model).__name__} has no linear layer that LoRA could change")
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(any(name.startswith(f"{head}.") for head in kept))
    for name in chosen:
        weight = linear[name].weight
        change = LowRankChange(weight, min(rank, max(1, min(weight.shape) // 2)), alpha)
        parametrize.register_parametrization(linear[name], "weight", change)
        linear[name].parametrizations.weight.original.requires_grad_(False)  # type: ignore[union-attr]
    return chosen


def _matches(name: str, target: str) -> bool:
    return name.rpartition(".")[2] == target or fnmatch(name, target)


def merge_lora(model: AnyModule) -> AnyModule:
    """Add the changes to the weights and make plain linear maps of them again, in place.

    Args:
        model: One that `add_lora` changed; another stays as it is.

    Returns:
        The same model.
    """
    for module in list(model.modules()):
        if _changed(module):
            _make_plain(module)
    return model


def merged(model: AnyModule) -> AnyModule:
    """Return a copy with the changes added, for export.

    Args:
        model: One that `add_lora` changed; it goes on training.

    Returns:
        The copy, of plain linear maps.
    """
    return merge_lora(copy.deepcopy(model))


def _changed(module: nn.Module) -> bool:
    if not parametrize.is_parametrized(module, "weight"):
        return False
    parts: Any = module.parametrizations
    return any(isinstance(part, LowRankChange) for part in parts.weight)


def _make_plain(module: nn.Module) -> None:
    """Give a module its own class and weight back.

    `parametrize.remove_parametrizations` would take the property off the class, which a deep copy shares.
    """
    weight: Any = module.weight
    plain = parametrize.type_before_parametrizations(module)
    del module._modules["parametrizations"]
    module.__class__ = plain
    module.weight = nn.Parameter(weight.detach().clone())
