"""Made-up videos: smooth pictures that move, so that encoders predict frames from each other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from seqvision.data.video_writing import write_video

LOSSLESS = {
    "clip.mkv": ("ffv1", {"g": "1"}),
    "long.avi": ("ffv1", {"g": "12"}),
    "clip.mp4": ("libx264rgb", {"qp": "0", "g": "12", "bf": "3"}),
    "open.mp4": ("libx264rgb", {"qp": "0", "x264-params": "keyint=10:open-gop=1:bframes=3:scenecut=0"}),
    "open.mkv": ("libx264rgb", {"qp": "0", "x264-params": "keyint=10:open-gop=1:bframes=3:scenecut=0"}),
    "clip.avi": ("libx264rgb", {"qp": "0", "g": "12", "bf": "3"}),
}
"""Codecs that keep every value, in containers that seek in different ways."""


def moving(count: int, height: int = 48, width: int = 64, *, seed: int = 0) -> np.ndarray:
    """Frames (count, height, width, 3) uint8, all different: waves that wander."""
    rng = np.random.default_rng(seed)
    fast, phase = rng.uniform(0.1, 0.4, (2, 3)), rng.uniform(0, 6, 3)
    t, y, x = np.meshgrid(np.arange(count), np.arange(height), np.arange(width), indexing="ij")
    waves = np.sin(x[..., None] * fast[0] + y[..., None] * fast[1] + t[..., None] * 0.37 + phase)
    return np.round(127.5 + 100 * waves).astype(np.uint8)


@pytest.fixture(scope="session")
def frames() -> np.ndarray:
    """40 frames; never written to."""
    return moving(40)


@pytest.fixture(scope="session")
def lossless(tmp_path_factory, frames) -> Path:
    """The frames, in every codec and container of `LOSSLESS`."""
    folder = tmp_path_factory.mktemp("lossless")
    for name, (codec, options) in LOSSLESS.items():
        write_video(folder / name, frames, codec=codec, options=options)
    return folder


@pytest.fixture
def classes(tmp_path) -> Path:
    """A folder of two classes of six short videos each."""
    for label in ("one", "two"):
        (tmp_path / "videos" / label).mkdir(parents=True)
        for number in range(6):
            seed = number + 10 * (label == "two")
            write_video(tmp_path / "videos" / label / f"{number}.mkv", moving(6, 16, 24, seed=seed))
    return tmp_path / "videos"
