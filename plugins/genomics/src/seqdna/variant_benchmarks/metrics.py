"""Metrics of the suites, by scikit-learn.

AUROC and AUPRC (average precision) over all variants. TraitGym's AUPRC_by_chrom_weighted_average: the average precision
of each chromosome, weighted by its number of variants; its standard error is the standard deviation over 1000 draws of
as many chromosomes with replacement. TraitGym's probing: logistic regression, one chromosome left out at a time, with
the regularisation chosen by five-fold cross-validation over the chromosomes left.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from seqsuite.errors import UserError

DRAWS, FOLDS = 1000, 5
BY_CHROMOSOME = "AUPRC_by_chrom_weighted_average"


@dataclass(frozen=True)
class ChromosomeRow:
    """One chromosome: its name, its variants, how many are positive, and their average precision."""

    chrom: str
    variants: int
    positives: int
    auprc: float


def auroc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Return the area under the ROC curve: labels (n,) bool with both classes, scores (n,)."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(labels, scores))


def auprc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Return the average precision: labels (n,) bool, scores (n,); 0 without positives, as scikit-learn has it."""
    from sklearn.metrics import average_precision_score

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="No positive class found")
        return float(average_precision_score(labels, scores))


def by_chromosome(labels: np.ndarray, scores: np.ndarray, chroms: Sequence[str]) -> tuple[ChromosomeRow, ...]:
    """Return the average precision of each chromosome, in order of appearance."""
    names = np.array(chroms)
    rows = []
    for chrom in dict.fromkeys(chroms):
        here = names == chrom
        count, positives = int(here.sum()), int(labels[here].sum())
        rows.append(ChromosomeRow(chrom, count, positives, auprc(labels[here], scores[here])))
    return tuple(rows)


def weighted_average(rows: Sequence[ChromosomeRow], *, seed: int = 0) -> tuple[float, float]:
    """Return the average precision weighted by variants, and its standard error; nan of a single chromosome."""
    values = np.array([row.auprc for row in rows])
    sizes = np.array([row.variants for row in rows], dtype=float)
    mean = float(values @ sizes / sizes.sum())
    if len(rows) < 2:
        return mean, float("nan")
    draws = np.random.default_rng(seed).integers(0, len(rows), (DRAWS, len(rows)))
    means = (values[draws] * sizes[draws]).sum(1) / sizes[draws].sum(1)
    return mean, float(means.std(ddof=1))


def probe_by_chromosome(features: np.ndarray, labels: np.ndarray, chroms: Sequence[str], source: object) -> np.ndarray:
    """Predict each chromosome by a logistic regression fitted on all others.

    Args:
        features: (n, F).
        labels: (n,) bool.
        chroms: (n,) names.
        source: For messages.

    Returns:
        (n,) probabilities of a positive.

    Raises:
        UserError: Too few chromosomes, or a training set of one class.
    """
    names = np.array(chroms)
    present = list(dict.fromkeys(chroms))
    if len(present) <= FOLDS:
        raise UserError(
            f"{source}: --probe leaves one chromosome out and divides the others into {FOLDS}; there are variants on "
            f"{len(present)} chromosomes, {FOLDS + 1} are needed."
        )
    scores = np.empty(len(labels))
    for chrom in present:
        test = names == chrom
        if len(np.unique(labels[~test])) < 2:
            raise UserError(f"{source}: --probe: without chromosome {chrom!r} all labels are equal.")
        search = _search().fit(features[~test], labels[~test], groups=names[~test])
        scores[test] = search.predict_proba(features[test])[:, 1]
    return scores


def _search() -> Any:
    """Return TraitGym's classifier: scaled features, classes balanced, ten strengths of regularisation."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, GroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    pipeline = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", random_state=42))
    grid = {"logisticregression__C": np.logspace(-8, 0, 10)}
    return GridSearchCV(pipeline, grid, scoring="average_precision", cv=GroupKFold(FOLDS))
