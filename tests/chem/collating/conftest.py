"""A small tokenizer and rows as the published texts have them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch

from seqchem.collating import pad_rows
from seqchem.tokenizers import ExpressionTokenizer

VOCABULARY = (
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "|", "<qed>", "<logp>", "_-_", "_+_", "_._"),
    *(f"_{digit}_{order}_" for order in (1, 0, -1, -2, -3) for digit in range(10)),
    *("C", "N", "O", "F", "c", "n", "1", "(", ")", "=", "."),
)


@pytest.fixture
def tokenizer() -> ExpressionTokenizer:
    return ExpressionTokenizer(VOCABULARY, "smiles")


@pytest.fixture
def late_pad() -> ExpressionTokenizer:
    """Its padding is not id 0, as in the published protein vocabulary."""
    return ExpressionTokenizer(("", *VOCABULARY), "smiles")


@pytest.fixture
def encode(tokenizer: ExpressionTokenizer) -> Callable[..., torch.Tensor]:
    def rows(*texts: str, by: ExpressionTokenizer | None = None) -> torch.Tensor:
        own = tokenizer if by is None else by
        return pad_rows([own.encode(text) for text in texts], own.pad_token_id)

    return rows


@pytest.fixture
def tokens_at(tokenizer: ExpressionTokenizer) -> Callable[..., list[list[str]]]:
    """Tokens of each row where a mask is true."""

    def read(ids: torch.Tensor, chosen: torch.Tensor, by: ExpressionTokenizer | None = None) -> list[list[str]]:
        own = tokenizer if by is None else by
        return [own.decode(row[kept].tolist()) for row, kept in zip(ids, chosen, strict=True)]

    return read


@pytest.fixture
def random_texts() -> Callable[..., list[str]]:
    def made(count: int, seed: int, letters: Sequence[str] = "CNOFcn1()=", least: int = 1, most: int = 24) -> list[str]:
        draw = torch.Generator().manual_seed(seed)
        texts = []
        for _ in range(count):
            length = int(torch.randint(least, most + 1, (), generator=draw))
            picked = torch.randint(len(letters), (length,), generator=draw).tolist()
            value = int(torch.randint(1000, (), generator=draw))
            texts.append(f"<qed>0.{value:03}|" + "".join(letters[index] for index in picked))
        return texts

    return made
