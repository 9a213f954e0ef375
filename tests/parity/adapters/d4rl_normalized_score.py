"""D4RL's normalised scores: our table and formula against the published ones (only names are taken from the case)."""

from __future__ import annotations

import torch
from torch import Tensor

from seqrl.scores import d4rl_reference, normalized_score
from seqsuite.testing.parity import Case, adapter


@adapter("d4rl_normalized_score")
def d4rl_normalized_score(case: Case) -> dict[str, Tensor]:
    names = list(case.hyperparameters["ref"])
    chosen, returns = case.take("env_index"), case.take("raw_return")
    scores = [
        normalized_score(value, d4rl_reference(names[index]))
        for index, value in zip(chosen.tolist(), returns.tolist(), strict=True)
    ]
    return {"normalized": torch.tensor(scores, dtype=torch.float64)}
