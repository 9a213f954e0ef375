"""Molecules of many kinds, and a model with random weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import seqsuite
from seqchem.tokenizers import NumberFormat, build_vocabulary

SMILES = [
    "CCO", "CCCCN", "c1ccccc1", "CC(=O)O", "CCCCCCCC", "CN", "CC(C)Cl", "OCCO", "c1ccncc1", "CC(=O)Nc1ccc(O)cc1",
    "CCOC(=O)C", "C1CCCCC1", "Clc1ccccc1", "CC(C)O", "NCCO", "Brc1ccccc1", "COc1ccccc1", "CCCl", "CC#N", "O=Cc1ccccc1",
]  # fmt: skip


@pytest.fixture
def smiles() -> list[str]:
    """Twenty molecules."""
    return list(SMILES)


@pytest.fixture
def network() -> Any:
    """A Regression Transformer with random weights, a number and a class."""
    formats = {"x": NumberFormat(0.0, 10.0).to_dict(), "active": NumberFormat.from_values([0, 1]).to_dict()}
    torch.manual_seed(0)
    vocabulary = build_vocabulary(SMILES, "smiles", list(formats))
    return seqsuite.create_model("rt_debug", vocabulary=vocabulary, language="smiles", number_formats=formats).eval()
