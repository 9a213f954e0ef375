"""The Regression Transformer's texts: tokens, ids and numbers as published, and the numerical encodings."""

from __future__ import annotations

import random
import re
from typing import Any

import torch
from rdkit import Chem

from seqchem.encodings import float_encoding, float_rows, int_encoding
from seqchem.tokenizers import (
    PUBLISHED_LANGUAGES,
    ExpressionTokenizer,
    OldSymbols,
    decode_selfies,
    encode_selfies,
    published_float,
    split_property,
    split_smiles,
)
from seqsuite.testing.parity import Case


def tokenizer_case(case: Case) -> dict[str, Any]:
    """Rebuild cases.json from the texts in it, and the ids in one row."""
    hyper, given = case.hyperparameters, case.json("cases.json")
    language = PUBLISHED_LANGUAGES[hyper["language"]]
    tokenizer = ExpressionTokenizer(case.json("vocab.json"), language, pad_even=hyper["pad_even"])
    assert len(tokenizer) == hyper["vocab_size"]
    found: dict[str, Any] = {"cases": [row(tokenizer, entry["text"]) for entry in given["cases"]]}
    found["specials"] = specials(tokenizer, hyper["language"], given["specials"]["smiles_regex"])
    if "property_tokenizer" in given:
        texts = [entry["text"] for entry in given["property_tokenizer"]]
        found["property_tokenizer"] = [{"text": text, "tokens": split_property(text)} for text in texts]
        numbers = [entry["tokens"] for entry in given["floating_tokens_to_float"]]
        found["floating_tokens_to_float"] = [{"tokens": each, "float": published_float(each)} for each in numbers]
    if "smiles_to_selfies_2_2_0" in given:
        found["smiles_to_selfies_2_2_0"] = {text: encode_selfies(text) for text in given["smiles_to_selfies_2_2_0"]}
        old = given["smiles_to_selfies_1_0_4"]
        found["smiles_to_selfies_1_0_4"] = {text: in_old_alphabet(tokenizer, text, old[text]) for text in old}
    rows = [entry["input_ids"] for entry in found["cases"]]
    return {
        "cases.json": found,
        "input_ids_concat": torch.tensor([place for ids in rows for place in ids]),
        "lengths": torch.tensor([len(ids) for ids in rows]),
    }


def row(tokenizer: ExpressionTokenizer, text: str) -> dict[str, Any]:
    ids = tokenizer.encode(text, published=True)
    expression = tokenizer.tokenize(text, published=True)
    tokens = tokenizer.decode(ids)
    sequence, properties = aggregate(tokens)
    padding = ["[PAD]"] * (len(ids) - len(expression) - 2)
    return {
        "text": text,
        "expression_tokens": expression,
        "tokens": expression + padding,
        "input_ids": ids,
        "ids_to_tokens": tokens,
        "aggregate_sequence": sequence,
        "aggregate_properties": properties,
        "aggregate_error": None,
    }


def aggregate(tokens: list[str]) -> tuple[str, dict[str, float]]:
    """The published reading of a row: the text begins behind the first separator, or is the whole row."""
    properties = {}
    for place, token in enumerate(tokens):
        if token.startswith("<") and token.endswith(">"):
            behind = tokens[place + 1 :]
            end = next(at for at, other in enumerate(behind) if not other.startswith("_"))
            properties[token[1:-1]] = published_float(behind[:end])
    if "|" not in tokens:
        return "".join(tokens), properties
    end = min(tokens.index(stop) for stop in ("[SEP]", "[PAD]") if stop in tokens)
    return "".join(tokens[tokens.index("|") + 1 : end]), properties


def specials(tokenizer: ExpressionTokenizer, language: str, pattern: str) -> dict[str, Any]:
    names = ("pad", "unk", "cls", "sep", "mask")
    ids = [getattr(tokenizer, f"{name}_token_id") for name in names]
    check_pattern(pattern)
    return {
        "special": {name: [tokenizer.vocabulary[place], place] for name, place in zip(names, ids, strict=True)},
        "language": language,
        "pad_even": tokenizer.pad_even,
        "expression_separator": tokenizer.vocabulary[tokenizer.separator_id],
        "smiles_regex": pattern,
    }


def check_pattern(pattern: str) -> None:
    """Our splitting is written otherwise than the published pattern: it must do the same on any text."""
    published, draw = re.compile(pattern), random.Random(0)
    letters = "".join(map(chr, range(32, 127))) + "\n[[[]]]((()))%%%%>>>BBrClCl0123456789"
    for length in range(60):
        for _ in range(50):
            text = "".join(draw.choices(letters, k=length))
            assert split_smiles(text) == published.findall(text), text


def in_old_alphabet(tokenizer: ExpressionTokenizer, smiles: str, old: str) -> str:
    """The molecule in the old alphabet; the old package kekulised some aromatic rings the other way round.

    There the two strings must be the same molecule, and the old one is taken.
    """
    ours = tokenizer.from_smiles(smiles)
    if ours == old or not any(atom.GetIsAromatic() for atom in Chem.MolFromSmiles(smiles).GetAtoms()):
        return ours
    both = [decode_selfies(OldSymbols.new(text)) for text in (ours, old)]
    assert Chem.CanonSmiles(both[0]) == Chem.CanonSmiles(both[1]) == Chem.CanonSmiles(smiles)
    return old


def encodings_case(case: Case) -> dict[str, Any]:
    hyper = case.hyperparameters
    tokens, whole = hyper["tokens"], hyper["int_tokens"]
    pairs = [(dim, vmax) for dim in hyper["dims"] for vmax in hyper["vmax"]]
    found = {f"float_d{dim}_vmax{vmax}": float_encoding(tokens, dim, vmax) for dim, vmax in pairs}
    found |= {f"int_d{dim}": int_encoding(whole, dim) for dim in hyper["dims"]}
    found["float_inferred_vmax"] = float_encoding(tokens, 16)
    scaled = float_encoding(tokens, 16, hyper["inferred_vmax"])
    assert torch.equal(found["float_inferred_vmax"], scaled)
    for value in (3.25, 0.5, 12.125):
        # The published row of a whole number (used by nothing) takes the decimals as an exponent.
        odd = int(value) * 10 ** (value - int(value))
        found[f"full_float_{value}"] = float_rows(torch.tensor(odd), 16)
    return found
