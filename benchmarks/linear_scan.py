"""The elementwise linear recurrence on a CPU beside the public ways to run it: time, growth and memory.

    python benchmarks/linear_scan.py            # everything, some minutes
    python benchmarks/linear_scan.py --quick    # two shapes, some seconds; writes no file

One thread, random data, h_t = a_t h_{t-1} + b_t with a in (0, 1). All paths run in one process, in rounds of
random order, and the median of the CPU times counts. Each path is first compared with the reference. Large results
cost page faults, which can outweigh the work: the wide shapes are timed once more in a process that uses freed
memory again. Growth is the slope of log time, and of log peak memory, over log L. Where a peer is faster the row
says "lost". mambapy and JAX are left out where they are not installed.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

import torch
from _machine import write_result
from torch import Tensor

from seqsuite.ops._linear_scan.op import linear_scan

Shape = tuple[int, int, int, str]  # B, L, D, and "real", "complex" or "constant" (complex a, constant in time)
SHAPES: list[Shape] = [
    (1, 4096, 16, "real"),
    (1, 4096, 64, "real"),
    (1, 4096, 256, "real"),
    (1, 4096, 1024, "real"),
    (1, 4096, 4096, "real"),
    (1, 65536, 64, "real"),
    (1, 4096, 64, "complex"),
    (1, 4096, 64, "constant"),
]
WIDE: list[Shape] = [(1, 4096, 1024, "real"), (1, 4096, 4096, "real")]
QUICK: list[Shape] = [(1, 4096, 64, "real"), (1, 1024, 4096, "real")]
REUSE = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**36)}
Operands = tuple[Any, Any]


def make(shape: Shape) -> tuple[Tensor, Tensor]:
    batch, length, width, kind = shape
    generator = torch.Generator().manual_seed(0)
    a = torch.rand((width,) if kind == "constant" else (batch, length, width), generator=generator)
    if kind == "real":
        return a.requires_grad_(), torch.randn(batch, length, width, generator=generator).requires_grad_()
    b = torch.randn(batch, length, width, dtype=torch.complex64, generator=generator)
    return torch.polar(a, 6 * a).requires_grad_(), b.requires_grad_()


def ours(a: Tensor, b: Tensor) -> Tensor:
    h = linear_scan(a, b, backend="portable")
    assert isinstance(h, Tensor)
    return h


def reference(a: Tensor, b: Tensor) -> Tensor:
    """One multiply and one add a step, as autograd wants it."""
    h = linear_scan(a, b, backend="reference")
    assert isinstance(h, Tensor)
    return h


def plain_loop(a: Tensor, b: Tensor) -> Tensor:
    """One in-place multiply-add a step: the fastest plain loop, without a gradient."""
    h = b.clone()
    steps = list(h.unbind(1))
    factors = [a] * len(steps) if a.ndim == 1 else a.unbind(1)
    for before, step, factor in zip(steps[:-1], steps[1:], factors[1:], strict=True):
        step.addcmul_(factor, before)
    return h


def mambapy_scan(a: Tensor, b: Tensor) -> Tensor:
    """mambapy's parallel scan, whose operands are (B, L, D, N)."""
    from mambapy.pscan import pscan

    return pscan(a.unsqueeze(-1), b.unsqueeze(-1)).squeeze(-1)


@cache
def jax_functions(name: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return the jitted scan, and the jitted gradients of the real part of its sum."""
    import jax

    def combine(left: Any, right: Any) -> Any:
        return left[0] * right[0], right[0] * left[1] + right[1]

    def associative(a: Any, b: Any) -> Any:
        return jax.lax.associative_scan(combine, (jax.numpy.broadcast_to(a, b.shape), b), axis=1)[1]

    def sequential(a: Any, b: Any) -> Any:
        def step(h: Any, operands: Any) -> Any:
            h = operands[0] * h + operands[1]
            return h, h

        operands = (jax.numpy.broadcast_to(a, b.shape).swapaxes(0, 1), b.swapaxes(0, 1))
        return jax.lax.scan(step, jax.numpy.zeros_like(b[:, 0]), operands)[1].swapaxes(0, 1)

    scan = {"jax associative_scan": associative, "jax scan": sequential}[name]
    return jax.jit(scan), jax.jit(jax.grad(lambda a, b: scan(a, b).real.sum(), argnums=(0, 1)))


TORCH: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "seqsuite": ours,
    "reference loop": reference,
    "plain loop": plain_loop,
    "mambapy": mambapy_scan,
}
JAX = ("jax associative_scan", "jax scan")


def convert(name: str, operands: tuple[Tensor, Tensor]) -> Operands:
    """The operands as the path takes them."""
    if name in TORCH:
        return operands
    import jax

    return tuple(jax.numpy.asarray(x.detach().numpy()) for x in operands)  # type: ignore[return-value]


def once(name: str, operands: Operands, backward: bool) -> float:
    """Return the CPU seconds of one run."""
    begin = time.process_time()
    if name in JAX:
        for result in [jax_functions(name)[backward](*operands)]:
            for part in result if backward else [result]:
                part.block_until_ready()
    elif backward:
        torch.autograd.grad(TORCH[name](*operands).real.sum(), operands)
    else:
        with torch.no_grad():
            TORCH[name](*operands)
    return time.process_time() - begin


def serves(name: str, shape: Shape, backward: bool) -> bool:
    """mambapy is for real operands; the loop that works in place has no gradient."""
    return not (name == "mambapy" and shape[3] != "real") and not (name == "plain loop" and backward)


def available() -> list[str]:
    names = []
    for name in (*TORCH, *JAX):
        try:
            if name in ("mambapy", *JAX):
                __import__(name.split()[0])
            names.append(name)
        except ImportError:
            print(f"{name} is not installed: left out")
    return names


def measure(shape: Shape, names: list[str], backward: bool, seconds: float) -> dict[str, float]:
    """Median CPU milliseconds of each path; at least five rounds, more while `seconds` are not used up."""
    plain = make(shape)
    runs = {name: convert(name, plain) for name in names if serves(name, shape, backward)}
    with torch.no_grad():
        expected = reference(*plain)
    for name, operands in runs.items():
        with torch.no_grad():
            h = jax_functions(name)[0](*operands) if name in JAX else TORCH[name](*operands)
        found = h if isinstance(h, Tensor) else torch.tensor(h.__array__())
        assert (found - expected).norm() <= 1e-5 * expected.norm(), f"{name} computes something else"
        once(name, operands, backward)  # compile and warm up
    del expected, found, h
    times: dict[str, list[float]] = {name: [] for name in runs}
    begin = time.perf_counter()
    for number in range(50):
        if number >= 5 and time.perf_counter() - begin > seconds:
            break
        # What ran before decides whether memory is at hand: each round has its own order.
        for name in random.Random(number).sample(list(runs), len(runs)):
            times[name].append(once(name, runs[name], backward))
    return {name: 1e3 * statistics.median(values) for name, values in times.items()}


def peak(shape: Shape, backward: bool) -> float:
    """Peak extra memory of one run of ours in a fresh process, in MB."""
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}
    command = [sys.executable, __file__, "--peak", json.dumps([shape, backward])]
    return float(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)


def print_peak(shape: Shape, backward: bool) -> None:
    """Warm up on a tiny shape, then print by how much the high-water mark rises."""

    def status(key: str) -> float:
        with open("/proc/self/status") as lines:
            return next(int(line.split()[1]) for line in lines if line.startswith(key)) / 1024

    for size in ((1, 8, 8, shape[3]), shape):
        operands = make(size)
        before = status("VmRSS")
        once("seqsuite", operands, backward)
    print(status("VmHWM") - before)


def slope(values: dict[int, float]) -> float:
    """Slope of the line through (log L, log value)."""
    x, y = [math.log(length) for length in values], [math.log(value) for value in values.values()]
    return statistics.linear_regression(x, y).slope


def growth(seconds: float) -> dict[str, Any]:
    """How time and peak memory of ours grow with L, at a narrow and a wide state."""
    found: dict[str, Any] = {}
    for width in (64, 2048):
        lengths = [2**power for power in ((12, 14, 16, 18) if width == 64 else (11, 12, 13, 14))]
        for backward, key in ((False, "forward"), (True, "forward_backward")):
            times, memory = {}, {}
            for length in lengths:
                shape = (1, length, width, "real")
                times[length] = measure(shape, ["seqsuite"], backward, seconds)["seqsuite"]
                memory[length] = peak(shape, backward)
            row = {"ms": times, "time_slope": slope(times), "MB": memory, "memory_slope": slope(memory)}
            found[f"{key} D{width}"] = row
            print(f"  {key} D{width}: time slope {row['time_slope']:.3f}, memory slope {row['memory_slope']:.3f}")
    return found


def label(shape: Shape) -> str:
    return "B{} L{} D{} {}".format(*shape)


def table(rows: dict[str, dict[str, float]]) -> None:
    for name, values in rows.items():
        mine = values["seqsuite"]
        cells = [
            f"{peer} {value:.4g} ({value / mine:.2f}x{', lost' if value < mine else ''})"
            for peer, value in values.items()
        ]
        print(f"  {name}: " + " · ".join(cells), flush=True)


def compare(shapes: list[Shape], names: list[str], seconds: float) -> dict[str, dict[str, dict[str, float]]]:
    """Measure and print every shape, forward and with the backward pass."""
    result: dict[str, dict[str, dict[str, float]]] = {}
    for backward, key in ((False, "forward"), (True, "forward_backward")):
        print(f"\n{key} (CPU ms; in brackets: how many times seqsuite's)")
        result[key] = {}
        for shape in shapes:
            rows = {label(shape): measure(shape, names, backward, seconds)}
            table(rows)
            result[key] |= rows
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two shapes, few rounds; writes no file")
    parser.add_argument("--peak", metavar="SHAPE", help=argparse.SUPPRESS)
    parser.add_argument("--wide", metavar="FILE", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.peak:
        shape, backward = json.loads(arguments.peak)
        return print_peak(tuple(shape), backward)
    names = available()
    if arguments.wide:
        found = compare(WIDE, names, 1)
        with open(arguments.wide, "w") as file:
            json.dump(found, file)
        return None
    result: dict[str, Any] = {"unit": {"time": "CPU ms, one thread, median", "memory": "MB"}}
    result["load_average_at_start"] = os.getloadavg()[0]  # caches and memory are shared with whatever else runs
    result |= compare(QUICK if arguments.quick else SHAPES, names, 1)
    if arguments.quick:
        return None
    print("\nwide shapes once more, freed memory used again")
    result["reused_memory"] = in_fresh_process()
    print("\ngrowth with L")
    result["growth"] = growth(1)
    print(f"\nwritten to {write_result('linear_scan', result)}")
    return None


def in_fresh_process() -> dict[str, Any]:
    """Measure the wide shapes in a process whose allocator keeps freed memory."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "wide.json")
        subprocess.run([sys.executable, __file__, "--wide", path], env={**os.environ, **REUSE}, check=True)
        with open(path) as file:
            return json.load(file)


if __name__ == "__main__":
    main()
