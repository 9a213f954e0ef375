"""`seqsuite bench ops`: every operator beside its peers, time and memory, as one table.

    from seqsuite.bench.ops import bench_ops
    result = bench_ops(["ssd"], level="quick")

A row is an operator, a contender, a shape and a pass. GB/s counts operands and output once, GFLOP/s the
algorithm's own operations; `ratio` is the contender's time over ours, so that below 1 we lose.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from typing import Any, Literal

import torch

from seqsuite.bench.measure import Bench, Shape, measure, seconds_of, slope, to_device
from seqsuite.bench.memory import peak
from seqsuite.errors import UserError, unknown_name

Level = Literal["tiny", "quick", "full"]
OURS = "seqsuite"
OPERATORS = ("selective_scan", "causal_conv1d", "long_conv", "einfft")
_SECONDS = {"tiny": 0.0, "quick": 2.0, "full": 10.0}


@dataclass(frozen=True)
class Row:
    """One contender at one shape.

    Attributes:
        operator: The operator.
        contender: Ours, the reference, or a peer.
        shape: "B 1, L 1024, ...".
        passes: "forward" or "forward + backward".
        ms: Median milliseconds.
        gbs: GB/s of the forward pass, operands and output moved once.
        gflops: GFLOP/s of the forward pass.
        ratio: Its time over ours.
    """

    operator: str
    contender: str
    shape: str
    passes: str
    ms: float
    gbs: float | None
    gflops: float | None
    ratio: float


@dataclass(frozen=True)
class MemoryRow:
    """Peak extra memory of forward and backward of one contender at one shape, in MB, in units of ours."""

    operator: str
    contender: str
    shape: str
    mb: float
    ratio: float


@dataclass(frozen=True)
class Growth:
    """How our time and memory (forward and backward) grow with L: slopes on log-log."""

    operator: str
    lengths: tuple[int, ...]
    ms: tuple[float, ...]
    mb: tuple[float, ...]
    time_slope: float
    memory_slope: float


@dataclass(frozen=True)
class OpsResult:
    """The result of `bench_ops`.

    Attributes:
        device: "cpu" or the GPU's name.
        dtype: Of the operands.
        missing: Peers that are not installed.
        rows: Times.
        memory: Peaks.
        growth: Slopes in L.
    """

    device: str
    dtype: str
    missing: tuple[str, ...]
    rows: tuple[Row, ...]
    memory: tuple[MemoryRow, ...]
    growth: tuple[Growth, ...]

    def as_json(self) -> dict[str, Any]:
        """Return plain numbers and names."""
        return asdict(self)


def bench_of(operator: str) -> Bench:
    """Return what is measured of an operator.

    Raises:
        UnknownNameError: Nothing is measured of one of that name.
    """
    if operator not in OPERATORS:
        raise unknown_name("operator", operator, OPERATORS)
    return import_module(f"seqsuite.bench.cases.{operator}").BENCH


def bench_ops(
    operators: Sequence[str] = (),
    *,
    level: Level = "quick",
    device: str = "cpu",
    dtype: str = "float32",
    tell: Callable[[str], None] = lambda line: None,
) -> OpsResult:
    """Measure operators beside their peers: one thread, one process, interleaved rounds, medians.

    Args:
        operators: Names; none means all.
        level: How many shapes; memory and growth are taken at "full" only.
        device: "cpu" or "cuda".
        dtype: Of the floating-point operands.
        tell: Takes a line at each step.

    Raises:
        UserError: An unknown operator or dtype, or a device that is not there.
    """
    kind = getattr(torch, dtype, None)
    if kind not in (torch.float32, torch.bfloat16, torch.float16):
        raise UserError(f"--dtype {dtype}: choose float32, bfloat16 or float16.")
    if device not in ("cpu", "cuda"):
        raise UserError(f"--device {device}: choose cpu or cuda.")
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: torch finds no CUDA device here.")
    benches = [bench_of(name) for name in operators or OPERATORS]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        rows = [row for bench in benches for row in _times(bench, level, device, kind, tell)]
        full = level == "full"
        memory = [row for bench in benches for row in _memory(bench, device, tell)] if full else []
        growth = [_growth(bench, device, tell) for bench in benches if bench.growth] if full else []
    finally:
        torch.set_num_threads(threads)
    missing = sorted({each.needs for bench in benches for each in bench.contenders.values() if not each.installed})
    name = torch.cuda.get_device_name() if device == "cuda" else "cpu"
    return OpsResult(name, dtype, tuple(missing), tuple(rows), tuple(memory), tuple(growth))


def _times(bench: Bench, level: Level, device: str, dtype: torch.dtype, tell: Callable[[str], None]) -> list[Row]:
    rows = []
    for shape in bench.shapes[level]:
        for backward in (False, True):
            found = measure(bench, shape, backward, _SECONDS[level], device=device, dtype=dtype)
            rows += [_row(bench, shape, backward, name, found, dtype) for name in found]
            tell(f"{bench.operator}, {bench.label(shape)}, {rows[-1].passes}: {_sentence(found)}")
    return rows


def _sentence(found: dict[str, float]) -> str:
    return " · ".join(f"{name} {ms:.4g} ms ({ms / found[OURS]:.2f}x)" for name, ms in found.items())


def _row(bench: Bench, shape: Shape, backward: bool, name: str, found: dict[str, float], dtype: torch.dtype) -> Row:
    ms = found[name]
    size = bench.bytes(shape) * dtype.itemsize / 4
    passes = "forward + backward" if backward else "forward"
    per = None if backward else 1e-6 / ms  # of the forward pass only: what the backward moves is the path's own
    return Row(
        bench.operator,
        name,
        bench.label(shape),
        passes,
        ms,
        None if per is None else size * per,
        None if per is None else bench.flops(shape) * per,
        ms / found[OURS],
    )


def _memory(bench: Bench, device: str, tell: Callable[[str], None]) -> list[MemoryRow]:
    rows = []
    for shape in bench.memory:
        runs = bench.served(shape, True)
        found = {name: peak(bench.operator, name, shape, True, device) for name in runs}
        ours = max(found[OURS], 1e-3)
        rows += [MemoryRow(bench.operator, name, bench.label(shape), mb, mb / ours) for name, mb in found.items()]
        cells = (f"{name} {mb:.0f} MB" for name, mb in found.items())
        tell(f"{bench.operator}, {bench.label(shape)}, memory: " + " · ".join(cells))
    return rows


def _growth(bench: Bench, device: str, tell: Callable[[str], None]) -> Growth:
    """Time each length in rounds, forward and backward; the length is the axis L."""
    contender = bench.contenders[OURS]
    lengths = [shape[bench.axes.split().index("L")] for shape in bench.growth]
    times: list[list[float]] = [[] for _ in lengths]
    for _ in range(4):  # the first warms up
        for index, shape in enumerate(bench.growth):
            operands = contender.prepare(to_device(bench.make(shape), device, torch.float32))
            times[index].append(1e3 * seconds_of(contender, operands, True, 1, device))
    ms = [min(found[1:]) for found in times]
    mb = [peak(bench.operator, OURS, shape, True, device) for shape in bench.growth]
    result = Growth(bench.operator, tuple(lengths), tuple(ms), tuple(mb), slope(lengths, ms), slope(lengths, mb))
    tell(f"{bench.operator}: slope in L of time {result.time_slope:.2f}, of memory {result.memory_slope:.2f}")
    return result
