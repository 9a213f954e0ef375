"""Count models against counting with strings, and laws of their probabilities."""

from __future__ import annotations

import math
import random
from collections import Counter

import numpy as np
import pytest
from Bio.Seq import Seq
from hypothesis import given, settings
from hypothesis import strategies as st

from seqdna.baselines import count_baselines
from seqdna.baselines.contexts import one_sided_table, pieces, two_sided_table
from seqdna.baselines.smoothing import fit_alpha, fit_pool, interpolate, pool, site_bits
from seqdna.data import EvalSites, Genome, Interval, Splits, eval_sites, held_out_blocks
from seqsuite.errors import UserError

LETTERS = "ACGT"
texts = st.text(alphabet="ACGTN", min_size=1, max_size=60)


def digits(word: str) -> int:
    """Read a word as a number in base 4, its last letter lowest."""
    return sum(LETTERS.index(letter) * 4**i for i, letter in enumerate(reversed(word)))


def both_strands(parts: list[str]) -> list[str]:
    return [*parts, *(str(Seq(part).reverse_complement()) for part in parts)]


def brute_words(parts: list[str], size: int) -> Counter[str]:
    words = (text[i : i + size] for text in both_strands(parts) for i in range(len(text) - size + 1))
    return Counter(word for word in words if "N" not in word)


@given(st.lists(texts, min_size=1, max_size=3), st.integers(0, 4), st.integers(1, 20))
def test_one_sided_table_equals_string_counts(parts, order, size):
    genome = Genome.from_sequences({str(i): text for i, text in enumerate(parts)})
    whole = [Interval(r.name, 0, r.length) for r in genome.records]
    table = one_sided_table(lambda: pieces(genome, whole, 4, size), order)
    expected = np.zeros_like(table)
    for word, count in brute_words(parts, order + 1).items():
        expected[digits(word[:-1]), LETTERS.index(word[-1])] = count
    assert np.array_equal(table, expected)


@given(st.lists(texts, min_size=1, max_size=3), st.integers(0, 2), st.integers(1, 20))
def test_two_sided_table_equals_string_counts(parts, k, size):
    genome = Genome.from_sequences({str(i): text for i, text in enumerate(parts)})
    whole = [Interval(r.name, 0, r.length) for r in genome.records]
    table = two_sided_table(lambda: pieces(genome, whole, 3, size), k)
    expected = Counter()
    for text in parts:
        for i in range(k, len(text) - k):
            word = text[i - k : i + k + 1]
            if "N" not in word:
                right = str(Seq(word[k + 1 :]).reverse_complement())
                expected[digits(word[:k]) * 4**k + digits(right), LETTERS.index(word[k])] += 1
    assert {(int(i), int(j)): int(table[i, j]) for i, j in np.argwhere(table)} == dict(expected)


def brute_bits(train: list[str], text: str, alpha: dict[str, float], order: int, flank: int) -> dict[str, list[float]]:
    """Score every base of `text` by recursion over orders, with counts of words in both strands."""
    out: dict[str, list[float]] = {}
    for name, top in (("markov", order), ("two_sided", flank)):
        counts = [brute_words(train, (k if name == "markov" else 2 * k) + 1) for k in range(top + 1)]
        for k in range(top + 1):
            out[f"{name}_{k}"] = [
                -math.log2(_brute_p(name, counts, text, i, k, alpha)[text[i]])
                for i in range(len(text))
                if text[i] != "N"
            ]
    return out


def _brute_p(
    name: str, counts: list[Counter[str]], text: str, i: int, k: int, alpha: dict[str, float]
) -> dict[str, float]:
    if k < 0:
        return dict.fromkeys(LETTERS, 0.25)
    prior = _brute_p(name, counts, text, i, k - 1, alpha)
    left, right = text[max(i - k, 0) : i], text[i + 1 : i + 1 + k] if name == "two_sided" else ""
    if len(left) < k or (name == "two_sided" and len(right) < k):
        return prior
    seen = {letter: counts[k][left + letter + right] for letter in LETTERS}
    total, a = sum(seen.values()), alpha[f"{name}_{k}"]
    return {letter: (seen[letter] + a * prior[letter]) / (total + a) for letter in LETTERS}


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.integers(0, 3), st.integers(0, 2))
def test_bits_equal_recursion_over_strings(seed, order, flank):
    draws = random.Random(seed)
    letters = "ACGTACGTACGTN"
    parts = ["".join(draws.choice(letters) for _ in range(size)) for size in (150, 40, 50, 60)]
    genome = Genome.from_sequences({str(i): text for i, text in enumerate(parts)})
    whole = [Interval(r.name, 0, r.length) for r in genome.records]
    splits = Splits(train=(whole[0], whole[1]), valid=(whole[2],), test=(whole[3],))
    result = count_baselines(genome, splits, max_order=order, max_flank=flank)
    expected = brute_bits(parts[:2], parts[3], result.alpha, order, flank)
    for name, bits in expected.items():
        np.testing.assert_allclose(result.site_bits[name], bits, rtol=2e-4, atol=1e-5)
    assert result.n_positions == len(parts[3]) - parts[3].count("N")
    valid = brute_bits(parts[:2], parts[2], result.alpha, order, flank)
    for name, bits in valid.items():
        assert result.validation_bits[name] == pytest.approx(np.mean(bits), rel=1e-3)
    chosen = {
        n: min(range(top + 1), key=lambda k: result.validation_bits[f"{n}_{k}"])
        for n, top in (("markov", order), ("two_sided", flank))
    }
    assert (result.best_markov, result.best_two_sided) == (chosen["markov"], chosen["two_sided"])


def markov_text(draws: random.Random, n: int) -> str:
    """A chain of order 2 with strong preferences, so that models differ."""
    text = "AC"
    while len(text) < n:
        text += LETTERS[(LETTERS.index(text[-2]) + 2) % 4] if draws.random() < 0.6 else draws.choice(LETTERS)
    return text


@pytest.fixture(scope="module")
def planted():
    genome = Genome.from_sequences(
        {"a": markov_text(random.Random(5), 20_000), "b": markov_text(random.Random(6), 10_000)}
    )
    splits = held_out_blocks(genome)
    sites = eval_sites(splits.test, genome, 50, 64)
    return genome, splits, sites, count_baselines(genome, splits, sites=sites, max_order=5, max_flank=3)


def test_order_zero_is_the_cross_entropy_of_composition(planted):
    genome, splits, _, result = planted

    def text(part: tuple[Interval, ...]) -> str:
        return "".join(genome.tokenizer.decode(genome.fetch(i.record, i.start, i.end)) for i in part)

    train, test = Counter("".join(both_strands([text(splits.train)]))), Counter(text(splits.test))
    expected = -sum(test[b] * math.log2(train[b] / train.total()) for b in LETTERS) / test.total()
    assert result.markov[0] == pytest.approx(expected, abs=1e-4)
    assert result.two_sided[0] == pytest.approx(result.markov[0], abs=1e-6)


def test_a_planted_chain_of_order_two_is_found(planted):
    *_, result = planted
    # p = 0.6 + 0.4 / 4 for the preferred base, 0.1 for the others, on one strand; both are counted.
    assert result.markov[2] < result.markov[1] - 0.1
    assert result.two_sided[2] < result.two_sided[1] - 0.1
    assert result.pooled <= min(result.markov[result.best_markov], result.two_sided[result.best_two_sided]) + 0.01
    assert result.validation_bits["pool"] <= result.validation_bits[f"two_sided_{result.best_two_sided}"] + 1e-6
    assert result.validation_bits["pool"] <= result.validation_bits[f"markov_{result.best_markov}"] + 1e-6


def test_sites_are_paired(planted):
    genome, splits, sites, result = planted
    at = result.at(sites)
    assert set(at) == set(result.site_bits)
    for i in (0, 17, 49):
        place = int(np.flatnonzero(result.coordinate == sites.coordinate[i])[0])
        assert at["pool"][i] == result.site_bits["pool"][place]
    assert result.n_positions == len(result.coordinate) == sum(map(len, splits.test))
    elsewhere = EvalSites(genome, np.array([0]), np.array([0]), 64)
    with pytest.raises(KeyError, match="1 of 1"):
        result.at(elsewhere)
    with pytest.raises(ValueError, match="test split"):
        count_baselines(genome, splits, sites=elsewhere, max_order=0, max_flank=0)


def test_scoring_a_subset_changes_no_bits(planted):
    genome, splits, sites, result = planted
    few = count_baselines(genome, splits, sites=sites, max_order=2, max_flank=1, max_positions=2990)
    assert set(sites.coordinate.tolist()) <= set(few.coordinate.tolist())
    assert 2990 <= few.n_positions <= 2990 + len(sites)
    place = np.searchsorted(result.coordinate, few.coordinate)
    np.testing.assert_allclose(few.site_bits["markov_1"], result.site_bits["markov_1"][place], atol=1e-3)


def test_summary_is_json_ready(planted):
    import json

    *_, result = planted
    summary = json.loads(json.dumps(result.to_dict()))
    assert summary["pooled"] == result.pooled
    assert summary["two_sided"]["2"] == result.two_sided[2]


counts_and_priors = st.integers(0, 10**6)


@given(counts_and_priors, st.floats(1e-3, 1e6))
def test_interpolation_gives_probabilities_and_backs_off(seed, alpha):
    draws = np.random.default_rng(seed)
    counts = draws.integers(0, 50, (20, 4)).astype(np.float32)
    counts[0] = 0
    prior = draws.dirichlet(np.ones(4), 20).astype(np.float32)
    p = interpolate(counts, prior, alpha)
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-5)
    assert (p > 0).all()
    np.testing.assert_allclose(p[0], prior[0], rtol=1e-4)


@given(counts_and_priors)
def test_alpha_is_the_best_of_a_fine_grid(seed):
    draws = np.random.default_rng(seed)
    truth = draws.dirichlet(np.ones(4) * 3, 200)
    counts = np.stack([draws.multinomial(6, p) for p in truth]).astype(np.float32)
    base = np.array([draws.choice(4, p=p) for p in truth], dtype=np.uint8)
    prior = np.full((200, 4), 0.25, dtype=np.float32)

    def bits(alpha: float) -> float:
        return float(site_bits(interpolate(counts, prior, alpha), base).mean())

    grid = min(bits(alpha) for alpha in np.geomspace(1e-2, 1e5, 200))
    assert bits(fit_alpha(counts, prior, base)) <= grid + 1e-4


@given(counts_and_priors, st.integers(1, 3))
def test_pool_weights_are_stationary(seed, models):
    draws = np.random.default_rng(seed)
    logs = np.log(draws.dirichlet(np.ones(4) * 2, (models, 300)))
    base = np.array([draws.choice(4, p=p) for p in pool(logs, np.full(models, 0.7))], dtype=np.uint8)
    weights = fit_pool(logs, base)

    def loss(w: np.ndarray) -> float:
        return float(-np.log(pool(logs, w)[np.arange(300), base]).mean())

    np.testing.assert_allclose(pool(logs, weights).sum(axis=1), 1, atol=1e-9)
    for step in (*(0.02 * np.eye(models)), *(-0.02 * np.eye(models))):
        assert loss(weights) <= loss(weights + step) + 1e-9


def test_pool_of_a_model_with_itself():
    logs = np.log(np.random.default_rng(0).dirichlet(np.ones(4), 400))
    base = np.array([np.random.default_rng(i).choice(4, p=np.exp(p)) for i, p in enumerate(logs)], dtype=np.uint8)
    weights = fit_pool(np.stack([logs, logs]), base)
    np.testing.assert_allclose(weights.sum(), fit_pool(logs[None], base)[0], atol=1e-3)


def test_bad_input():
    genome = Genome.from_sequences({"a": "ACGT" * 10, "n": "N" * 10})
    a, n = Interval("a", 0, 20), Interval("n", 0, 10)
    rest = Interval("a", 20, 40)
    with pytest.raises(UserError, match="validation split holds no known base"):
        count_baselines(genome, Splits((a,), (n,), (rest,)))
    with pytest.raises(UserError, match="test split holds no known base"):
        count_baselines(genome, Splits((a,), (rest,), ()))
    with pytest.raises(UserError, match="training split holds no known base"):
        count_baselines(genome, Splits((n,), (a,), (rest,)))
    with pytest.raises(UserError, match="not 14 and 6"):
        count_baselines(genome, Splits((n,), (a,), (rest,)), max_order=14)


def test_another_genome_is_scored_with_the_tables_of_this_one():
    """A genome that is nothing but the test split, as records of their own, gets the test split's bits."""
    draws = random.Random(4)
    text = "".join(draws.choices(LETTERS, k=3000)).replace("ACG", "ACA")
    genome = Genome.from_sequences({"a": text[:2000], "b": text[2000:]})
    splits = Splits(
        (Interval("a", 0, 1200),), (Interval("a", 1200, 1600),), (Interval("a", 1600, 2000), Interval("b", 0, 1000))
    )
    other = Genome.from_sequences({"x": text[1600:2000], "y": text[2000:] + "NN"})
    whole = [Interval("x", 0, 400), Interval("y", 0, 1000)]
    elsewhere = eval_sites(whole, other, 1400, 1)
    result = count_baselines(genome, splits, elsewhere=elsewhere, max_order=4, max_flank=2)
    assert set(result.elsewhere) == set(result.site_bits)
    order = np.argsort(elsewhere.coordinate)
    for name, bits in result.elsewhere.items():
        np.testing.assert_allclose(bits[order], result.site_bits[name], atol=1e-6)
    alone = count_baselines(genome, splits, max_order=4, max_flank=2)
    assert alone.elsewhere == {}
    assert alone.markov == result.markov
    assert alone.pooled == result.pooled
