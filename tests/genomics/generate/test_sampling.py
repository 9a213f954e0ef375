"""The laws of temperature, top-k and top-p."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqdna.generation import Sampling
from seqsuite.errors import UserError

logits = st.lists(st.floats(-8, 8), min_size=4, max_size=4)


def log_softmax(values) -> np.ndarray:
    values = np.asarray(values)
    return values - np.log(np.exp(values).sum())


@settings(deadline=None)
@given(values=logits, temperature=st.floats(0.05, 5))
def test_temperature_divides_the_logits(values, temperature) -> None:
    expected = np.exp(log_softmax(np.asarray(values) / temperature))
    np.testing.assert_allclose(Sampling(temperature).probabilities(log_softmax(values)), expected, atol=1e-9)


@settings(deadline=None)
@given(values=logits, k=st.integers(1, 4))
def test_top_k_keeps_the_k_likeliest_in_proportion(values, k) -> None:
    p = np.exp(log_softmax(values))
    got = Sampling(top_k=k).probabilities(np.log(p))
    kept = np.flatnonzero(got)
    assert len(kept) == k
    assert p[kept].min() >= np.delete(p, kept).max(initial=0)
    np.testing.assert_allclose(got[kept], p[kept] / p[kept].sum(), rtol=1e-9)


@settings(deadline=None)
@given(values=logits, share=st.floats(0.01, 1))
def test_top_p_keeps_the_fewest_that_reach_it(values, share) -> None:
    p = np.exp(log_softmax(values))
    got = Sampling(top_p=share).probabilities(np.log(p))
    kept = np.flatnonzero(got)
    assert p[kept].sum() >= share - 1e-9
    assert p[kept].sum() - p[kept].min() < share + 1e-9
    assert p[kept].min() >= np.delete(p, kept).max(initial=0)
    np.testing.assert_allclose(got[kept], p[kept] / p[kept].sum(), rtol=1e-9)


def test_temperature_0_takes_the_likeliest() -> None:
    logp = log_softmax(np.random.default_rng(0).normal(size=(50, 4)))
    draws = Sampling(0).draw(logp, np.random.default_rng(1).random(50))
    np.testing.assert_array_equal(draws, logp.argmax(-1))


def test_top_p_counts_what_top_k_left() -> None:
    """0.5, 0.3, 0.15, 0.05: the best two are 5/8 and 3/8 of what top_k = 2 leaves."""
    logp = np.log([0.3, 0.5, 0.05, 0.15])
    np.testing.assert_allclose(Sampling(top_k=2, top_p=0.6).probabilities(logp), [0, 1, 0, 0])
    np.testing.assert_allclose(Sampling(top_k=2, top_p=0.7).probabilities(logp), [3 / 8, 5 / 8, 0, 0])


@settings(deadline=None)
@given(values=logits, uniform=st.floats(0, 1, exclude_max=True))
def test_a_base_that_may_not_be_drawn_never_is(values, uniform) -> None:
    sampling = Sampling(top_k=2)
    code = sampling.draw(log_softmax(values), np.array(uniform))
    assert sampling.probabilities(log_softmax(values))[code] > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -1}, "--temperature is -1"),
        ({"temperature": float("nan")}, "--temperature is nan"),
        ({"top_k": 5}, "--top-k is 5"),
        ({"top_p": 0}, "--top-p is 0"),
        ({"top_p": 1.5}, r"--top-p is 1\.5"),
    ],
)
def test_impossible_options(options, message) -> None:
    with pytest.raises(UserError, match=message):
        Sampling(**options)
