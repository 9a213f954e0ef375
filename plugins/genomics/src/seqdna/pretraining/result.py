"""The result of `pretrain`: a model beside the count models, as a table, a figure and summary.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seqdna.data import EvalSites
from seqsuite.reports import TableView, line_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SEES = {
    "masked_lm": "each masked alone",
    "causal_lm": "each from the bases before it",
    "leave_one_out": "each from all the others, none masked",
}


@dataclass(frozen=True)
class PretrainResult(TableView):
    """A pretrained model beside the count models; every figure in bits per base, on held-out sequence.

    Attributes:
        folder: The run folder.
        model: Name of the model.
        objective: Its head: "masked_lm", "causal_lm" or "leave_one_out".
        length: Bases in a window.
        rc_augment: Whether training showed reverse complements.
        bits_per_base: Of the model, one base at a time, from all it may see of the window.
        bits_standard_error: Its Monte-Carlo error.
        bits_at_mask_rate: Of a masked model at the training mask rate, on the same block; None where nothing
            was masked, and for other objectives.
        markov: Order -> bits of the one-sided chain on the same positions; empty without baselines.
        two_sided: k -> bits of the model with k bases on either side, on the same positions.
        pooled: Bits of their log-linear pool on the same positions; None without baselines.
        best: The count model of the model's own kind (one-sided for causal models, else two-sided), its
            order chosen on the validation split: "markov_9", say.
        versus_best: The model minus that one, position by position, and the standard error of that mean.
        versus_pool: The model minus the pool, likewise; None for causal models, which see one side only.
        block: The count models on the whole test block: ``markov``, ``two_sided``, ``pooled`` and choices.
        positions: Number of positions measured.
        shared_24mers: Share of the test block's bases in a 24-mer that the training split has too.
        shared_windows: Share of the test block's windows, laid end to end, that hold such a 24-mer.
        by_homology: "shared" and "unshared" positions: their number, the model's bits and those of `best`.
        elsewhere: The other genome (`also`): name, positions, bits of the model, and of the count models
            fitted on the training genome; None without one.
        census: Letters of the genome by kind.
        tokens_per_second: Training speed.
        seconds: Wall time of the whole command.
        steps: Training steps.
        sites: The measured positions.
        site_bits: Bits at each of them, by model: ``model``, ``pool``, ``markov_0`` .., ``two_sided_0`` ...
    """

    folder: Path
    model: str
    objective: str
    length: int
    rc_augment: bool
    bits_per_base: float
    bits_standard_error: float
    bits_at_mask_rate: float | None
    markov: Mapping[str, float]
    two_sided: Mapping[str, float]
    pooled: float | None
    best: str | None
    versus_best: tuple[float, float] | None
    versus_pool: tuple[float, float] | None
    block: Mapping[str, Any]
    positions: int
    shared_24mers: float
    shared_windows: float
    by_homology: Mapping[str, Mapping[str, Any]]
    elsewhere: Mapping[str, Any] | None
    census: Mapping[str, int]
    tokens_per_second: float
    seconds: float
    steps: int
    sites: EvalSites = field(repr=False)
    site_bits: Mapping[str, np.ndarray] = field(repr=False)

    @property
    def one_sided(self) -> bool:
        """Whether the model sees only the bases before the one it predicts."""
        return self.objective == "causal_lm"

    def table(self) -> list[dict[str, Any]]:
        """Return one row a model: the count models that matter, and this one."""
        rows: list[tuple[str, float, float | None, float | None]] = [("uniform over A, C, G, T", 2.0, None, 2.0)]
        if self.markov:
            best, flank = str(self.block["best_markov"]), str(self.block["best_two_sided"])
            chains = {"0": "composition"}
            chains |= {k: f"one-sided, {k} bases" for k in ("3", "6", "9") if self.one_sided and k in self.markov}
            chains[best] = f"one-sided, {best} bases (chosen)"
            rows += [(name, self.markov[k], None, self.block["markov"][k]) for k, name in chains.items()]
            if not self.one_sided:
                flanks = {k: f"two-sided, {k} + {k} bases" for k in ("2", "3", "4") if k in self.two_sided}
                flanks[flank] = f"two-sided, {flank} + {flank} bases (chosen)"
                rows += [(name, self.two_sided[k], None, self.block["two_sided"][k]) for k, name in flanks.items()]
                rows.append(("log-linear pool of the chosen", self.pooled or 0.0, None, self.block["pooled"]))
        rows.append((f"{self.model}, this run", self.bits_per_base, self.bits_standard_error, None))
        return [
            {
                "model": name,
                "bits per base": f"{bits:.4f}",
                "+-": "" if error is None else f"{error:.4f}",
                "whole block": "" if block is None else f"{block:.4f}",
            }
            for name, bits, error, block in rows
        ]

    def homology_table(self) -> list[dict[str, Any]]:
        """Return one row for the positions in 24-mers of the training split, and one for the others."""
        return [
            {
                "positions": f"{part} with training",
                "number": row["positions"],
                self.model: _figure(row["bits_per_base"]),
                **({self.best: _figure(row["best"])} if self.best else {}),
            }
            for part, row in self.by_homology.items()
        ]

    def elsewhere_table(self) -> list[dict[str, Any]]:
        """Return the other genome: one row a count model of the same kind, and this model; empty without one."""
        if self.elsewhere is None:
            return []
        kinds = ("markov_",) if self.one_sided else ("markov_0", "two_sided_", "pool")
        rows = {name: bits for name, bits in self.elsewhere["counts"].items() if name.startswith(kinds)}
        rows[f"{self.model}, this run"] = self.elsewhere["bits_per_base"]
        return [{"fitted on the training genome": name, "bits per base": f"{bits:.4f}"} for name, bits in rows.items()]

    def figure(self) -> Figure:
        """Draw the bits of count models by context size, and the model's."""
        curves = {"one-sided, by order": ([int(k) for k in self.markov], list(self.markov.values()))}
        levels = {self.model: self.bits_per_base}
        if not self.one_sided:
            curves["two-sided, by bases on either side"] = (
                [int(k) for k in self.two_sided],
                list(self.two_sided.values()),
            )
            levels |= {"pool": self.pooled} if self.pooled is not None else {}
        curves = {name: curve for name, curve in curves.items() if curve[0]}
        return line_figure(curves, x="context", y="held-out bits per base", levels=levels)

    def to_dict(self) -> dict[str, Any]:
        """Return what summary.json holds."""
        arrays = ("sites", "site_bits")
        values = {item.name: getattr(self, item.name) for item in fields(self) if item.name not in arrays}
        return {**values, "folder": self.folder.name}


def _figure(bits: float | None) -> str:
    return "" if bits is None else f"{bits:.4f}"


def caption(result: PretrainResult) -> str:
    """Say in words how the figures of a result were measured, and how it compares with the count models."""
    text = f"{result.positions:,} held-out bases, {SEES[result.objective]}"
    if result.bits_at_mask_rate is not None:
        text += f"; {result.bits_at_mask_rate:.4f} bits at the training mask rate"
    text += f". {100 * result.shared_24mers:.1f} % of the held-out bases lie in a 24-mer of the training split"
    text += f" ({100 * result.shared_windows:.1f} % of the windows hold one)"
    outside = result.by_homology["unshared"]["bits_per_base"]
    text += f"; outside of them {outside:.4f} bits." if outside is not None else "."
    if result.versus_best is not None:
        text += f" Against {result.best}, position by position: {_difference(result.versus_best)}."
    if result.versus_pool is not None:
        text += f" Against the pool: {_difference(result.versus_pool)}."
    if result.elsewhere is not None:
        there = result.elsewhere
        text += f" On {there['genome']}: {there['bits_per_base']:.4f} +- {there['bits_standard_error']:.4f} bits"
        text += f", against {result.best} {_difference(there['versus_best'])}." if there["versus_best"] else "."
    return text


def _difference(pair: tuple[float, float]) -> str:
    return f"{pair[0]:+.4f} +- {pair[1]:.4f}"
