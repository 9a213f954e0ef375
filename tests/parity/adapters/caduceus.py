"""Caduceus, language model and classifier, against the published modelling code."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call

from seqdna.convert import config_from_published, from_published
from seqdna.models import Caduceus
from seqdna.models.strands import from_strands
from seqsuite.objectives import cross_entropy
from seqsuite.testing.parity import Case, adapter


@adapter("caduceus")
def caduceus(case: Case) -> dict[str, Tensor]:
    config = config_from_published(case.hyperparameters, case.weights)
    model = Caduceus(config).eval()
    leaves = {name: tensor.clone().requires_grad_(tensor.is_floating_point()) for name, tensor in case.weights.items()}
    weights = from_published(leaves, config)
    fold = from_strands if config.rcps else lambda rows: rows
    ids, labels = case.take("input_ids"), case.take("labels")
    token_weights = case.take("loss_weights") if "loss_weights" in case.inputs else None

    with torch.no_grad():
        final, results = watched(model, weights, ids, fold)
    results["final_hidden"] = final
    out = functional_call(model, weights, (ids,))
    if config.head == "masked_lm":
        results["logits"] = out
        results["rc_logits"] = functional_call(model, weights, (case.take("rc_input_ids"),))
        loss = cross_entropy(
            out, labels, ignore_index=case.hyperparameters["pad_token_id"], token_weights=token_weights
        ).mean
    else:
        results["cls_logits"] = out
        loss = cross_entropy(out, labels).mean
    trained = {name: leaf for name, leaf in leaves.items() if leaf.requires_grad}
    found = torch.autograd.grad(loss, list(trained.values()), allow_unused=True)
    grads = {f"grad.{name}": grad for name, grad in zip(trained, found, strict=True) if grad is not None}
    return results | {"loss": loss} | grads


def watched(model: Caduceus, weights: dict, ids: Tensor, fold: object) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the features and every block's output, in the reference's two halves."""
    seen: dict[str, Tensor] = {}

    def block(index: int) -> object:
        def hook(module: nn.Module, args: tuple, output: tuple[Tensor, Tensor]) -> None:
            seen[f"layer{index}.hidden"], seen[f"layer{index}.residual"] = map(fold, output)

        return hook

    hooks = [layer.register_forward_hook(block(index)) for index, layer in enumerate(model.backbone.layers)]
    hooks.append(model.embedding.register_forward_hook(lambda module, args, out: seen.update(embeddings=fold(out))))
    features = FeaturesOf(model)
    final = functional_call(features, {f"model.{name}": tensor for name, tensor in weights.items()}, (ids,))
    for hook in hooks:
        hook.remove()
    return final, seen


class FeaturesOf(nn.Module):
    """`forward_features` as a module's forward, for `functional_call`."""

    def __init__(self, model: Caduceus) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor) -> Tensor:
        return self.model.forward_features(ids)
