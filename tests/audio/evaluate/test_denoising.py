"""The error of a diffusion model by the amount of noise."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from seqaudio.data import find_audio
from seqaudio.evaluation import DenoisingEvaluation, denoising_errors, evaluate, score_files
from seqsuite.errors import UserError


def test_a_model_that_predicts_nothing_has_the_error_one(load_debug, sources) -> None:
    model = load_debug("diffwave_sashimi_debug")  # its last layer is zero at first
    result = evaluate(model, sources, on_error="skip")
    assert isinstance(result, DenoisingEvaluation)
    assert result.sizes.sum() == 701 + 4003 + 2500 + 4003  # one sample is no sound
    assert len(result.skipped) == 1
    # Mean of n squared normals: standard deviation sqrt(2 / n).
    np.testing.assert_allclose(result.group_errors, 1, atol=5 * np.sqrt(2 / result.sizes.sum()))
    assert result.mean_squared_error == pytest.approx(result.group_errors.mean(), rel=1e-6)
    steps = [step for first, last in result.steps for step in range(first, last + 1)]
    assert steps == list(range(200))
    assert len(result.table()) == 11
    assert result.figure().axes


def test_the_rows_of_a_batch_change_nothing_and_the_seed_does(load_debug, sources) -> None:
    model = load_debug("diffwave_sashimi_debug")
    with torch.no_grad():
        model.model.head.weight.normal_(generator=torch.Generator().manual_seed(1))
    files = [file for file in find_audio(sources).files if file.frames > 1]
    one, many, other = (
        denoising_errors(model, files, rows=rows, seed=seed, length=1000).errors
        for rows, seed in ((1, 0), (7, 0), (7, 1))
    )
    np.testing.assert_allclose(one, many, rtol=1e-4)
    assert not np.allclose(many, other, rtol=1e-4)


def test_bits_are_not_asked_of_a_diffusion_model(load_debug, sources) -> None:
    with pytest.raises(UserError, match="diffusion"):
        score_files(load_debug("diffwave_sashimi_debug"), find_audio(sources).files, block_length=10)
