"""All baselines on one split: fitted on training clips, chosen on validation clips, scored on test clips.

result = audio_baselines(train, valid, test, quantizer=Quantizer(8, "mu_law"), rate=16000)
result.table()
result.difference("nlms", model_blocks)        # a model's bits in `blocks_of(bits, result.block_length)`
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from seqaudio.baselines.bootstrap import Blocks, Interval, blocks_of, difference_interval, mean_interval
from seqaudio.baselines.clips import Checked, Clips, CodeModel, checked
from seqaudio.baselines.counts import MOST_LEVELS, fit_histogram, fit_markov
from seqaudio.baselines.flac import FlacSize, flac_size
from seqaudio.baselines.laplace import Cells
from seqaudio.baselines.linear import ORDER, ORDERS, fit_frame_lpc, fit_lpc, moments
from seqaudio.baselines.nlms import fit_nlms
from seqsuite.errors import unknown_name
from seqsuite.reports import TableView

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WHAT = {
    "order_0": "histogram of codes",
    "order_1": "Markov chain of order 1",
    "lpc": "linear prediction, one filter",
    "frame_lpc": "linear prediction, refitted every 64 samples",
    "nlms": "adaptive filter (NLMS)",
}


class Decoder(Protocol):
    """What the baselines ask of a quantiser."""

    @property
    def bits(self) -> int:
        """Bits of a code."""

    def decode(self, codes: np.ndarray) -> Any:
        """Return the amplitude of each code."""


@dataclass(frozen=True)
class AudioBaselines(TableView):
    """Held-out bits per sample of the baselines.

    Attributes:
        intervals: Model -> mean bits per test sample and its interval.
        flac: Size of the test clips as FLAC; None for codes it cannot hold.
        choices: Model -> what was chosen on the validation clips.
        block_length: Samples a block of the intervals.
        samples: Split -> number of samples.
        blocks: Model -> sums of bits over blocks of the test clips, for paired comparison.
    """

    intervals: dict[str, Interval]
    flac: FlacSize | None
    choices: dict[str, dict[str, float]]
    block_length: int
    samples: dict[str, int]
    blocks: dict[str, Blocks] = field(repr=False)

    @property
    def bits_per_sample(self) -> dict[str, float]:
        """Model -> mean bits per test sample, FLAC among them."""
        flac = {} if self.flac is None else {"flac": self.flac.bits_per_sample}
        return {name: interval.mean for name, interval in self.intervals.items()} | flac

    @property
    def best(self) -> str:
        """The model with the fewest bits."""
        bits = self.bits_per_sample
        return min(bits, key=bits.__getitem__)

    def difference(self, name: str, model: Blocks, **options: Any) -> Interval:
        """Return a model's bits minus those of a baseline, paired: below 0 the model is better.

        Args:
            name: The baseline.
            model: The model's bits on the same test clips, from ``blocks_of(bits, result.block_length)``.
            **options: Of `difference_interval`.

        Raises:
            UserError: There is no such baseline with bits a sample.
            ValueError: The model was scored on other clips or blocks.
        """
        if name not in self.blocks:
            raise unknown_name("baseline", name, self.blocks)
        return difference_interval(model, self.blocks[name], **options)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready summary without the blocks."""
        return {
            "bits_per_sample": self.bits_per_sample,
            "intervals": {name: asdict(interval) for name, interval in self.intervals.items()},
            "flac": None if self.flac is None else asdict(self.flac),
            "choices": self.choices,
            "block_length": self.block_length,
            "samples": self.samples,
        }

    def table(self) -> list[dict[str, Any]]:
        """Return one row a baseline, the most bits first."""
        rows = [
            {
                "baseline": name,
                "what": WHAT[name],
                "bits per sample": found.mean,
                "low": found.low,
                "high": found.high,
                "chosen": ", ".join(f"{key} {value:.4g}" for key, value in self.choices[name].items()),
            }
            for name, found in self.intervals.items()
        ]
        if self.flac is not None:
            text = f"FLAC, {self.flac.header_bytes} bytes of file headers left out"
            rows.append({"baseline": "flac", "what": text, "bits per sample": self.flac.bits_per_sample})
        return sorted(rows, key=lambda row: -row["bits per sample"])

    def figure(self) -> Figure:
        """Draw the bits as bars, with their intervals."""
        from matplotlib.figure import Figure

        rows = self.table()
        figure = Figure(figsize=(7.0, 0.45 * len(rows) + 1), layout="constrained")
        axes = figure.subplots()
        values = [row["bits per sample"] for row in rows]
        sides = [[v - row.get("low", v), row.get("high", v) - v] for row, v in zip(rows, values, strict=True)]
        axes.barh([row["baseline"] for row in rows], values, xerr=np.maximum(sides, 0).T, color="#0072B2", capsize=3)
        axes.set(xlabel="bits per sample")
        axes.spines[["top", "right"]].set_visible(False)
        return figure


def audio_baselines(
    train: Clips,
    valid: Clips,
    test: Clips,
    *,
    quantizer: Decoder,
    rate: int,
    block_seconds: float = 0.5,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> AudioBaselines:
    """Fit, choose and score the baselines.

    The Markov chain is left out above 12 bits, where its table would not fit, FLAC above 16.

    Args:
        train: Clips of codes to fit on; passed over several times, so no generator.
        valid: Clips to choose smoothing, step size and memory on.
        test: Clips to score.
        quantizer: What the codes stand for (`seqaudio.quantization.Quantizer`).
        rate: Samples a second.
        block_seconds: Length of the blocks of the intervals.
        level: Level of the intervals.
        resamples: Resamples of the intervals.
        seed: Of the resamples.
        progress: Called with a line of text before each baseline.

    Raises:
        UserError: A split holds no samples, or the test clips hold fewer than two blocks.
        TypeError: A split is a generator.
        ValueError: A clip is no vector of codes, or the rate or the block is below one sample.
    """
    length = int(block_seconds * rate)
    if rate < 1 or length < 1:
        raise ValueError(f"blocks of {block_seconds} s at {rate} samples a second hold no sample")
    levels, tell = 2**quantizer.bits, progress or (lambda line: None)
    splits = {
        name: checked(clips, levels, name)
        for name, clips in (("training", train), ("validation", valid), ("test", test))
    }
    values = np.asarray(quantizer.decode(np.arange(levels)), dtype=np.float64)
    blocks: dict[str, Blocks] = {}
    choices: dict[str, dict[str, float]] = {}
    for model in _models(splits["training"], splits["validation"], values, tell):
        blocks[model.name] = blocks_of(model.bits_of(splits["test"]), length)
        choices[model.name] = model.choices()
    tell("FLAC")
    flac = flac_size(splits["test"], bits=quantizer.bits, rate=rate) if quantizer.bits <= 16 else None
    intervals = {
        name: mean_interval(found, level=level, resamples=resamples, seed=seed) for name, found in blocks.items()
    }
    samples = {name: clips.samples() for name, clips in splits.items()}
    return AudioBaselines(intervals, flac, choices, length, samples, blocks)


def _models(train: Checked, valid: Checked, values: np.ndarray, tell: Callable[[str], None]) -> Iterator[CodeModel]:
    """Fit the models one after another."""
    levels = len(values)
    tell(WHAT["order_0"])
    yield fit_histogram(train, levels)
    if levels <= MOST_LEVELS:
        tell(WHAT["order_1"])
        yield fit_markov(train, valid, levels)
    found = moments(train, Cells(values), sorted({ORDER, *ORDERS}))
    tell(WHAT["lpc"])
    yield fit_lpc(train, valid, values, found=found)
    tell(WHAT["frame_lpc"])
    yield fit_frame_lpc(train, valid, values, found=found)
    tell(WHAT["nlms"])
    yield fit_nlms(train, valid, values, found=found)
