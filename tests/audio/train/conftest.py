"""Made-up sound, and the flags of a run that takes seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

RATE = 8000


def sound(seconds: float, *, seed: int = 0, channels: int = 1, rate: int = RATE) -> np.ndarray:
    """A resonance driven by noise, (frames, channels): each sample is mostly told by the two before it."""
    rng = np.random.default_rng(seed)
    out = np.zeros((round(seconds * rate), channels))
    for channel in range(channels):
        drive = rng.normal(0, 0.005, len(out))
        for t in range(2, len(out)):
            out[t, channel] = 1.9 * out[t - 1, channel] - 0.97 * out[t - 2, channel] + drive[t]
    return out.clip(-1, 1).astype(np.float32)


@pytest.fixture(scope="session")
def clean(tmp_path_factory) -> Path:
    """Six files of 1.5 seconds; never written to."""
    folder = tmp_path_factory.mktemp("clean")
    for number in range(6):
        soundfile.write(folder / f"clip{number}.wav", sound(1.5, seed=number), RATE)
    return folder


@pytest.fixture
def folder(clean, tmp_path) -> Path:
    """The same files, to be spoiled."""
    place = tmp_path / "sound"
    place.mkdir()
    for file in clean.iterdir():
        (place / file.name).write_bytes(file.read_bytes())
    return place


@pytest.fixture
def flags(tmp_path) -> list[str]:
    """A short run; the source goes in front."""
    options = {"model": "sashimi_debug", "model_options.d_model": 8, "sample_rate": RATE, "length": 500}
    options |= {"steps": 4, "batch_size": 2, "log_every": 1, "validate_every": 2, "checkpoint_every": 2}
    options |= {"valid_windows": 4, "baselines": "false", "out": tmp_path / "run", "threads": 1}
    return [part for name, value in options.items() for part in (f"--{name}", str(value))]
