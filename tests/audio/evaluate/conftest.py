"""Models without training, files of made-up sound."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import seqaudio
from seqaudio.api import AudioModel
from seqsuite import create_model

RATE = 8000


def sound(count: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (0.3 * np.sin(np.arange(count) / (5 + seed)) + rng.normal(0, 0.05, count)).astype(np.float32)


@pytest.fixture(scope="session")
def sources(tmp_path_factory) -> Path:
    """Files of unequal lengths; never written to."""
    folder = tmp_path_factory.mktemp("sound")
    for number, count in enumerate((701, 4003, 1, 2500, 4003)):
        soundfile.write(folder / f"clip{number}.wav", sound(count, number), RATE, subtype="FLOAT")
    return folder


@pytest.fixture
def load_debug(tmp_path):
    """name, options -> a loaded model of that size, with weights that make every context matter."""

    def make(name: str, *, normalize: str = "none", **options) -> AudioModel:
        torch.manual_seed(0)
        model = create_model(name, sample_rate=RATE, **options)
        folder = tmp_path / f"model_{name}"
        model.save_pretrained(folder)
        (folder / "audio.json").write_text(json.dumps({"normalize": normalize, "length": 600}))
        return seqaudio.load(folder)

    return make
