"""Small models and sounds."""

from __future__ import annotations

import numpy as np
import torch

import seqsuite
from seqaudio.api import AudioModel

RATE = 8000


def small(seed: int = 0, **options) -> AudioModel:
    """A model of samples with random weights that are not those of the first step."""
    torch.manual_seed(seed)
    return AudioModel(seqsuite.create_model("sashimi_debug", **{"sample_rate": RATE, **options}))


def tone(seconds: float, rate: int = RATE, *, channels: int = 1) -> np.ndarray:
    """A quiet sine, (frames, channels)."""
    time = np.arange(round(seconds * rate)) / rate
    return np.repeat((0.3 * np.sin(2 * np.pi * 220 * time))[:, None], channels, 1).astype(np.float32)
