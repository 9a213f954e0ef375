"""How far a set of generated clips is from a set of real ones, given features or class probabilities.

`fid` (Heusel et al. 2017) and `ndb` (Richardson and Weiss 2018) take features, `inception_score` (Salimans et
al. 2016), `modified_inception_score` (Gurumurthy et al. 2017) and `am_score` (Zhou et al. 2018) take class
probabilities. Which network they come from is the caller's choice, and scores compare only under the same one.
All logarithms are natural. The public evaluation of SaShiMi computes two of the scores otherwise, with random
numbers; the exact values are the default here, its numbers are options.
"""

from __future__ import annotations

import numpy as np

from seqaudio.metrics.arrays import ArrayLike, as_float64


def fid(data: ArrayLike, generated: ArrayLike) -> float:
    """Return the Fréchet distance of two Gaussians fitted to features.

    It is ``|m1 - m2|^2 + tr(S1) + tr(S2) - 2 tr((S1 S2)^(1/2))``. With S = R^T R the roots of the eigenvalues of S1 S2
    are the singular values of R1 R2^T, so that neither a matrix root nor a ridge for singular covariances is needed.

    Args:
        data: Features of real clips: (n, d), at least two rows.
        generated: Features of generated clips: (m, d), at least two rows.

    Returns:
        The squared distance, in the features' squared unit; 0 for equal moments.

    Raises:
        ValueError: The shapes do not fit, or a value is not finite.
    """
    first, second = _features(data, "data"), _features(generated, "generated")
    _same_width(first, second)
    R1, R2 = _factor(first), _factor(second)
    between = np.linalg.svd(R1 @ R2.T, compute_uv=False)
    shift = first.mean(axis=0) - second.mean(axis=0)
    distance = shift @ shift + (R1**2).sum() + (R2**2).sum() - 2 * between.sum()
    return float(max(distance, 0.0))  # rounding may leave -1e-15 for equal sets


def inception_score(probs: ArrayLike, *, as_published: bool = False) -> float:
    """Return exp(E KL(p_i || mean p)): sure of each clip and varied over clips is high.

    Args:
        probs: Class probabilities of generated clips: (n, classes).
        as_published: Reproduce the number of SaShiMi's public evaluation, which is another one: it takes a random
            half of the clips (seed 0), scales each class to sum to 1 over them, and averages over classes the
            divergence of that from uniform. For comparison with published tables only.

    Returns:
        The score: from 1, if all rows are equal, to the number of classes (unless `as_published`).

    Raises:
        ValueError: The rows are not probabilities, or there are fewer than two to take half of.
    """
    p = _probabilities(probs, "probs")
    if not as_published:
        return float(np.exp(_divergence(p, p.mean(axis=0)).mean()))
    if len(p) < 2:
        raise ValueError("probs: two rows at least are needed to take half of them")
    half = p[np.random.RandomState(0).permutation(len(p))[: len(p) // 2]]
    total = half.sum(axis=0)
    shares = (half[:, total > 0] / total[total > 0]).T
    return float(np.exp(_divergence(shares, np.full(len(half), 1 / len(half))).mean()))


def modified_inception_score(probs: ArrayLike, *, pairs: int | None = None, seed: int = 0) -> float:
    """Return exp(E KL(p_i || p_j)) over ordered pairs with replacement: also varied within a class is high.

    The mean over all pairs is sum_i p_i log p_i / n - (mean p) . (mean log p), so no pair need be visited.

    Args:
        probs: Class probabilities of generated clips: (n, classes).
        pairs: Estimate from so many random pairs, as the public evaluation does with 10,000; exact if None.
        seed: Of the random pairs.

    Returns:
        The score, infinite if a class has probability 0 in one row but not in another.

    Raises:
        ValueError: The rows are not probabilities, or `pairs` is below 1.
    """
    p = _probabilities(probs, "probs")
    if pairs is not None:
        if pairs < 1:
            raise ValueError(f"pairs: {pairs} is below 1")
        chosen = np.random.RandomState(seed).randint(0, len(p), size=(pairs, 2))
        return float(np.exp(_divergence(p[chosen[:, 0]], p[chosen[:, 1]]).mean()))
    mean = p.mean(axis=0)
    present = mean > 0
    with np.errstate(divide="ignore"):
        cross = -(mean[present] @ np.log(p[:, present]).mean(axis=0))
    return float(np.exp(cross - _entropy(p).mean()))


def am_score(data: ArrayLike, generated: ArrayLike) -> float:
    """Return KL(mean p of data || mean p of generated) + mean entropy of generated; low is good.

    Args:
        data: Class probabilities of real clips: (n, classes).
        generated: Class probabilities of generated clips: (m, classes).

    Returns:
        The score in nats, infinite if no generated clip may be of a class that the data has.

    Raises:
        ValueError: The shapes do not fit, or rows are not probabilities.
    """
    real, made = _probabilities(data, "data"), _probabilities(generated, "generated")
    _same_width(real, made)
    return float(_divergence(real.mean(axis=0), made.mean(axis=0)) + _entropy(made).mean())


def ndb(data: ArrayLike, generated: ArrayLike, *, bins: int = 50, significance: float = 0.05, seed: int = 0) -> float:
    """Return the share of bins in which real and generated clips differ significantly.

    The bins are the k-means clusters of the real features (scikit-learn); in each, a two-sided z test compares the
    two proportions. Equal distributions give about `significance`.

    Args:
        data: Features of real clips: (n, d), at least `bins` rows.
        generated: Features of generated clips: (m, d).
        bins: Number of clusters.
        significance: Level of the test.
        seed: Of the clustering.

    Returns:
        Statistically different bins / bins, between 0 and 1.

    Raises:
        ValueError: The shapes do not fit, or there are fewer real clips than bins.
    """
    from scipy.special import ndtr
    from sklearn.cluster import KMeans

    real, made = _features(data, "data", least=1), _features(generated, "generated", least=1)
    _same_width(real, made)
    if not 1 <= bins <= len(real):
        raise ValueError(f"bins: {bins} clusters cannot be made of {len(real)} rows of data")
    clusters = KMeans(n_clusters=bins, random_state=seed, n_init=1).fit(real)
    shares = [np.bincount(clusters.predict(rows), minlength=bins) / len(rows) for rows in (real, made)]
    pooled = (shares[0] * len(real) + shares[1] * len(made)) / (len(real) + len(made))
    spread = np.sqrt(pooled * (1 - pooled) * (1 / len(real) + 1 / len(made)))
    z = np.divide(np.abs(shares[0] - shares[1]), spread, out=np.zeros(bins), where=spread > 0)
    return float((2 * (1 - ndtr(z)) < significance).mean())


def _features(values: ArrayLike, name: str, least: int = 2) -> np.ndarray:
    array = as_float64(values, name)
    if array.ndim != 2 or len(array) < least:
        raise ValueError(f"{name}: features are (clips, d) with {least} clips at least, not {array.shape}")
    return array


def _probabilities(values: ArrayLike, name: str) -> np.ndarray:
    """Check rows of probabilities, and make them sum to 1 in double precision."""
    array = as_float64(values, name)
    if array.ndim != 2:
        raise ValueError(f"{name}: class probabilities are (clips, classes), not {array.shape}")
    total = array.sum(axis=1, keepdims=True)
    wrong = np.flatnonzero((array < 0).any(axis=1) | (np.abs(total[:, 0] - 1) > 1e-3))
    if len(wrong):
        raise ValueError(f"{name}: row {wrong[0]} is no distribution over classes (sum {total[wrong[0], 0]:.4g})")
    return array / total


def _same_width(first: np.ndarray, second: np.ndarray) -> None:
    if first.shape[1] != second.shape[1]:
        raise ValueError(f"data has {first.shape[1]} columns, generated has {second.shape[1]}")


def _factor(features: np.ndarray) -> np.ndarray:
    """Return R with R^T R the covariance: (min(n, d), d)."""
    return np.linalg.qr(features - features.mean(axis=0), mode="r") / np.sqrt(len(features) - 1)


def _entropy(p: np.ndarray) -> np.ndarray:
    """Return the entropy of each row, 0 log 0 being 0."""
    return -(p * np.log(np.where(p > 0, p, 1))).sum(axis=-1)


def _divergence(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Return KL(p || q) along the last axis: infinite where q is 0 and p is not."""
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(p > 0, p * (np.log(np.where(p > 0, p, 1)) - np.log(q)), 0)
    return terms.sum(axis=-1)
