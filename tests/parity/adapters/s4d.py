"""S4D against state-spaces/s4's minimal layer, its block in diagonal mode, and its initial values."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.func import functional_call

from seqsuite.mixers.hippo import diagonal, transition
from seqsuite.mixers.s4d import S4D, s4d_from_published, s4d_options_from_published
from seqsuite.testing.parity import Case, adapter


@adapter("s4d")
def s4d(case: Case) -> dict[str, Tensor]:
    return layer(case) if "u" in case.inputs else initial(case)


def initial(case: Case) -> dict[str, Tensor]:
    size, copies = case.hyperparameters["d_state"], case.hyperparameters["n_ssm"]
    results = dict(zip(("hippo_legs.A", "hippo_legs.B"), transition("legs", size), strict=True))
    for name in ("lin", "inv", "inv2", "quad", "real", "legs"):
        # The signs of LegS' eigenvectors are what LAPACK makes of a matrix in single precision.
        A, B = diagonal(name, size, copies=copies, single_precision=True)
        results[f"init.{name}.neg_A_real"] = -A[0].real
        results[f"init.{name}.neg_A_imag"] = -A[0].imag
        results[f"init.{name}.B"] = torch.view_as_real(B[0])
    return results


def layer(case: Case) -> dict[str, Tensor]:
    given = case.hyperparameters
    options = {"dt_transform": given.get("dt_transform", "exp"), "discretization": given.get("disc", "zoh")}
    mixer = S4D(**s4d_options_from_published(case.weights), **options)
    leaves = {name: x.clone().requires_grad_() for name, x in case.weights.items()}
    turned = given.get("transposed", True)  # channels before steps
    u = case.take("u").requires_grad_()
    y = functional_call(mixer, s4d_from_published(leaves), (u.mT if turned else u,))
    y = y.mT if turned else y
    wanted = leaves | {"u": u}
    grads = torch.autograd.grad((y * case.take("gy")).sum(), list(wanted.values()))
    results = {"y": y} | {f"grad.{name}": grad for name, grad in zip(wanted, grads, strict=True)}

    mixer.load_state_dict(s4d_from_published(case.weights))
    with torch.no_grad():
        kernel = mixer.kernel(given["L"])
        if "kernel.C" in case.weights:
            return results | {"kernel": kernel[0], "kernel_long": mixer.kernel(given["L_long"])[0]}
        x = u.mT if turned else u
        outputs, state = [], mixer.init_state(len(x), device=x.device, dtype=x.dtype)
        for x_t in x.unbind(1):
            out, state = mixer.step(x_t, state)
            outputs.append(out)
    return results | {"kernel": kernel, "y_step": torch.stack(outputs, 1), "state_final": state.ssm}
