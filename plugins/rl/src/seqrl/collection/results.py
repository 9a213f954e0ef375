"""What a collection gives back: a row a part of the mixture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from seqrl.collection.policies import Part
from seqsuite.reports import TableView

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class PartResult:
    """One part's episodes.

    Args:
        part: What played them.
        returns: (E,) their undiscounted returns.
        lengths: (E,) their steps.
    """

    part: Part
    returns: NDArray[np.float64]
    lengths: NDArray[np.int64]

    def to_dict(self) -> dict[str, Any]:
        """Return its numbers: episodes, steps, mean and quantiles of the returns."""
        row: dict[str, Any] = {
            "policy": self.part.name,
            "epsilon": self.part.epsilon,
            "episodes": len(self.returns),
            "steps": int(self.lengths.sum()),
            "mean": float(self.returns.mean()) if len(self.returns) else None,
        }
        for name, share in {"min": 0.0, "25 %": 0.25, "median": 0.5, "75 %": 0.75, "max": 1.0}.items():
            row[name] = float(np.quantile(self.returns, share)) if len(self.returns) else None
        return row


@dataclass(frozen=True, repr=False)
class CollectionResult(TableView):
    """A finished collection.

    Args:
        out: The data set.
        parts: Of the mixture.
        reference_min: The return of score 0, where it is known.
        reference_max: The return of score 1, where it is known.
        reference_source: Where both come from.
        policies: Folder of the policies that were trained, or None.
    """

    out: Path
    parts: tuple[PartResult, ...]
    reference_min: float | None
    reference_max: float | None
    reference_source: str
    policies: Path | None = None

    @property
    def episodes(self) -> int:
        """Return how many episodes there are."""
        return sum(len(part.returns) for part in self.parts)

    @property
    def steps(self) -> int:
        """Return how many steps there are."""
        return int(sum(part.lengths.sum() for part in self.parts))

    @property
    def reference_text(self) -> str:
        """Return both reference returns in words."""
        numbers = [
            "not known" if value is None else f"{value:.4g}" for value in (self.reference_min, self.reference_max)
        ]
        return f"returns {numbers[0]} and {numbers[1]} ({self.reference_source})"

    def table(self) -> list[dict[str, str]]:
        """Return a row a part, and one of all of them where there are several."""
        rows = [part.to_dict() for part in self.parts]
        if len(rows) > 1:
            whole = PartResult(
                Part(0, "all", float("nan")),
                np.concatenate([part.returns for part in self.parts]),
                np.concatenate([part.lengths for part in self.parts]),
            )
            rows.append(whole.to_dict())
        return [{name: _shown(value) for name, value in row.items()} for row in rows]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {
            "out": str(self.out),
            "episodes": self.episodes,
            "steps": self.steps,
            "reference_min": self.reference_min,
            "reference_max": self.reference_max,
            "reference_source": self.reference_source,
            "policies": None if self.policies is None else str(self.policies),
            "parts": [part.to_dict() for part in self.parts],
        }

    def figure(self) -> Figure | None:
        """Return the histogram of returns by part."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(6, 3.5), layout="constrained")
        axes = figure.subplots()
        edges = np.histogram_bin_edges(np.concatenate([part.returns for part in self.parts]), bins=30)
        for part in self.parts:
            axes.hist(part.returns, bins=edges.tolist(), alpha=0.6, label=part.part.label)
        axes.set(xlabel="return of an episode", ylabel="episodes")
        axes.legend(frameon=False)
        return figure


def _shown(value: Any) -> str:
    if value is None or value != value:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
