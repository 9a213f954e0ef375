"""From a folder of sound to a trained model, measured: what `seqaudio train` does, as a function.

    from seqaudio.configs.train import AudioTrainConfig
    from seqaudio.training import train
    result = train(AudioTrainConfig("recordings/", model="sashimi_debug", out="runs/mine"))

The run folder is the same as the command's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqsuite.lazy import lazy_names

if TYPE_CHECKING:
    from seqaudio.training.result import TrainedAudio
    from seqaudio.training.run import train
    from seqaudio.training.tasks import Denoising, NextSample

__all__ = ["Denoising", "NextSample", "TrainedAudio", "train"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {"result": ["TrainedAudio"], "run": ["train"], "tasks": ["Denoising", "NextSample"]},
)
