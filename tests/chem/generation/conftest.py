"""Models of generation: an untrained one, and an oracle whose answers are known."""

from __future__ import annotations

import math

import pytest
import torch

import seqsuite
from seqchem.configs.models import RTConfig
from seqchem.tokenizers import NumberFormat, Tokenizer, build_vocabulary, encode_selfies

SEEDS = ["CC(=O)Nc1ccc(O)cc1", "CCOC(=O)c1ccccc1", "CCCCCCCO", "OCC(O)CO"]
FORMATS = {"logp": NumberFormat(-6.0, 6.0), "qed": NumberFormat(0.0, 1.0)}


def vocabulary(language):
    texts = [encode_selfies(smiles) for smiles in SEEDS] if language == "selfies" else SEEDS
    return build_vocabulary(texts, language, FORMATS)


@pytest.fixture(params=["selfies", "smiles"])
def language(request):
    return request.param


@pytest.fixture
def debug():
    """Return a function that makes an untrained model of a language."""

    def make(language="selfies", **options):
        torch.manual_seed(0)
        formats = {name: layout.to_dict() for name, layout in FORMATS.items()}
        return seqsuite.create_model(
            "rt_debug", language=language, vocabulary=vocabulary(language), number_formats=formats, **options
        )

    return make


class Oracle(torch.nn.Module):
    """Writes carbon with the probability that the asked logP is into its range, and oxygen otherwise.

    It predicts the middle of every range. `asked` keeps what it was run on: the masked places of each run.
    """

    def __init__(self, language="selfies", **metadata):
        super().__init__()
        words = vocabulary(language)
        self.config = RTConfig(
            vocabulary=words, language=language, metadata=metadata,
            number_formats={name: layout.to_dict() for name, layout in FORMATS.items()},
        )  # fmt: skip
        self.tokenizer = Tokenizer(words, language, number_formats=FORMATS)
        self.nothing = torch.nn.Parameter(torch.zeros(1))
        self.letters = [words.index(token) for token in (("[C]", "[O]") if language == "selfies" else ("C", "O"))]
        self.asked = []

    def forward(self, input_ids, *, attention_mask=None, perm_mask=None, positions=None):
        self.asked.append((input_ids.clone(), positions.clone(), perm_mask))
        logits = torch.full((*positions.shape, len(self.config.vocabulary)), -30.0)
        for row, ids in enumerate(input_ids.tolist()):
            value = self.tokenizer.properties_of(ids).get("logp", math.nan)
            share = 0.5 if math.isnan(value) else min(max((value + 6) / 12, 1e-6), 1 - 1e-6)
            logits[row, :, self.letters[0]] = math.log(share)
            logits[row, :, self.letters[1]] = math.log(1 - share)
        return logits


@pytest.fixture
def oracle():
    """Return the class of the oracle."""
    return Oracle


@pytest.fixture
def draws():
    """Return a function that gives a generator of a seed."""
    return lambda seed=0: torch.Generator().manual_seed(seed)
