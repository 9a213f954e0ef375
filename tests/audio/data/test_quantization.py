"""Codes: cells of the published formula, silence exact, order kept, the error bounded."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch

from seqaudio.quantization import Quantizer, normalize
from seqsuite.errors import UserError

EVERY = [Quantizer(bits, kind) for bits in range(4, 17) for kind in ("mu_law", "linear")]
NAMES = [f"{quantizer.kind}{quantizer.bits}" for quantizer in EVERY]


@pytest.mark.parametrize("quantizer", EVERY, ids=NAMES)
def test_silence_is_the_middle_code_and_comes_back_as_zero(quantizer):
    codes = quantizer.encode(torch.zeros(3))
    assert codes.tolist() == [quantizer.levels // 2] * 3 == [quantizer.zero] * 3
    assert quantizer.decode(codes).tolist() == [0.0] * 3


@pytest.mark.parametrize("quantizer", EVERY, ids=NAMES)
def test_codes_span_all_levels_in_order_and_no_more(quantizer):
    samples = torch.linspace(-1, 1, 4 * quantizer.levels + 1, dtype=torch.float64)
    codes = quantizer.encode(samples)
    assert (codes[0], codes[-1]) == (0, quantizer.levels - 1)
    assert (codes.diff() >= 0).all()
    assert torch.equal(quantizer.encode(samples * 3), quantizer.encode((samples * 3).clamp(-1, 1)))
    values = quantizer.decode(torch.arange(quantizer.levels))
    assert (values.diff() > 0).all()
    assert values[0] == -1
    assert values[-1] < 1


@pytest.mark.parametrize("bits", range(4, 17))
def test_linear_codes_are_the_formula_in_exact_arithmetic(bits):
    samples = np.random.default_rng(0).uniform(-1, 1, 400).astype(np.float32)
    levels = 2**bits
    exact = [int((Fraction(float(x)) + 1) / 2 * (levels - Fraction(1, 100)) + Fraction(1, 200)) for x in samples]
    assert Quantizer(bits, "linear").encode(samples).tolist() == exact
    values = Quantizer(bits, "linear").decode(np.arange(levels))
    assert np.array_equal(values, (np.arange(levels) / (levels / 2) - 1).astype(np.float32))


@pytest.mark.parametrize("quantizer", EVERY, ids=NAMES)
def test_a_code_stands_for_a_sample_at_most_a_cell_away(quantizer):
    samples = torch.rand(4000, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    error = (quantizer.decode(quantizer.encode(samples)) - samples).abs()
    if quantizer.kind == "linear":
        cell = torch.full_like(samples, 2 / quantizer.levels)
    else:  # the slope of the law's inverse at the sample's place, one cell on
        mu = quantizer.levels - 1
        cell = 2 / quantizer.levels * np.log1p(mu) * (1 / mu + samples.abs()) * (1 + mu) ** (2 / quantizer.levels)
    # Cells of encoding are wider than those of decoding by the margin, at most 0.005 of a cell over the range.
    assert (error <= cell * 1.02 + 1e-7).all()


@pytest.mark.parametrize("quantizer", EVERY, ids=NAMES)
def test_arrays_and_tensors_have_the_same_codes_in_their_own_shape(quantizer):
    samples = np.random.default_rng(1).uniform(-1, 1, (3, 50, 2)).astype(np.float32)
    codes = quantizer.encode(samples)
    assert isinstance(codes, np.ndarray)
    assert codes.dtype == np.int64
    assert np.array_equal(codes, quantizer.encode(torch.from_numpy(samples)).numpy())
    assert np.array_equal(codes[:, 7:9], quantizer.encode(samples[:, 7:9]))
    decoded = quantizer.decode(codes)
    assert decoded.dtype == np.float32
    assert np.array_equal(decoded, quantizer.decode(torch.from_numpy(codes)).numpy())


def test_mu_law_is_finer_for_quiet_sound():
    quiet = 0.01 * torch.sin(torch.arange(2000.0))
    errors = [
        (Quantizer(8, kind).decode(Quantizer(8, kind).encode(quiet)) - quiet).square().mean()
        for kind in ("mu_law", "linear")
    ]
    assert errors[0] < errors[1] / 30


def test_what_has_no_code():
    with pytest.raises(ValueError, match="NaN or infinite"):
        Quantizer().encode(torch.tensor([0.0, float("nan")]))
    with pytest.raises(TypeError, match="floats"):
        Quantizer().encode(np.arange(3))
    for bits in (3, 17):
        with pytest.raises(UserError, match="4 to 16 bits"):
            Quantizer(bits)
    with pytest.raises(UserError, match=r"Unknown quantization 'mulaw'\. Did you mean 'mu_law'"):
        Quantizer(8, "mulaw")


@pytest.mark.parametrize("as_given", [np.asarray, torch.tensor])
def test_levels_of_a_clip(as_given):
    clip = as_given([0.1, -0.4, 0.2])
    assert np.allclose(normalize(clip, "none"), [0.1, -0.4, 0.2])
    assert np.allclose(normalize(clip, "peak"), [0.25, -1, 0.5])
    assert np.allclose(normalize(clip, "minmax"), [2 * 0.5 / 0.6 - 1, -1, 1], atol=1e-5)
    assert np.allclose(clip, [0.1, -0.4, 0.2])
    assert not np.any(np.asarray(normalize(clip * 0, "peak")))
    for how in ("none", "peak", "minmax"):
        changed = normalize(clip, how)
        assert type(changed) is type(clip)
        assert changed.dtype == clip.dtype
        changed[0] = 9
        assert float(clip[0]) == pytest.approx(0.1)
        assert normalize(clip[:0], how).shape == (0,)
    with pytest.raises(UserError, match="Unknown normalization"):
        normalize(clip, "loud")
