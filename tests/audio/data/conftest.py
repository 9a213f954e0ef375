"""Small sound files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile


def noise(frames: int, channels: int = 1, *, seed: int = 0) -> np.ndarray:
    """(frames, channels) float32, well inside full scale."""
    return np.random.default_rng(seed).uniform(-0.5, 0.5, (frames, channels)).astype(np.float32)


def put(path: Path, samples: np.ndarray, rate: int = 8000, **kind: str) -> Path:
    """Write a file; ``.opus`` is no ending that libsndfile knows by itself."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".opus":
        kind = {"format": "OGG", "subtype": "OPUS"} | kind
    soundfile.write(path, samples, rate, **kind)
    return path


@pytest.fixture
def clips(tmp_path) -> Path:
    """Five float files of 0.5, 1.0, ... 2.5 s, 8 kHz."""
    for number in range(1, 6):
        put(tmp_path / "clips" / f"c{number}.wav", noise(4000 * number, seed=number), subtype="FLOAT")
    return tmp_path / "clips"
