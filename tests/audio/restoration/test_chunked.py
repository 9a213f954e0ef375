"""Chunks with a cross-fade: shape, seams, agreement with the whole file, refusals."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from seqaudio.configs.restoration import RestorationConfig
from seqaudio.models.restoration import RestorationModel
from seqaudio.restoration import restore
from seqaudio.restoration.chunked import fade_in, plan
from seqsuite.errors import UserError

from .conftest import RATE, SMALL, music, perturbed


class Made(nn.Module):
    """A model that is a function."""

    def __init__(self, function) -> None:
        super().__init__()
        self.function = function
        self.config = SimpleNamespace(sample_rate=RATE, hop=160)

    def forward(self, x):
        return self.function(x)


@pytest.mark.parametrize("frames", [1, 159, 1600, 1601, 16000, 50001])
@pytest.mark.parametrize("channels", [None, 1, 3])
def test_the_identity_gives_its_input_with_every_frame(frames, channels):
    shape = (frames,) if channels is None else (frames, channels)
    samples = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    out = restore(Made(lambda x: x), samples, RATE, chunk_seconds=0.5, overlap_seconds=0.1, batch=2)
    assert out.shape == shape
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, samples, atol=1e-6)


@pytest.mark.parametrize(("frames", "chunk", "overlap"), [(1, 4, 2), (100, 30, 10), (90, 30, 0), (101, 20, 10)])
def test_chunks_cover_everything_and_weights_sum_to_one(frames, chunk, overlap):
    spans = plan(frames, chunk, overlap)
    assert spans[0][0] == 0
    assert spans[-1][1] == frames
    weight = np.zeros(frames)
    for number, (start, end) in enumerate(spans):
        own = np.ones(end - start)
        if number:
            assert spans[number - 1][1] - start == overlap
            own[:overlap] = fade_in(overlap)
        if number + 1 < len(spans):
            own[len(own) - overlap :] *= 1 - fade_in(overlap)
        weight[start:end] += own
    np.testing.assert_allclose(weight, 1, atol=1e-6)


def test_chunks_that_disagree_are_faded_linearly():
    calls = iter(range(100))
    out = restore(
        Made(lambda x: torch.full_like(x, next(calls))), np.zeros(8000, np.float32), RATE,
        chunk_seconds=0.3, overlap_seconds=0.1, batch=1,
    )  # fmt: skip
    step = np.diff(out)
    assert out[0] == 0
    assert (step >= 0).all()
    assert step.max() <= 1 / 799  # 800 frames of fading in an overlap of 1,600
    assert (out[3200 : 3200 + 400] == 0).all()


def test_a_model_of_finite_reach_is_the_whole_file_exactly():
    torch.manual_seed(0)
    options = SMALL | {"mixer": "tcn", "mixer_options": {"levels": 2, "kernel_size": 2}}
    model = perturbed(RestorationModel(RestorationConfig(**options)))
    # Each direction sees 6 frames; with the windows of the spectra that is below 8 x 160 samples, and an
    # overlap of 0.4 s leaves 1,600 samples of context at either side of the fade.
    samples = music(2.0, channels=2)
    whole = restore(model, samples, RATE, chunk_seconds=10, overlap_seconds=1)
    chunked = restore(model, samples, RATE, chunk_seconds=0.9, overlap_seconds=0.4, batch=3)
    assert np.abs(whole - samples).max() > 1e-2
    np.testing.assert_allclose(chunked, whole, atol=1e-5)


def test_a_state_space_agrees_far_from_seams_and_closely_at_them(small):
    samples = music(4.0)
    whole = restore(small, samples, RATE)
    chunked = restore(small, samples, RATE, chunk_seconds=2.0, overlap_seconds=0.8)
    gap = np.abs(chunked - whole)[:, 0]
    level = np.abs(whole - samples).max()
    assert level > 1e-2
    # Seams are at 1.6 s and 2.8 s; the mixer forgets by 1 / e in 0.2 s at most, and a fade ends 0.2 s inside a chunk.
    assert gap[: RATE // 2].max() < 0.005 * level
    assert gap.max() < 0.3 * level


def test_rows_of_a_batch_do_not_change_the_result(small):
    samples = music(1.5, channels=2)
    one, many = (restore(small, samples, RATE, chunk_seconds=0.5, overlap_seconds=0.1, batch=b) for b in (1, 8))
    np.testing.assert_allclose(one, many, atol=1e-6)


def test_training_mode_is_left_as_it_was(small):
    small.train()
    restore(small, music(0.2), RATE)
    assert small.training


def frame_7_is_nan(samples: np.ndarray) -> np.ndarray:
    samples[7] = np.nan
    return samples


@pytest.mark.parametrize(("model", "samples", "rate", "options", "message"), [
    (lambda x: x, music(0.1), 8000, {}, r"^a.wav has 8000 samples a second, the model wants 16000; .*--resample"),
    (lambda x: x, np.zeros((0, 1)), RATE, {}, "^a.wav holds no sample$"),
    (lambda x: x, frame_7_is_nan(music(0.1)), RATE, {}, "^a.wav: frame 7 is NaN or infinite"),
    (lambda x: x, np.zeros((2, 2, 2)), RATE, {}, "^a.wav has the shape"),
    (lambda x: x[:, :-1], music(0.1), RATE, {}, "^a.wav: .* does not keep the number of frames"),
    (lambda x: x / 0, music(0.1), RATE, {}, "^a.wav: the model's result holds NaN or infinity"),
    (lambda x: x, music(0.1), RATE, {"chunk_seconds": 1, "overlap_seconds": 0.6}, "at least twice as long"),
    (lambda x: x, music(0.1), RATE, {"overlap_seconds": -1.0}, "at least 0"),
    (lambda x: x, music(0.1), RATE, {"batch": 0}, "batch is 0"),
])  # fmt: skip
def test_refusals_are_one_line(model, samples, rate, options, message):
    with pytest.raises(UserError, match=message) as caught:
        restore(Made(model), samples, rate, name="a.wav", **options)
    assert "\n" not in str(caught.value)
