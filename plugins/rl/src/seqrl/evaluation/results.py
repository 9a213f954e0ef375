"""What an evaluation gives: achieved returns for every target, as table, figure, files and plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seqrl.evaluation.rollouts import Rollouts
from seqrl.evaluation.statistics import bootstrap_interval, interquartile_mean
from seqsuite.reports import Report, TableView
from seqsuite.reports.csv_files import write_csv
from seqsuite.reports.figures import COLOURS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class TargetResult:
    """Episodes played for one target.

    Attributes:
        target: The raw return that was asked for; None of a policy that takes none.
        rollouts: What came of them.
    """

    target: float | None
    rollouts: Rollouts = field(repr=False)

    @property
    def mean(self) -> float:
        """Mean raw return."""
        return float(self.rollouts.returns.mean())

    @property
    def std(self) -> float:
        """Deviation of the raw returns, divided by E as published."""
        return float(self.rollouts.returns.std())

    @property
    def quantiles(self) -> tuple[float, ...]:
        """Lowest, quartiles and highest raw return."""
        return tuple(map(float, np.quantile(self.rollouts.returns, _QUANTILES)))

    @property
    def length(self) -> float:
        """Mean number of steps."""
        return float(self.rollouts.lengths.mean())

    @cached_property
    def iqm(self) -> float:
        """Interquartile mean of the raw returns."""
        return interquartile_mean(self.rollouts.returns)

    @cached_property
    def interval(self) -> tuple[float, float]:
        """95 % bootstrap interval of the interquartile mean over these episodes."""
        return bootstrap_interval(self.rollouts.returns)


@dataclass(frozen=True)
class Evaluation(TableView):
    """How a policy did in its environment.

    Attributes:
        policy: Its kind and folder.
        weights: Which weights played: "last", "best ...", or those of a bare model folder.
        env_id: The environment.
        targets: One entry a target.
        reference: {"minimum", "maximum", "source"} of the normalised score; empty: there is none.
        comparable: Whether the environment's version is that of the reference.
        note: Why it is not, or what else must be said.
        seed: Of the episodes.
        seconds: That it took.
        options: Of the agent.
    """

    policy: str
    weights: str
    env_id: str
    targets: Sequence[TargetResult]
    reference: Mapping[str, Any] = field(default_factory=dict)
    comparable: bool = True
    note: str = ""
    seed: int = 0
    seconds: float = 0.0
    options: Mapping[str, Any] = field(default_factory=dict)

    def __getitem__(self, target: float | None) -> TargetResult:
        """Return the entry of a target.

        Raises:
            KeyError: It was not played.
        """
        for entry in self.targets:
            if entry.target == target:
                return entry
        raise KeyError(f"no episodes for target {target}; there are those for {[e.target for e in self.targets]}")

    def normalized(self, returns: float) -> float | None:
        """Return the normalised score of a return as a fraction; None without a reference."""
        from seqrl.scores import Reference, normalized_score

        return float(normalized_score(returns, Reference(**self.reference))) if self.reference else None

    def table(self) -> list[dict[str, Any]]:
        """Return one row a target; interquartile mean and interval are over its episodes."""
        return [self._row(entry) for entry in self.targets]

    def _row(self, entry: TargetResult) -> dict[str, Any]:
        low, high = entry.interval
        row: dict[str, Any] = {} if entry.target is None else {"target": entry.target}
        row |= {"episodes": len(entry.rollouts.returns), "return": entry.mean, "+-": entry.std, "IQM": entry.iqm}
        row["95% interval"] = f"{low:.5g} to {high:.5g}"
        row |= {"lowest": entry.quantiles[0], "median": entry.quantiles[2], "highest": entry.quantiles[4]}
        row["length"] = entry.length
        score = self.normalized(entry.mean)
        return row if score is None else row | {"score": score, "score x100": 100 * score}

    def notes(self) -> list[str]:
        """Return what must be read beside the table: weights, reference, comparability."""
        lines = [f"{self.policy}, weights: {self.weights}; {self.env_id}, seed {self.seed}"]
        if self.reference:
            low, high, source = (self.reference[name] for name in ("minimum", "maximum", "source"))
            lines.append(f"score: (return - {low:.6g}) / ({high:.6g} - {low:.6g}), reference: {source}")
        else:
            lines.append("no normalised score: the data and the environment have no reference")
        return [*lines, self.note] if self.note else lines

    def figure(self) -> Figure:
        """Draw achieved against asked-for returns, every episode a dot; without targets the returns by episode."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(6.0, 4.2), layout="constrained")
        axes = figure.subplots()
        if all(entry.target is None for entry in self.targets):
            returns = self.targets[0].rollouts.returns
            axes.plot(range(len(returns)), returns, "o", color=COLOURS[0], label="episodes")
            axes.axhline(self.targets[0].mean, color=COLOURS[1], lw=1.5, label="mean")
            axes.set(xlabel="episode", ylabel="return")
        else:
            self._draw_targets(axes)
        axes.set_title(self.env_id)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
        return figure

    def _draw_targets(self, axes: Any) -> None:
        entries = sorted((entry for entry in self.targets if entry.target is not None), key=lambda e: e.target or 0.0)
        asked = [entry.target for entry in entries]
        for entry in entries:
            returns = entry.rollouts.returns
            label = "episodes" if entry is entries[0] else None
            axes.plot([entry.target] * len(returns), returns, "o", color=COLOURS[0], ms=3, alpha=0.4, label=label)
        axes.plot(asked, [entry.mean for entry in entries], "-o", color=COLOURS[1], lw=1.5, label="mean")
        axes.plot(asked, asked, ":", color="#808080", lw=1.2, marker="+", label="as asked for")
        axes.set(xlabel="target return", ylabel="achieved return")

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, every episode included."""
        facts: dict[str, Any] = {"policy": self.policy, "weights": self.weights, "environment": self.env_id}
        facts |= {"seed": self.seed, "seconds": round(self.seconds, 2), "options": dict(self.options)}
        facts |= {"reference": dict(self.reference), "comparable": self.comparable, "note": self.note}
        return facts | {"targets": [self._plain(entry) for entry in self.targets]}

    def _plain(self, entry: TargetResult) -> dict[str, Any]:
        score, rollouts = self.normalized(entry.mean), entry.rollouts
        return {
            "target": entry.target,
            "episodes": len(rollouts.returns),
            "return_mean": entry.mean,
            "return_std": entry.std,
            "return_iqm": entry.iqm,
            "return_iqm_interval": list(entry.interval),
            "return_quantiles": dict(zip(map(str, _QUANTILES), entry.quantiles, strict=True)),
            "length_mean": entry.length,
            "normalized": score,
            "normalized_x100": None if score is None else 100 * score,
            "returns": rollouts.returns.tolist(),
            "lengths": rollouts.lengths.tolist(),
            "terminated": rollouts.terminated.tolist(),
            "seeds": rollouts.seeds.tolist(),
        }

    def save(self, folder: str | Path) -> Path:
        """Write evaluation.json, episodes.csv, achieved.png and report.html into a folder.

        Args:
            folder: Made where missing.

        Raises:
            UserError: The disk is full or the place is not writable.
        """
        from seqsuite.training.checkpoint_io import write_aside
        from seqsuite.training.run_folder import told, write_json

        path = Path(folder).expanduser()
        with told(path):
            path.mkdir(parents=True, exist_ok=True)
        write_csv(path / "episodes.csv", ("target", "episode", "seed", "return", "length", "terminated"), self._rows())
        with told(path / "achieved.png"), write_aside(path / "achieved.png") as aside:
            self.figure().savefig(aside, format="png", dpi=150)
        self.report().write(path / "report.html")
        write_json(path / "evaluation.json", self.to_dict())
        return path

    def _rows(self) -> list[tuple[Any, ...]]:
        rows = []
        for entry in self.targets:
            target, r = "" if entry.target is None else entry.target, entry.rollouts
            columns = zip(r.seeds, r.returns, r.lengths, r.terminated, strict=True)
            rows += [(target, number, *values) for number, values in enumerate(columns)]
        return rows

    def report(self) -> Report:
        """Return the page of this evaluation."""
        report = Report(f"{self.policy} in {self.env_id}", subtitle=f"weights: {self.weights}")
        for line in self.notes():
            report.text(line)
        report.table(self.table(), caption="Interquartile mean and interval are over the episodes of this one policy")
        return report.figure(self.figure(), caption="Achieved returns")
