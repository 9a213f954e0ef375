"""Clusters of proteins by sequence identity, so that near relatives do not lie on both sides of a split.

    clusters = identity_clusters(sequences, 0.4)          # (N,) 0, 0, 1, 2, ...: sequences of one number go together

Identity is that of CD-HIT (Li and Godzik 2006): the identical residues of the best alignment over the residues of the
shorter sequence. The alignment is global with free ends, BLOSUM62, a gap of n residues -(10 + n); among alignments of
the best score the one with the most identical residues counts.

The clustering has two steps. First, sequences that are at least 80 % identical (or as the threshold, if that is higher)
are linked, and what is linked stays together: no two sequences of different clusters are that near. Then the groups,
each represented by its longest sequence, are clustered greedily as CD-HIT does in its accurate mode: the longest first,
each joins the most identical representative if that reaches the threshold, else it represents a new cluster. So
representatives are all less identical to each other than the threshold; other members of different clusters can be
nearer, up to the 80 %. (Greedy clustering alone parts near copies: two of them join different representatives that
both reach the threshold.)

The letters B, O, U, X and Z are equal to nothing: each is aligned as BLOSUM62 has X and never counts as identical, so
that a copy of a sequence with two of them in ten letters is 80 % identical to it.

0.4 is the usual threshold for proteins. In short peptides it comes about by chance too (in two of a hundred pairs of
antimicrobial and other peptides of thirty residues), which makes clusters larger than families.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np
from Bio.Align import PairwiseAligner, substitution_matrices

from seqchem.proteins.letters import AMINO_ACIDS, FURTHER_LETTERS, check_proteins
from seqchem.proteins.subsequence import WORD, SequenceTable, common_subsequences
from seqsuite.errors import UserError

_INDEX = {letter: number for number, letter in enumerate(AMINO_ACIDS)}
_LETTERS = AMINO_ACIDS + "X"
_AS_X = str.maketrans(dict.fromkeys(FURTHER_LETTERS, "X"))
_LONG = 100
"""Residues from which on words are counted before anything is aligned, for alignments take the product of lengths."""
_TRIES = 8
"""Sequences that a long one is aligned with: those of the most common words, as in UCLUST (Edgar 2010)."""


class IdentityAligner:
    """Aligns pairs of proteins and counts the identical residues.

    One score holds both: every number of the scoring is multiplied by more than a count can be, and identical residues
    add one, so that the remainder of the score is their number and ties of the score go to more of them.

    Args:
        longest: Residues of the longest sequence to come.
    """

    def __init__(self, longest: int) -> None:
        self._scale = 1 << (longest + 1).bit_length()
        blosum = substitution_matrices.load("BLOSUM62")
        places = [blosum.alphabet.index(letter) for letter in _LETTERS]
        equal = np.diag([1.0] * len(AMINO_ACIDS) + [0.0])
        scores = np.asarray(blosum)[np.ix_(places, places)] * self._scale + equal
        self._aligner = PairwiseAligner(mode="global")
        self._aligner.substitution_matrix = substitution_matrices.Array(_LETTERS, 2, data=scores)
        self._aligner.open_internal_gap_score = -11 * self._scale
        self._aligner.extend_internal_gap_score = -1 * self._scale
        self._aligner.open_end_gap_score = self._aligner.extend_end_gap_score = 0

    def identical(self, first: str, second: str) -> int:
        """Return the number of identical residues in the best alignment of two proteins."""
        return round(self._aligner.score(first.translate(_AS_X), second.translate(_AS_X))) % self._scale


def sequence_identity(first: str, second: str) -> float:
    """Return the identical residues of the best alignment over the residues of the shorter sequence, 0 to 1.

    Args:
        first: A protein; B, O, U, X and Z are equal to nothing.
        second: Another.

    Raises:
        UserError: One is empty or has what is no letter of a protein.
    """
    check_proteins([first, second], further=True)
    shorter = min(len(first), len(second))
    return IdentityAligner(shorter).identical(first, second) / shorter


def identity_clusters(
    sequences: Sequence[str],
    threshold: float = 0.4,
    *,
    linked: float = 0.8,
    exact: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """Divide proteins into clusters by sequence identity; the order of the sequences does not matter.

    Nothing is aligned that cannot reach the threshold by the letters that two sequences have in common, or, up to 64
    residues, have in common in one order; that loses no pair. From 100 residues on, where letters say little and
    alignments are dear, a sequence is aligned with the eight before it alone that it shares the most words of four
    residues with (of three below 200 residues), which can miss a pair right at a low threshold.

    Args:
        sequences: N proteins; B, O, U, X and Z are equal to nothing.
        threshold: Identity from which on groups are joined, above 0 and at most 1.
        linked: Identity from which on two sequences are in one cluster in any case; the threshold, where it is higher.
        exact: Whether long sequences are aligned with all others, too.
        progress: Is told how many steps of how many are done; their number may shrink on the way.

    Returns:
        (N,) int64: the number of each sequence's cluster, counted in the order of first appearance.

    Raises:
        UserError: A sequence is empty or has what is no letter of a protein, or a threshold is no part of 1.
    """
    for name, value in {"threshold": threshold, "linked": linked}.items():
        if not 0 < value <= 1:
            raise UserError(f"the identity {name} is {value:g}; it must be above 0 and at most 1")
    check_proteins(sequences, further=True)
    unique = sorted(set(sequences), key=lambda text: (-len(text), text))
    if not unique:
        return np.empty(0, np.int64)
    aligner = IdentityAligner(len(unique[0]))
    letters = [LetterCounts(text) for text in unique]
    tell = progress or (lambda done, total: None)
    count = len(letters)
    groups = _linked(letters, aligner, max(threshold, linked), exact, lambda done: tell(done, 2 * count))
    longest = [place for place, group in enumerate(groups) if place == group]
    total = count + len(longest)
    clusters = _greedy(
        [letters[place] for place in longest], aligner, threshold, exact, lambda done: tell(count + done, total)
    )
    joined = dict(zip(longest, clusters, strict=True))
    number = {text: joined[group] for text, group in zip(unique, groups, strict=True)}
    _, first, labels = np.unique([number[text] for text in sequences], return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first)).astype(np.int64)[labels]


class LetterCounts:
    """A sequence, its letters counted.

    Args:
        text: Letters of a protein.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.long = len(text) >= _LONG
        known = [_INDEX[letter] for letter in text if letter in _INDEX]
        self.counts = np.bincount(np.array(known, np.int64), minlength=20).astype(np.int32)

    def needs(self, threshold: float) -> int:
        """Return how many residues must be identical where this is the shorter sequence."""
        # Rounded up with a margin, so that 0.4 of 5 residues is 2 and not the 3 of a number just above.
        return math.ceil(threshold * len(self.text) - 1e-9)

    def words(self, *sizes: int) -> set[str]:
        """Return the words of these sizes, each once."""
        text = self.text
        return {text[start : start + size] for size in sizes for start in range(len(text) - size + 1)}


class SeenSequences:
    """Sequences so far, and which of them are worth an alignment with another.

    Args:
        capacity: Most sequences.
        exact: Whether long ones are all worth it that have the letters.
    """

    def __init__(self, capacity: int, exact: bool) -> None:
        self._exact, self._known = exact, 0
        self._counts = np.zeros((capacity, 20), np.int32)
        self._places: dict[str, list[int]] = defaultdict(list)
        self._table = SequenceTable(capacity, _LONG - 1)
        self._short = np.zeros(capacity, bool)

    def near(self, letters: LetterCounts, need: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the numbers of those that may have `need` residues in common with a sequence.

        Beside them, the most that each can have in common with it.

        Args:
            letters: The sequence.
            need: At least 0.
        """
        common = np.minimum(self._counts[: self._known], letters.counts).sum(1)
        near = np.flatnonzero(common >= need)
        if len(letters.text) <= WORD:
            short = near[self._short[near]]
            common[short] = common_subsequences(letters.text, self._table.codes(short))
            near = near[common[near] >= need]
        elif letters.long and not self._exact:
            near = self._by_words(near, letters)
        return near, common[near]

    def _by_words(self, near: np.ndarray, letters: LetterCounts) -> np.ndarray:
        """Return those of some that share the most words with a sequence, the most common first."""
        shared = np.zeros(self._known, np.int64)
        for word in letters.words(4 if len(letters.text) >= 2 * _LONG else 3):
            shared[self._places[word]] += 1
        near = near[shared[near] > 0]
        return near[np.argsort(-shared[near], kind="stable")][:_TRIES]

    def add(self, letters: LetterCounts) -> None:
        """Take one more."""
        self._counts[self._known] = letters.counts
        self._short[self._known] = not letters.long
        self._table.add(letters.text)
        if letters.long and not self._exact:
            for word in letters.words(3, 4):
                self._places[word].append(self._known)
        self._known += 1


def _linked(
    sequences: list[LetterCounts], aligner: IdentityAligner, threshold: float, exact: bool, tell: Callable[[int], None]
) -> list[int]:
    """Return the first of the group of each sequence: single linkage at a threshold."""
    parent = list(range(len(sequences)))

    def root(place: int) -> int:
        while parent[place] != place:
            parent[place] = place = parent[parent[place]]
        return place

    seen = SeenSequences(len(sequences), exact)
    for place, letters in enumerate(sequences):
        tell(place)
        need = letters.needs(threshold)
        for other in seen.near(letters, need)[0].tolist():
            one, two = root(place), root(other)
            if one != two and aligner.identical(sequences[other].text, letters.text) >= need:
                parent[max(one, two)] = min(one, two)
        seen.add(letters)
    return [root(place) for place in range(len(sequences))]


def _greedy(
    sequences: list[LetterCounts], aligner: IdentityAligner, threshold: float, exact: bool, tell: Callable[[int], None]
) -> list[int]:
    """Return the cluster of each sequence, the longest first: that of its nearest representative, or a new one."""
    representatives: list[str] = []
    seen = SeenSequences(len(sequences), exact)
    clusters: list[int] = []
    for letters in sequences:
        tell(len(clusters))
        need = letters.needs(threshold)
        best, nearest = need, -1
        near, most = seen.near(letters, need)
        for place in np.argsort(-most, kind="stable").tolist():
            if most[place] < best:
                break
            found, other = aligner.identical(representatives[near[place]], letters.text), int(near[place])
            # Of representatives that are equally near the first counts, whatever order they are looked at in.
            if found > best or (found == best and (nearest < 0 or other < nearest)):
                best, nearest = found, other
        if nearest < 0:
            nearest = len(representatives)
            representatives.append(letters.text)
            seen.add(letters)
        clusters.append(nearest)
    return clusters
