"""Numbers as tokens: N bins for each number of a row, chosen from data.

    discretizer = fit_discretizer(rows, bins=100)                  # rows (n, T): observation, action, reward, value
    tokens = discretizer.encode(rows)                              # 0 .. N - 1
    numbers = discretizer.decode(tokens)                           # the middle of each bin

"quantile" are the thresholds of the Trajectory Transformer (https://arxiv.org/abs/2106.02039): every k-th of the
sorted data. "uniform" and "percentile" are those of a public re-implementation: equal widths, and interpolated
percentiles. Where there are fewer rows than bins, values that repeat, or a constant, bins of no width are left over:
they are the last ones, hold the largest number and are decoded as such.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np

from seqrl.configs.trajectory import Strategy
from seqsuite.errors import UserError


@dataclass(frozen=True)
class Discretizer:
    """Bins of each number of a row.

    Attributes:
        edges: (N + 1, T) float64, rising: bin i of number d lies between edges[i, d] and edges[i + 1, d].
        strategy: How they were chosen; it also says on which side a number near an edge falls.
    """

    edges: np.ndarray
    strategy: Strategy = "quantile"

    def __post_init__(self) -> None:
        edges = np.asarray(self.edges, dtype=np.float64)
        if edges.ndim != 2 or len(edges) < 2:
            raise UserError(f"discretizer: edges must be (N + 1, T) with N at least 1, not {edges.shape}")
        if not np.isfinite(edges).all() or (np.diff(edges, axis=0) < 0).any():
            raise UserError("discretizer: edges must be finite and rising")
        if self.strategy not in get_args(Strategy):
            raise UserError(f"discretizer: strategy {self.strategy!r} is none of {', '.join(get_args(Strategy))}")
        object.__setattr__(self, "edges", edges)

    @property
    def bins(self) -> int:
        """N, the number of bins; as a token it is the stop token."""
        return len(self.edges) - 1

    @property
    def dims(self) -> int:
        """T, the numbers of a row."""
        return self.edges.shape[1]

    @property
    def centers(self) -> np.ndarray:
        """(N, T) the middle of each bin."""
        return (self.edges[:-1] + self.edges[1:]) / 2

    def encode(self, values: np.ndarray, *, first: int = 0) -> np.ndarray:
        """Return the tokens 0 .. N - 1 of numbers; what lies outside falls into the outermost bin.

        Args:
            values: (..., K) numbers; a part of a row.
            first: Which number of the row the first one is.

        Returns:
            (..., K) int64.

        Raises:
            UserError: A number is NaN, or the row has fewer numbers.
        """
        values = np.asarray(values, dtype=np.float64)
        self._require(values.shape[-1], first)
        if np.isnan(values).any():
            raise UserError("discretizer: a number to encode is NaN")
        tokens = np.empty(values.shape, dtype=np.int64)
        for place in range(values.shape[-1]):
            edges = self.edges[:, first + place]
            x = values[..., place]
            if self.strategy == "quantile":
                # The largest edge that is not above the number.
                found = np.searchsorted(edges, x, side="right") - 1
            else:
                # A number a hair's breadth below an edge counts as on it.
                found = np.searchsorted(edges[1:], x + (1e-8 + 1e-5 * np.abs(x)), side="right")
            tokens[..., place] = found.clip(0, self.bins - 1)
        return tokens

    def decode(self, tokens: np.ndarray, *, first: int = 0) -> np.ndarray:
        """Return the middle of each token's bin; the stop token counts as the last bin.

        Args:
            tokens: (..., K) integers 0 .. N.
            first: Which number of the row the first one is.

        Returns:
            (..., K) float64.
        """
        tokens = np.asarray(tokens)
        count = tokens.shape[-1]
        self._require(count, first)
        return self.centers[tokens.clip(0, self.bins - 1), np.arange(first, first + count)]

    def _require(self, count: int, first: int) -> None:
        if first < 0 or first + count > self.dims:
            raise UserError(f"discretizer: numbers {first} to {first + count - 1} of a row that has {self.dims}")

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it, exactly."""
        return {"strategy": self.strategy, "edges": self.edges.tolist()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Discretizer:
        """Return what `to_dict` wrote.

        Raises:
            UserError: It is empty or damaged.
        """
        if not values:
            raise UserError("the model knows no discretizer: numbers cannot be made tokens; train it, or import one")
        try:
            return cls(np.asarray(values["edges"], dtype=np.float64), values["strategy"])
        except (KeyError, ValueError, TypeError) as error:
            raise UserError(f"discretizer: {values!r:.60} is none ({error!r})") from error


def fit_discretizer(rows: np.ndarray, bins: int = 100, *, strategy: Strategy = "quantile") -> Discretizer:
    """Choose the bins of each number from data.

    Args:
        rows: (n, T) with n at least 1.
        bins: N.
        strategy: See the module.

    Raises:
        UserError: There are no rows, a number is not finite, or `bins` is below 1.
    """
    rows = np.asarray(rows, dtype=np.float64)
    if rows.ndim != 2 or 0 in rows.shape:
        raise UserError(f"discretizer: the data must be (n, T) with at least one row, not {rows.shape}")
    if bins < 1:
        raise UserError(f"discretizer: bins must be at least 1, not {bins}")
    bad = ~np.isfinite(rows)
    if bad.any():
        row, place = np.argwhere(bad)[0]
        raise UserError(f"discretizer: row {row} of the data has {rows[row, place]} as number {place}")
    if strategy == "uniform":
        edges = np.linspace(rows.min(0), rows.max(0), bins + 1)
    elif strategy == "percentile":
        edges = np.percentile(rows, np.linspace(0, 100, bins + 1), axis=0)
    else:
        edges = _quantiles(rows, bins)
    return Discretizer(np.maximum.accumulate(edges, axis=0), strategy)


def _quantiles(rows: np.ndarray, bins: int) -> np.ndarray:
    """Return every k-th of the sorted data, then the largest one as often as edges are missing."""
    ordered = np.sort(rows, axis=0)
    each = -(-len(rows) // bins)
    edges = ordered[::each]
    return np.concatenate((edges, np.repeat(ordered[-1:], bins + 1 - len(edges), axis=0)))
