"""Numerical encodings: fixed vectors for digit tokens, added to the word embedding or put in its last channels.

Born and Manica, Regression Transformer, 2023, in the form of the published code (the paper's formula differs). Only
digit tokens (`_7_-2_`: seven hundredths) have a vector; all other rows, sign and dot included, are zero::

    table = float_encoding(vocabulary, dim=256, vmax=1.0)                 # (V, dim)
    x = combine(word_embedding(ids), table[ids], "sum")                   # (B, L, D)
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from seqchem.tokenizers.properties import digit_value
from seqsuite.errors import UserError, unknown_name

ENCODINGS = ("float", "int", "none")
FORMATS = ("sum", "concat")


def float_rows(values: Tensor, dim: int) -> Tensor:
    """Return v, -v, v/3, -v/3, v/5, ... for every value: (...) -> (..., dim).

    Raises:
        UserError: `dim` is odd.
    """
    shares = torch.arange(1, _even(dim), 2, dtype=values.dtype, device=values.device)
    halves = values[..., None] / shares  # (..., dim / 2)
    return torch.stack((halves, -halves), -1).flatten(-2)


def float_encoding(vocabulary: Sequence[str], dim: int, vmax: float | None = None) -> Tensor:
    """Return the float encoding of every token.

    The row of digit d at power p is 10 v / vmax, -10 v / vmax, 10 v / (3 vmax), ... with v = d 10^p: neighbouring
    numbers are near each other. The digit 0 has a row of zeros.

    Args:
        vocabulary: The tokens.
        dim: Width of a row, even.
        vmax: Largest number of the data; None takes the largest value of a single token.

    Returns:
        (V, dim), float32.

    Raises:
        UserError: `dim` is odd, `vmax` is not positive, or there is no digit to take it from.
    """
    values = _values(vocabulary).nan_to_num(0.0)
    scale = float(values.max()) if vmax is None and len(values) else (vmax or 0.0)
    if scale <= 0:
        raise UserError(f"A float encoding needs a positive vmax, got {vmax}.")
    return float_rows(values * 10 / scale, dim).float()


def int_encoding(vocabulary: Sequence[str], dim: int) -> Tensor:
    """Return the sinusoidal encoding of every token.

    The row of value v = d 10^p is sin(v w), cos(v w) with w = 10000^(-2 i / dim) for i = 0, 2, 4, ... (twice as
    steep as usual; the digit 0 is 0, 1, 0, 1, ...). The published code knows whole numbers only; decimals get the
    same formula here.

    Args:
        vocabulary: The tokens.
        dim: Width of a row, even.

    Returns:
        (V, dim), float32.

    Raises:
        UserError: `dim` is odd.
    """
    values = _values(vocabulary)
    places = torch.arange(0, _even(dim), 2, dtype=torch.float64)
    angles = values[:, None] / 10000 ** (2 * places / dim)  # (V, dim / 2)
    rows = torch.stack((angles.sin(), angles.cos()), -1).flatten(-2)
    return rows.nan_to_num(0.0).float()


def encoding_table(kind: str, vocabulary: Sequence[str], dim: int, vmax: float | None = None) -> Tensor | None:
    """Return the table (V, dim) of an encoding by name, None for "none".

    Raises:
        UserError: An unknown name, or what the encoding itself refuses.
    """
    if kind not in ENCODINGS:
        raise unknown_name("numerical encoding", kind, ENCODINGS)
    if kind == "none":
        return None
    return float_encoding(vocabulary, dim, vmax) if kind == "float" else int_encoding(vocabulary, dim)


def combine(embedded: Tensor, encoded: Tensor, format: str = "sum") -> Tensor:
    """Return word embeddings with their numerical encodings.

    Args:
        embedded: (..., D).
        encoded: (..., D) for "sum", (..., E) with E <= D for "concat".
        format: "sum" adds; "concat" overwrites the last E channels.

    Returns:
        (..., D), out of place.

    Raises:
        UserError: An unknown format, or widths that do not go together.
    """
    if format not in FORMATS:
        raise unknown_name("encoding format", format, FORMATS)
    width, given = embedded.shape[-1], encoded.shape[-1]
    if given > width or (format == "sum" and given != width):
        raise UserError(f"Numerical encodings of width {given} do not go with embeddings of width {width} ({format}).")
    encoded = encoded.to(embedded.dtype)
    return embedded + encoded if format == "sum" else torch.cat((embedded[..., : width - given], encoded), -1)


def _values(vocabulary: Sequence[str]) -> Tensor:
    """Return every token's digit times its power of ten, NaN for tokens that are no digit: (V,) float64."""
    found = (digit_value(token) for token in vocabulary)
    values = [float("nan") if pair is None else pair[0] * 10.0 ** pair[1] for pair in found]
    return torch.tensor(values, dtype=torch.float64)


def _even(dim: int) -> int:
    if dim < 2 or dim % 2:
        raise UserError(f"A numerical encoding needs an even width, got {dim}.")
    return dim
