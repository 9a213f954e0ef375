"""Small series of waves and noise, written as the files a user would have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest


def waves(rows: int = 400, columns: int = 2, *, seed: int = 0) -> np.ndarray:
    """Return (T, C): a daily wave of another phase and size in each column, a slow drift, and noise."""
    rng = np.random.default_rng(seed)
    t = np.arange(rows)[:, None]
    size, phase = rng.uniform(1, 5, columns), rng.uniform(0, 6, columns)
    return size * (np.sin(2 * np.pi * t / 24 + phase) + 0.002 * t + 0.1 * rng.standard_normal((rows, columns))) + 10


def write_waves(path: Path, rows: int = 400, columns: int = 2, *, freq: str = "h", seed: int = 0) -> Path:
    """Write such a series with timestamps from 2020 on."""
    names = ["load", "wind", "temperature", "price"][:columns]
    frame = pd.DataFrame(waves(rows, columns, seed=seed), columns=names)
    frame.insert(0, "date", pd.date_range("2020-01-01", periods=rows, freq=freq))
    frame.to_csv(path, index=False)
    return path


@pytest.fixture
def hourly(tmp_path: Path) -> Path:
    """400 hourly rows of two columns."""
    return write_waves(tmp_path / "hourly.csv")


@pytest.fixture
def edited(hourly: Path) -> Callable[..., Path]:
    """Return a function that changes the lines of the series."""

    def edit(change: Callable[[list[str]], list[str]]) -> Path:
        hourly.write_text("\n".join(change(hourly.read_text().splitlines())) + "\n")
        return hourly

    return edit
