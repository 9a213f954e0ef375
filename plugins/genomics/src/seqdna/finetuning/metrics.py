"""Metrics of predictions, by scikit-learn and SciPy, under the names that the benchmark suites use.

Classification: `accuracy` (top-1), `mcc`, `f1` (mean over classes), `f1_binary` (of the second class, two
classes only), `auroc` and `auprc` (two classes: of the second; more: mean of one against the rest). Several
labels: `auroc`, `auprc` and `f1`, means over the labels. Regression: `r2`, `pearson`, `spearman`, `mse`, means
over the columns. What is not defined, such as the AUROC of one class, is left out.
"""

from __future__ import annotations

import warnings

import numpy as np

from seqdna.finetuning.labelled import Problem
from seqsuite.errors import unknown_name

METRICS: dict[str, tuple[str, ...]] = {
    "classification": ("accuracy", "mcc", "f1", "f1_binary", "auroc", "auprc"),
    "multi_label": ("auroc", "auprc", "f1"),
    "regression": ("r2", "pearson", "spearman", "mse"),
}
DEFAULT = {"classification": "accuracy", "multi_label": "auroc", "regression": "r2"}


def choose(metric: str, problem: Problem, outputs: int) -> str:
    """Return the metric that chooses the best weights.

    Raises:
        UnknownNameError: The problem has no such metric.
    """
    known = [name for name in METRICS[problem] if name != "f1_binary" or outputs == 2]
    if metric == "auto":
        return DEFAULT[problem]
    if metric not in known:
        raise unknown_name(f"--metric of a {problem.replace('_', '-')} problem", metric, known)
    return metric


def lower_is_better(metric: str) -> bool:
    """Whether less of a metric is better."""
    return metric == "mse"


def measure(problem: Problem, scores: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    """Compute all metrics that are defined.

    Args:
        problem: What was asked.
        scores: (n, K) probabilities of classes or labels, or predicted numbers.
        targets: (n,) classes, or (n, K) labels or numbers.
    """
    if problem == "classification":
        return _classification(scores, targets)
    if problem == "multi_label":
        return _labels(scores, targets)
    return _regression(scores, targets)


def _classification(scores: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    from sklearn import metrics

    found, classes = scores.argmax(1), range(scores.shape[1])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="A single label was found")  # the coefficient is then 0
        mcc = metrics.matthews_corrcoef(targets, found)
    result = {
        "accuracy": metrics.accuracy_score(targets, found),
        "mcc": mcc,
        "f1": metrics.f1_score(targets, found, labels=list(classes), average="macro", zero_division=0),
    }
    if scores.shape[1] == 2:
        result["f1_binary"] = metrics.f1_score(targets, found, zero_division=0)
    if len(np.unique(targets)) == scores.shape[1]:
        rest = [(targets == k, scores[:, k]) for k in (classes if scores.shape[1] > 2 else [1])]
        result["auroc"] = np.mean([metrics.roc_auc_score(truth, score) for truth, score in rest])
        result["auprc"] = np.mean([metrics.average_precision_score(truth, score) for truth, score in rest])
    return {name: float(value) for name, value in result.items()}


def _labels(scores: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    from sklearn import metrics

    both = [k for k in range(targets.shape[1]) if 0 < targets[:, k].sum() < len(targets)]
    truth, found = targets.astype(int), (scores > 0.5).astype(int)
    each = [metrics.f1_score(truth[:, k], found[:, k], zero_division=0) for k in range(targets.shape[1])]
    result = {"f1": float(np.mean(each))}
    if both:
        pairs = [(targets[:, k], scores[:, k]) for k in both]
        result["auroc"] = float(np.mean([metrics.roc_auc_score(*pair) for pair in pairs]))
        result["auprc"] = float(np.mean([metrics.average_precision_score(*pair) for pair in pairs]))
    return result


def _regression(scores: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    from scipy import stats
    from sklearn import metrics

    result = {"mse": float(metrics.mean_squared_error(targets, scores))}
    columns = [(targets[:, k], scores[:, k]) for k in range(targets.shape[1])]
    if all(np.ptp(truth) > 0 for truth, _ in columns):
        result["r2"] = float(metrics.r2_score(targets, scores))
        if all(np.ptp(score) > 0 for _, score in columns):
            result["pearson"] = float(np.mean([stats.pearsonr(*pair).statistic for pair in columns]))
            result["spearman"] = float(np.mean([stats.spearmanr(*pair).statistic for pair in columns]))
    return result
