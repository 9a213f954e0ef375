"""DiffWave-SaShiMi against albertfgu/diffwave-sashimi: the model, its gradients, the schedule, the reverse process."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.func import functional_call

from seqaudio.convert_diffwave import config_from_published, from_published
from seqaudio.models.diffwave import DiffWave
from seqaudio.models.diffwave_layers import step_features
from seqsuite.objectives.diffusion import Diffusion
from seqsuite.testing.parity import Case, adapter


@adapter("diffwave_sashimi")
def diffwave_sashimi(case: Case) -> dict[str, Tensor]:
    # The cases were made on a CPU: there the published sum over modes lacks the conjugates.
    config = replace(config_from_published(case.hyperparameters, case.weights), s4_kernel="half_spectrum")
    model = DiffWave(config)
    leaves = {
        name: x.clone().requires_grad_() if x.is_floating_point() else x.clone() for name, x in case.weights.items()
    }
    audio, steps = case.take("audio").requires_grad_(), case.take("steps")[:, 0]
    condition = {"mel": case.take("mel")} if config.conditional else {}
    eps = functional_call(model, from_published(leaves, config), (audio.mT, steps), condition).mT
    wanted = {name: x for name, x in leaves.items() if x.requires_grad} | {"audio": audio}
    grads = torch.autograd.grad((eps * case.take("gy")).sum(), list(wanted.values()))
    results = {f"grad.{name}": grad for name, grad in zip(wanted, grads, strict=True)}
    process = model.process()
    results |= {
        "eps": eps,
        "embed": step_features(steps, config.step_embed_in),
        "Beta": process.betas,
        "Alpha_bar": process.alpha_bars,
        "Sigma": process.sigmas,
    }
    return results if config.conditional else results | {"x_0": reverse(case, model)}


def reverse(case: Case, model: DiffWave) -> Tensor:
    model.load_state_dict(from_published(case.weights, model.config))
    given = case.hyperparameters["sampling"]
    process = Diffusion.linear(given["T"], given["beta_0"], given["beta_T"])
    noises = case.take("noises").transpose(2, 3)
    return process.sample(model.eval(), case.take("x_T").mT, noises=noises).mT
