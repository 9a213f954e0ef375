"""Small models, and molecules to embed."""

from __future__ import annotations

import pytest
import torch

from seqsuite.models import create_model

MOLECULES = ["CCO", "c1ccccc1", "CC(=O)N", "CCCCCC", "O=C(O)c1ccccc1", "CCN", "C1CCCCC1", "CC(C)C#N"]


@pytest.fixture(scope="session")
def model():
    """A SELFIES model of width 64, its weights drawn."""
    torch.manual_seed(0)
    return create_model("rt_debug").eval()


@pytest.fixture
def folder(model, tmp_path):
    """The same model in a folder."""
    model.save_pretrained(tmp_path / "model")
    return tmp_path / "model"
