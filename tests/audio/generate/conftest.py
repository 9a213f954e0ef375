"""A small model, alone and as a run."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from _small import small

from seqaudio.api import AudioModel


@pytest.fixture
def model() -> AudioModel:
    return small()


@pytest.fixture
def run_folder(tmp_path) -> Path:
    """A folder that holds a model as a run does."""
    place = tmp_path / "run"
    small().model.save_pretrained(place / "model")
    return place
