"""A model that knows the answer, and one with random weights."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import seqsuite
from seqchem.tokenizers import NumberFormat, Tokenizer, build_vocabulary

SMILES = ["CCO", "CCCCN", "c1ccccc1", "CC(=O)O", "CCCCCCCC", "CN", "CC(C)Cl", "O=C=O"]


class Oracle(nn.Module):
    """Stands in for a network: the digits of `answer(text)` get all the probability, or what `spread` says.

    Args:
        tokenizer: With number formats.
        answer: (property, text) -> value in the user's units.
        spread: (property, text, place) -> {token: logit} in place of the answer's token; None: the answer's.
    """

    def __init__(self, tokenizer: Tokenizer, answer: Callable[[str, str], float], spread: Any = None) -> None:
        super().__init__()
        self.tokenizer, self.answer, self.spread = tokenizer, answer, spread
        self.weight = nn.Parameter(torch.zeros(1))
        formats = {name: form.to_dict() for name, form in tokenizer.number_formats.items()}
        self.config = SimpleNamespace(mixer="xlnet", language=tokenizer.language, max_length=64, number_formats=formats)
        self.batches: list[tuple[int, int]] = []
        self.asked_positions = 0

    def forward(self, input_ids: Tensor, *, attention_mask: Any, perm_mask: Any, positions: Tensor) -> Tensor:
        self.batches.append((len(input_ids), input_ids.shape[1]))
        self.asked_positions += positions.numel()
        logits = torch.full((*positions.shape, len(self.tokenizer)), -60.0)
        for row, ids in enumerate(input_ids.tolist()):
            tokens = self.tokenizer.decode(ids)
            name, text = tokens[1][1:-1], self.tokenizer.text_of(ids)
            wanted = [] if self.spread else self.tokenizer.number_tokens(name, self.answer(name, text))
            for column, position in enumerate(positions[row].tolist()):
                place = position - 2
                told = {wanted[place]: 0.0} if self.spread is None else self.spread(name, text, place)
                for token, logit in told.items():
                    logits[row, column, self.tokenizer.vocabulary.index(token)] = logit
        return logits


@pytest.fixture
def smiles() -> list[str]:
    """A few molecules, of unlike lengths."""
    return list(SMILES)


@pytest.fixture
def make_tokenizer() -> Callable[..., Tokenizer]:
    """Return what makes a tokenizer of SMILES with properties of given formats."""

    def make(**formats: NumberFormat) -> Tokenizer:
        return Tokenizer(build_vocabulary(SMILES, "smiles", list(formats)), "smiles", number_formats=formats)

    return make


@pytest.fixture
def oracle() -> type[Oracle]:
    """The class of models that know the answer."""
    return Oracle


@pytest.fixture
def network() -> Any:
    """A Regression Transformer with random weights and two properties."""
    formats = {
        "logp": NumberFormat(-2.0, 5.5).to_dict(),
        "charge": NumberFormat(-120.0, 340.0, 2, 3, True, False).to_dict(),
    }
    torch.manual_seed(0)
    return seqsuite.create_model(
        "rt_debug",
        vocabulary=build_vocabulary(SMILES, "smiles", list(formats)),
        language="smiles",
        number_formats=formats,
    ).eval()
