"""Decision Transformer: the published gym and Atari models and transformers', and the published data pipeline."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call

from seqrl import convert
from seqrl.models.decision_transformer import DecisionTransformer
from seqsuite.testing.parity import Case, adapter


@adapter("decision_transformer")
def decision_transformer(case: Case) -> dict[str, Tensor]:
    if case.folder.name.startswith("kzl_pipeline"):
        return pipeline(case)
    return atari(case) if "atari" in case.source["class"] else gym(case)


def pipeline(case: Case) -> dict[str, Tensor]:
    path = Path(__file__).with_name("_rl_pipeline.py")
    spec = importlib.util.spec_from_file_location("parity_rl_pipeline", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def model_of(**fields: Any) -> DecisionTransformer:
        model, weights, _ = prepared(case, "kzl", **fields)
        model.load_state_dict({name: tensor.detach() for name, tensor in weights.items()})
        return model

    return module.pipeline(case, model_of)


def prepared(case: Case, layout: Any, **choices: Any) -> tuple[DecisionTransformer, dict, dict]:
    """The model, its weights as functions of the published leaves, and the leaves."""
    leaves = {name: tensor.requires_grad_() for name, tensor in case.weights.items()}
    raw = {name: value for name, value in case.hyperparameters.items() if name != "n_inner"}
    config = convert.config_from_published(leaves, layout, raw, **choices)
    model = DecisionTransformer(config).eval()
    weights = convert.from_published(leaves, config, layout)
    assert weights.keys() == model.state_dict().keys()
    return model, weights, leaves


def gradients(loss: Tensor, leaves: dict[str, Tensor]) -> dict[str, Tensor]:
    found = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
    return {f"grad.{name}": g for name, g in zip(leaves, found, strict=True) if g is not None}


def gym(case: Case) -> dict[str, Tensor]:
    layout = "hf" if "huggingface" in case.source["repo"] else "kzl"
    given = case.hyperparameters
    model, weights, leaves = prepared(case, layout, context=given.get("max_length", 20))
    features: list[Tensor] = []
    inputs = tuple(case.take(name) for name in ("states", "actions", "returns_to_go", "timesteps"))
    mask = case.take("attention_mask")
    model.heads.register_forward_pre_hook(lambda module, args: features.append(args[0]))
    predicted = functional_call(model, weights, inputs, {"mask": mask})
    target = case.take("action_targets") if layout == "hf" else inputs[1]
    keep = mask.bool()
    loss = (predicted.actions[keep] - target[keep]).square().mean()
    results = {
        "state_preds": predicted.states,
        "action_preds": predicted.actions,
        "return_preds": predicted.returns,
        "last_hidden_state": features[0].flatten(1, 2),
        "loss": loss,
    }
    for j in range(3 if layout == "kzl" else 0):
        results[f"get_action.{j}.action"] = acted(case, j, model, weights)
    return results | gradients(loss, leaves)


def acted(case: Case, j: int, model: DecisionTransformer, weights: dict[str, Tensor]) -> Tensor:
    """The published evaluation path: the last K steps, padded on the left with zeros."""
    context = model.config.context
    states, actions, returns, timesteps = (
        case.take(f"get_action.{j}.{name}") for name in ("states", "actions", "returns_to_go", "timesteps")
    )
    history = [x[-context:] for x in (states, actions, returns[0, :, None], timesteps[0])]
    missing = context - len(history[0])
    window = [torch.cat((x.new_zeros(missing, *x.shape[1:]), x))[None] for x in history]
    mask = torch.arange(context)[None] >= missing
    return functional_call(model, weights, tuple(window), {"mask": mask}).actions[0, -1]


def atari(case: Case) -> dict[str, Tensor]:
    given = case.hyperparameters
    naive = given["model_type"] == "naive"
    model, weights, leaves = prepared(case, "kzl-atari", n_head=given["n_head"], condition_on_returns=not naive)
    states = case.take("states_uint8")
    states = states.view(*states.shape[:2], *model.config.observation_shape)
    actions, returns = case.take("actions").squeeze(-1), case.take("rtgs")
    start = case.take("timesteps").view(-1, 1)

    def logits(steps: int, known: int) -> Tensor:
        # Of the steps, the actions of the last ones are not known yet: whatever stands there is not seen.
        seen = actions.where(torch.arange(actions.shape[1]) < known, 0)
        inputs = (states, seen, returns, start + torch.arange(states.shape[1]))
        return functional_call(model, weights, tuple(x[:, :steps] for x in inputs)).actions

    whole = logits(states.shape[1], states.shape[1])
    loss = F.cross_entropy(whole.flatten(0, 1), actions.flatten())
    results = {"logits": whole, "loss": loss, "eval_first_logits": logits(1, 0), "eval_second_logits": logits(2, 1)}
    return results | gradients(loss, leaves)
