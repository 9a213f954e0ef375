"""What a sample-level language model of audio must beat: bits per sample of simple codes on held-out clips.

    from seqaudio.baselines import audio_baselines
    result = audio_baselines(train, valid, test, quantizer=Quantizer(8, "mu_law"), rate=16000)
    result.bits_per_sample["nlms"]

Every model here is a code: its probabilities of the next sample sum to 1 and depend on the samples before only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqsuite.lazy import lazy_names

if TYPE_CHECKING:
    from seqaudio.baselines.bootstrap import Blocks, Interval, blocks_of, difference_interval, mean_interval
    from seqaudio.baselines.clips import ReadClips
    from seqaudio.baselines.compare import AudioBaselines, audio_baselines
    from seqaudio.baselines.counts import fit_histogram, fit_markov
    from seqaudio.baselines.flac import FlacSize, flac_size
    from seqaudio.baselines.linear import fit_frame_lpc, fit_lpc
    from seqaudio.baselines.nlms import fit_nlms

__all__ = [
    "AudioBaselines",
    "Blocks",
    "FlacSize",
    "Interval",
    "ReadClips",
    "audio_baselines",
    "blocks_of",
    "difference_interval",
    "fit_frame_lpc",
    "fit_histogram",
    "fit_lpc",
    "fit_markov",
    "fit_nlms",
    "flac_size",
    "mean_interval",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "bootstrap": ["Blocks", "Interval", "blocks_of", "difference_interval", "mean_interval"],
        "clips": ["ReadClips"],
        "compare": ["AudioBaselines", "audio_baselines"],
        "counts": ["fit_histogram", "fit_markov"],
        "flac": ["FlacSize", "flac_size"],
        "linear": ["fit_frame_lpc", "fit_lpc"],
        "nlms": ["fit_nlms"],
    },
)
