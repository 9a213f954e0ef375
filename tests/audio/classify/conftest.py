"""Clips of two tones, by two speakers of different loudness, as wav files with a manifest."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import soundfile

RATE = 8000
TONES = {"low": 400.0, "high": 1600.0}


def tone(hertz: float, seconds: float, rng: np.random.Generator, *, level: float = 0.3) -> np.ndarray:
    """Return a tone of a pitch near `hertz` in noise: (L,) float32."""
    t = np.arange(round(seconds * RATE)) / RATE
    clean = np.sin(2 * np.pi * hertz * rng.uniform(0.9, 1.1) * t + rng.uniform(0, 6))
    return (level * (clean + 0.1 * rng.standard_normal(len(t)))).astype(np.float32)


def write_tones(folder: Path, count: int = 8) -> Path:
    """Write `count` clips of each tone and speaker; the last quarter of each is for the test. Return the manifest."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for speaker, level in (("ann", 0.3), ("bob", 0.03)):
        for label, hertz in TONES.items():
            for number in range(count):
                name = f"{speaker}_{label}_{number}.wav"
                soundfile.write(folder / name, tone(hertz, rng.uniform(0.1, 0.3), rng, level=level), RATE)
                split = "test" if number >= count * 3 // 4 else "train"
                rows.append({"file": name, "label": label, "split": split, "speaker": speaker})
    return write_manifest(folder / "tones.csv", rows)


def write_manifest(path: Path, rows: list[dict[str, str]]) -> Path:
    """Write rows with the columns of the first."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture
def tones(tmp_path: Path) -> Path:
    """The manifest of the tones."""
    return write_tones(tmp_path / "tones")
