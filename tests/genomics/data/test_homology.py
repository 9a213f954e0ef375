"""Shared k-mers against a search with strings."""

from __future__ import annotations

import numpy as np
import pytest
from Bio.Seq import Seq
from hypothesis import given
from hypothesis import strategies as st

from seqdna.data import Genome, Interval, eval_sites, shared_kmers
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


def words_of(text: str, k: int) -> set[str]:
    """All known k-mers of both strands."""
    both = (text, str(Seq(text).reverse_complement()))
    return {t[i : i + k] for t in both for i in range(len(t) - k + 1) if "N" not in t[i : i + k]}


@given(
    st.text(alphabet="ACGTN", min_size=1, max_size=60),
    st.lists(st.text(alphabet="ACGTN", min_size=1, max_size=40), min_size=1, max_size=3),
    st.integers(1, 5),
    st.integers(1, 20),
)
def test_windows_and_sites_equal_search_with_strings(train, held_out, k, length):
    genome = Genome.from_sequences({"t": train} | {f"h{i}": text for i, text in enumerate(held_out)})
    parts = [Interval(f"h{i}", 0, len(text)) for i, text in enumerate(held_out)][::-1]
    result = shared_kmers(genome, [Interval("t", 0, len(train))], parts, k=k)
    known = words_of(train, k)
    starts, expected, tiles = [], [], []
    for part in parts:
        text = held_out[int(part.record[1:])]
        for i in range(len(text) - length + 1):
            window = text[i : i + length]
            starts.append(genome.coordinate(part.record, i))
            expected.append(any(window[j : j + k] in known for j in range(length - k + 1)))
            if i % length == 0:
                tiles.append(expected[-1])
    order = np.random.default_rng(0).permutation(len(starts))
    found = result.in_windows(np.array(starts, dtype=np.int64)[order], length)
    assert found.tolist() == [expected[i] for i in order]
    if tiles:
        assert result.window_share(length) == pytest.approx(np.mean(tiles))
    else:
        with pytest.raises(UserError, match="--length"):
            result.window_share(length)
    coordinates = [genome.coordinate(p.record, i) for p in parts for i in range(len(p))]
    assert result.in_shared(np.array(coordinates)).tolist() == np.concatenate(result.masks).tolist()


def test_runs_and_pieces_do_not_show(monkeypatch):
    draws = np.random.default_rng(9)
    text = "".join(draws.choice(list("ACGTN"), 3000, p=[0.249] * 4 + [0.004]))
    genome = Genome.from_sequences({"t": text, "h": text[1000:1500] + "".join(draws.choice(list("ACGT"), 700))})
    parts = [Interval("t", 0, 3000)], [Interval("h", 0, 1200)]
    whole = shared_kmers(genome, *parts, k=12)
    monkeypatch.setattr("seqdna.data.homology._RUN", 7)
    cut = shared_kmers(genome, *parts, k=12, piece=50)
    assert 0.3 < whole.share < 0.5
    assert np.array_equal(whole.masks[0], cut.masks[0])
    assert np.array_equal(whole.starts[0], cut.starts[0])


def test_evaluation_sites_are_told_apart():
    draws = np.random.default_rng(3)
    train, new = ("".join(draws.choice(list("ACGT"), 300)) for _ in range(2))
    genome = Genome.from_sequences({"t": train, "h": new[:150] + train[100:200] + new[150:]})
    held_out = [Interval("h", 0, genome.record("h").length)]
    sites = eval_sites(held_out, genome, 200, 40, seed=1)
    result = shared_kmers(genome, [Interval("t", 0, 300)], held_out)
    position = sites.coordinate - genome.coordinate("h", 0)
    copied = (position >= 150) & (position < 250)
    assert 0 < copied.sum() < len(sites)
    # A chance letter or two may lengthen the copy at its ends; 24-mers of random sequence agree nowhere else.
    edge = (np.abs(position - 149) < 5) | (np.abs(position - 250) < 5)
    assert np.array_equal(result.in_shared(sites)[~edge], copied[~edge])


def test_sites_outside_the_held_out_intervals_are_refused():
    genome = Genome.from_sequences({"t": "ACGTACGTAC", "h": "ACGTACGTAC"})
    result = shared_kmers(genome, [Interval("t", 0, 10)], [Interval("h", 2, 8)], k=4)
    for coordinate in (5, 11, 18):
        with pytest.raises(ValueError, match="no held-out interval"):
            result.in_shared(np.array([coordinate]))
    with pytest.raises(ValueError, match="no held-out interval"):
        result.in_windows(np.array([14]), 5)


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
