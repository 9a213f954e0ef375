"""Audio models: SaShiMi and flat stacks over quantised samples, diffusion and restoration of waveforms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqsuite.lazy import lazy_names

if TYPE_CHECKING:
    from seqaudio.models.base import SampleModel
    from seqaudio.models.diffwave import DiffWave
    from seqaudio.models.restoration import RestorationModel
    from seqaudio.models.sample_lm import SampleLM
    from seqaudio.models.sashimi import Sashimi

__all__ = ["DiffWave", "RestorationModel", "SampleLM", "SampleModel", "Sashimi"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "base": ["SampleModel"],
        "diffwave": ["DiffWave"],
        "restoration": ["RestorationModel"],
        "sample_lm": ["SampleLM"],
        "sashimi": ["Sashimi"],
    },
)
