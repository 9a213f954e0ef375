"""The selective scan on a CPU beside the public ways to run it without a GPU: time and memory, as ratios.

    python benchmarks/selective_scan.py            # everything, about ten minutes
    python benchmarks/selective_scan.py --quick    # two shapes, about a minute

One thread, float32, random data, softplus + bias + D + gate in all. All run in one process, in rounds
(each once, then again), and the median of the CPU times counts, so that a busy machine shifts all alike.
Peers get their operands in the layout they want. Peak memory is of a fresh process for each.
The backward pass of loops that slice the time axis is quadratic in L: measured at L = 1024 only.
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

from seqsuite.ops import selective_scan

SHAPES = [  # B, L, D, N
    (1, 1024, 256, 16),
    (1, 4096, 256, 16),
    (1, 16384, 256, 16),
    (2, 2048, 512, 16),
    (1, 2048, 64, 16),
    (1, 2048, 128, 16),
    (1, 4096, 32, 8),
    (1, 4096, 16, 4),
]
QUICK = [(1, 1024, 256, 16), (1, 4096, 32, 8)]
Operands = dict[str, Tensor]


def make(shape: tuple[int, int, int, int]) -> Operands:
    batch, length, width, state = shape
    random = torch.Generator().manual_seed(0)

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=random)

    operands = {
        "u": normal(batch, length, width),
        "delta": normal(batch, length, width),
        "A": -torch.arange(1.0, state + 1).repeat(width, 1),
        "B": normal(batch, length, state),
        "C": normal(batch, length, state),
        "D": normal(width),
        "z": normal(batch, length, width),
        "delta_bias": normal(width) - 4,
    }
    return {name: x.requires_grad_() for name, x in operands.items()}


def channel_first(operands: Operands) -> Operands:
    """The operands with time last, as public Mamba code has them."""
    return {
        name: x.detach().transpose(1, 2).contiguous().requires_grad_() if x.ndim == 3 else x
        for name, x in operands.items()
    }


def ours(backend: str) -> Callable[[Operands], Tensor]:
    def run(o: Operands) -> Tensor:
        options: dict[str, Any] = {**o, "delta_softplus": True, "backend": backend}
        y = selective_scan(**options)
        assert isinstance(y, Tensor)
        return y

    return run


def literal_loop(o: Operands) -> Tensor:
    """The formula as public code writes it: discretise everything, then slice the time axis in a loop."""
    dt = F.softplus(o["delta"] + o["delta_bias"][:, None])
    decay = torch.exp(torch.einsum("bdl,dn->bdln", dt, o["A"]))
    inputs = torch.einsum("bdl,bnl,bdl->bdln", dt, o["B"], o["u"])
    h = torch.zeros_like(decay[:, :, 0])
    outputs = []
    for t in range(decay.shape[2]):
        h = decay[:, :, t] * h + inputs[:, :, t]
        outputs.append(torch.einsum("bdn,bn->bd", h, o["C"][:, :, t]))
    return (torch.stack(outputs, 2) + o["u"] * o["D"][:, None]) * F.silu(o["z"])


def mambapy_scan(o: Operands) -> Tensor:
    """mambapy's parallel scan, used as its Mamba block uses it."""
    from mambapy.pscan import pscan

    dt = F.softplus(o["delta"] + o["delta_bias"])
    decay = torch.exp(dt.unsqueeze(-1) * o["A"])
    inputs = dt.unsqueeze(-1) * o["B"].unsqueeze(2) * o["u"].unsqueeze(-1)
    y = (pscan(decay, inputs) @ o["C"].unsqueeze(-1)).squeeze(3)
    return (y + o["D"] * o["u"]) * F.silu(o["z"])


def transformers_scan(o: Operands) -> Tensor:
    """The slow path of transformers' Mamba: its public function, without its optional accelerators."""
    from transformers.models.mamba.modeling_mamba import mamba_selective_scan

    names = ("u", "delta", "A", "B", "C", "D", "z", "delta_bias")
    return mamba_selective_scan(*(o[name] for name in names), delta_softplus=True)


# name: function, whether time comes last, whether its backward pass is quadratic in L
PATHS: dict[str, tuple[Callable[[Operands], Tensor], bool, bool]] = {
    "seqsuite": (ours("portable"), False, False),
    "reference loop": (ours("reference"), False, False),
    "literal loop": (literal_loop, True, True),
    "mambapy": (mambapy_scan, False, False),
    "transformers": (transformers_scan, True, True),
}


def once(function: Callable[[Operands], Tensor], operands: Operands, backward: bool) -> float:
    """Return the CPU seconds of one run."""
    begin = time.process_time()
    if backward:
        torch.autograd.grad(function(operands).sum(), list(operands.values()))
    else:
        with torch.no_grad():
            function(operands)
    return time.process_time() - begin


def available() -> list[str]:
    names = []
    for name in PATHS:
        try:
            if name in ("mambapy", "transformers"):
                __import__(name)
            names.append(name)
        except ImportError:
            print(f"{name} is not installed: left out (make bench installs it)")
    return names


def measure(shape: tuple[int, int, int, int], names: list[str], backward: bool, seconds: float) -> dict[str, float]:
    """Median CPU milliseconds of each path; at least three rounds, more while `seconds` are not used up."""
    plain = make(shape)
    first = channel_first(plain)
    runs = [name for name in names if not (backward and PATHS[name][2] and shape[1] > 1024)]
    expected = PATHS["reference loop"][0](plain).detach()
    for name in runs:
        function, last, _ = PATHS[name]
        y = function(first if last else plain).detach()
        y = y.transpose(1, 2) if last else y
        assert (y - expected).norm() <= 1e-5 * expected.norm(), f"{name} computes something else"
    del expected, y
    times: dict[str, list[float]] = {name: [] for name in runs}
    begin = time.perf_counter()
    for number in range(50):
        if number >= 3 and time.perf_counter() - begin > seconds:
            break
        for name in runs:
            function, last, _ = PATHS[name]
            times[name].append(once(function, first if last else plain, backward))
    return {name: 1e3 * statistics.median(values) for name, values in times.items()}


def peak(name: str, shape: tuple[int, int, int, int], backward: bool) -> float:
    """Peak extra memory of one run in a fresh process, in MB."""
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}
    command = [sys.executable, __file__, "--child", name, json.dumps([shape, backward])]
    return float(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)


def child(name: str, shape: tuple[int, int, int, int], backward: bool) -> None:
    """Warm up on a tiny shape, then print by how much the high-water mark rises."""

    def status(key: str) -> float:
        with open("/proc/self/status") as lines:
            return next(int(line.split()[1]) for line in lines if line.startswith(key)) / 1024

    function, last, _ = PATHS[name]
    for size in ((1, 8, 8, 4), shape):
        operands = make(size)
        operands = channel_first(operands) if last else operands
        before = status("VmRSS")
        once(function, operands, backward)
    print(status("VmHWM") - before)


def table(title: str, unit: str, rows: dict[str, dict[str, float]]) -> None:
    print(f"\n{title} ({unit}; in brackets: how many times seqsuite's)")
    for shape, values in rows.items():
        cells = [f"{name} {value:.4g} ({value / values['seqsuite']:.2f}x)" for name, value in values.items()]
        print(f"  {shape}: " + " · ".join(cells))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two shapes, few rounds; writes no file")
    parser.add_argument("--child", nargs=2, metavar=("NAME", "SHAPE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.child:
        shape, backward = json.loads(arguments.child[1])
        return child(arguments.child[0], tuple(shape), backward)
    names = available()
    result: dict[str, Any] = {"unit": {"time": "CPU ms, one thread, median", "memory": "MB"}}
    shapes = QUICK if arguments.quick else SHAPES
    for backward, key in ((False, "forward"), (True, "forward_backward")):
        result[key] = {}
        for shape in shapes:
            label = "B{} L{} D{} N{}".format(*shape)
            result[key][label] = measure(shape, names, backward, 2 if arguments.quick else 15)
            table(key, "ms", {label: result[key][label]})
    for backward, key in ((False, "forward_memory"), (True, "forward_backward_memory")):
        result[key] = {}
        for shape in shapes[:2] if arguments.quick else [(1, 1024, 256, 16), (1, 4096, 256, 16), (2, 2048, 512, 16)]:
            runs = [name for name in names if not (backward and PATHS[name][2])]
            result[key]["B{} L{} D{} N{}".format(*shape)] = {name: peak(name, shape, backward) for name in runs}
        table(key, "MB", result[key])
    if not arguments.quick:
        print(f"\nwritten to {write_result('selective_scan', result)}")
    return None


if __name__ == "__main__":
    main()
