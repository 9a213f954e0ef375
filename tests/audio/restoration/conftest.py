"""Made-up audio, small models, and the plugin's rows of this area."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from seqaudio.configs.restoration import SIZES, RestorationConfig
from seqaudio.models.restoration import RestorationModel

RATE = 16000

SMALL = {
    "d_model": 8,
    "n_layer": 1,
    "band_hz": 1000.0,
    "mixer_options": {"d_state": 4, "dt_min": 0.1, "dt_max": 0.5},  # forgets by 1 / e in 20 frames at most
    "band_mixer_options": {"causal": False, "num_heads": 2},
}


def music(seconds: float, *, channels: int = 1, seed: int = 0, rate: int = RATE) -> np.ndarray:
    """Harmonic notes with their overtones in step: (frames, channels) float32 with energy up to half the rate."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    out = np.zeros((len(time), channels), np.float32)
    for start in np.arange(0, max(seconds, 0.25), 0.25):
        pitch, since = rng.uniform(150, 600), time - start
        swell = np.where((since >= 0) & (since < 0.5), np.exp(-6 * np.maximum(since, 0)), 0)
        for overtone in range(1, int(rate / 2 / pitch)):
            sound = np.sin(2 * np.pi * pitch * overtone * since) / overtone
            out += (swell * sound)[:, None] * rng.uniform(0.05, 0.15, channels)
    return out


def perturbed(model: RestorationModel, scale: float = 0.3) -> RestorationModel:
    """Give the output layer weights, as training does: an untrained model is the identity."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        weight = model.head_out.weight
        weight.copy_(scale * torch.randn(weight.shape, generator=generator) / weight.shape[1] ** 0.5)
    return model.eval()


@pytest.fixture
def small() -> RestorationModel:
    torch.manual_seed(0)
    return perturbed(RestorationModel(RestorationConfig(**SMALL)))


@pytest.fixture
def announced(monkeypatch) -> None:
    """Let the plugin list this area's models and commands, whatever else it lists."""
    from seqaudio.plugin import plugin

    for name in SIZES:
        monkeypatch.setitem(plugin.models, name, f"seqaudio.configs.restoration:{name}")
    monkeypatch.setitem(plugin.commands, "restore", "seqaudio.cli.restore:restore")
    monkeypatch.setitem(plugin.commands, "restore-train", "seqaudio.cli.restore_train:restore_train")


@pytest.fixture
def folder(tmp_path) -> Path:
    """Five clean files of two seconds."""
    import soundfile

    place = tmp_path / "clean"
    place.mkdir()
    for number in range(5):
        soundfile.write(place / f"clip{number}.wav", music(2.0, seed=number), RATE)
    return place
