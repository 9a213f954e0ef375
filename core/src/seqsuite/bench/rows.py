"""Rows of the table of operators: times, peaks of memory, growth with the length, and all of them together."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    """One contender at one shape.

    Attributes:
        bench: The operator, or its variant as "ssd:vector"; "copy" for the copy.
        contender: Ours, the reference, or a peer.
        shape: "B 1, L 1024, ...".
        passes: "forward" or "forward + backward".
        ms: Median milliseconds.
        gbs: GB/s of the forward pass, operands and output moved once.
        gflops: GFLOP/s of the forward pass.
        ratio: Its time over ours; None for the copy.
        lost: Whether this is another's and faster than ours.
    """

    bench: str
    contender: str
    shape: str
    passes: str
    ms: float
    gbs: float | None
    gflops: float | None
    ratio: float | None
    lost: bool


@dataclass(frozen=True)
class MemoryRow:
    """Peak extra memory of forward and backward of one contender at one shape, in MB, and in units of ours."""

    bench: str
    contender: str
    shape: str
    mb: float
    ratio: float
    lost: bool


@dataclass(frozen=True)
class Growth:
    """How our time and memory (forward and backward) grow with L: slopes on log-log."""

    bench: str
    lengths: tuple[int, ...]
    ms: tuple[float, ...]
    mb: tuple[float, ...]
    time_slope: float
    memory_slope: float


@dataclass(frozen=True)
class OpsResult:
    """The result of `bench_ops`.

    Attributes:
        device: "cpu" with the processor's name, or the GPU's name.
        dtype: Of the operands.
        level: How much was measured.
        peers: Versions of the peers' packages that took part.
        missing: Packages of peers that are not installed.
        rows: Times; the first is the copy.
        memory: Peaks.
        growth: Slopes in L.
    """

    device: str
    dtype: str
    level: str
    peers: dict[str, str]
    missing: tuple[str, ...]
    rows: tuple[Row, ...]
    memory: tuple[MemoryRow, ...]
    growth: tuple[Growth, ...]

    def as_json(self) -> dict[str, Any]:
        """Return plain numbers and names."""
        return asdict(self)
