"""Every baseline is a proper code, and reaches the entropy of sources whose entropy is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from seqaudio.baselines import fit_frame_lpc, fit_histogram, fit_lpc, fit_markov, fit_nlms, linear, nlms
from seqaudio.baselines.laplace import Cells, running_scale
from seqsuite.errors import UserError

LEVELS = 256
LINEAR = np.arange(LEVELS) / 128 - 1
WIDTH = 1 / 128
NAMES = ("order_0", "order_1", "lpc", "frame_lpc", "nlms")


def mu_law(levels):
    x = np.arange(levels) * 2 / levels - 1
    return np.sign(x) * np.expm1(np.abs(x) * math.log(levels)) / (levels - 1)


def fit(name, train, valid, values=LINEAR):
    if name == "order_0":
        return fit_histogram(train, len(values))
    if name == "order_1":
        return fit_markov(train, valid, len(values))
    return {"lpc": fit_lpc, "frame_lpc": fit_frame_lpc, "nlms": fit_nlms}[name](train, valid, values)


def mean_bits(model, clips):
    return np.concatenate(list(model.bits_of(clips))).mean()


def resonance(n, seed, *, a=(1.5, -0.8), scale=0.04):
    """An AR(2) process with Laplace innovations, as 8-bit linear codes."""
    from scipy.signal import lfilter

    x = lfilter([1.0], [1.0, -a[0], -a[1]], np.random.default_rng(seed).laplace(scale=scale, size=n))
    return np.clip(np.rint(x / WIDTH) + 128, 0, 255).astype(np.int64)


@pytest.fixture
def short_segments(monkeypatch):
    monkeypatch.setattr(nlms, "SEGMENT", 64)
    monkeypatch.setattr(nlms, "WARM_UP", 96)


@pytest.fixture(params=[(name, kind) for name in NAMES for kind in ("linear", "mu_law")], ids="-".join)
def fitted_model(request, short_segments, monkeypatch):
    monkeypatch.setattr(nlms, "STEP_SIZES", (0.05,))
    monkeypatch.setattr(linear, "MEMORIES", (128,))
    name, kind = request.param
    values = LINEAR if kind == "linear" else mu_law(LEVELS)
    return fit(name, [resonance(600, 1), resonance(300, 2)], [resonance(400, 3)], values)


def clip_with_extremes():
    clip = resonance(400, 4)
    clip[50:60], clip[100:120], clip[200:280] = 255, 0, 128
    return clip


def test_probabilities_sum_to_one_and_give_the_bits(fitted_model):
    clip = clip_with_extremes()
    p = fitted_model.probabilities(clip)
    assert p.shape == (400, LEVELS)
    np.testing.assert_allclose(p.sum(1), 1, rtol=0, atol=1e-12)
    assert (p > 0).all()
    (bits,) = fitted_model.bits_of([clip])
    np.testing.assert_allclose(bits, -np.log2(p[np.arange(400), clip]), rtol=1e-9)


@pytest.mark.parametrize("place", [1, 63, 64, 200, 399])
def test_no_model_looks_ahead(fitted_model, place):
    clip = clip_with_extremes()
    other = clip.copy()
    other[place:] = np.random.default_rng(0).integers(LEVELS, size=400 - place)
    before, after = fitted_model.probabilities(clip), fitted_model.probabilities(other)
    np.testing.assert_array_equal(before[: place + 1], after[: place + 1])


def test_the_past_matters_to_all_but_the_histogram(fitted_model):
    clip = resonance(300, 5)
    other = clip.copy()
    other[199] = 255 - other[199]
    same = np.array_equal(fitted_model.probabilities(clip)[200], fitted_model.probabilities(other)[200])
    assert same == (fitted_model.name == "order_0")


def test_clips_do_not_touch_each_other(fitted_model):
    clips = [resonance(n, n) for n in (1, 2, 70, 333)]
    together = list(fitted_model.bits_of(clips))
    for clip, bits in zip(clips, together, strict=True):
        assert bits.shape == clip.shape
        np.testing.assert_allclose(next(fitted_model.bits_of([clip])), bits, rtol=1e-4, atol=1e-6)


def test_the_entropy_of_independent_codes():
    p = np.random.default_rng(0).dirichlet(np.ones(16))
    train, valid, test = (np.random.default_rng(seed).choice(16, p=p, size=40_000) for seed in (1, 2, 3))
    entropy = -(p * np.log2(p)).sum()
    spread = math.sqrt((p * np.log2(p) ** 2).sum() - entropy**2) / math.sqrt(len(test))
    assert mean_bits(fit_histogram([train], 16), [test]) == pytest.approx(entropy, abs=4 * spread)
    chain = fit_markov([train], [valid], 16)
    assert mean_bits(chain, [test]) == pytest.approx(entropy, abs=4 * spread)
    assert chain.alpha > 1000  # nothing to learn from the previous code: it leans on the histogram


def test_the_histogram_adds_half_a_count():
    model = fit_histogram([np.array([0, 0, 1])], 4)
    np.testing.assert_allclose(model.p, [2.5 / 5, 1.5 / 5, 0.5 / 5, 0.5 / 5])


def chain(p, n, seed):
    draws, codes = np.random.default_rng(seed).random(n), np.zeros(n, dtype=np.int64)
    ends = p.cumsum(1)
    for t in range(1, n):
        codes[t] = np.searchsorted(ends[codes[t - 1]], draws[t] * ends[codes[t - 1], -1])
    return codes


def test_the_entropy_rate_of_a_markov_chain():
    p = np.random.default_rng(0).dirichlet(np.full(8, 0.3), size=8) + 1e-3
    p /= p.sum(1, keepdims=True)
    values, vectors = np.linalg.eig(p.T)
    stationary = vectors[:, np.argmax(values.real)].real
    stationary /= stationary.sum()
    rate = -(stationary[:, None] * p * np.log2(p)).sum()
    train, valid, test = (chain(p, 30_000, seed) for seed in (1, 2, 3))
    assert mean_bits(fit_markov([train], [valid], 8), [test]) == pytest.approx(rate, abs=0.03)
    assert mean_bits(fit_histogram([train], 8), [test]) > rate + 0.3


def test_smoothing_is_the_best_on_validation():
    train, valid = [np.random.default_rng(1).integers(8, size=200)], [np.random.default_rng(2).integers(8, size=500)]
    model = fit_markov(train, valid, 8)
    counts = np.zeros((8, 8))
    np.add.at(counts, (train[0][:-1], train[0][1:]), 1)

    def bits(alpha):
        p = (counts + alpha * model.first) / (counts.sum(1, keepdims=True) + alpha)
        return -np.log2(p[valid[0][:-1], valid[0][1:]]).sum()

    best = bits(model.alpha)
    assert all(best <= bits(alpha) + 1e-3 for alpha in np.geomspace(1e-3, 1e6, 40))


@pytest.fixture
def few_candidates(monkeypatch):
    monkeypatch.setattr(nlms, "STEP_SIZES", (0.002, 0.02))


@pytest.mark.parametrize(("name", "loss"), [("lpc", 0.01), ("frame_lpc", 0.05), ("nlms", 0.05)])
def test_the_entropy_rate_of_a_resonance(name, loss, few_candidates):
    scale = 0.04
    train, valid, test = ([resonance(40_000, seed, scale=scale)] for seed in (1, 2, 3))
    # Fine cells: the rate is the innovations' differential entropy less the logarithm of a cell.
    rate = math.log2(2 * math.e * scale / WIDTH)
    spread = 1 / math.log(2) / math.sqrt(40_000)
    found = mean_bits(fit(name, train, valid), test)
    assert rate - 3 * spread < found < rate + loss + 3 * spread
    assert mean_bits(fit_markov(train, valid, LEVELS), test) > rate + 0.4


@pytest.mark.parametrize(("name", "share"), [("frame_lpc", 0.8), ("nlms", 0.2)])
def test_adaptive_filters_follow_a_source_that_changes(name, share, few_candidates):
    """They win back a share of what one filter for both halves loses; least mean squares is slow on such sounds."""

    def clip(seed):
        return np.concatenate([resonance(6000, seed + k, a=((1.5, -0.8), (-1.5, -0.8))[k % 2]) for k in range(4)])

    train, valid, test = [clip(10)], [clip(20)], [clip(30)]
    rate, fixed = math.log2(2 * math.e * 0.04 / WIDTH), mean_bits(fit_lpc(train, valid, LINEAR), test)
    assert fixed > rate + 0.5
    assert fixed - mean_bits(fit(name, train, valid), test) > share * (fixed - rate)


def test_a_scale_that_adapts_is_chosen_where_loudness_changes():
    def clip(seed):
        return np.concatenate([resonance(2000, seed + k, scale=(0.002, 0.05)[k % 2]) for k in range(8)])

    changing = fit_lpc([clip(10)], [clip(20)], LINEAR)
    steady = fit_lpc([resonance(16_000, 1)], [resonance(16_000, 2)], LINEAR)
    assert changing.decay < 1
    assert steady.decay >= 0.998


def test_lpc_finds_the_coefficients():
    model = fit_lpc([resonance(100_000, 1)], [resonance(500, 2)], LINEAR, order=2)
    np.testing.assert_allclose(model.weights, [1.5, -0.8], atol=0.02)


def test_the_running_scale_is_its_recursion():
    errors, scale, expected = np.random.default_rng(0).normal(size=30), 0.7, []
    for error in errors:
        expected.append(scale)
        scale = 0.9 * scale + 0.1 * abs(error)
    np.testing.assert_allclose(running_scale(errors, 0.7, 0.9), expected)
    assert (running_scale(errors, 0.7, 1.0) == 0.7).all()


def plain_nlms(x, weights, step_size, delta):
    """One sample after the other, in double precision."""
    w, predicted = weights.copy(), []
    for t in range(len(x)):
        past = np.array([x[t - k - 1] if t > k else 0.0 for k in range(len(w))])
        predicted.append(w @ past)
        w = w + step_size * (x[t] - predicted[-1]) * past / (delta + past @ past)
    return np.array(predicted)


def test_nlms_side_by_side_is_nlms_one_by_one(short_segments):
    signals = [LINEAR[resonance(n, n)] for n in (40, 64, 200)]
    model = nlms.NLMS(Cells(LINEAR), 0.1, 1.0, np.array([1.2, -0.5, 0.1]), 0.05)
    delta = 3 * (0.2 * WIDTH) ** 2
    for x, found in zip(signals, model.predict(signals), strict=True):
        for first in range(0, len(x), 64):
            begin = max(0, first - 96)
            # What lies before the warm-up is history, but did not move the filter.
            history = np.concatenate((np.zeros(3), x))[begin : begin + 3]
            expected = _restarted(history, x[begin : first + 64], model.weights, 0.05, delta)[first - begin :]
            np.testing.assert_allclose(found[first : first + 64], expected, atol=2e-6)
    np.testing.assert_allclose(
        model.predict(signals[:1])[0], plain_nlms(signals[0], model.weights, 0.05, delta), atol=2e-6
    )


def _restarted(history, x, weights, step_size, delta):
    order, w, predicted = len(weights), weights.copy(), []
    values = np.concatenate((history, x))
    for t in range(len(x)):
        past = values[t : t + order][::-1]
        predicted.append(w @ past)
        w = w + step_size * (x[t] - predicted[-1]) * past / (delta + past @ past)
    return np.array(predicted)


def test_frame_filters_are_least_squares_of_the_past():
    x = LINEAR[resonance(6 * linear.FRAME, 7)]
    model = fit_frame_lpc([resonance(2000, 1)], [resonance(500, 2)], LINEAR)
    order, frame = len(model.ridge) - 1, linear.FRAME
    rows = np.array([[x[t - k] if t >= k else 0.0 for k in range(order + 1)] for t in range(len(x))])
    for number in range(6):
        past = rows[: number * frame]
        age = number - 1 - np.arange(len(past)) // frame
        known = (past * np.exp(-frame / model.memory * age)[:, None]).T @ past + model.ridge
        weights = np.linalg.solve(known[1:, 1:], known[1:, 0])
        here = slice(number * frame, (number + 1) * frame)
        np.testing.assert_allclose(model.predict([x])[0][here], rows[here, 1:] @ weights, atol=1e-9)


def test_frame_filters_in_parts_are_frame_filters_at_once(monkeypatch):
    model = fit_frame_lpc([resonance(2000, 1)], [resonance(500, 2)], LINEAR)
    x = LINEAR[resonance(1500, 7)]
    whole = model.predict([x])[0]
    monkeypatch.setattr(linear, "_FRAMES_AT_ONCE", 3)
    np.testing.assert_allclose(model.predict([x])[0], whole, atol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_silence_costs_next_to_nothing(name, few_candidates):
    silence = [np.full(5000, 128)]
    assert mean_bits(fit(name, silence, silence), silence) < 0.05


@pytest.mark.parametrize("name", NAMES)
def test_bad_clips_are_told(name):
    good = [resonance(100, 1)]
    for bad, error, message in (
        ([np.array([0, 256])], ValueError, r"training clip 0: codes 0\.\.256"),
        (good + [np.array([-1])], ValueError, r"training clip 1: codes -1"),
        ([np.array([0.5])], ValueError, "integer codes"),
        ([np.zeros((2, 2), dtype=int)], ValueError, "vector"),
        ([], UserError, "The training split holds no samples"),
        ([np.zeros(0, dtype=int)], UserError, "The training split holds no samples"),
        (iter(good), TypeError, "training: clips are passed over several times"),
        (good[0], TypeError, "list of clips"),
    ):
        with pytest.raises(error, match=message):
            fit(name, bad, good)
        if name != "order_0":
            with pytest.raises(error, match=message.replace("training", "validation")):
                fit(name, good, bad)


def test_other_bad_input_is_told():
    good = [resonance(100, 1)]
    with pytest.raises(ValueError, match="must ascend"):
        fit_lpc(good, good, LINEAR[::-1])
    with pytest.raises(ValueError, match="order: 0"):
        fit_lpc(good, good, LINEAR, order=0)
    with pytest.raises(UserError, match="12 bits or fewer"):
        fit_markov(good, good, 2**16)
