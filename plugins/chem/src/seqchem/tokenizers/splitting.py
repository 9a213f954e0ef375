r"""Cuts molecules, reactions and proteins into symbols, as the published Regression Transformer does.

Published splitting drops silently what it does not know: a letter that no alternative of the SMILES pattern
matches simply disappears. The functions here keep the published result, and `unmatched` names what would be lost::

    split_smiles("CC(=O)[O-]")            # ["C", "C", "(", "=", "O", ")", "[O-]"]
    unmatched("CXC", "smiles")            # ["X"]
"""

from __future__ import annotations

import re
from collections.abc import Callable

from seqsuite.errors import UserError, unknown_name

_ATOMS = r"\[[^\]]+\]|Br?|Cl?|[NOSPFIbcnosp]"
_BONDS_AND_RINGS = r"%\([0-9]{3}\)|%[0-9]{2}|[0-9]|>>?|[|().=#\-+\\/:~@?*$]"
_SMILES = re.compile(f"{_ATOMS}|{_BONDS_AND_RINGS}")
_REACTION = re.compile(rf"<\w+>|{_ATOMS}|{_BONDS_AND_RINGS}")
# A dot counts as a symbol only right behind a bracket; anything else before a bracket is glued to it.
_SELFIES = re.compile(r"(?<=\])\.|[^\]]+\]")
_BRACKETED = re.compile(r"\[[^\[\]]+\]|\.")


def split_smiles(text: str) -> list[str]:
    """Return the symbols of a SMILES string; what matches nothing is left out (see `unmatched`)."""
    return _SMILES.findall(text)


def split_reaction(text: str) -> list[str]:
    """Return the symbols of a reaction SMILES; a word in angle brackets (`<energy>`, between precursors) is one."""
    return _REACTION.findall(text)


def split_selfies(text: str) -> list[str]:
    """Return the symbols of a SELFIES string.

    Raises:
        UserError: A bracket is not closed.
    """
    first = text.find("[")
    if first < 0:
        return []
    symbols = _SELFIES.findall(text, first)
    if sum(map(len, symbols)) != len(text) - first:
        raise UserError(f"SELFIES {_short(text)!r} is malformed: a '[' without its ']'.")
    return symbols


def split_sequence(text: str) -> list[str]:
    """Return the letters of a protein."""
    return list(text)


SPLITTERS: dict[str, Callable[[str], list[str]]] = {
    "smiles": split_smiles,
    "selfies": split_selfies,
    "selfies_v1": split_selfies,
    "protein": split_sequence,
    "reaction": split_reaction,
}
"""Language -> the function that splits its text. `selfies_v1` is the alphabet of selfies 1.0 ([Branch1_1])."""

LANGUAGES = tuple(SPLITTERS)
_KEPT = {
    "smiles": _SMILES,
    "reaction": _REACTION,
    "selfies": _BRACKETED,
    "selfies_v1": _BRACKETED,
    "protein": re.compile(r"\S"),
}


def check_language(language: str) -> str:
    """Return a language's name, or raise an error that suggests near names."""
    if language not in SPLITTERS:
        raise unknown_name("language", language, LANGUAGES)
    return language


def unmatched(text: str, language: str = "smiles") -> list[str]:
    """Return the pieces of a sequence that are no symbol of its language, in order; a clean text gives none.

    Args:
        text: A sequence without properties.
        language: One of `LANGUAGES`.
    """
    pieces, end = [], 0
    for match in _KEPT[check_language(language)].finditer(text):
        if match.start() > end:
            pieces.append(text[end : match.start()])
        end = match.end()
    return pieces + [text[end:]] * (end < len(text))


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."
