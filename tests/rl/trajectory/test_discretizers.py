"""Numbers as tokens: bins hold what they say, whatever the data; JSON round trips exactly."""

from __future__ import annotations

import json

import numpy as np
import pytest

from seqrl.data.discretizers import Discretizer, fit_discretizer
from seqsuite.errors import UserError

STRATEGIES = ("quantile", "uniform", "percentile")
RNG = np.random.default_rng(0)
DATA = {
    "plain": RNG.normal(size=(400, 3)),
    "few": RNG.normal(size=(5, 3)),
    "one": RNG.normal(size=(1, 3)),
    "odd": RNG.normal(size=(25, 3)),
    "constant": np.full((30, 3), 2.5),
    "repeated": RNG.integers(0, 3, size=(60, 3)).astype(float),
}


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("name", list(DATA))
def test_a_number_is_decoded_within_its_bin(strategy, name):
    rows = DATA[name]
    found = fit_discretizer(rows, 8, strategy=strategy)
    tokens = found.encode(rows)
    assert found.edges.shape == (9, 3)
    assert tokens.min() >= 0
    assert tokens.max() < 8
    width = np.take_along_axis(np.diff(found.edges, axis=0), tokens, 0)
    assert (np.abs(found.decode(tokens) - rows) <= width + 1e-4 * (1 + np.abs(rows))).all()


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("name", list(DATA))
def test_encoding_rises_and_keeps_what_it_decoded(strategy, name):
    found = fit_discretizer(DATA[name], 8, strategy=strategy)
    line = np.sort(np.concatenate((np.linspace(-9, 9, 301), found.edges[:, 0])))
    assert (np.diff(found.encode(np.stack([line] * 3, 1)), axis=0) >= 0).all()
    every = np.stack([np.arange(8)] * 3, 1)
    again = found.encode(found.decode(every))
    wide = np.diff(found.edges, axis=0) > 1e-3 * (1 + np.abs(found.edges[1:]))
    assert (again[wide] == every[wide]).all()


def test_quantiles_hold_equally_many():
    rows = RNG.permutation(800.0 * np.arange(1, 801))[:, None]
    tokens = fit_discretizer(rows, 10).encode(rows)
    assert np.bincount(tokens[:, 0]).tolist() == [80] * 10


def test_a_stop_token_is_decoded_as_the_last_bin_and_a_part_of_a_row_by_its_place():
    found = fit_discretizer(DATA["plain"], 8)
    assert np.array_equal(found.decode(np.array([8, 8, 8])), found.centers[-1])
    whole = found.encode(DATA["plain"])
    assert np.array_equal(found.encode(DATA["plain"][:, 1:], first=1), whole[:, 1:])
    assert np.array_equal(found.decode(whole[:, 2:], first=2), found.decode(whole)[:, 2:])


def test_json_keeps_every_bit():
    found = fit_discretizer(DATA["plain"], 8)
    again = Discretizer.from_dict(json.loads(json.dumps(found.to_dict())))
    assert np.array_equal(again.edges, found.edges)
    assert again.strategy == found.strategy


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fit_discretizer(np.zeros((0, 3))), "at least one row"),
        (lambda: fit_discretizer(np.zeros(3)), r"must be \(n, T\)"),
        (lambda: fit_discretizer(np.zeros((3, 3)), 0), "bins must be at least 1"),
        (lambda: fit_discretizer(np.array([[1.0, np.nan]])), "row 0 of the data has nan as number 1"),
        (lambda: fit_discretizer(DATA["plain"]).encode(np.array([np.nan])), "is NaN"),
        (lambda: fit_discretizer(DATA["plain"]).encode(np.zeros(4)), "of a row that has 3"),
        (lambda: Discretizer.from_dict({}), "knows no discretizer"),
        (lambda: Discretizer.from_dict({"edges": [[1], [0]], "strategy": "quantile"}), "rising"),
        (lambda: Discretizer.from_dict({"edges": [[0], [1]], "strategy": "kmeans"}), "none of quantile"),
        (lambda: Discretizer.from_dict({"strategy": "quantile"}), "discretizer"),
    ],
)
def test_what_is_wrong_is_one_line(call, message):
    with pytest.raises(UserError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
