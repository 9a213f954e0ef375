"""Codes of samples against the audio loader of state-spaces/s4."""

from __future__ import annotations

import torch
from torch import Tensor

from seqaudio.quantization import Quantizer, normalize
from seqsuite.testing.parity import Case, adapter


@adapter("audio_quant")
def audio_quant(case: Case) -> dict[str, Tensor]:
    wave, levels = case.take("wave"), case.take("levels")
    scaled = torch.stack([normalize(clip, "minmax") for clip in wave])
    bits = case.hyperparameters["bits"]
    mu_law, linear = Quantizer(bits, "mu_law"), Quantizer(bits, "linear")
    codes, equal_codes = mu_law.encode(scaled), linear.encode(scaled)
    sequences = codes[..., 0]
    return {
        "mu_law": codes,
        "linear": equal_codes,
        "mu_law_decoded": mu_law.decode(codes),
        "linear_decoded": linear.decode(equal_codes),
        "levels_mu_decoded": mu_law.decode(levels),
        "levels_linear_decoded": linear.decode(levels),
        "ar_input": torch.cat((torch.full_like(sequences[:, :1], mu_law.zero), sequences[:, :-1]), 1),
    }
