"""Tokenizers of the Regression Transformer: molecules, reactions and proteins with their numbers.

`ExpressionTokenizer` (short: `Tokenizer`) reads and writes whole expressions, `NumberFormat` fixes how a property's
numbers look, `build_vocabulary` and `read_vocabulary` give it its tokens.
"""

from __future__ import annotations

from seqchem.tokenizers.alphabets import (
    OldSymbols,
    decode_selfies,
    encode_selfies,
    modern_symbol,
    old_symbol,
    whole_alphabet,
)
from seqchem.tokenizers.expression import PUBLISHED_LANGUAGES, ExpressionTokenizer, unknown_line
from seqchem.tokenizers.numbers import NumberFormat
from seqchem.tokenizers.properties import (
    digit_value,
    number_tokens,
    plain_number,
    property_name,
    property_tokens,
    published_float,
    split_property,
    tokens_float,
)
from seqchem.tokenizers.splitting import (
    LANGUAGES,
    split_reaction,
    split_selfies,
    split_sequence,
    split_smiles,
    unmatched,
)
from seqchem.tokenizers.vocabulary import (
    SPECIAL_TOKENS,
    build_vocabulary,
    extend_vocabulary,
    missing_tokens,
    read_vocabulary,
    write_vocabulary,
)

# The suite knows several tokenizers: the class has a name of its own, the short one is for this package.
Tokenizer = ExpressionTokenizer

__all__ = [
    "LANGUAGES",
    "PUBLISHED_LANGUAGES",
    "SPECIAL_TOKENS",
    "ExpressionTokenizer",
    "NumberFormat",
    "OldSymbols",
    "Tokenizer",
    "build_vocabulary",
    "decode_selfies",
    "digit_value",
    "encode_selfies",
    "extend_vocabulary",
    "missing_tokens",
    "modern_symbol",
    "number_tokens",
    "old_symbol",
    "plain_number",
    "property_name",
    "property_tokens",
    "published_float",
    "read_vocabulary",
    "split_property",
    "split_reaction",
    "split_selfies",
    "split_sequence",
    "split_smiles",
    "tokens_float",
    "unknown_line",
    "unmatched",
    "whole_alphabet",
    "write_vocabulary",
]
