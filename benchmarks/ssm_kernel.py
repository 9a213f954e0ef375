"""Kernels of S4D and S4 on a CPU beside the literal expressions: time, memory and error, as ratios.

    python benchmarks/ssm_kernel.py            # all sizes, some minutes; writes benchmarks/results/
    python benchmarks/ssm_kernel.py --quick    # two sizes, half a minute; writes no file
    python benchmarks/ssm_kernel.py --tiny     # one tiny size: does it run at all?

One thread, single precision, random data. All run in one process, in rounds (each once, then again), and the
median of the CPU times counts, so that a busy machine shifts all alike. Three products: the Vandermonde product
(S4D's kernel, 32 pairs of modes) beside an einsum over all powers (H, N, L), the Cauchy product (S4's, four
numerators a pole) beside the sum over all quotients (4, H, 2N, F), and whole kernels. Errors are relative L2
against complex128. Slopes are of time against length, log-log, between the two longest. Peak memory is of a
fresh process for each.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from _machine import write_result
from torch import Tensor

from seqsuite.mixers.hippo import nplr
from seqsuite.ops._ssm_kernel.op import ssm_kernel
from seqsuite.ops._ssm_kernel.products import cauchy, vandermonde

SIZES = [(64, 32, 256), (64, 32, 1024), (64, 32, 4096), (64, 32, 16384), (4, 32, 65536)]  # H, N pairs, L
QUICK = [(64, 32, 1024), (64, 32, 4096)]
TINY = [(2, 3, 40)]
LARGEST_NAIVE = 1 << 28
"""Complex elements of a naive intermediate at most: 2 GB in single precision."""
Operands = dict[str, Tensor]


def make(size: tuple[int, int, int]) -> Operands:
    heads, states, length = size
    random = torch.Generator().manual_seed(0)
    dt = torch.exp(torch.empty(heads, 1).uniform_(math.log(1e-3), math.log(0.1), generator=random))
    parts = nplr("legs", 2 * states)
    A = torch.complex(torch.full((heads, states), -0.5), -math.pi * torch.arange(float(states)).expand(heads, -1))
    y = 2 * torch.tan(math.pi / length * torch.arange((length + 1) // 2))
    return {
        "c": torch.randn(1, heads, states, generator=random, dtype=torch.complex64),
        "v": torch.randn(4, heads, states, generator=random, dtype=torch.complex64),
        "log_a": dt * A,
        "diagonal": A,
        "z": torch.complex(torch.zeros_like(y), y),
        "w": (dt * parts.A).to(torch.complex64),
        "dt": dt[:, 0],
        "A": parts.A[None].to(torch.complex64),
        "B": parts.B[None].to(torch.complex64),
        "P": parts.P[:, None].to(torch.complex64),
        "steps": torch.arange(float(length)),
    }


def naive_vandermonde(o: Operands) -> Tensor:
    return 2 * torch.einsum("mhn,hnl->mhl", o["c"], torch.exp(o["log_a"][..., None] * o["steps"])).real


def naive_cauchy(o: Operands) -> Tensor:
    v, w = (torch.cat((o[name], o[name].conj()), -1) for name in ("v", "w"))
    return (v[..., None] / (o["z"] - w[..., None])).sum(-2)


def kernel(o: Operands, coupled: bool) -> Tensor:
    C, length = o["c"], len(o["steps"])
    if coupled:
        k = ssm_kernel(o["dt"], o["A"], o["B"], C, length, P=o["P"])
    else:
        k = ssm_kernel(o["dt"], o["diagonal"], torch.ones_like(o["diagonal"]), C, length, discretization="zoh")
    assert isinstance(k, Tensor)
    return k


# name: function, operands with gradients, what it must equal
PATHS: dict[str, tuple[Callable[[Operands], Tensor], tuple[str, ...], str]] = {
    "vandermonde": (lambda o: vandermonde(o["c"], o["log_a"], len(o["steps"])), ("c", "log_a"), "vandermonde"),
    "naive vandermonde": (naive_vandermonde, ("c", "log_a"), "vandermonde"),
    "cauchy": (lambda o: cauchy(o["v"], o["z"], o["w"]), ("v", "w"), "cauchy"),
    "naive cauchy": (naive_cauchy, ("v", "w"), "cauchy"),
    "S4D kernel": (lambda o: kernel(o, False), ("dt", "diagonal", "c"), "S4D kernel"),
    "S4 kernel": (lambda o: kernel(o, True), ("dt", "A", "B", "c", "P"), "S4 kernel"),
}


def feasible(name: str, size: tuple[int, int, int]) -> bool:
    heads, states, length = size
    largest = {"naive vandermonde": heads * states * length, "naive cauchy": 4 * heads * states * length}
    return largest.get(name, 0) <= LARGEST_NAIVE


def once(name: str, o: Operands, backward: bool) -> float:
    """Return the CPU seconds of one run."""
    function, names, _ = PATHS[name]
    leaves = [o[n].requires_grad_(backward) for n in names]
    begin = time.process_time()
    if backward:
        out = function(o)
        torch.autograd.grad(out, leaves, torch.ones_like(out))
    else:
        with torch.no_grad():
            function(o)
    return time.process_time() - begin


def errors(size: tuple[int, int, int]) -> dict[str, float]:
    """Relative L2 of each product against double precision, computed by our path on the same operands."""
    single = make(size)
    double = {n: x.to(torch.complex128 if x.is_complex() else torch.float64) for n, x in single.items()}
    found = {}
    for name, (function, _, truth) in PATHS.items():
        if feasible(name, size):
            mine, true = function(single), PATHS[truth][0](double)
            found[name] = float((mine.to(true.dtype) - true).norm() / true.norm())
            assert found[name] <= 1e-4, f"{name} computes something else"
    return found


def measure(size: tuple[int, int, int], backward: bool, seconds: float) -> dict[str, float]:
    """Median CPU milliseconds of each path; at least three rounds, more while `seconds` are not used up."""
    names = [name for name in PATHS if feasible(name, size)]
    operands = {name: make(size) for name in names}
    for name in names:
        once(name, operands[name], backward)
    times: dict[str, list[float]] = {name: [] for name in names}
    begin = time.perf_counter()
    for number in range(50):
        if number >= 3 and time.perf_counter() - begin > seconds:
            break
        for name in names:
            times[name].append(once(name, operands[name], backward))
    return {name: 1e3 * statistics.median(values) for name, values in times.items()}


def peak(name: str, size: tuple[int, int, int], backward: bool) -> float:
    """Peak extra memory of one run in a fresh process, in MB."""
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}
    command = [sys.executable, __file__, "--child", name, json.dumps([size, backward])]
    return float(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)


def child(name: str, size: tuple[int, int, int], backward: bool) -> None:
    """Warm up on a tiny size, then print by how much the high-water mark rises."""

    def status(key: str) -> float:
        with open("/proc/self/status") as lines:
            return next(int(line.split()[1]) for line in lines if line.startswith(key)) / 1024

    once(name, make(TINY[0]), backward)
    operands = make(size)
    before = status("VmRSS")
    once(name, operands, backward)
    print(status("VmHWM") - before)


def table(title: str, unit: str, rows: dict[str, dict[str, float]]) -> None:
    print(f"\n{title} ({unit}; in brackets: naive in units of ours)")
    for label, values in rows.items():
        cells = []
        for name, value in values.items():
            ratio = f" ({value / values[PATHS[name][2]]:.1f}x)" if name.startswith("naive") else ""
            cells.append(f"{name} {value:.3g}{ratio}")
        print(f"  {label}: " + " · ".join(cells))


def slopes(rows: dict[str, dict[str, float]], sizes: list[tuple[int, int, int]]) -> dict[str, float]:
    """Log-log slopes between the two longest kernels of the same width."""
    wide = [size for size in sizes if size[0] == sizes[0][0]][-2:]
    low, high = ("H{} N{} L{}".format(*size) for size in wide)
    both = [name for name in rows[low] if name in rows[high]]
    return {name: math.log(rows[high][name] / rows[low][name], wide[1][2] / wide[0][2]) for name in both}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two sizes, few rounds; writes no file")
    parser.add_argument("--tiny", action="store_true", help="one tiny size; writes no file")
    parser.add_argument("--child", nargs=2, metavar=("NAME", "SIZE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.child:
        size, backward = json.loads(arguments.child[1])
        return child(arguments.child[0], tuple(size), backward)
    sizes = TINY if arguments.tiny else QUICK if arguments.quick else SIZES
    seconds = 0.1 if arguments.tiny else 2 if arguments.quick else 3
    labels = {"H{} N{} L{}".format(*size): size for size in sizes}
    result: dict[str, Any] = {"unit": {"time": "CPU ms, one thread, median", "memory": "MB", "error": "relative L2"}}
    result["error"] = {label: errors(size) for label, size in labels.items()}
    table("error", "relative L2", result["error"])
    for backward, key in ((False, "forward"), (True, "forward_backward")):
        result[key] = {label: measure(size, backward, seconds) for label, size in labels.items()}
        table(key, "ms", result[key])
        if len(sizes) > 1:
            result[f"{key}_slope"] = slopes(result[key], sizes)
            print("  slopes: " + " · ".join(f"{name} {slope:.2f}" for name, slope in result[f"{key}_slope"].items()))
    kept = sizes[:1] if arguments.tiny else [size for size in sizes if size[2] in (1024, 4096)]
    for backward, key in ((False, "forward_memory"), (True, "forward_backward_memory")):
        result[key] = {}
        for size in kept:
            runs = [name for name in PATHS if feasible(name, size)]
            result[key]["H{} N{} L{}".format(*size)] = {name: peak(name, size, backward) for name in runs}
        if not arguments.tiny:
            table(key, "MB", result[key])
    if not (arguments.quick or arguments.tiny):
        print(f"\nwritten to {write_result('ssm_kernel', result)}")
    return None


if __name__ == "__main__":
    main()
