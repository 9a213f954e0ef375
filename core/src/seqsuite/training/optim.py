"""AdamW with parameter groups, and a learning rate that is a pure function of the step.

Weight decay goes to matrices only: not to biases and norms (fewer than two dimensions), not to
embeddings, not to parameters that their module marked with ``parameter._no_weight_decay = True``
(the state matrix of an SSM). ``parameter._lr_scale = 0.1`` scales one parameter's learning rate.
The rule "published" is that of the S4, Hyena and Caduceus training code: a parameter called bias, the
weights of LayerNorm and embeddings, and what is marked have none; everything else decays, the weight of
an RMSNorm too, which that code's list of norms does not hold.

AdamW: Loshchilov and Hutter 2019. Cosine: Loshchilov and Hutter 2017.
"""

from __future__ import annotations

import math
from typing import Any, Literal

from torch import nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from seqsuite.errors import UserError
from seqsuite.training.configs import TrainConfig


def parameter_groups(
    module: nn.Module, *, lr: float, weight_decay: float, rule: Literal["matrices", "published"] = "matrices"
) -> list[dict[str, Any]]:
    """Split the trainable parameters by weight decay and learning-rate scale.

    Args:
        module: Whose parameters; a tied parameter counts once.
        lr: Learning rate of scale 1.
        weight_decay: Of the parameters that have any.
        rule: Which have any; see the module's head.

    Returns:
        AdamW's groups in a fixed order; each has a `name`.
    """
    exempt = _exempt_by_rule(module, rule)
    groups: dict[tuple[bool, float], list[nn.Parameter]] = {}
    for parameter in module.parameters():
        if not parameter.requires_grad:
            continue
        decays = id(parameter) not in exempt and not getattr(parameter, "_no_weight_decay", False)
        scale = float(getattr(parameter, "_lr_scale", 1.0))
        groups.setdefault((decays, scale), []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": lr * scale,
            "weight_decay": weight_decay if decays else 0.0,
            "name": f"{'decay' if decays else 'no_decay'}{'' if scale == 1 else f'_lr_x{scale:g}'}",
        }
        for (decays, scale), parameters in sorted(groups.items(), key=lambda item: item[0], reverse=True)
    ]


def _exempt_by_rule(module: nn.Module, rule: str) -> set[int]:
    """Return the identities of the parameters that a rule leaves without decay, marks aside."""
    kinds: tuple[type[nn.Module], ...] = (nn.Embedding, nn.EmbeddingBag)
    if rule == "matrices":
        few = {id(parameter) for parameter in module.parameters() if parameter.ndim < 2}
    else:
        kinds = (*kinds, nn.LayerNorm)
        # One module's name for a tied parameter is enough.
        few = {
            id(parameter)
            for part in module.modules()
            for name, parameter in part.named_parameters(recurse=False)
            if name.endswith("bias")
        }
    return few | {id(part.weight) for part in module.modules() if isinstance(part, kinds)}


def make_optimizer(module: nn.Module, config: TrainConfig) -> AdamW:
    """Build AdamW for a module.

    Raises:
        UserError: The module has no parameter that could be trained.
    """
    groups = parameter_groups(module, lr=config.lr, weight_decay=config.weight_decay, rule=config.decay)
    if not groups:
        raise UserError(f"{type(module).__name__} has no trainable parameters; set requires_grad on some")
    return AdamW(groups, lr=config.lr, betas=(config.betas[0], config.betas[1]))


def lr_factor(step: int, config: TrainConfig) -> float:
    """Return the learning rate of the update number `step` (from 0), as a fraction of the peak.

    Linear warm-up to 1, then half a cosine down to ``min_lr / lr`` at the last step.
    """
    warm = config.warmup_steps
    if step < warm:
        return (step + 1) / warm
    floor = config.min_lr / config.lr if config.lr else 1.0
    done = min(1.0, (step - warm) / max(1, config.steps - 1 - warm))
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * done))


def make_schedule(optimizer: Optimizer, config: TrainConfig) -> LambdaLR:
    """Build the scheduler that follows `lr_factor`."""

    def factor(step: int) -> float:
        return lr_factor(step, config)

    return LambdaLR(optimizer, factor)
