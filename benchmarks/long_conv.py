"""The long convolution against what people write otherwise: CPU time, interleaved, and peak memory.

    python benchmarks/long_conv.py            # all shapes, a few minutes; writes benchmarks/results/
    python benchmarks/long_conv.py --quick    # two shapes, about ten seconds; writes no file
    python benchmarks/long_conv.py --tiny     # one tiny shape: does it run at all?

One thread, float32, random data, as many taps as steps, with the skip. All run in one process, in rounds (each
once, then again), and the median of the CPU times counts, so that a busy machine shifts all alike. The
expression that autograd differentiates pads to 2 L, as public code does; channel-last for both. The grouped
F.conv1d gets its operands channel-first, and only up to L = 1024: its cost is quadratic.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
import torch.nn.functional as F
from _machine import write_result
from torch import Tensor

from seqsuite.ops import long_conv

SHAPES = [  # B, L, D
    (2, 256, 64),
    (2, 1024, 64),
    (2, 1024, 256),
    (2, 4096, 64),
    (2, 4096, 256),
    (2, 16384, 64),
    (1, 131072, 16),
]
QUICK = [(2, 256, 64), (2, 4096, 64)]
TINY = [(2, 64, 4)]
LONGEST_DIRECT = 1024
Operands = dict[str, Tensor]


def make(shape: tuple[int, int, int]) -> Operands:
    batch, length, width = shape
    random = torch.Generator().manual_seed(0)
    shapes = {"u": (batch, length, width), "k": (length, width), "D": (width,)}
    return {name: torch.randn(*size, generator=random).requires_grad_() for name, size in shapes.items()}


def ours(o: Operands) -> Tensor:
    return long_conv(o["u"], o["k"], D=o["D"], backend="portable")


def recomputed(o: Operands) -> Tensor:
    return long_conv(o["u"], o["k"], D=o["D"], recompute=True, backend="portable")


def expression(o: Operands) -> Tensor:
    """The product of spectra padded to 2 L, differentiated by autograd."""
    length = o["u"].shape[1]
    spectrum = torch.fft.rfft(o["u"], 2 * length, dim=1) * torch.fft.rfft(o["k"], 2 * length, dim=0)
    return torch.fft.irfft(spectrum, 2 * length, dim=1)[:, :length] + o["u"] * o["D"]


def grouped_conv1d(o: Operands) -> Tensor:
    """PyTorch's direct convolution, one group a channel."""
    length, width = o["u"].shape[1:]
    y = F.conv1d(o["u"].mT, o["k"].flip(0).t()[:, None], padding=length - 1, groups=width)[..., :length]
    return y.mT + o["u"] * o["D"]


PATHS: dict[str, Callable[[Operands], Tensor]] = {
    "seqsuite": ours,
    "seqsuite, recompute": recomputed,
    "rfft by autograd": expression,
    "grouped conv1d": grouped_conv1d,
}


def served(shape: tuple[int, int, int]) -> list[str]:
    return [name for name in PATHS if name != "grouped conv1d" or shape[1] <= LONGEST_DIRECT]


def once(function: Callable[[Operands], Tensor], operands: Operands, backward: bool) -> float:
    """Return the CPU seconds of one run; small operands run several times, the mean counts."""
    runs = max(1, 2**18 // operands["u"].numel())
    begin = time.process_time()
    for _ in range(runs):
        if backward:
            torch.autograd.grad(function(operands).sum(), list(operands.values()))
        else:
            with torch.no_grad():
                function(operands)
    return (time.process_time() - begin) / runs


def measure(shape: tuple[int, int, int], backward: bool, seconds: float) -> dict[str, float]:
    """Median CPU milliseconds of each path; at least three rounds, more while `seconds` are not used up."""
    operands = make(shape)
    expected = expression(operands).detach()
    names = served(shape)
    for name in names:
        y = PATHS[name](operands).detach()
        assert (y - expected).norm() <= 1e-5 * expected.norm(), f"{name} computes something else"
    times: dict[str, list[float]] = {name: [] for name in names}
    begin = time.perf_counter()
    for number in range(200):
        if number >= 3 and time.perf_counter() - begin > seconds:
            break
        for name in names:
            times[name].append(once(PATHS[name], operands, backward))
    return {name: 1e3 * statistics.median(values) for name, values in times.items()}


def peak(name: str, shape: tuple[int, int, int], backward: bool) -> float:
    """Peak extra memory of one run in a fresh process, in MB."""
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}
    command = [sys.executable, __file__, "--child", name, json.dumps([shape, backward])]
    return float(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)


def child(name: str, shape: tuple[int, int, int], backward: bool) -> None:
    """Warm up on a tiny shape, then print by how much the high-water mark rises."""

    def status(key: str) -> float:
        with open("/proc/self/status") as lines:
            return next(int(line.split()[1]) for line in lines if line.startswith(key)) / 1024

    for size in (TINY[0], shape):
        operands = make(size)
        before = status("VmRSS")
        once(PATHS[name], operands, backward)
    print(status("VmHWM") - before)


def table(title: str, unit: str, rows: dict[str, dict[str, float]]) -> None:
    print(f"\n{title} ({unit}; in brackets: how many times seqsuite's)")
    for shape, values in rows.items():
        base = values["seqsuite"] or float("nan")
        cells = [f"{name} {value:.4g} ({value / base:.2f}x)" for name, value in values.items()]
        print(f"  {shape}: " + " · ".join(cells))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two shapes, few rounds; writes no file")
    parser.add_argument("--tiny", action="store_true", help="one tiny shape; writes no file")
    parser.add_argument("--child", nargs=2, metavar=("NAME", "SHAPE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.child:
        shape, backward = json.loads(arguments.child[1])
        return child(arguments.child[0], tuple(shape), backward)
    result: dict[str, Any] = {"unit": {"time": "CPU ms, one thread, median", "memory": "MB"}}
    short = arguments.quick or arguments.tiny
    shapes = TINY if arguments.tiny else QUICK if arguments.quick else SHAPES
    for backward, key in ((False, "forward"), (True, "forward_backward")):
        result[key] = {}
        for shape in shapes:
            label = "B{} L{} D{}".format(*shape)
            result[key][label] = measure(shape, backward, 1 if short else 15)
            table(key, "ms", {label: result[key][label]})
    result["forward_backward_memory"] = {}
    for shape in shapes[-1:] if short else [(2, 4096, 256), (2, 16384, 64), (1, 131072, 16)]:
        values = {name: peak(name, shape, True) for name in served(shape)}
        result["forward_backward_memory"]["B{} L{} D{}".format(*shape)] = values
    table("forward_backward_memory", "MB", result["forward_backward_memory"])
    if not short:
        print(f"\nwritten to {write_result('long_conv', result)}")
    return None


if __name__ == "__main__":
    main()
