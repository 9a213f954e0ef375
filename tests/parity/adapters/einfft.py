"""`seqsuite.ops.einfft` against the channel mixer of the reference's image model."""

from __future__ import annotations

import torch
from torch import Tensor

from seqsuite.ops._einfft.op import einfft, einfft_spectrum
from seqsuite.testing.parity import Case, adapter


@adapter("einfft")
def mix(case: Case) -> dict[str, Tensor]:
    x = case.take("x").requires_grad_()
    weights = {name: weight.requires_grad_() for name, weight in case.weights.items()}
    layers = [weights[f"complex_{part}_{layer}"] for layer in (1, 2) for part in ("weight", "bias")]
    y = einfft(x, *layers, threshold=case.hyperparameters["sparsity_threshold"])
    gradients = torch.autograd.grad((y * case.take("grad_output")).sum(), [x, *weights.values()])
    X = einfft_spectrum(x.detach(), case.hyperparameters["num_blocks"])
    names = ["input.x", *weights]
    return {"output": y, "fft_real": X.real, "fft_imag": X.imag} | {
        f"grad.{name}": gradient for name, gradient in zip(names, gradients, strict=True)
    }
