"""Numerical encodings: what their formulas promise."""

from __future__ import annotations

import math

import pytest
import torch

from seqchem.encodings import combine, encoding_table, float_encoding, int_encoding
from seqchem.tokenizers import NumberFormat, build_vocabulary
from seqsuite.errors import UserError

TOKENS = build_vocabulary(["CCO"], "smiles", ["qed"])


def test_only_digits_have_a_vector() -> None:
    table = float_encoding(TOKENS, 8, 1.0)
    assert table.shape == (len(TOKENS), 8)
    for token, row in zip(TOKENS, table, strict=True):
        digit = token.count("_") == 3 and not token.startswith("_0_")
        assert bool(row.any()) == digit, token


def test_rows_of_a_number_add_up_to_its_value() -> None:
    layout = NumberFormat(0.0, 1.0, normalized=False)
    table = float_encoding(TOKENS, 6, 1.0)
    for value in (0.0, 0.125, 0.999, 1.0):
        total = sum(table[TOKENS.index(token)] for token in layout.tokens(value))
        torch.testing.assert_close(total, 10 * value * torch.tensor([1, -1, 1 / 3, -1 / 3, 1 / 5, -1 / 5]))


def test_vmax_only_scales() -> None:
    torch.testing.assert_close(float_encoding(TOKENS, 8, 4.0) * 4, float_encoding(TOKENS, 8, 1.0))
    torch.testing.assert_close(
        float_encoding(["_9_1_", "_3_0_", "C"], 4), float_encoding(["_9_1_", "_3_0_", "C"], 4, 90)
    )


def test_int_rows_are_angles() -> None:
    table = int_encoding(["_7_1_", "_0_0_", "C", "_._"], 8)
    for place in range(4):
        angle = 70 / 10000 ** (4 * place / 8)
        assert table[0, 2 * place].item() == pytest.approx(math.sin(angle), abs=1e-6)
        assert table[0, 2 * place + 1].item() == pytest.approx(math.cos(angle), abs=1e-6)
    assert table[1].tolist() == [0, 1] * 4
    assert not table[2:].any()


def test_combination_adds_or_overwrites() -> None:
    embedded, encoded = torch.randn(2, 3, 8, generator=torch.Generator().manual_seed(0)), torch.ones(2, 3, 8)
    torch.testing.assert_close(combine(embedded, encoded), embedded + 1)
    found = combine(embedded, encoded[..., :2], "concat")
    assert torch.equal(found[..., :6], embedded[..., :6])
    assert found[..., 6:].eq(1).all()
    assert not embedded[..., 6:].eq(1).any()


def test_mistakes_are_told() -> None:
    with pytest.raises(UserError, match="even width"):
        float_encoding(TOKENS, 7, 1.0)
    with pytest.raises(UserError, match="positive vmax"):
        float_encoding(TOKENS, 8, 0.0)
    with pytest.raises(UserError, match="positive vmax"):
        float_encoding(["C"], 8)
    with pytest.raises(UserError, match="Did you mean 'float'"):
        encoding_table("flaot", TOKENS, 8)
    with pytest.raises(UserError, match="do not go with"):
        combine(torch.zeros(1, 8), torch.zeros(1, 4))
    with pytest.raises(UserError, match="Unknown encoding format"):
        combine(torch.zeros(1, 8), torch.zeros(1, 8), "add")
    assert encoding_table("none", TOKENS, 8) is None
