"""The Mamba mixer and language model against `mamba_ssm`'s."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.func import functional_call

from seqsuite.mixers import create_mixer
from seqsuite.models.convert import config_from_published, from_published
from seqsuite.models.mixer_lm import MixerLM
from seqsuite.objectives import cross_entropy, next_token_labels
from seqsuite.testing.parity import Case, adapter

MIXER_OPTIONS = ("d_state", "d_conv", "expand", "dt_rank", "bias", "conv_bias")


@adapter("mamba")
def mamba(case: Case) -> dict[str, Tensor]:
    return language_model(case) if "backbone.norm_f.weight" in case.weights else block(case)


def gradients(loss: Tensor, leaves: dict[str, Tensor]) -> dict[str, Tensor]:
    found = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
    return {f"grad.{name}": grad for name, grad in zip(leaves, found, strict=True) if grad is not None}


def block(case: Case) -> dict[str, Tensor]:
    given = case.hyperparameters
    options = {name: given[name] for name in MIXER_OPTIONS if name in given}
    mixer = create_mixer("mamba", given["d_model"], **options)
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in case.weights.items()}
    x = case.take("x").requires_grad_()
    out = functional_call(mixer, leaves, (x,))
    loss = (out * case.take("grad_out")).sum()
    results = {"out": out, "loss": loss} | gradients(loss, leaves | {"x": x})

    mixer.load_state_dict(case.weights)
    with torch.no_grad():
        state = mixer.init_state(len(x), device=x.device, dtype=x.dtype)
        results["step_out"], state = steps(mixer, x, state)
        results["step_final_conv_state"], results["step_final_ssm_state"] = state
        results["prefill_out"], state = mixer.prefill(x[:, : given["prefill"]])
        results["prefill_conv_state"], results["prefill_ssm_state"] = state
        results["decode_out"], _ = steps(mixer, x[:, given["prefill"] :], state)
    return results


def steps(mixer: torch.nn.Module, x: Tensor, state: tuple) -> tuple[Tensor, tuple]:
    outputs = []
    for x_t in x.unbind(1):
        out, state = mixer.step(x_t, state)
        outputs.append(out)
    return torch.stack(outputs, 1), state


def language_model(case: Case) -> dict[str, Tensor]:
    given = dict(case.hyperparameters)
    options = {name: given[name] for name in MIXER_OPTIONS if name in given}
    config = config_from_published({"ssm_cfg": options} | given)
    model = MixerLM(config)
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in case.weights.items()}
    results: dict[str, Tensor] = {}
    for index, layer in enumerate(model.backbone.layers):
        layer.register_forward_hook(
            lambda module, args, output, index=index: results.update(
                {f"layer{index}.hidden": output[0], f"layer{index}.residual": output[1]}
            )
        )
    model.backbone.register_forward_hook(lambda module, args, output: results.update(final_hidden=output))
    tokens = case.take("input_ids")
    results["logits"] = functional_call(model, from_published(leaves, config), (tokens,))
    results["loss"] = cross_entropy(results["logits"], next_token_labels(tokens)).mean
    return results | gradients(results["loss"], leaves)
