"""Scores of sets: closed forms, laws, and scipy's and scikit-learn's own functions as references."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from scipy.stats import entropy, ortho_group

from seqaudio.metrics import am_score, fid, inception_score, modified_inception_score, ndb


def features(n=200, d=5, seed=0):
    generator = np.random.default_rng(seed)
    return generator.normal(size=(n, d)) @ generator.normal(size=(d, d))


def probabilities(n=60, classes=7, seed=0):
    return np.random.default_rng(seed).dirichlet(np.full(classes, 0.3), size=n)


def whitened(n, d, seed):
    """Features of exactly mean 0 and unit covariance."""
    x = np.random.default_rng(seed).normal(size=(n, d))
    x -= x.mean(0)
    return x @ np.linalg.inv(np.linalg.cholesky(np.cov(x.T))).T


def test_fid_of_equal_sets_is_zero():
    x = features()
    assert fid(x, x) == pytest.approx(0, abs=1e-8)
    assert fid(x, x[::-1]) == pytest.approx(0, abs=1e-8)


def test_fid_of_known_gaussians():
    # Covariances that share their axes: the distance is |shift|^2 + sum (s1 - s2)^2.
    axes = ortho_group.rvs(4, random_state=0)
    s1, s2, shift = np.array([1.0, 2, 3, 4]), np.array([4.0, 1, 0, 2]), np.array([1.0, -2, 0, 3])
    x, y = whitened(50, 4, 1) * s1 @ axes, whitened(70, 4, 2) * s2 @ axes + shift
    assert fid(x, y) == pytest.approx(shift @ shift + ((s1 - s2) ** 2).sum())


def test_fid_agrees_with_the_matrix_root():
    x, y = features(seed=1), features(seed=2) + 0.3
    S1, S2 = np.cov(x.T), np.cov(y.T)
    expected = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(S1 + S2 - 2 * sqrtm(S1 @ S2).real)
    assert fid(x, y) == pytest.approx(expected)
    assert fid(y, x) == pytest.approx(expected)


def test_fid_takes_fewer_clips_than_features():
    x = features(n=3, d=20)
    assert fid(x, x + 1) == pytest.approx(20)


def test_fid_of_one_feature():
    assert fid([[0.0], [2.0]], [[1.0], [3.0]]) == pytest.approx(1)


def test_inception_score_of_rows_alike_is_one():
    assert inception_score(np.full((10, 4), 0.25)) == pytest.approx(1)
    assert modified_inception_score(np.full((10, 4), 0.25)) == pytest.approx(1)


def test_inception_score_of_sure_and_balanced_rows_is_the_number_of_classes():
    assert inception_score(np.tile(np.eye(5), (3, 1))) == pytest.approx(5)


def test_inception_score_agrees_with_scipy():
    p = probabilities()
    assert inception_score(p) == pytest.approx(np.exp(np.mean([entropy(row, p.mean(0)) for row in p])))


def test_inception_score_as_published_agrees_with_scipys_default_axis():
    p = probabilities(n=61)
    p = p[np.random.RandomState(0).permutation(61)]
    reference = np.repeat(p[30:].mean(0)[None], 30, axis=0)
    expected = np.exp(entropy(p[:30], reference).mean())
    assert inception_score(probabilities(n=61), as_published=True) == pytest.approx(expected)


def test_modified_inception_score_is_the_mean_over_all_pairs():
    p = probabilities(n=20)
    pairs = [entropy(a, b) for a in p for b in p]
    assert modified_inception_score(p) == pytest.approx(np.exp(np.mean(pairs)))


def test_modified_inception_score_by_pairs_draws_the_public_stream():
    p, stream = probabilities(n=20), np.random.RandomState(3)
    drawn = [stream.choice(np.arange(20), size=2, replace=True) for _ in range(50)]
    expected = np.exp(np.mean([entropy(p[i], p[j]) for i, j in drawn]))
    assert modified_inception_score(p, pairs=50, seed=3) == pytest.approx(expected)


def test_what_one_row_excludes_makes_the_modified_score_infinite():
    p = [[1.0, 0.0], [0.5, 0.5]]
    assert modified_inception_score(p) == np.inf
    assert modified_inception_score([[1.0, 0.0], [1.0, 0.0]]) == pytest.approx(1)  # no row has the class


def test_am_score_of_sure_and_rightly_balanced_rows_is_zero():
    assert am_score(np.tile(np.eye(4), (2, 1)), np.eye(4)) == pytest.approx(0)


def test_am_score_agrees_with_scipy():
    real, made = probabilities(seed=1), probabilities(seed=2)
    expected = entropy(real.mean(0), made.mean(0)) + entropy(made, axis=1).mean()
    assert am_score(real, made) == pytest.approx(expected)


def test_ndb_of_equal_sets_is_zero_and_of_foreign_sets_one():
    x = np.concatenate([np.random.default_rng(k).normal(50 * k, 1, size=(100, 2)) for k in range(4)])
    assert ndb(x, x, bins=4) == 0
    assert ndb(x, x[:100], bins=4) == 1  # one mode only: too many there, too few elsewhere
    three = np.concatenate([x[:200], x[300:]])
    assert 0 < ndb(x, three, bins=4) <= 1


def test_ndb_finds_the_shifted_proportions():
    # Bins are far apart, so the proportions are exact: 100 of 400 against 100 of 400 and 130, 70.
    x = np.concatenate([np.full((100, 1), 100.0 * k) + np.arange(100)[:, None] / 100 for k in range(4)])
    y = np.concatenate([x[:200], x[200:300], x[200:250], x[300:350]])
    # z of 150 : 100 of 400 is 3.8 (p < .001), of 50 : 100 is -4.5; the others are 0.
    assert ndb(x, y, bins=4) == 0.5
    assert ndb(x, y, bins=4, significance=1e-9) == 0


def test_tensors_are_taken_as_they_are():
    x = torch.tensor(features(), requires_grad=True)
    assert fid(x, x.detach().numpy() + 1) == pytest.approx(5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fid(features(), features(d=4)), "5 columns"),
        (lambda: fid(features(n=1), features()), "data: features are"),
        (lambda: fid(np.full((4, 2), np.nan), features(d=2)), "not finite"),
        (lambda: fid(np.zeros((0, 2)), features(d=2)), "is empty"),
        (lambda: inception_score([[0.5, 0.6]]), "row 0 is no distribution"),
        (lambda: inception_score([[0.5, 0.5], [1.5, -0.5]]), "row 1 is no distribution"),
        (lambda: inception_score([0.5, 0.5]), r"\(clips, classes\)"),
        (lambda: inception_score([[0.5, 0.5]], as_published=True), "two rows"),
        (lambda: modified_inception_score([[1.0]], pairs=0), "below 1"),
        (lambda: am_score([[1.0]], [[0.5, 0.5]]), "columns"),
        (lambda: ndb(features(n=20), features(), bins=50), "50 clusters"),
        (lambda: fid("abc", features()), "no array of numbers"),
    ],
)
def test_bad_input_is_told(call, message):
    with pytest.raises(ValueError, match=message):
        call()
