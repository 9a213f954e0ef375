"""Made-up labelled sets: random sequences, some with a motif; and a small model to start from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

MOTIF = "TATAAGCG"

Rows = list[tuple[str, str]]


def random_sequence(rng: np.random.Generator, length: int) -> str:
    return "".join("ACGT"[k] for k in rng.integers(0, 4, length))


def with_motif(rng: np.random.Generator, text: str, motif: str = MOTIF) -> str:
    place = int(rng.integers(0, len(text) - len(motif)))
    return text[:place] + motif + text[place + len(motif) :]


def motif_rows(n: int, *, seed: int = 0, lengths: tuple[int, int] = (40, 41), classes: int = 2) -> Rows:
    """Rows of (sequence, label): the label says which motif, if any, was planted."""
    rng = np.random.default_rng(seed)
    motifs = ("", MOTIF, "GGGGCCCA")
    rows = []
    for number in range(n):
        label = number % classes
        text = random_sequence(rng, int(rng.integers(*lengths)))
        rows.append((with_motif(rng, text, motifs[label]) if label else text, str(label)))
    return rows


def write_rows(path: Path, rows: Rows, header: str = "sequence,label") -> Path:
    path.write_text(header + "\n" + "".join(",".join(row) + "\n" for row in rows))
    return path


@pytest.fixture
def table(tmp_path) -> Callable[..., Path]:
    """Write rows as CSV and return the path."""

    def make(rows: Rows, name: str = "data.csv", header: str = "sequence,label") -> Path:
        return write_rows(tmp_path / name, rows, header)

    return make


@pytest.fixture(scope="session")
def pretrained(tmp_path_factory) -> Path:
    """A model folder with a language head and its tokenizer, weights fresh."""
    import json

    import torch

    import seqsuite
    from seqdna.tokenizers import NucleotideTokenizer

    folder = tmp_path_factory.mktemp("pretrained") / "model"
    torch.manual_seed(3)
    seqsuite.create_model("caduceus_ps_debug", vocab_size=12).save_pretrained(folder)
    (folder / "tokenizer.json").write_text(json.dumps(NucleotideTokenizer().to_dict()))
    return folder
