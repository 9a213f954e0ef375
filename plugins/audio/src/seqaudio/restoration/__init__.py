"""Restoring degraded audio: degradations, training on them, restoring whole files, and what that gains.

    from seqaudio.restoration import load_restorer, restore
    model = load_restorer("runs/restore")
    clean = restore(model, samples, rate)           # (frames,) or (frames, channels), any length

`seqaudio.configs.restoration` and `seqaudio.models.restoration` describe the model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqsuite.lazy import lazy_names

if TYPE_CHECKING:
    from seqaudio.restoration.chunked import restore
    from seqaudio.restoration.data import DegradedWindows
    from seqaudio.restoration.degrade import Degradation, DegradationRange, band_limit, codec_round_trip, quantize
    from seqaudio.restoration.files import load_restorer, restore_files
    from seqaudio.restoration.loss import RestorationLoss, spectral_loss
    from seqaudio.restoration.results import Restored, TrainedRestorer
    from seqaudio.restoration.task import Restoration
    from seqaudio.restoration.train import restore_train

__all__ = [
    "Degradation",
    "DegradationRange",
    "DegradedWindows",
    "Restoration",
    "RestorationLoss",
    "Restored",
    "TrainedRestorer",
    "band_limit",
    "codec_round_trip",
    "load_restorer",
    "quantize",
    "restore",
    "restore_files",
    "restore_train",
    "spectral_loss",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "data": ["DegradedWindows"],
        "degrade": ["Degradation", "DegradationRange", "band_limit", "codec_round_trip", "quantize"],
        "files": ["load_restorer", "restore_files"],
        "loss": ["RestorationLoss", "spectral_loss"],
        "chunked": ["restore"],
        "results": ["Restored", "TrainedRestorer"],
        "task": ["Restoration"],
        "train": ["restore_train"],
    },
)
