"""The S5 mixer against s5-pytorch's layer, and in that port's block."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call

from seqsuite.mixers.s5 import S5, s5_from_published
from seqsuite.testing.parity import Case, adapter


@adapter("s5")
def s5(case: Case) -> dict[str, Tensor]:
    given = case.hyperparameters
    assert not given["bidir"]
    options = {name: given[name] for name in ("dt_min", "dt_max", "discretization") if name in given}
    mixer = S5(
        given["width"],
        d_state=given["state_width"],
        blocks=given["block_count"],
        conj_sym=False,
        eigenvalues="free",
        **options,
    )
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in case.weights.items()}
    u = case.take("u").requires_grad_()
    if "ff_enc.weight" in leaves:
        prefix = "s5.seq."
        y = block(mixer, leaves, prefix, u)
    else:
        prefix = "seq."
        y = functional_call(mixer, s5_from_published(leaves, prefix=prefix), (u,))
    loss = (y * case.take("gy")).sum()
    found = torch.autograd.grad(loss, [u, *leaves.values()])
    results = {f"grad.{name}": grad for name, grad in zip(["u", *leaves], found, strict=True)}
    return results | {"y": y} | inner(mixer, case, prefix)


def block(mixer: S5, leaves: dict[str, Tensor], prefix: str, u: Tensor) -> Tensor:
    """That port's block: its residual branches start behind the norms."""

    def norm(x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], leaves[f"{name}.weight"], leaves[f"{name}.bias"])

    x = norm(u, "attn_norm")
    x = F.gelu(functional_call(mixer, s5_from_published(leaves, prefix=prefix), (x,))) + x
    x = norm(x, "ff_norm")
    value, gate = F.linear(x, leaves["ff_enc.weight"]).chunk(2, -1)
    return F.linear(F.gelu(gate) * value, leaves["ff_dec.weight"]) + x


@torch.no_grad()
def inner(mixer: S5, case: Case, prefix: str) -> dict[str, Tensor]:
    """The discretised matrices and, of a layer alone, its other views."""
    mixer.load_state_dict(s5_from_published(case.weights, prefix=prefix))
    factors, B = mixer.discretize()
    results = {"Lambda_bar": torch.view_as_real(factors), "B_bar": torch.view_as_real(B)}
    u = case.take("u")
    state: Any = mixer.init_state(len(u), device="cpu", dtype=u.dtype)
    results["state_final"] = mixer.prefill(u)[1].ssm
    steps = []
    for u_t in u.unbind(1):
        y_t, state = mixer.step(u_t, state)
        steps.append(y_t)
    results["y_step"] = torch.stack(steps, 1)
    mixer.step_scale = 2.0
    return results | {"y_scale2": mixer(u)}
