"""The part of a peptide that its nearest neighbour in a set has: how new a generated sequence is.

nearest_parts(generated, training)          # (N,) 1.0: in the set, whole or as a piece of a longer sequence

Of a sequence with L residues it is the most identical residues that its best alignment with any of the set has, over L.
(Identity as `seqchem.proteins.identity` clusters by it divides by the shorter one, which would make a long peptide a
copy of any short piece that it happens to hold.)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seqchem.proteins.identity import IdentityAligner, LetterCounts, SeenSequences
from seqchem.proteins.letters import check_proteins


def nearest_parts(sequences: Sequence[str], known: Sequence[str]) -> np.ndarray:
    """Return for each sequence the part of its residues that the nearest one of a set has in their best alignment.

    Sequences of 100 residues or more are aligned with the eight alone that they share the most words with.

    Args:
        sequences: N proteins; B, O, U, X and Z are equal to nothing.
        known: The set; NaN for all where it is empty.

    Returns:
        (N,) float64, 0 to 1.

    Raises:
        UserError: A sequence is empty or has what is no letter of a protein.
    """
    check_proteins(sequences, further=True)
    check_proteins(known, further=True)
    others = list(dict.fromkeys(known))
    if not others:
        return np.full(len(sequences), np.nan)
    there = set(others)
    aligner = IdentityAligner(max(map(len, [*others, *sequences])))
    seen = SeenSequences(len(others), exact=False)
    for text in others:
        seen.add(LetterCounts(text))
    found: dict[str, float] = {}
    for text in dict.fromkeys(sequences):
        found[text] = 1.0 if text in there else _most(text, others, seen, aligner) / len(text)
    return np.array([found[text] for text in sequences], dtype=np.float64)


def _most(text: str, others: Sequence[str], seen: SeenSequences, aligner: IdentityAligner) -> int:
    """Return the most residues of a sequence that an alignment with one of the others has."""
    best = 0
    near, most = seen.near(LetterCounts(text), 1)
    for place in np.argsort(-most, kind="stable").tolist():
        if most[place] <= best:
            break
        best = max(best, aligner.identical(others[near[place]], text))
    return best
