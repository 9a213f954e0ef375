"""Vocabularies: published files, and new ones from a user's data.

A vocabulary is a tuple of tokens, a token's place is its id. The file has one token a line; that of the published
protein model begins with an empty line, which is token 0 there::

    vocabulary = build_vocabulary(sequences, "selfies", ["qed"])
    vocabulary = read_vocabulary("vocab.txt")
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from seqchem.tokenizers.alphabets import whole_alphabet
from seqchem.tokenizers.numbers import NumberFormat
from seqchem.tokenizers.properties import property_name
from seqchem.tokenizers.splitting import SPLITTERS, check_language
from seqsuite.errors import UserError

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "|")
"""What every vocabulary has; `|` separates properties and sequence."""

_MARKS = ("_-_", "_+_", "_._")


def build_vocabulary(
    texts: Iterable[str],
    language: str,
    properties: Iterable[str] | Mapping[str, NumberFormat] = (),
    *,
    digits: Iterable[int] = range(-6, 6),
    alphabet: bool = False,
    min_count: int = 1,
) -> tuple[str, ...]:
    """Build a vocabulary: special tokens with [PAD] = 0, properties, sign, dot and digits, then symbols.

    Args:
        texts: Sequences of the training data in their language, or expressions (`<qed>0.5|...`, of which the last
            piece counts).
        language: One of `seqchem.tokenizers.LANGUAGES`.
        properties: Names of the properties, with or without angle brackets; a mapping to their number formats adds
            the powers of ten that these need.
        digits: Powers of ten; all ten digits of each are added.
        alphabet: Whether to add the whole alphabet of the language, so that a symbol outside the data is not
            unknown (SELFIES: the semantically robust alphabet).
        min_count: Rarer symbols are left out and will read as [UNK].

    Returns:
        The tokens; symbols by falling frequency, then by name.

    Raises:
        UserError: An unknown language, or a name that cannot be a property.
    """
    split = SPLITTERS[check_language(language)]
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(split(text.rpartition("|")[2]))
    common = sorted((symbol for symbol in counts if counts[symbol] >= min_count), key=lambda s: (-counts[s], s))
    powers = set(digits)
    if isinstance(properties, Mapping):
        for layout in properties.values():
            powers |= set(range(-layout.decimals, layout.integer_digits))
    tokens = (
        *SPECIAL_TOKENS,
        *(f"<{property_name(name)}>" for name in properties),
        *_MARKS,
        *(f"_{digit}_{power}_" for power in sorted(powers, reverse=True) for digit in range(10)),
        *common,
        *(whole_alphabet(language) if alphabet else ()),
    )
    return tuple(dict.fromkeys(tokens))


def extend_vocabulary(vocabulary: Sequence[str], tokens: Iterable[str]) -> tuple[str, ...]:
    """Return a vocabulary with the tokens that it lacks behind its own: no id changes."""
    known = set(vocabulary)
    return (*vocabulary, *(token for token in dict.fromkeys(tokens) if token not in known))


def missing_tokens(vocabulary: Sequence[str], wanted: Iterable[str]) -> tuple[str, ...]:
    """Return those of some tokens that a vocabulary lacks, in order, each once."""
    known = set(vocabulary)
    return tuple(token for token in dict.fromkeys(wanted) if token not in known)


def read_vocabulary(path: str | Path) -> tuple[str, ...]:
    """Read a vocabulary file: one token a line, an empty line is an (unused) token too.

    Raises:
        UserError: The file cannot be read, is empty, or is not text.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: is not a text file; a vocabulary has one token a line.") from None
    lines = text.removesuffix("\n").split("\n")
    if not any(lines):
        raise UserError(f"{path}: holds no token.")
    return tuple(line.removesuffix("\r") for line in lines)


def write_vocabulary(vocabulary: Sequence[str], path: str | Path) -> None:
    """Write a vocabulary file that `read_vocabulary` and the published tokenizers read.

    Raises:
        UserError: A token holds a line break.
    """
    broken = [token for token in vocabulary if len(token.splitlines()) > 1 or token.endswith(("\n", "\r"))]
    if broken:
        raise UserError(f"token {broken[0]!r} holds a line break.")
    from seqsuite.training.run_folder import write_text

    write_text(Path(path), "\n".join(vocabulary) + "\n")
