"""Count models that say what a language model of DNA must beat: Markov chains, two-sided contexts, their pool.

A next-token model is measured against one-sided Markov chains, a masked model against contexts of k bases on the
left and k on the right, and against the log-linear pool of the best of them. All are fitted on both strands of the
training split, smoothed and chosen on the validation split, and scored on the test split, base by base:

    result = count_baselines(genome, held_out_blocks(genome))
    result.two_sided[4], result.pooled
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from seqdna.baselines.contexts import (
    Neighbourhoods,
    Source,
    joined,
    look_up,
    neighbourhoods_at,
    one_sided_table,
    pack,
    pack_two_sided,
    pieces,
    two_sided_table,
)
from seqdna.baselines.smoothing import fit_alpha, fit_pool, interpolate, pool, site_bits
from seqdna.data.genome import Genome
from seqdna.data.intervals import Interval, Splits, total_length
from seqdna.data.windows import EvalSites, generator
from seqsuite.errors import UserError

_VALID, _TEST = 11, 12


@dataclass(frozen=True)
class CountBaselines:
    """Held-out bits per base of count models.

    Attributes:
        markov: Order -> bits of the one-sided chain, read along the forward strand.
        two_sided: k -> bits of the model with k bases on either side.
        pooled: Bits of the log-linear pool of the best two-sided model and the best chain, read along both strands.
        best_markov: Order chosen on the validation split.
        best_two_sided: k chosen on the validation split.
        pool_weights: Weights of ``two_sided``, ``markov_forward`` and ``markov_reverse`` in the pool.
        n_positions: Number of test bases scored.
        coordinate: Their indices into the genome's tokens, ascending: (n_positions,) int64.
        site_bits: Bits of each of them by model: ``markov_0`` .., ``two_sided_0`` .., ``pool``: (n_positions,) float32.
        alpha: Smoothing found for each ``markov_k`` and ``two_sided_k``.
        validation_bits: Bits on the validation split by model.
        elsewhere: As `site_bits`, at the sites of another genome, in their order; empty where none were given.
    """

    markov: dict[int, float]
    two_sided: dict[int, float]
    pooled: float
    best_markov: int
    best_two_sided: int
    pool_weights: dict[str, float]
    n_positions: int
    coordinate: np.ndarray = field(repr=False)
    site_bits: dict[str, np.ndarray] = field(repr=False)
    alpha: dict[str, float] = field(repr=False)
    validation_bits: dict[str, float] = field(repr=False)
    elsewhere: dict[str, np.ndarray] = field(repr=False, default_factory=dict)

    def at(self, sites: EvalSites) -> dict[str, np.ndarray]:
        """Return each model's bits at evaluation sites, in their order: (len(sites),), for paired comparison.

        Raises:
            KeyError: A site was not scored; give the sites to `count_baselines`.
        """
        place = np.searchsorted(self.coordinate, sites.coordinate)
        found = self.coordinate[np.minimum(place, len(self.coordinate) - 1)] == sites.coordinate
        if not found.all():
            raise KeyError(f"{np.count_nonzero(~found)} of {len(sites)} sites were not scored by the baselines")
        return {name: bits[place] for name, bits in self.site_bits.items()}

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready summary without the arrays."""
        return {
            "markov": {str(order): bits for order, bits in self.markov.items()},
            "two_sided": {str(k): bits for k, bits in self.two_sided.items()},
            "pooled": self.pooled,
            "best_markov": self.best_markov,
            "best_two_sided": self.best_two_sided,
            "pool_weights": dict(self.pool_weights),
            "n_positions": self.n_positions,
        }


class _Best(NamedTuple):
    """The order with the fewest validation bits so far, and its probabilities at all scored bases."""

    order: int
    bits: float
    probabilities: tuple[np.ndarray, ...]


class _Scores:
    """Bits of every model as they come, on the validation rows (the first `n_valid`) and the test rows.

    Rows behind the `n_test` test rows belong to another genome.
    """

    def __init__(self, sites: Neighbourhoods, n_valid: int, n_test: int) -> None:
        self.sites, self.n_valid, self.n_test = sites, n_valid, n_test
        self.valid: dict[str, float] = {}
        self.test: dict[str, np.ndarray] = {}
        self.elsewhere: dict[str, np.ndarray] = {}
        self.alpha: dict[str, float] = {}

    def add(self, name: str, probabilities: np.ndarray) -> float:
        """Note the bits of a model; return those on the validation split."""
        bits = site_bits(probabilities, self.sites.base)
        self.valid[name] = float(bits[: self.n_valid].mean(dtype=np.float64))
        _, self.test[name], self.elsewhere[name] = np.split(bits, [self.n_valid, self.n_valid + self.n_test])
        return self.valid[name]

    def fit(self, name: str, counts: np.ndarray, prior: np.ndarray) -> float:
        """Fit the smoothing of a model on the validation rows."""
        rows = slice(self.n_valid)
        self.alpha[name] = fit_alpha(counts[rows], prior[rows], self.sites.base[rows])
        return self.alpha[name]


def check_size(splits: Splits) -> None:
    """Refuse more training bases than the tables can count; a run asks before it trains.

    Raises:
        UserError: There are too many.
    """
    if total_length(splits.train) >= 2**32:
        raise UserError(
            "Count models take at most 4.29 billion training bases; give fewer chromosomes, or --baselines false."
        )


def count_baselines(
    genome: Genome,
    splits: Splits,
    *,
    sites: EvalSites | None = None,
    elsewhere: EvalSites | None = None,
    max_order: int = 12,
    max_flank: int = 6,
    max_positions: int = 1_000_000,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> CountBaselines:
    """Fit, choose and score the count models of a genome.

    Bases that are not A, C, G, T are not scored, and a context that holds one, or reaches beyond its interval,
    falls back to the next shorter one.

    Args:
        genome: The genome.
        splits: Training, validation and test intervals, none of them empty.
        sites: Evaluation sites that must be among the scored test bases.
        elsewhere: Sites of another genome, scored with the models of this one: what transfers.
        max_order: Highest order of the one-sided chains, at most 13 (a table takes 268 MB at 12, 1.1 GB at 13).
        max_flank: Most bases on either side, at most 6 (its table takes 268 MB).
        max_positions: Score at most so many validation and so many test bases, a random subset if there are more.
        seed: Decides that subset.
        progress: Called with a line of text before each model.

    Raises:
        UserError: A split holds no known base, or the orders are out of range.
        ValueError: A site lies outside the test split.
    """
    if not (0 <= max_order <= 13 and 0 <= max_flank <= 6):
        raise UserError(f"Orders 0-13 and flanks 0-6 can be counted, not {max_order} and {max_flank}.")
    check_size(splits)
    tell = progress or (lambda line: None)
    reach = max(max_order, max_flank, 1)
    valid = _positions(genome, splits.valid, max_positions, seed, _VALID, "validation")
    test = _positions(genome, splits.test, max_positions, seed, _TEST, "test")
    if sites is not None:
        test = np.union1d(test, sites.coordinate)
    everywhere = _scored_bases(genome, splits, np.concatenate([valid, test]), elsewhere, reach)
    scores = _Scores(everywhere, len(valid), len(test))

    def source() -> Any:
        return pieces(genome, splits.train, reach)

    if not any((piece.base < 4).any() for piece in source()):
        raise UserError("The training split holds no known base (A, C, G, T) to count.")
    chain = _one_sided(source, scores, max_order, tell)
    flanks = _two_sided(source, scores, max_flank, tell)
    tell("pool")
    logs = np.log(np.stack([flanks.probabilities[0], *chain.probabilities]))
    weights = fit_pool(logs[:, : len(valid)], everywhere.base[: len(valid)])
    scores.add("pool", pool(logs, weights))
    mean = {name: float(bits.mean(dtype=np.float64)) for name, bits in scores.test.items()}
    return CountBaselines(
        markov={k: mean[f"markov_{k}"] for k in range(max_order + 1)},
        two_sided={k: mean[f"two_sided_{k}"] for k in range(max_flank + 1)},
        pooled=mean["pool"],
        best_markov=chain.order,
        best_two_sided=flanks.order,
        pool_weights=dict(zip(("two_sided", "markov_forward", "markov_reverse"), weights.tolist(), strict=True)),
        n_positions=len(test),
        coordinate=test,
        site_bits=scores.test,
        alpha=scores.alpha,
        validation_bits=scores.valid,
        elsewhere={} if elsewhere is None else scores.elsewhere,
    )


def _scored_bases(
    genome: Genome, splits: Splits, coordinates: np.ndarray, elsewhere: EvalSites | None, reach: int
) -> Neighbourhoods:
    """Return the neighbourhoods of all bases to score: of the validation and test splits, then of the other genome."""
    parts = [neighbourhoods_at(genome, (*splits.valid, *splits.test), coordinates, reach)]
    if elsewhere is not None:
        records = [Interval(record.name, 0, record.length) for record in elsewhere.genome.records]
        parts.append(neighbourhoods_at(elsewhere.genome, records, elsewhere.coordinate, reach))
    found = joined(parts)
    if not (found.base < 4).all():
        raise ValueError("every evaluation site must be a known base of the test split, or of the other genome")
    return found


def _positions(
    genome: Genome, intervals: Sequence[Interval], most: int, seed: int, stream: int, split: str
) -> np.ndarray:
    """Return the coordinates of known bases of the intervals, ascending, `most` of them at random if there are more."""
    spans = [(genome.coordinate(i.record, i.start), len(i)) for i in intervals]
    total = sum(length for _, length in spans)
    if total > most:
        numbers = np.sort(generator(seed, 0, stream).choice(total, most, replace=False))
    else:
        numbers = np.arange(total)
    ends = np.cumsum([length for _, length in spans])
    span = np.searchsorted(ends, numbers, side="right")
    shift = np.array([first for first, _ in spans], dtype=np.int64) - np.concatenate(([0], ends))[: len(spans)]
    chosen = np.sort(numbers + shift[span]) if total else numbers
    chosen = chosen[genome.tokenizer.base_codes[genome.tokens[chosen]] < 4]
    if not len(chosen):
        raise UserError(f"The {split} split holds no known base (A, C, G, T) to score the count models on.")
    return chosen


def _one_sided(source: Source, scores: _Scores, max_order: int, tell: Callable[[str], None]) -> _Best:
    """Score the chains of all orders; the best one's probabilities are read along both strands."""
    sites = scores.sites
    forward = reverse = np.full((len(sites.base), 4), 0.25, dtype=np.float32)
    best: _Best | None = None
    for order in range(max_order + 1):
        name = f"markov_{order}"
        tell(name)
        table = one_sided_table(source, order)
        counts = look_up(table, *pack(sites.left, order))
        alpha = scores.fit(name, counts, forward)
        forward = interpolate(counts, forward, alpha)
        # On the other strand the table speaks of the complement: its columns turn round.
        reverse = interpolate(look_up(table, *pack(sites.right, order))[:, ::-1], reverse, alpha)
        bits = scores.add(name, forward)
        if best is None or bits < best.bits:
            best = _Best(order, bits, (forward, reverse))
    assert best is not None
    return best


def _two_sided(source: Source, scores: _Scores, max_flank: int, tell: Callable[[str], None]) -> _Best:
    """Score the two-sided models of all sizes."""
    sites = scores.sites
    p = np.full((len(sites.base), 4), 0.25, dtype=np.float32)
    best: _Best | None = None
    for k in range(max_flank + 1):
        name = f"two_sided_{k}"
        tell(name)
        table = two_sided_table(source, k)
        counts = look_up(table, *pack_two_sided(sites.left, sites.right, k))
        counts += look_up(table, *pack_two_sided(sites.right, sites.left, k))[:, ::-1]
        p = interpolate(counts, p, scores.fit(name, counts, p))
        bits = scores.add(name, p)
        if best is None or bits < best.bits:
            best = _Best(k, bits, (p,))
    assert best is not None
    return best
