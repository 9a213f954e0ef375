"""Measuring classifiers and asking them. Names load on first use; no torch until then.

from seqvision.evaluation import evaluate, predict
evaluate(model).top1                                # on the test split of its run
predict(model, "photos/").save("predictions.csv")
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqsuite.lazy import lazy_names

if TYPE_CHECKING:
    from seqvision.evaluation.predicting import Predictions, predict
    from seqvision.evaluation.results import Evaluation, measure, short
    from seqvision.evaluation.run import evaluate, measure_items

__all__ = ["Evaluation", "Predictions", "evaluate", "measure", "measure_items", "predict", "short"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "predicting": ["Predictions", "predict"],
        "results": ["Evaluation", "measure", "short"],
        "run": ["evaluate", "measure_items"],
    },
)
