"""HyenaDNA, language model and classifier, against the published stand-alone code."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from seqdna.convert_hyenadna import config_from_published, from_published
from seqdna.models.hyenadna import HyenaDNA
from seqsuite.backbones import MLPBlock
from seqsuite.mixers.hyena import Hyena
from seqsuite.objectives import cross_entropy, next_token_labels
from seqsuite.testing.parity import Case, adapter


@adapter("hyenadna")
def hyenadna(case: Case) -> dict[str, Tensor]:
    config = config_from_published(case.hyperparameters, case.weights)
    model = HyenaDNA(config).eval()
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in case.weights.items()}
    results: dict[str, Tensor] = {}
    watch(model, results)
    ids = case.take("input_ids")
    out = functional_call(model, from_published(leaves, config), (ids,))
    if config.head == "causal_lm":
        results["logits"] = out
        ignore = () if config.pad_token_id is None else (config.pad_token_id,)
        results["loss"] = cross_entropy(out, next_token_labels(ids, ignore=ignore)).mean
    else:
        results["cls_logits"] = out
        results["loss"] = cross_entropy(out, case.take("labels")).mean
    found = torch.autograd.grad(results["loss"], list(leaves.values()), allow_unused=True)
    return results | {f"grad.{name}": grad for name, grad in zip(leaves, found, strict=True) if grad is not None}


def watch(model: HyenaDNA, results: dict[str, Tensor]) -> None:
    """Let hooks enter the inner values under the case's names."""

    def enter(module: nn.Module, *names: str) -> None:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            results.update(zip(names, output if isinstance(output, tuple) else (output,), strict=True))

        module.register_forward_hook(hook)

    enter(model.embedding, "embeddings")
    enter(model.backbone, "final_hidden")
    for index, layer in enumerate(model.backbone.layers):
        assert isinstance(layer, MLPBlock)
        assert isinstance(layer.mixer, Hyena)
        enter(layer, f"layer{index}.hidden", f"layer{index}.residual")
        enter(layer.mixer, f"layer{index}.mixer_out")
        enter(layer.mixer.filter, f"layer{index}.filter")
