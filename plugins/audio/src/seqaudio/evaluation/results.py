"""The result of measuring a model of the next sample: bits by file and context, beside the baselines."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from seqaudio.baselines.compare import WHAT
from seqaudio.evaluation.likelihood import CONTEXTS, FileBits
from seqaudio.sources import skipped_rows
from seqsuite.reports import TableView, line_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from seqaudio.baselines import AudioBaselines, Interval
    from seqaudio.evaluation.generated import GeneratedScores

_FLAC = {"mu_law": "FLAC of the mu-law codes, which it was not made for", "linear": "FLAC of the same samples"}


@dataclass(frozen=True)
class AudioEvaluation(TableView):
    """A model of the next sample on held-out files, in bits per sample, each file from its first sample on.

    Attributes:
        model: Name of the model.
        source: What was measured.
        sample_rate: Samples a second.
        bits: Of a quantised sample.
        quantization: "mu_law" or "linear".
        interval: Mean bits per sample over all samples, and its block-bootstrap interval.
        files: Bits of each file.
        baselines: The baselines on the same files; None where they were not wanted or have nothing to be fitted on.
        differences: Baseline -> the model's bits minus its own, paired by block: below 0 the model is better.
        generated: Scores of generated clips, where there are any.
        skipped: Path and reason of each file left out.
        notes: What else is to be said, a line each.
    """

    model: str
    source: str
    sample_rate: int
    bits: int
    quantization: str
    interval: Interval
    files: tuple[FileBits, ...] = field(repr=False)
    baselines: AudioBaselines | None = field(default=None, repr=False)
    differences: Mapping[str, Interval] = field(default_factory=dict)
    generated: GeneratedScores | None = None
    skipped: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def bits_per_sample(self) -> float:
        """Mean over all samples of all files."""
        return self.interval.mean

    @property
    def title(self) -> str:
        """A line that says what was measured."""
        seconds = self.interval.samples / self.sample_rate
        kind = self.quantization.replace("_", "-")
        return f"Bits per sample of {self.source}: {len(self.files)} files, {seconds:,.1f} s, {self.bits}-bit {kind}"

    def table(self) -> list[dict[str, Any]]:
        """Return one row a code, the most bits first: the uniform one, the baselines, the model."""
        rows = [_row("uniform", f"all {2**self.bits} codes alike", float(self.bits))]
        if self.baselines is not None:
            for name, found in self.baselines.intervals.items():
                row = _row(name, WHAT[name], found.mean, found, self.differences[name])
                rows.append(row)
            if self.baselines.flac is not None:
                rows.append(_row("flac", _FLAC[self.quantization], self.baselines.flac.bits_per_sample))
        rows.append(_row(self.model, "the model", self.bits_per_sample, self.interval))
        return sorted(rows, key=lambda row: -float(row["bits per sample"]))

    def file_table(self) -> list[dict[str, Any]]:
        """Return one row a file."""
        return [
            {
                "file": str(file.path),
                "samples": file.samples,
                "seconds": file.samples / self.sample_rate,
                "bits per sample": f"{file.bits_per_sample:.4f}",
            }
            for file in self.files
        ]

    def context_table(self) -> list[dict[str, Any]]:
        """Return one row a range of context: how many samples of its file lie before a sample."""
        return [
            {"samples before": label, "samples": count, "bits per sample": f"{mean:.4f}"}
            for label, _, count, mean in self._contexts()
        ]

    def _contexts(self) -> list[tuple[str, int, int, float]]:
        """Return (label, first context, number of samples, mean bits) of each range that has samples."""
        sums = np.sum([file.context_sums for file in self.files], axis=0)
        counts = np.sum([file.context_counts for file in self.files], axis=0)
        labels = [
            f"{first:,}" if end == first + 1 else f"{first:,} to {end - 1:,}"
            for first, end in itertools.pairwise(CONTEXTS)
        ]
        return [
            (label, first, int(count), float(total / count))
            for label, first, total, count in zip(
                [*labels, f"{CONTEXTS[-1]:,} and more"], CONTEXTS, sums, counts, strict=True
            )
            if count
        ]

    def figure(self) -> Figure:
        """Draw the bits by context, and the baselines' means as lines."""
        found = self._contexts()
        curve = [first for _, first, _, _ in found], [mean for *_, mean in found]
        levels = {} if self.baselines is None else self.baselines.bits_per_sample
        levels = dict(sorted(levels.items(), key=lambda item: item[1])[:3])
        figure = line_figure({self.model: curve}, x="samples before, at least", y="bits per sample", levels=levels)
        figure.axes[0].set_xscale("symlog")
        return figure

    def to_dict(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        return {
            "model": self.model,
            "source": self.source,
            "sample_rate": self.sample_rate,
            "bits": self.bits,
            "quantization": self.quantization,
            "bits_per_sample": self.bits_per_sample,
            "interval": asdict(self.interval),
            "files": [
                {"file": str(file.path), "samples": file.samples, "bits_per_sample": file.bits_per_sample}
                for file in self.files
            ],
            "by_context": [
                {"from": first, "samples": count, "bits_per_sample": mean} for _, first, count, mean in self._contexts()
            ],
            "baselines": None if self.baselines is None else self.baselines.to_dict(),
            "differences": {name: asdict(found) for name, found in self.differences.items()},
            "generated": None if self.generated is None else self.generated.to_dict(),
            "skipped": skipped_rows(self.skipped),
            "notes": list(self.notes),
        }


def _row(
    name: str, what: str, bits: float, interval: Interval | None = None, difference: Interval | None = None
) -> dict[str, Any]:
    return {
        "code": name,
        "what": what,
        "bits per sample": f"{bits:.4f}",
        "95 %": "" if interval is None else f"{interval.low:.4f} to {interval.high:.4f}",
        "model minus it": ""
        if difference is None
        else f"{difference.mean:+.4f} ({difference.low:+.4f} to {difference.high:+.4f})",
    }
