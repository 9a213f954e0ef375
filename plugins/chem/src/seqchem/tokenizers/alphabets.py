"""Alphabets of the languages, and SELFIES of both ages.

Published Regression Transformers speak the alphabet of selfies 1.0 ([Branch1_1], [NHexpl]); the installed package
writes the current one ([Branch1], [NH1]) and knows the current name of every old symbol. `OldSymbols` turns this table
round over a vocabulary, so that no old package is needed::

    names = OldSymbols(vocabulary)
    names.old(encode_selfies("c1cc[nH]c1"))      # for the model
    decode_selfies(names.new(text))              # SMILES
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from seqchem.tokenizers.splitting import check_language, split_selfies
from seqsuite.errors import UserError

AMINO_ACIDS = "ACDEFGHIKLMNPQRSTVWY"
_SMILES_SYMBOLS = (
    *("B", "C", "N", "O", "P", "S", "F", "Cl", "Br", "I", "b", "c", "n", "o", "p", "s"),
    *("(", ")", "-", "=", "#", "/", "\\", ".", *"123456789", "%10", "%11", "%12"),
    *("[nH]", "[C@@H]", "[C@H]", "[C@@]", "[C@]", "[N+]", "[O-]", "[n+]", "[NH+]", "[NH2+]", "[NH3+]", "[S-]"),
)
_OLD_SIZED = {"[Branch{}]": "[Branch{}_1]", "[=Branch{}]": "[Branch{}_2]", "[#Branch{}]": "[Branch{}_3]"} | {
    f"[{new}Ring{{}}]": f"[Expl{old}Ring{{}}]" for new, old in (("=", "="), ("#", "#"), ("//", "/"), ("\\\\", "\\"))
}
_OLD_TABLE = {new.format(size): old.format(size) for new, old in _OLD_SIZED.items() for size in (1, 2, 3)}
# Written now, left out then: no hydrogen, one hydrogen, a single charge.
_IMPLIED = re.compile(r"H0(?=[+\-\]])|(?<=H)1(?=[+\-\]])|(?<=[+-])1(?=\])")


@lru_cache(maxsize=8192)
def modern_symbol(symbol: str) -> str:
    """Return the current name of a SELFIES symbol of any age."""
    from selfies.compatibility import modernize_symbol

    return modernize_symbol(symbol)


@lru_cache(maxsize=8192)
def old_symbol(symbol: str) -> str:
    """Return the name of a current SELFIES symbol in selfies 1.0, itself if it had the same or none."""
    if symbol in _OLD_TABLE:
        return _OLD_TABLE[symbol]
    old = _IMPLIED.sub("", symbol).removesuffix("]") + "expl]"
    return old if modern_symbol(old) == symbol else symbol


class OldSymbols:
    """Names of SELFIES symbols between the current alphabet and a vocabulary of selfies 1.0.

    Args:
        vocabulary: The vocabulary; where two of its symbols have one current name ([Fe++expl], [Fe+2expl]), the
            first is taken: published vocabularies are sorted by frequency.
    """

    def __init__(self, vocabulary: Iterable[str] = ()) -> None:
        symbols = [token for token in vocabulary if token.startswith("[") and token.endswith("]")]
        self._old: dict[str, str] = {token: token for token in symbols if modern_symbol(token) == token}
        for token in symbols:
            self._old.setdefault(modern_symbol(token), token)

    def old(self, text: str) -> str:
        """Return a current SELFIES string in the old alphabet."""
        known = self._old
        return "".join(known.get(symbol) or old_symbol(symbol) for symbol in split_selfies(text))

    @staticmethod
    def new(text: str) -> str:
        """Return a SELFIES string of any age in the current alphabet."""
        return "".join(map(modern_symbol, split_selfies(text)))


def encode_selfies(smiles: str) -> str:
    """Return a molecule in the current SELFIES alphabet, atoms in the order of the SMILES.

    Raises:
        UserError: SELFIES cannot write the molecule (not parsable, a wildcard, more bonds than it allows an atom).
    """
    import selfies

    try:
        return selfies.encoder(smiles)
    except selfies.EncoderError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = lines[0].rstrip(":") if lines else "no reason given"
        raise UserError(f"SELFIES cannot write {smiles!r}: {reason}.") from None


def decode_selfies(text: str) -> str | None:
    """Return the SMILES of a SELFIES string in the current alphabet, None if a symbol cannot be read."""
    import selfies

    try:
        return selfies.decoder(text)
    except selfies.DecoderError:
        return None


def whole_alphabet(language: str) -> tuple[str, ...]:
    """Return the symbols of a language that a vocabulary should have whatever the data, sorted.

    For SELFIES these are all symbols whose bonds the package holds in check: any string of them is a molecule.
    For SMILES and reactions they are the organic subset with bonds, rings and the commonest bracket atoms.
    """
    check_language(language)
    if language == "protein":
        return tuple(AMINO_ACIDS)
    if language in ("smiles", "reaction"):
        return tuple(sorted({*_SMILES_SYMBOLS, *([">>"] if language == "reaction" else [])}))
    import selfies

    symbols = selfies.get_semantic_robust_alphabet() | {"."}
    return tuple(sorted(symbols if language == "selfies" else map(old_symbol, symbols)))
