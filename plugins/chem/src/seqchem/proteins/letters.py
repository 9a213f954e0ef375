"""The letters of proteins: the twenty amino acids, five further ones, and a report of whatever else a file holds.

    check_proteins(["ACDEF", "ACJEF"], rows=[2, 3])     # UserError: row 3 has J, which is no letter of a protein

Upper case only, as the tokenizers have it. The five further letters are B (aspartate or asparagine), Z (glutamate or
glutamine), X (anything), U (selenocysteine) and O (pyrrolysine); the suite treats them in one way:

- files may hold them, and a model that met them in training reads them as any other letter;
- they are equal to nothing, not even to themselves, where the identity of two sequences is counted;
- no property or descriptor of the sequence is defined with one, for none of the scales has a value for them;
- nothing is ever written with them.

J, gaps and stops within a sequence are no letters. A dot stands between several chains of one text.
"""

from __future__ import annotations

from collections.abc import Sequence

from seqsuite.errors import UserError

AMINO_ACIDS = "ACDEFGHIKLMNPQRSTVWY"
"""One letter for each of the twenty."""

FURTHER_LETTERS = "BOUXZ"
"""Letters of files that stand for no one of the twenty."""

CHAIN_SEPARATOR = "."
"""What stands between the chains of one text."""

_KNOWN = frozenset(AMINO_ACIDS)
_READ = frozenset(AMINO_ACIDS + FURTHER_LETTERS)
_SHOWN = 5


def unknown_letters(sequence: str, *, further: bool = False) -> str:
    """Return the letters of a sequence that are none of the twenty, each once, in their order.

    Args:
        sequence: Letters.
        further: Whether the five further letters count as known.
    """
    known = _READ if further else _KNOWN
    return "".join(letter for letter in dict.fromkeys(sequence) if letter not in known)


def problem_of(sequence: str, *, further: bool = False) -> str | None:
    """Return in a few words why a text is no protein, or None where it is one.

    Args:
        sequence: A text.
        further: Whether the five further letters may be in it.
    """
    if not sequence:
        return "is empty"
    found = unknown_letters(sequence, further=further)
    if not found:
        return None
    if not unknown_letters(sequence.upper(), further=further):
        return "is in lower case"
    shown = ", ".join(repr(letter) if letter.isspace() else letter for letter in found)
    which = "is" if len(found) == 1 else "are"
    if further:
        return f"has {shown}, which {which} no letter of a protein"
    return f"has {shown}, which {which} none of the twenty amino acids"


def chains_problem(text: str) -> str | None:
    """Return why a text is no protein of one or several chains, with dots between them, or None where it is one.

    Args:
        text: Upper-case letters; the five further ones may be among them.
    """
    if not text:
        return "is empty"
    chains = text.split(CHAIN_SEPARATOR)
    if "" in chains:
        return "has nothing before, behind or between its dots"
    return next((problem for chain in chains if (problem := problem_of(chain, further=True))), None)


def check_proteins(
    sequences: Sequence[str], *, rows: Sequence[int] | None = None, source: str = "", further: bool = False
) -> None:
    """Check that every text is a protein: at least one letter, and none but those that are allowed.

    Args:
        sequences: N texts.
        rows: (N,) the number of each in its file, for the message; None: 1, 2, ...
        source: Name of the file, for the message.
        further: Whether the five further letters may be in them.

    Raises:
        UserError: Some are not; the first five are told with their rows.
    """
    numbers = range(1, len(sequences) + 1) if rows is None else rows
    problems = [(row, problem_of(text, further=further)) for row, text in zip(numbers, sequences, strict=True)]
    told = [f"row {row} {problem}" for row, problem in problems if problem is not None]
    if told:
        more = f" and {len(told) - _SHOWN} more" if len(told) > _SHOWN else ""
        raise UserError(f"{source}{': ' if source else ''}{'; '.join(told[:_SHOWN])}{more}")
