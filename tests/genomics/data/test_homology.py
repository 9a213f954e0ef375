"""Shared k-mers against a search with strings."""

from __future__ import annotations

import numpy as np
import pytest
from Bio.Seq import Seq
from hypothesis import given
from hypothesis import strategies as st

from seqdna.data import Genome, Interval, shared_kmers
from seqsuite.errors import UserError


@given(
    st.text(alphabet="ACGTN", min_size=1, max_size=150),
    st.text(alphabet="ACGTN", min_size=1, max_size=80),
    st.integers(1, 7),
    st.integers(3, 40),
)
def test_equals_search_with_strings(train, held_out, k, piece):
    genome = Genome.from_sequences({"t": train, "h": held_out})
    cut = len(held_out) // 2
    parts = [Interval("h", 0, cut), Interval("h", cut, len(held_out))]
    result = shared_kmers(genome, [Interval("t", 0, len(train))], parts, k=k, piece=piece)
    other = str(Seq(train).reverse_complement())
    masks = []
    for part in parts:
        text = held_out[part.start : part.end]
        mask = np.zeros(len(text), dtype=bool)
        for i in range(len(text) - k + 1):
            word = text[i : i + k]
            if "N" not in word and (word in train or word in other):
                mask[i : i + k] = True
        masks.append(mask)
    assert all(np.array_equal(a, b) for a, b in zip(result.masks, masks, strict=True))
    assert result.share == pytest.approx(np.concatenate(masks).mean())


def test_long_kmers_of_both_strands():
    draws = np.random.default_rng(0)
    word = "".join(draws.choice(list("ACGT"), 31))
    genome = Genome.from_sequences({"t": "A" + word + "C", "h": "AA" + str(Seq(word).reverse_complement())})
    result = shared_kmers(genome, [Interval("t", 0, 33)], [Interval("h", 0, 33)], k=31)
    assert result.masks[0].tolist() == [False] * 2 + [True] * 31


def test_bad_input():
    genome = Genome.from_sequences({"t": "ACGT"})
    with pytest.raises(UserError, match="not 32"):
        shared_kmers(genome, [], [Interval("t", 0, 4)], k=32)
    with pytest.raises(UserError, match="no held-out base"):
        shared_kmers(genome, [Interval("t", 0, 4)], [])
