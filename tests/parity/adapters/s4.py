"""The S4 block in its low-rank form against state-spaces/s4's."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call

from seqsuite.mixers.hippo import nplr
from seqsuite.mixers.s4 import S4, s4_from_published, s4_options_from_published, s4_to_published
from seqsuite.ops._ssm_kernel.op import ssm_kernel
from seqsuite.testing.parity import Case, adapter

LENGTH = "layer.kernel.l_kernel"


@adapter("s4")
def s4(case: Case) -> dict[str, Tensor]:
    return initial(case) if "measure" in case.hyperparameters else block(case)


def initial(case: Case) -> dict[str, Tensor]:
    results = {}
    for size in case.hyperparameters["N"]:
        parts = nplr(case.hyperparameters["measure"], size, rank=case.hyperparameters["rank"], clip=None)
        results |= {
            f"n{size}.neg_imag": -parts.A.imag,
            f"n{size}.abs_P": parts.P[0].abs(),
            f"n{size}.abs_B_unclipped": parts.B.abs(),
            f"n{size}.PstarB_unclipped": torch.view_as_real(parts.P[0].conj() * parts.B),
        }
    return results


def block(case: Case) -> dict[str, Tensor]:
    given, results = case.hyperparameters, {}
    length = given["L"]
    mixer = S4(**s4_options_from_published(case.weights), dt_transform=given.get("dt_transform", "exp"))
    options: dict[str, Any] = {"dt_transform": mixer.dt_transform}
    weights = case.weights
    if not int(weights[LENGTH]):  # a block that never ran: its first run attunes C, and that is what it learns
        weights = s4_to_published(s4_from_published(weights, **options), length, **options)
        results |= {"C_tilde": weights["layer.kernel.C"], "l_kernel_after": weights[LENGTH]}
    leaves = {name: x.clone().requires_grad_() for name, x in weights.items() if name != LENGTH}
    turned = given.get("transposed", True)  # channels before steps
    u = case.take("u").requires_grad_()
    ours = s4_from_published(leaves | {LENGTH: weights[LENGTH]}, **options)
    y = functional_call(mixer, ours, (u.mT if turned else u,))
    results["y"] = y.mT if turned else y
    loss = (results["y"] * case.take("gy")).sum()
    wanted = leaves | {"u": u}
    grads = torch.autograd.grad(loss, list(wanted.values()))
    results |= {f"grad.{name}": grad for name, grad in zip(wanted, grads, strict=True)}

    mixer.load_state_dict(s4_from_published(weights, **options))
    with torch.no_grad():
        results["kernel"] = mixer.kernel(length)
        if mixer.recurrent:
            results |= recurrence(mixer, u.mT if turned else u)
        if "u_layer" in case.inputs:
            results |= state_forwarding(mixer, case.take("u_layer")) | lengths(mixer, weights, given)
    return results


def whole(x: Tensor) -> Tensor:
    """The modes and their conjugates, as real pairs."""
    return torch.view_as_real(torch.cat((x, x.conj()), -1).resolve_conj())


def recurrence(mixer: S4, x: Tensor) -> dict[str, Tensor]:
    system, C = mixer.recurrence()
    decay, left, right = (torch.cat((m, m.conj()), -1) for m in (system.decay, system.left, system.right))
    dense = torch.diag_embed(decay) - torch.einsum("rhm,rhn->hmn", left, right)
    outputs, state = [], mixer.init_state(len(x), device=x.device, dtype=x.dtype)
    for x_t in x.unbind(1):
        out, state = mixer.step(x_t, state)
        outputs.append(out)
    return {
        "dA": torch.view_as_real(dense),
        "dB": whole(system.drive),
        "dC": whole(C),
        "y_step": torch.stack(outputs, 1),
        "state_final": whole(torch.view_as_complex(state.ssm)),
    }


def state_forwarding(mixer: S4, x: Tensor) -> dict[str, Tensor]:
    seen = []
    hook = mixer.output_linear.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    _, state = mixer.prefill(x[:, : x.shape[1] // 2])
    mixer.prefill(x[:, x.shape[1] // 2 :], state)
    hook.remove()
    return {"state_mid": state.ssm, "y_second_half": seen[1]}


def lengths(mixer: S4, weights: dict[str, Tensor], given: dict[str, Any]) -> dict[str, Tensor]:
    tuned = torch.view_as_complex(weights["layer.kernel.C"])
    attuned = int(weights[LENGTH])
    doubled = s4_to_published(dict(mixer.state_dict()), 2 * attuned)
    return {
        "kernel_rate2": ssm_kernel(C=tuned, length=given["L"] // 2, rate=2.0, attuned_to=attuned, **mixer.continuous()),
        "kernel_long": mixer.kernel(given["L_long"]),
        "C_tilde_long": doubled["layer.kernel.C"],
        "l_kernel_long": doubled[LENGTH],
    }
