"""AdamW as the published policies have it: weight decay on everything, or on matrices only."""

from __future__ import annotations

from typing import Literal

from torch import nn
from torch.optim import AdamW

from seqsuite.mixers.base import parameters_marked
from seqsuite.models.base import Model
from seqsuite.training.configs import TrainConfig


def make_policy_optimizer(model: Model, config: TrainConfig, decays: Literal["all", "matrices"]) -> AdamW:
    """Build AdamW for a policy; `parameter._lr_scale` is honoured as everywhere in the suite.

    Args:
        model: The network.
        config: Learning rate, weight decay and betas.
        decays: all: every parameter that its own module does not exempt (the states of an SSM), as in the Decision
            Transformer's code; matrices: no biases, norms, embeddings, and what the model's `no_weight_decay` names, as
            in the Trajectory Transformer's.
    """
    exempt = parameters_marked(model, "_no_weight_decay")
    if decays == "matrices":
        exempt = model.no_weight_decay() | {
            name for name, parameter in model.named_parameters() if parameter.ndim < 2
        } | {
            f"{path}.weight" for path, part in model.named_modules() if isinstance(part, (nn.Embedding, nn.LayerNorm))
        }  # fmt: skip
    groups: dict[tuple[bool, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            key = (name not in exempt, float(getattr(parameter, "_lr_scale", 1.0)))
            groups.setdefault(key, []).append(parameter)
    return AdamW(
        [
            {
                "params": parameters,
                "lr": config.lr * scale,
                "weight_decay": config.weight_decay if decayed else 0.0,
                "name": f"{'decay' if decayed else 'no_decay'}{'' if scale == 1 else f'_lr_x{scale:g}'}",
            }
            for (decayed, scale), parameters in sorted(groups.items(), key=lambda item: item[0], reverse=True)
        ],
        lr=config.lr,
        betas=(config.betas[0], config.betas[1]),
    )
