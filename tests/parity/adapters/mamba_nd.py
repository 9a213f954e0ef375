"""Mamba-ND, image and video models, against the published code; weights come in through the checkpoint reader."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call

from seqsuite.testing.parity import Case, adapter
from seqvision.models.mamba_nd import MambaND, checkpoint_filter_fn

MIXER_OPTIONS = ("d_state", "d_conv", "expand", "dt_rank")


@adapter("mamba_nd")
def mamba_nd(case: Case) -> dict[str, Tensor]:
    given = case.hyperparameters
    model = MambaND(
        **sizes(given),
        in_chans=given["in_channels"],
        num_classes=given.get("num_classes") or 0,
        embed_dim=given["embed_dims"],
        depth=given["depth"],
        mixer_options={name: given[name] for name in MIXER_OPTIONS},
        orders=given.get("factorization"),
        merge_after=given.get("downsample_after_layers", ()),
        final_norm=given.get("final_norm", True),
        fc_norm=given["out_type"] == "avg_featmap",
    ).eval()
    leaves = {name: tensor.requires_grad_() for name, tensor in case.weights.items()}
    weights = checkpoint_filter_fn(leaves, model)
    assert weights.keys() == model.state_dict().keys()
    x = case.take("x").requires_grad_()

    results: dict[str, Tensor] = {}
    model.norm.register_forward_hook(lambda module, args, out: results.update(output=out.movedim(-1, 1)))
    model.fc_norm.register_forward_hook(lambda module, args, out: results.update(features=out))
    logits = functional_call(model, weights, (x,))
    if model.num_classes:
        results["output"] = logits
    loss = (results["output"] * case.take("grad_output")).sum()
    leaves["input.x"] = x
    found = torch.autograd.grad(loss, list(leaves.values()))
    return results | {f"grad.{name}": gradient for name, gradient in zip(leaves, found, strict=True)}


def sizes(given: dict[str, Any]) -> dict[str, Any]:
    if "num_frames" not in given:
        return {"img_size": given["img_size"], "patch_size": given["patch_size"]}
    return {
        "img_size": (given["num_frames"], given["img_size"], given["img_size"]),
        "patch_size": (given["patch_size_temporal"], given["patch_size"], given["patch_size"]),
    }
