"""SaShiMi, backbones and language model, against state-spaces/s4's stand-alone module."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from seqaudio.convert import backbone_from_published, config_from_published, from_published
from seqaudio.models.sashimi import Sashimi, build_backbone
from seqsuite.objectives import cross_entropy
from seqsuite.testing.parity import Case, adapter


@adapter("sashimi")
def sashimi(case: Case) -> dict[str, Tensor]:
    return language_model(case) if "n_tokens" in case.hyperparameters else backbone(case)


def backbone(case: Case) -> dict[str, Tensor]:
    config = config_from_published(case.hyperparameters, case.weights)
    module = build_backbone(config).eval()
    leaves = {
        name: x.clone().requires_grad_() if x.is_floating_point() else x.clone() for name, x in case.weights.items()
    }
    x = case.take("x").requires_grad_()
    y = functional_call(module, backbone_from_published(leaves, config), (x,))
    wanted = {name: leaf for name, leaf in leaves.items() if leaf.requires_grad} | {"x": x}
    grads = torch.autograd.grad((y * case.take("gy")).sum(), list(wanted.values()))
    results = {f"grad.{name}": grad for name, grad in zip(wanted, grads, strict=True)} | {"y": y}
    module.load_state_dict(backbone_from_published(case.weights, config))
    if module.causal:
        state = module.init_state(len(x), device=x.device, dtype=x.dtype)
        results["y_step"] = steps(module, x, state)
    return results


def language_model(case: Case) -> dict[str, Tensor]:
    config = config_from_published(case.hyperparameters, case.weights)
    model = Sashimi(config).eval()
    model.load_state_dict(from_published(case.weights, config))
    tokens, targets = case.take("tokens_in"), case.take("targets")
    with torch.no_grad():
        logits = model(tokens)
    loss = cross_entropy(logits, targets)
    logp = logits.log_softmax(-1).gather(2, targets[..., None])[..., 0]
    return {
        "logits": logits,
        "logits_step": steps(model, tokens, model.init_state(len(tokens))),
        "nll_nats": loss.mean,
        "bpb": loss.mean / math.log(2),
        "logp_per_seq": logp.sum(1),
    }


@torch.no_grad()
def steps(module: nn.Module, x: Tensor, state: Any) -> Tensor:
    """Run `step` over (B, L, ...) from a state."""
    step: Any = module.step
    outputs = []
    for x_t in x.unbind(1):
        out, state = step(x_t, state)
        outputs.append(out)
    return torch.stack(outputs, 1)
