"""How far generated clips are from real ones, by a classifier of clips that was trained here.

    scores = score_generated(load_classifier("runs/digits"), real_files, generated_files)

The scores depend on the classifier: they compare with others through the same one only, never with published tables.
Features are what the classifier's last layer sees; clips are taken whole, at the classifier's rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np

from seqaudio.data import AudioFile, read_audio
from seqaudio.metrics import am_score, fid, inception_score, modified_inception_score, ndb
from seqsuite.errors import UserError
from seqsuite.reports import TableView

BINS = 50
_AT_ONCE = 128
_WHAT = {
    "fid": "Fréchet distance of features (less is better)",
    "ndb": "share of bins that differ (less is better)",
    "am_score": "AM score (less is better)",
    "inception_score": "inception score (more is better)",
    "modified_inception_score": "modified inception score (more is better)",
}


class ClipClassifier(Protocol):
    """What the scores ask of a classifier: `seqaudio.classification.Classifier` has it."""

    @property
    def rate(self) -> int:
        """Samples a second that it hears."""

    def embed(self, waves: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Return features (n, D) and probabilities (n, classes) of clips (L,)."""


@dataclass(frozen=True)
class GeneratedScores(TableView):
    """Scores of generated clips against real ones, through a classifier trained here.

    Attributes:
        classifier: What it is called.
        real: Number of real clips.
        generated: Number of generated clips.
        bins: Number of clusters of `ndb`.
        fid: Fréchet distance of features.
        ndb: Share of statistically different bins.
        am_score: KL between mean class probabilities plus the mean entropy, in nats.
        inception_score: Of the generated clips.
        modified_inception_score: Of the generated clips.
        real_inception_score: Of the real clips.
        real_modified_inception_score: Of the real clips.
    """

    classifier: str
    real: int
    generated: int
    bins: int
    fid: float
    ndb: float
    am_score: float
    inception_score: float
    modified_inception_score: float
    real_inception_score: float
    real_modified_inception_score: float

    @property
    def title(self) -> str:
        """A line that says what the scores rest on."""
        return (
            f"{self.generated} generated clips against {self.real} real ones, by {self.classifier}, which was trained "
            "here: scores compare through this classifier only, never with published ones"
        )

    def table(self) -> list[dict[str, Any]]:
        """Return one row a score; beside it that of the real clips where it is one of clips alone."""
        rows = []
        for name, what in _WHAT.items():
            real = getattr(self, f"real_{name}", None)
            beside = "" if real is None else f"{real:.4g}"
            rows.append({"score": what, "generated": f"{getattr(self, name):.4g}", "real": beside})
        return rows

    def to_dict(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        return {**asdict(self), "note": self.title}


def score_generated(
    classifier: ClipClassifier, real: Sequence[AudioFile], generated: Sequence[AudioFile], *, name: str = "a classifier"
) -> GeneratedScores:
    """Compare generated clips with real ones.

    Args:
        classifier: Of `seqaudio.classification.load_classifier`.
        real: Real clips, two or more.
        generated: Generated clips, two or more.
        name: What to call the classifier.

    Raises:
        UserError: There are too few clips, or one cannot be read.
    """
    check_counts(real, generated)
    features, probs = class_features(classifier, real)
    made_features, made_probs = class_features(classifier, generated)
    bins = min(BINS, len(real) // 2)
    return GeneratedScores(
        classifier=name,
        real=len(real),
        generated=len(generated),
        bins=bins,
        fid=fid(features, made_features),
        ndb=ndb(features, made_features, bins=bins),
        am_score=am_score(probs, made_probs),
        inception_score=inception_score(made_probs),
        modified_inception_score=modified_inception_score(made_probs),
        real_inception_score=inception_score(probs),
        real_modified_inception_score=modified_inception_score(probs),
    )


def check_counts(real: Sequence[AudioFile], generated: Sequence[AudioFile]) -> None:
    """Raise a `UserError` where there are too few clips for scores."""
    for what, clips in (("held-out", real), ("generated", generated)):
        if len(clips) < 2:
            raise UserError(f"the scores of generated clips need two {what} files at least, not {len(clips)}")


def class_features(classifier: ClipClassifier, files: Sequence[AudioFile]) -> tuple[np.ndarray, np.ndarray]:
    """Return the features (n, D) and class probabilities (n, classes) of whole files, some in memory at a time."""
    found = []
    for first in range(0, len(files), _AT_ONCE):
        part = files[first : first + _AT_ONCE]
        found.append(classifier.embed([read_audio(file, rate=classifier.rate)[:, 0] for file in part]))
    features, probs = zip(*found, strict=True)
    return np.concatenate(features), np.concatenate(probs)
