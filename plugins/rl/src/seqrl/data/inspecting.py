"""What a set of episodes holds: counts, returns, lengths, spaces, scores, and targets to try.

summary = inspect_episodes(open_episodes("hopper_medium-v2.hdf5"))
summary                      # in a notebook: the table and the histogram of returns
summary.targets["p90"]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from seqrl.scores import comparable, normalized_score
from seqsuite.reports import Report, TableView

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from seqrl.data.episodes import Episodes

QUANTILES = {"min": 0.0, "p10": 0.1, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p90": 0.9, "max": 1.0}


@dataclass(frozen=True, eq=False)
class Inspection(TableView):
    """The summary of a set; see `inspect_episodes`.

    Args:
        source: Where it was read from.
        env_id: The environment; empty: not known.
        episodes: How many.
        steps: Of all episodes.
        observation_space: As gymnasium prints it.
        action_space: Likewise.
        terminated: Episodes whose last step terminates.
        truncated: Episodes whose last step is truncated and does not terminate.
        returns: min, p10, ... max, mean, std.
        lengths: Likewise, of steps.
        reference: minimum, maximum, source of the normalised score; empty: none known.
        score: Normalised returns (fractions): mean and the quantiles; empty: no reference.
        comparable: Whether published scores may stand beside these, in words.
        targets: Returns to ask of a policy: p50, p90, max, and 1.2 max (past the best by 0.2 |max|).
        histogram: Counts of returns, and the edges of the bins.
        fingerprint: A hash of the contents.
        notes: What the reading found worth saying.
    """

    source: str
    env_id: str
    episodes: int
    steps: int
    observation_space: str
    action_space: str
    terminated: int
    truncated: int
    returns: dict[str, float]
    lengths: dict[str, float]
    reference: dict[str, Any]
    score: dict[str, float]
    comparable: str
    targets: dict[str, float]
    histogram: dict[str, list[float]]
    fingerprint: str
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON can hold it."""
        return asdict(self)

    def table(self) -> Mapping[str, Any]:
        """Return what to show, name -> value."""
        rows: dict[str, Any] = {
            "source": self.source,
            "environment": self.env_id or "not known",
            "episodes": self.episodes,
            "steps": self.steps,
            "observations": self.observation_space,
            "actions": self.action_space,
            "ends": f"{self.terminated} terminated, {self.truncated} truncated"
            + (f", {rest} neither" if (rest := self.episodes - self.terminated - self.truncated) else ""),
            "returns": _spread(self.returns),
            "lengths": _spread(self.lengths),
            "targets to try": ", ".join(f"{name} {value:.6g}" for name, value in self.targets.items()),
        }
        if self.reference:
            rows["reference"] = (
                f"{self.reference['minimum']:g} .. {self.reference['maximum']:g} ({self.reference['source']})"
            )
            rows["score x100"] = ", ".join(f"{name} {100 * value:.1f}" for name, value in self.score.items())
        rows["comparable"] = self.comparable
        rows["fingerprint"] = self.fingerprint[:16]
        return rows | {f"note {number + 1}": note for number, note in enumerate(self.notes)}

    def figure(self) -> Figure:
        """Draw the histogram of returns, with the suggested targets."""
        from matplotlib.figure import Figure

        from seqsuite.reports.figures import COLOURS

        figure = Figure(figsize=(7.0, 3.6), layout="constrained")
        axes = figure.subplots()
        edges = self.histogram["edges"]
        axes.bar(edges[:-1], self.histogram["counts"], np.diff(edges), align="edge", color=COLOURS[0], alpha=0.8)
        for number, (name, target) in enumerate(self.targets.items()):
            axes.axvline(target, label=name, color="#606060", linestyle=("-", "--", "-.", ":")[number % 4], lw=1.2)
        axes.set(xlabel="return of an episode", ylabel="episodes")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
        return figure

    def report(self) -> Report:
        """Return one page with the table and the figure."""
        page = Report("Logged episodes", self.source).table(self.table())
        return page.figure(self.figure(), caption="Returns of the episodes, and targets to try")


def _spread(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.6g}" for name, value in values.items())


def _statistics(values: Any) -> dict[str, float]:
    """Return quantiles (linearly interpolated), mean and standard deviation (over N)."""
    found = np.quantile(values, list(QUANTILES.values()))
    return {name: float(value) for name, value in zip(QUANTILES, found, strict=True)} | {
        "mean": float(np.mean(values)),
        "std": float(np.std(values)),
    }


def suggested_targets(returns: Any) -> dict[str, float]:
    """Return returns to ask of a policy: what half and a tenth of the episodes reach, the best, and beyond it.

    Args:
        returns: (E,) returns of the episodes.

    Returns:
        p50, p90, max, and "1.2 max", which is max + 0.2 |max|: beyond the best also where returns are negative.
    """
    best = float(np.max(returns))
    p50, p90 = (float(value) for value in np.quantile(returns, (0.5, 0.9)))
    return {"p50": p50, "p90": p90, "max": best, "1.2 max": best + 0.2 * abs(best)}


def inspect_episodes(episodes: Episodes, *, bins: int = 40) -> Inspection:
    """Summarise a set.

    Args:
        episodes: As `open_episodes` returns it.
        bins: Of the histogram, at most.

    Returns:
        The summary, shown as a table and a figure in a notebook.
    """
    ends = episodes.offsets[1:] - 1
    terminated = episodes.terminations[ends]
    returns = episodes.returns
    counts, edges = np.histogram(returns, bins=bins if np.ptp(returns) > 1e-9 * (1 + abs(returns[0])) else 1)
    reference = episodes.reference
    scores = {} if reference is None else _statistics(normalized_score(returns, reference))
    same, why = comparable(episodes.env_id, reference)
    return Inspection(
        source=episodes.source,
        env_id=episodes.env_id,
        episodes=len(episodes),
        steps=episodes.steps,
        observation_space=_words(episodes.observation_space),
        action_space=_words(episodes.action_space),
        terminated=int(terminated.sum()),
        truncated=int((episodes.truncations[ends] & ~terminated).sum()),
        returns=_statistics(returns),
        lengths=_statistics(episodes.lengths),
        reference={} if reference is None else reference.to_dict(),
        score=scores,
        comparable=f"{'yes' if same else 'no'}: {why}",
        targets=suggested_targets(returns),
        histogram={"counts": counts.tolist(), "edges": edges.tolist()},
        fingerprint=episodes.fingerprint,
        notes=episodes.notes,
    )


def _words(space: Any) -> str:
    """Return a space in one line; bounds that differ from value to value are cut."""
    text = " ".join(str(space).split())
    return text if len(text) <= 160 else f"{text[:157]}..."
