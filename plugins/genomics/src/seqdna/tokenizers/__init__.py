"""Tokenizers: single nucleotides, k-mers and codons, each with its complement on ids.

from seqdna.tokenizers import CodonTokenizer, KmerTokenizer, NucleotideTokenizer, tokenizer_from_dict
ids = KmerTokenizer(k=6).encode("ACGTACGTACGT")
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seqdna.tokenizers.base import Census, Text, TokenBatch, Tokenizer
from seqdna.tokenizers.codon import CodonTokenizer, codon_usage
from seqdna.tokenizers.kmer import KmerTokenizer, TokenCensus
from seqdna.tokenizers.nucleotide import (
    BASES,
    CADUCEUS_TOKENS,
    IUPAC_AMBIGUOUS,
    IUPAC_POLICIES,
    LOWER_POLICIES,
    PLANT_TOKENS,
    PUBLISHED,
    URACIL_POLICIES,
    NucleotideTokenizer,
)
from seqsuite.errors import unknown_name

__all__ = [
    "BASES",
    "CADUCEUS_TOKENS",
    "IUPAC_AMBIGUOUS",
    "IUPAC_POLICIES",
    "LOWER_POLICIES",
    "PLANT_TOKENS",
    "PUBLISHED",
    "URACIL_POLICIES",
    "Census",
    "CodonTokenizer",
    "KmerTokenizer",
    "NucleotideTokenizer",
    "Text",
    "TokenBatch",
    "TokenCensus",
    "Tokenizer",
    "codon_usage",
    "tokenizer_from_dict",
]

_KINDS: dict[str, type[Tokenizer]] = {kind.kind: kind for kind in (NucleotideTokenizer, KmerTokenizer, CodonTokenizer)}


def tokenizer_from_dict(settings: Mapping[str, Any]) -> Tokenizer:
    """Rebuild the tokenizer that `to_dict` described, of any type; without a type it is a nucleotide tokenizer.

    Raises:
        UserError: An unknown type or key.
    """
    kind = str(settings.get("type", NucleotideTokenizer.kind))
    if kind not in _KINDS:
        raise unknown_name("tokenizer type", kind, _KINDS)
    return _KINDS[kind].from_dict(settings)
