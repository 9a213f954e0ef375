"""XLNet, both streams, against the published PyTorch model."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.func import functional_call

from seqsuite.models.xlnet import XLNetLM
from seqsuite.models.xlnet_convert import config_from_published, from_published
from seqsuite.objectives import cross_entropy
from seqsuite.testing.parity import Case, adapter


@adapter("xlnet")
def xlnet(case: Case) -> dict[str, Tensor]:
    tanh = case.hyperparameters["ff_activation"] == "gelu"
    config = config_from_published(case.hyperparameters, gelu="gelu_tanh" if tanh else "gelu")
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in case.weights.items()}
    weights = from_published(leaves, config)
    model = XLNetLM(config).eval()
    optional = [name for name in ("token_type_ids",) if name in case.inputs]
    given = {name: case.take(name) for name in ["attention_mask", "perm_mask", *optional]}
    ids, labels = case.take("input_ids"), case.take("labels")
    memories = sorted(name for name in case.inputs if name.startswith("mems."))
    if memories:
        given["mems"] = [case.take(name).transpose(0, 1) for name in memories]

    targets = given | {"target_mapping": case.take("target_mapping")}
    out = functional_call(model, weights, (ids,), targets)
    loss = cross_entropy(out.logits, labels).mean
    results = {
        "logits": out.logits,
        "loss": loss,
        "content_stream_last": out.content,
        "query_stream_last": out.query,
        "logits_single_stream": functional_call(model, weights, (ids,), given).logits,
    }
    if tanh:
        exact = XLNetLM(replace(config, activation="gelu")).eval()
        results["logits_gelu_erf"] = functional_call(exact, weights, (ids,), targets).logits
    found = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
    return results | {f"grad.{name}": g for name, g in zip(leaves, found, strict=True) if g is not None}
