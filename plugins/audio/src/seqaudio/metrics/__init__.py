"""Metrics of generated and of restored audio, without anything to download.

`distribution` compares sets of clips through features or class probabilities that the caller gives;
`signal` compares an estimate with its reference, sample by sample. Scores through one's own classifier
compare with each other only, never with published tables made with another one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqsuite.lazy import lazy_names

if TYPE_CHECKING:
    from seqaudio.metrics.distribution import am_score, fid, inception_score, modified_inception_score, ndb
    from seqaudio.metrics.signal import log_spectral_distance, sdr, si_sdr

__all__ = [
    "am_score",
    "fid",
    "inception_score",
    "log_spectral_distance",
    "modified_inception_score",
    "ndb",
    "sdr",
    "si_sdr",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "distribution": ["am_score", "fid", "inception_score", "modified_inception_score", "ndb"],
        "signal": ["log_spectral_distance", "sdr", "si_sdr"],
    },
)
