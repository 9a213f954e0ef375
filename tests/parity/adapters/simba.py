"""SiMBA, its block, its class block and the whole model, against badripatro/simba."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from seqsuite.testing.parity import Case, adapter
from seqvision.models.simba import SiMBA, SiMBABlock
from seqvision.models.simba_convert import block_from_published, from_published


@adapter("simba")
def simba(case: Case) -> dict[str, Tensor]:
    return model(case) if "embed_dims" in case.hyperparameters else block(case)


def kind(given: dict[str, Any]) -> dict[str, Any]:
    options = {name: given["mamba"][name] for name in ("d_state", "d_conv", "expand")}
    return {"channel_mixer": given["channel_mixer"].lower(), "mixer_options": options}


def leaves_of(case: Case) -> dict[str, Tensor]:
    return {
        name: x.clone().requires_grad_() if x.is_floating_point() and "running" not in name else x.clone()
        for name, x in case.weights.items()
    }


def with_gradients(case: Case, output: Tensor, x: Tensor, leaves: dict[str, Tensor]) -> dict[str, Tensor]:
    wanted = {"input.x": x} | {name: leaf for name, leaf in leaves.items() if leaf.requires_grad}
    grads = torch.autograd.grad((output * case.take("grad_output")).sum(), list(wanted.values()))
    return {f"grad.{name}": grad for name, grad in zip(wanted, grads, strict=True)} | {"output": output}


def loaded(module: nn.Module, state: dict[str, Tensor]) -> nn.Module:
    module.load_state_dict({name: x.detach() for name, x in state.items()})  # strict: no key more, none less
    return module.eval()


def block(case: Case) -> dict[str, Tensor]:
    given = case.hyperparameters
    of_class = case.source["class"] == "ClassBlock"
    module = SiMBABlock(given["dim"], mlp_ratio=given["mlp_ratio"], conv=not of_class, **kind(given))
    leaves = leaves_of(case)
    state = block_from_published(leaves)
    loaded(module, state)
    x = case.take("x").requires_grad_()  # (B, L, D)
    if of_class:
        token = functional_call(module, state, (x[:, :1],))
        return with_gradients(case, torch.cat((token, x[:, 1:]), 1), x, leaves)
    output = functional_call(module, state, (x.unflatten(1, (given["H"], given["W"])),))
    return with_gradients(case, output.flatten(1, 2), x, leaves)


def model(case: Case) -> dict[str, Tensor]:
    given = case.hyperparameters
    same = ("in_chans", "num_classes", "embed_dims", "depths", "mlp_ratios", "token_label")
    net = SiMBA(**{name: given[name] for name in same}, stem_width=given["stem_hidden_dim"], **kind(given))
    leaves = leaves_of(case)
    state = from_published(leaves, given["num_stages"])
    loaded(net, state)
    x = case.take("x").requires_grad_()
    results = with_gradients(case, functional_call(net, state, (x,)), x, leaves)
    with torch.no_grad():
        results["features"] = net.forward_head(net.forward_features(x), pre_logits=True)
    return results
