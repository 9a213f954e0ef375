"""Classes of short clips of sound: labelled clips, training, measuring, predicting. Names load on first use.

from seqaudio.classification import classify, embed_clips, predict
result = classify(ClassifyConfig("digits.npz", out="runs/digits"))
features, probs = embed_clips("runs/digits", clips, rate=8000)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqsuite.lazy import lazy_names

if TYPE_CHECKING:
    from seqaudio.classification.clips import Clips, LabelledClips, read_clips, read_labelled
    from seqaudio.classification.predicting import Classifier, Predictions, embed_clips, load_classifier, predict
    from seqaudio.classification.results import ClassifyResult, RunScores
    from seqaudio.classification.run import classify

__all__ = [
    "Classifier",
    "ClassifyResult",
    "Clips",
    "LabelledClips",
    "Predictions",
    "RunScores",
    "classify",
    "embed_clips",
    "load_classifier",
    "predict",
    "read_clips",
    "read_labelled",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "clips": ["Clips", "LabelledClips", "read_clips", "read_labelled"],
        "predicting": ["Classifier", "Predictions", "embed_clips", "load_classifier", "predict"],
        "results": ["ClassifyResult", "RunScores"],
        "run": ["classify"],
    },
)
