"""`seqsuite bench ops`: every operator beside its peers, time and memory, as one table.

    from seqsuite.bench.ops import bench_ops
    result = bench_ops(["ssd"], level="quick")

A row is a bench (an operator, or a variant of it as "ssd:vector"), a contender, a shape and a pass. GB/s counts
operands and output once, to be read beside the first row, a copy in the device's memory; GFLOP/s counts the
algorithm's own operations; `ratio` is the contender's time over ours, and a peer below 1 wins: the row is lost.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from importlib import import_module, metadata
from typing import Literal

import torch

from seqsuite.bench.measure import Bench, Shape, copy_ms, measure, seconds_of, slope, to_device
from seqsuite.bench.memory import peak
from seqsuite.bench.rows import Growth, MemoryRow, OpsResult, Row
from seqsuite.errors import UserError, unknown_name

Level = Literal["tiny", "quick", "full"]
OURS = "seqsuite"
OPERATORS = (
    "selective_scan",
    "linear_scan",
    "ssd",
    "delta_rule",
    "long_conv",
    "ssm_kernel",
    "causal_conv1d",
    "einfft",
    "attention",
    "rnn_scan",
)
PARTS = {"vandermonde": "ssm_kernel", "cauchy": "ssm_kernel"}
"""Operators that are measured as a variant of another, of the same name."""
PEERS = {  # module: distribution
    "fla": "fla-core",
    "jax": "jax",
    "mambapy": "mambapy",
    "s5": "s5-pytorch",
    "transformers": "transformers",
}
_SECONDS = {"tiny": 0.0, "quick": 2.0, "full": 8.0}
_COPIED = {"tiny": 1, "quick": 256, "full": 256}  # MB; the large ones lie outside of all caches


def variants(operator: str) -> dict[str, Bench]:
    """Return what is measured of an operator, by the name of the variant; "" where there is but one.

    Raises:
        UnknownNameError: Nothing is measured of one of that name.
    """
    if operator not in OPERATORS:
        raise unknown_name("operator", operator, (*OPERATORS, *PARTS))
    return import_module(f"seqsuite.bench.cases.{operator}").BENCHES


def benches_of(name: str) -> list[Bench]:
    """Return all benches of an operator ("ssd"), or one of them ("ssd:vector").

    Raises:
        UnknownNameError: There is no such operator or variant.
    """
    operator, _, variant = (f"{PARTS[name]}:{name}" if name in PARTS else name).partition(":")
    found = variants(operator)
    if not variant:
        return list(found.values())
    if variant not in found:
        raise unknown_name(f"variant of {operator}", variant, filter(None, found))
    return [found[variant]]


def bench_of(name: str) -> Bench:
    """Return the bench of a full name, as a bench itself has it.

    Raises:
        UnknownNameError: There is no such operator or variant.
        ValueError: The operator has several and the name tells none.
    """
    found = benches_of(name)
    if len(found) > 1:
        raise ValueError(f"{name} has several benches: {', '.join(bench.name for bench in found)}")
    return found[0]


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
        operators: Names, with or without a variant; none means all.
        level: How many shapes; memory and growth are taken at "full" only.
        device: "cpu" or "cuda"; contenders that do not run there are left out.
        dtype: Of the operands; benches with complex ones take part with float32 only.
        tell: Takes a line at each step.

    Raises:
        UserError: An unknown operator or dtype, or a device that is not there.
    """
    kind = _kind(dtype, device)
    chosen = {bench.name: bench for name in operators or OPERATORS for bench in benches_of(name)}
    benches = [bench for bench in chosen.values() if bench.half or kind == torch.float32]
    for name in chosen.keys() - {bench.name for bench in benches}:
        tell(f"{name}: left out, it has complex operands and is measured with float32 only")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        rows = [_copy(level, device)]
        rows += [row for bench in benches for row in _times(bench, level, device, kind, tell)]
        full = level == "full"
        memory = [row for bench in benches for row in _memory(bench, device, tell)] if full else []
        growth = [_growth(bench, device, tell) for bench in benches if bench.growth] if full else []
    finally:
        torch.set_num_threads(threads)
    present, missing = _peers(benches, device)
    parts = (tuple(rows), tuple(memory), tuple(growth))
    return OpsResult(_device_name(device), dtype, level, present, missing, *parts)


def _kind(dtype: str, device: str) -> torch.dtype:
    kind = getattr(torch, dtype, None)
    if kind not in (torch.float32, torch.bfloat16, torch.float16):
        raise UserError(f"--dtype {dtype}: choose float32, bfloat16 or float16.")
    if device not in ("cpu", "cuda"):
        raise UserError(f"--device {device}: choose cpu or cuda.")
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: torch finds no CUDA device here.")
    return kind


def _peers(benches: Sequence[Bench], device: str) -> tuple[dict[str, str], tuple[str, ...]]:
    """Versions of the peers that are installed, and names of those that are not, as packages."""
    every = [one for bench in benches for one in bench.contenders.values() if one.needs and device in one.devices]
    present = {PEERS[one.needs] for one in every if one.installed}
    missing = {PEERS[one.needs] for one in every if not one.installed}
    return {name: metadata.version(name) for name in sorted(present)}, tuple(sorted(missing))


def _device_name(device: str) -> str:
    if device == "cuda":
        return torch.cuda.get_device_name()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            found = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    except OSError:
        found = []
    return f"cpu ({found[0] if found else platform.processor() or platform.machine()})"


def _copy(level: Level, device: str) -> Row:
    """What a copy within the device's memory moves: read once, written once."""
    size = _COPIED[level]
    ms = copy_ms(size, device)
    return Row("copy", "tensor.copy_", f"MB {size}", "forward", ms, 2 * size * 2**20 * 1e-6 / ms, None, None, False)


def _times(bench: Bench, level: Level, device: str, dtype: torch.dtype, tell: Callable[[str], None]) -> list[Row]:
    rows = []
    for shape in bench.shapes[level]:
        for backward in (False, True):
            found = measure(bench, shape, backward, _SECONDS[level], device=device, dtype=dtype)
            rows += [_row(bench, shape, backward, name, found, dtype) for name in found]
            tell(f"{bench.name}, {bench.label(shape)}, {rows[-1].passes}: {_sentence(found)}")
    return rows


def _sentence(found: dict[str, float]) -> str:
    return " · ".join(f"{name} {ms:.4g} ms ({ms / found[OURS]:.2f}x)" for name, ms in found.items())


def _row(bench: Bench, shape: Shape, backward: bool, name: str, found: dict[str, float], dtype: torch.dtype) -> Row:
    ms = found[name]
    size = bench.bytes(shape) * dtype.itemsize / 4
    per = None if backward else 1e-6 / ms  # of the forward pass only: what the backward moves is the path's own
    return Row(
        bench.name,
        name,
        bench.label(shape),
        "forward + backward" if backward else "forward",
        ms,
        None if per is None else size * per,
        None if per is None else bench.flops(shape) * per,
        ms / found[OURS],
        _lost(name, ms, found[OURS]),
    )


def _lost(contender: str, value: float, ours: float) -> bool:
    return value < ours and not contender.startswith(OURS)


def _memory(bench: Bench, device: str, tell: Callable[[str], None]) -> list[MemoryRow]:
    rows = []
    for shape in bench.memory:
        runs = bench.served(shape, True, device)
        found = {name: peak(bench.name, name, shape, True, device) for name in runs}
        ours = max(found[OURS], 1e-3)
        for name, mb in found.items():
            rows.append(MemoryRow(bench.name, name, bench.label(shape), mb, mb / ours, _lost(name, mb, ours)))
        cells = (f"{name} {mb:.0f} MB" for name, mb in found.items())
        tell(f"{bench.name}, {bench.label(shape)}, memory: " + " · ".join(cells))
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
    mb = [peak(bench.name, OURS, shape, True, device) for shape in bench.growth]
    result = Growth(bench.name, tuple(lengths), tuple(ms), tuple(mb), slope(lengths, ms), slope(lengths, mb))
    tell(f"{bench.name}: slope in L of time {result.time_slope:.2f}, of memory {result.memory_slope:.2f}")
    return result
