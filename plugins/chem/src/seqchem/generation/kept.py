"""Which tokens of a seed write the atoms that are to be kept, in SMILES and in SELFIES.

    kept_tokens("CCOC(=O)c1ccccc1", written, tokens, "c1ccccc1", "selfies")       # {9, 10, ...}

Atoms stand in a text in the order of their numbers. SELFIES add numbers behind rings and branches, which are symbols
of atoms read as digits: those that belong to kept atoms are kept with them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from rdkit import Chem, rdBase

from seqchem.chemistry.parsing import parse
from seqchem.tokenizers.alphabets import OldSymbols
from seqsuite.errors import UserError

_SIZED = re.compile(r"\[[^\]]*?(Ring|Branch)([123])\]")


def kept_tokens(sequence: str, written: str, tokens: Sequence[str], keep: str, language: str) -> set[int]:
    """Return the places of the tokens that a seed's kept atoms are written with.

    Args:
        sequence: The seed as it was given, for messages.
        written: The seed in its language.
        tokens: Its tokens.
        keep: SMARTS with blanks between them; the first match of each is kept.
        language: smiles, selfies or selfies_v1.

    Raises:
        UserError: A pattern is not SMARTS, or the seed lacks it.
    """
    if not keep:
        return set()
    smiles, atoms = _traced(written, tokens, language)
    molecule = parse(smiles)
    found: set[int] = set()
    for text in keep.split():
        match = molecule.GetSubstructMatch(pattern_of(text, "--keep")) if molecule is not None else ()
        if not match:
            raise UserError(f"seed {sequence!r} lacks {text!r}, which is to be kept")
        found.update(number for atom in match for number in atoms.get(atom, ()))
    return _with_numbers(tokens, found, language)


def pattern_of(smarts: str, flag: str) -> Chem.Mol:
    """Return a SMARTS pattern.

    Args:
        smarts: The text.
        flag: Where it comes from.

    Raises:
        UserError: It is none.
    """
    with rdBase.BlockLogs():
        pattern = Chem.MolFromSmarts(smarts)
    if pattern is None:
        raise UserError(f"{flag}: {smarts!r} is not SMARTS")
    return pattern


def _traced(written: str, tokens: Sequence[str], language: str) -> tuple[str, dict[int, list[int]]]:
    """Return SMILES in the order of the text, and the tokens of each atom.

    Symbols of selfies 1.0 cannot be traced: no token of theirs is held, and what comes out is only checked.
    """
    if language == "smiles":
        atoms = [number for number, token in enumerate(tokens) if token[0] == "[" or token[0].isalpha()]
        return written, {atom: [number] for atom, number in enumerate(atoms)}
    import selfies

    if language != "selfies":
        return str(selfies.decoder(OldSymbols.new(written))), {}
    smiles, entries = selfies.decoder(written, attribute=True)
    letters = [entry for entry in entries if any(letter.isalpha() for letter in entry.token)]
    return str(smiles), {atom: [source.index for source in entry.attribution or ()]
                         for atom, entry in enumerate(letters)}  # fmt: skip


def _with_numbers(tokens: Sequence[str], held: set[int], language: str) -> set[int]:
    """Return held tokens with the ring closures behind them and the numbers that belong to rings and branches."""
    found, number = set(held), 0
    while number < len(tokens):
        size = 0
        if language == "smiles" and (tokens[number].isdigit() or tokens[number].startswith("%")):
            size = int(number - 1 in found)
        elif language == "selfies" and (sized := _SIZED.fullmatch(tokens[number])):
            held_here = number in found or (sized[1] == "Ring" and number - 1 in found)
            size = 1 + int(sized[2]) if held_here else 0
        found.update(range(number, min(number + size, len(tokens))))
        number += max(1, size)
    return found
