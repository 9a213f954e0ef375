"""Scores of sets of clips against the public evaluation of SaShiMi."""

from __future__ import annotations

import torch
from torch import Tensor

from seqaudio.metrics import am_score, fid, inception_score, modified_inception_score, ndb
from seqsuite.testing.parity import Case, adapter


@adapter("audio_metrics")
def audio_metrics(case: Case) -> dict[str, Tensor]:
    features = case.take("feat_data"), case.take("feat_gen")
    real, made = case.take("probs_data"), case.take("probs_gen")
    results = {
        "fid": fid(*features),
        "is": inception_score(made, as_published=True),
        "mis": modified_inception_score(made, pairs=10_000, seed=0),
        "mis_exact": modified_inception_score(made),
        "am": am_score(real, made),
        "ndb": ndb(*features, bins=case.hyperparameters["k_bins"]),
    }
    return {name: torch.tensor(value) for name, value in results.items()}
