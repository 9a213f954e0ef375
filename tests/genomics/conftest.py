"""A small made-up genome with something to learn, and a run on it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="session")
def small_genome(tmp_path_factory) -> Path:
    """20 kb in which every third base repeats the one before it."""
    draws = np.random.default_rng(5).integers(0, 4, 20_000)
    draws[2::3] = draws[1::3][: len(draws[2::3])]
    path = tmp_path_factory.mktemp("genome") / "small.fa"
    text = "".join("ACGT"[i] for i in draws)
    path.write_text(">small made up\n" + "\n".join(text[i : i + 70] for i in range(0, len(text), 70)) + "\n")
    return path


@pytest.fixture
def flags(small_genome, tmp_path) -> list[str]:
    """Flags of a run that takes a second."""
    return [
        *("--fasta", str(small_genome), "--out", str(tmp_path / "run"), "--model", "caduceus_ps_debug"),
        *("--model_options", "{d_model: 8, n_layer: 1}", "--length", "32", "--batch_size", "4", "--steps", "3"),
        *(
            "--valid_windows",
            "4",
            "--eval_sites",
            "16",
            "--threads",
            "1",
            "--log_every",
            "1",
            "--checkpoint_every",
            "1",
        ),
    ]
