"""Bits per sample: chunks change nothing, every sample counts once, and the probabilities sum to 1."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import soundfile
import torch

from seqaudio.data import find_audio, read_audio, split_files
from seqaudio.evaluation import AudioEvaluation, evaluate, evaluate_files, score_files
from seqaudio.evaluation.likelihood import CONTEXTS
from seqsuite.errors import UserError

RATE = 8000


def whole(model, file) -> np.ndarray:
    """Bits of each sample by one pass over the file, written down anew."""
    codes = torch.from_numpy(model.quantizer.encode(read_audio(file, rate=RATE)[:, 0]))
    inputs = torch.cat((torch.tensor([model.quantizer.zero]), codes[:-1]))
    with torch.no_grad():
        logp = model.model(inputs[None]).double().log_softmax(-1)[0]
    return -logp[torch.arange(len(codes)), codes].numpy() / math.log(2)


@pytest.mark.parametrize("name", ["sashimi_debug", "sashimi_unet_debug", "tcn_debug"])
@pytest.mark.parametrize(("chunk", "rows"), [(97, 3), (1024, 1), (8192, 16)])
def test_chunks_and_company_change_nothing(load_debug, sources, name, chunk, rows) -> None:
    model, files = load_debug(name), find_audio(sources).files
    found = score_files(model, files, block_length=500, chunk=chunk, rows=rows)
    for file, score in zip(files, found, strict=True):
        bits = whole(model, file)
        assert score.path == file.path
        assert score.samples == len(bits) == file.frames
        sums = [bits[first : first + 500].sum() for first in range(0, len(bits), 500)]
        np.testing.assert_allclose(score.block_sums, sums, rtol=1e-5)
        edges = [*CONTEXTS, 1 << 60]
        for group, (low, high) in enumerate(itertools.pairwise(edges)):
            np.testing.assert_allclose(score.context_sums[group], bits[low:high].sum(), rtol=1e-5, atol=1e-9)
            assert score.context_counts[group] == len(bits[low:high])


def test_the_probabilities_of_what_may_follow_sum_to_one(load_debug, tmp_path) -> None:
    model = load_debug("sashimi_debug", bits=4, quantization="linear")
    middles = (np.arange(16) - 8 + 0.5) / (15.99 / 2)  # of the cells
    assert model.codes(middles).tolist() == list(range(16))
    begun = middles[[8, 3, 12, 12, 0, 7, 9]]
    for last in range(16):
        soundfile.write(tmp_path / f"{last:02d}.wav", np.append(begun, middles[last]), RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "begun.wav", begun, RATE, subtype="FLOAT")
    *ends, start = score_files(model, find_audio(tmp_path).files, block_length=3, chunk=5, rows=4)
    assert len(ends) == 16
    assert sum(2.0 ** (start.bits - end.bits) for end in ends) == pytest.approx(1, abs=1e-5)


def test_a_level_is_that_of_the_whole_file(load_debug, sources) -> None:
    files = [file for file in find_audio(sources).files if file.frames > 1]
    plain, levelled = load_debug("sashimi_debug"), load_debug("sashimi_debug", normalize="peak")
    for file, score in zip(files, score_files(levelled, files, block_length=100, chunk=64), strict=True):
        samples = read_audio(file, rate=RATE)[:, 0]
        codes = torch.from_numpy(plain.quantizer.encode(samples / np.abs(samples).max()))[None]
        inputs = torch.cat((torch.full((1, 1), 128), codes[:, :-1]), 1)
        with torch.no_grad():
            logp = plain.model(inputs).log_softmax(-1).gather(2, codes[..., None])
        assert score.bits == pytest.approx(-float(logp.sum()) / math.log(2), rel=1e-5)


def test_the_figure_weights_samples_and_pairs_with_the_baselines(load_debug, sources) -> None:
    model, files = load_debug("sashimi_debug"), find_audio(sources).files
    result = evaluate_files(model, files, split_files(files, 0.2, 0.0), block_seconds=0.05)
    assert isinstance(result, AudioEvaluation)
    bits = np.concatenate([whole(model, file) for file in files])
    assert result.bits_per_sample == pytest.approx(bits.mean(), rel=1e-5)
    assert result.interval.low < bits.mean() < result.interval.high
    assert set(result.differences) == {"order_0", "order_1", "lpc", "frame_lpc", "nlms"}
    for name, difference in result.differences.items():
        beside = result.baselines.bits_per_sample[name]
        assert difference.mean == pytest.approx(result.bits_per_sample - beside, abs=1e-6)
        # Pairing can only help where both find the same blocks hard.
        assert difference.low < difference.mean < difference.high
    assert result.table()[-1]["bits per sample"] <= result.table()[0]["bits per sample"]
    assert sum(row["samples"] for row in result.context_table()) == len(bits)
    assert any("linear samples only" in note for note in result.notes)
    assert result.figure().axes


def test_flac_is_not_explained_away_on_linear_samples(load_debug, sources) -> None:
    model, files = load_debug("sashimi_debug", quantization="linear"), find_audio(sources).files
    result = evaluate_files(model, files, split_files(files, 0.2, 0.0))
    assert result.baselines.flac is not None
    assert not any("FLAC" in note for note in result.notes)


def test_little_sound_has_an_interval_from_short_blocks(load_debug, sources) -> None:
    found = evaluate(load_debug("sashimi_debug"), sources / "clip0.wav", baselines=False)
    assert found.interval.blocks == 5  # four of 701 // 4 samples, and what is left
    assert found.interval.low < found.bits_per_sample < found.interval.high
    assert any("blocks of 0.0219 s" in note for note in found.notes)


def test_too_little_sound_and_no_files_are_told_before_measuring(load_debug, sources) -> None:
    model, told = load_debug("sashimi_debug"), []
    with pytest.raises(UserError, match="one sample long"):
        evaluate_files(model, find_audio(sources / "clip2.wav").files, progress=told.append)
    assert not told
    with pytest.raises(UserError, match="held out"):
        evaluate(model)
    with pytest.raises(UserError, match="belong together"):
        evaluate(model, sources, baselines=False, generated=sources, on_error="skip")
