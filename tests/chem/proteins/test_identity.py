"""Clusters by sequence identity: the definition against traced-back alignments, and the laws of greedy clusters."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from Bio.Align import PairwiseAligner, substitution_matrices

from seqchem.proteins import AMINO_ACIDS, identity_clusters, sequence_identity
from seqchem.proteins.nearest import nearest_parts
from seqchem.proteins.subsequence import SequenceTable, common_subsequences
from seqsuite.errors import UserError


def random_proteins(rng, count, least=8, most=30):
    lengths = rng.integers(least, most, count)
    return ["".join(rng.choice(list(AMINO_ACIDS), length)) for length in lengths]


def mutated(rng, sequence, part):
    letters = list(sequence)
    for place in rng.choice(len(letters), int(part * len(letters)), replace=False):
        letters[place] = rng.choice([letter for letter in AMINO_ACIDS if letter != letters[place]])
    return "".join(letters)


@pytest.fixture
def families():
    """Thirty sequences of six families, and fifteen of none."""
    rng = np.random.default_rng(0)
    founders = random_proteins(rng, 6, 18, 40)
    return [mutated(rng, founder, 0.3) for founder in founders for _ in range(5)] + random_proteins(rng, 15)


def test_identity_is_that_of_a_best_alignment():
    """Against the alignments themselves: the most identical residues among all of the best score."""
    rng = np.random.default_rng(1)
    aligner = PairwiseAligner(mode="global", substitution_matrix=substitution_matrices.load("BLOSUM62"))
    aligner.open_internal_gap_score, aligner.extend_internal_gap_score = -11, -1
    aligner.open_end_gap_score = aligner.extend_end_gap_score = 0
    texts = random_proteins(rng, 12, 5, 16)
    texts += [mutated(rng, text, 0.4)[1:] for text in texts[:6]]
    for first, second in itertools.combinations(texts, 2):
        best = max(alignment.counts().identities for alignment in aligner.align(first, second))
        assert sequence_identity(first, second) == best / min(len(first), len(second))


def test_identity_by_hand():
    assert sequence_identity("ACDEFGHIK", "ACDEFGHIK") == 1
    assert sequence_identity("WWWACDEFGHIKWW", "ACDEFGHIK") == 1  # a piece of the longer one
    assert sequence_identity("ACDEFGHIKL", "ACDEYGHIKL") == 0.9
    assert sequence_identity("WWWW", "GGGG") == 0


@pytest.mark.parametrize("threshold", [0.4, 0.5, 0.9])
def test_clusters_are_apart_and_hold_together(families, threshold):
    clusters = identity_clusters(families, threshold)
    longest = {}
    for text, number in sorted(zip(families, clusters, strict=True), key=lambda pair: (-len(pair[0]), pair[0])):
        longest.setdefault(number, text)
    for first, second in itertools.combinations(longest.values(), 2):
        assert sequence_identity(first, second) < threshold
    for (first, one), (second, two) in itertools.combinations(zip(families, clusters, strict=True), 2):
        if one != two:
            assert sequence_identity(first, second) < max(threshold, 0.8)
    for text, number in zip(families, clusters, strict=True):
        others = [other for other, own in zip(families, clusters, strict=True) if own == number and other != text]
        assert not others or max(sequence_identity(text, other) for other in others) >= threshold


def test_what_is_linked_stays_together():
    """A chain of near copies, whose ends are nearer to other sequences than the threshold."""
    rng = np.random.default_rng(4)
    chain = random_proteins(rng, 1, 30, 31)
    for _ in range(12):
        chain.append(mutated(rng, chain[-1], 0.1))
    assert sequence_identity(chain[0], chain[-1]) < 0.5
    assert set(identity_clusters(chain, 0.5)) == {0}
    assert len(set(identity_clusters(chain, 0.95))) > 1
    assert len(set(identity_clusters(chain, 0.5, linked=1.0))) > 1


def test_relatives_go_together(families):
    clusters = identity_clusters(families, 0.4)
    for start in range(0, 30, 5):
        assert len(set(clusters[start : start + 5])) == 1


def test_the_order_of_the_rows_does_not_matter(families):
    clusters = identity_clusters(families, 0.4)
    order = np.random.default_rng(2).permutation(len(families))
    shuffled = identity_clusters([families[place] for place in order], 0.4)
    assert len(set(zip(clusters[order].tolist(), shuffled.tolist(), strict=True))) == clusters.max() + 1


def test_numbers_count_up_in_the_order_of_appearance(families):
    clusters = identity_clusters([*families, families[0]], 0.4)
    assert clusters.dtype == np.int64
    assert list(dict.fromkeys(clusters.tolist())) == list(range(clusters.max() + 1))
    assert clusters[-1] == clusters[0] == 0


def test_the_threshold_is_reached_at_equality():
    pair = ["ACDEFGHIKL", "ACDEYGHIKL"]  # nine of ten
    assert identity_clusters(pair, 0.9).tolist() == [0, 0]
    assert identity_clusters(pair, 0.91).tolist() == [0, 1]
    assert identity_clusters([*pair, pair[0]], 1.0).tolist() == [0, 1, 0]


def test_words_find_the_relatives_of_long_proteins():
    rng = np.random.default_rng(3)
    founders = random_proteins(rng, 4, 150, 220)
    texts = [mutated(rng, founder, 0.25) for founder in founders for _ in range(3)]
    assert identity_clusters(texts, 0.4).tolist() == np.repeat(range(4), 3).tolist()
    assert identity_clusters(texts, 0.4, exact=True).tolist() == np.repeat(range(4), 3).tolist()


def test_nothing_and_what_is_wrong():
    assert identity_clusters([], 0.4).shape == (0,)
    with pytest.raises(UserError, match="row 2 has J, which is no letter of a protein"):
        identity_clusters(["ACD", "AJD"], 0.4)
    for threshold in (0, -1, 1.5):
        with pytest.raises(UserError, match="above 0 and at most 1"):
            identity_clusters(["ACD"], threshold)
        with pytest.raises(UserError, match="identity linked"):
            identity_clusters(["ACD"], 0.4, linked=threshold)


@pytest.mark.parametrize("letter", "BOUXZ")
def test_further_letters_are_equal_to_nothing(letter):
    text = "ACDEFGHIKL"
    other = text.replace("E", letter).replace("K", letter)
    assert sequence_identity(other, text) == 0.8
    assert sequence_identity(other, other) == 0.8  # not even to themselves
    assert identity_clusters([text, other], 0.8).tolist() == [0, 0]
    assert identity_clusters([text, other], 0.81).tolist() == [0, 1]
    assert identity_clusters([other, other], 1.0).tolist() == [0, 0]  # but one text is one sequence


def lcs(first, second):
    """The longest common subsequence by its recurrence."""
    table = np.zeros((len(first) + 1, len(second) + 1), int)
    for i, one in enumerate(first, 1):
        for j, two in enumerate(second, 1):
            same = one == two and one in AMINO_ACIDS
            table[i, j] = table[i - 1, j - 1] + 1 if same else max(table[i - 1, j], table[i, j - 1])
    return table[-1, -1]


def test_common_subsequences_are_those_of_the_recurrence():
    rng = np.random.default_rng(5)
    texts = random_proteins(rng, 12, 1, 99)
    texts += ["", "A" * 99, "X" * 9, texts[0][:40].replace("A", "X")]
    table = SequenceTable(len(texts), 99)
    for text in texts:
        table.add(text)
    for text in [*random_proteins(rng, 5, 1, 64), "A" * 64, "ACXXA", texts[3][:64]]:
        found = common_subsequences(text, table.codes(np.arange(len(texts))))
        assert found.tolist() == [lcs(text, other) for other in texts]
    with pytest.raises(ValueError, match="64 fit"):
        common_subsequences("A" * 65, table.codes([0]))


def test_the_bound_loses_no_pair(families):
    """Against alignments of every pair: what is linked at 80 %, and the nearest representative."""
    texts = [*families, *(text[3:] for text in families[:12])]
    clusters = identity_clusters(texts, 0.55)
    for (first, one), (second, two) in itertools.combinations(zip(texts, clusters, strict=True), 2):
        if sequence_identity(first, second) >= 0.8:
            assert one == two


def test_progress_is_told(families):
    told = []
    identity_clusters(families, 0.4, progress=lambda done, total: told.append((done, total)))
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert all(done < total for done, total in told)


def test_nearest_parts_are_those_of_all_alignments(families):
    rng = np.random.default_rng(6)
    known, asked = families[:25], [*families[25:], families[0][2:-2], families[1], *random_proteins(rng, 4, 3, 9)]
    found = nearest_parts(asked, known)
    for text, part in zip(asked, found, strict=True):
        best = max(sequence_identity(text, other) * min(len(text), len(other)) for other in known)
        assert part == pytest.approx(best / len(text))
    assert found[asked.index(families[1])] == found[asked.index(families[0][2:-2])] == 1
    assert np.isnan(nearest_parts(asked, [])).all()
