"""Gated linear attention on a CPU beside the loop over time and the public forms: time, memory, growth, as ratios.

    python benchmarks/ssd.py            # everything, some minutes
    python benchmarks/ssd.py --quick    # one shape a form, seconds; writes no file

One thread, float32, random data. All run in one process, in rounds (each once, then again), and the median of
the CPU times counts, so that a busy machine shifts all alike. Every path is compared with the reference loop in
float64 first. Peak memory is of a fresh process for each. Peers: the listing of the Mamba-2 paper (its
mathematics, written here: matrices of segment sums, whole tensors), transformers' Mamba2 without its CUDA
kernels, and flash-linear-attention's naive forms, where installed (`--peers FOLDER`: a folder with them).
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

from seqsuite.ops._ssd.op import ssd

QUADRATIC = "fla naive, vector"  # its backward pass, which slices the time axis in a loop
Shape = tuple[int, int, int, int, int, int]
SCALAR: list[Shape] = [(1, 2048, 8, 1, 64, 64), (1, 2048, 8, 1, 128, 64), (2, 1024, 16, 1, 64, 64)]  # B, L, H, G, K, V
VECTOR: list[Shape] = [(1, 2048, 4, 4, 64, 64), (1, 2048, 4, 4, 32, 64)]
LENGTHS = (1024, 2048, 4096, 8192, 16384)
Operands = dict[str, Tensor]


def make(shape: Shape, vector: bool) -> Operands:
    batch, length, heads, groups, keys, values = shape
    random = torch.Generator().manual_seed(0)

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=random)

    g = normal(batch, length, heads, *([keys] if vector else []))
    operands = {
        "q": normal(batch, length, groups, keys),
        "k": normal(batch, length, groups, keys),
        "v": normal(batch, length, heads, values),
        "g": torch.nn.functional.logsigmoid(g) / (16 if vector else 1),
    }
    return {name: x.requires_grad_() for name, x in operands.items()}


def ours(backend: str) -> Callable[[Operands], Tensor]:
    def run(o: Operands) -> Tensor:
        y = ssd(**o, scale=1.0, backend=backend)
        assert isinstance(y, Tensor)
        return y

    return run


def segment_sums(g: Tensor) -> Tensor:
    """(..., Q) to (..., Q, Q): sums of the elements behind a column's up to a row's, minus infinity above."""
    steps = g.shape[-1]
    below = torch.ones(steps, steps, dtype=torch.bool).tril(-1)
    sums = g[..., None].expand(*g.shape, steps).masked_fill(~below, 0).cumsum(-2)
    return sums.masked_fill(~torch.ones_like(below).tril(), -torch.inf)


def paper_listing(o: Operands, chunk: int = 64) -> Tensor:
    """Section 6 of the Mamba-2 paper as tensor contractions over all chunks at once; one group."""
    heads = o["v"].shape[2]
    q, k, v, g = (x.unflatten(1, (-1, chunk)) for x in o.values())
    q, k = (x.expand(-1, -1, -1, heads, -1) for x in (q, k))
    g = g.permute(0, 3, 1, 2)  # (B, H, chunks, Q)
    sums = g.cumsum(-1)
    inside = torch.einsum("bclhn,bcshn,bhcls,bcshp->bclhp", q, k, torch.exp(segment_sums(g)), v)
    states = torch.einsum("bclhn,bhcl,bclhp->bchpn", k, torch.exp(sums[..., -1:] - sums), v)
    states = torch.cat((torch.zeros_like(states[:, :1]), states), 1)
    carry = torch.exp(segment_sums(torch.nn.functional.pad(sums[..., -1], (1, 0))))
    starts = torch.einsum("bhzc,bchpn->bzhpn", carry, states)[:, :-1]
    across = torch.einsum("bclhn,bchpn,bhcl->bclhp", q, starts, torch.exp(sums))
    return (inside + across).flatten(1, 2)


def transformers_scan(o: Operands) -> Tensor:
    """The slow path of transformers' Mamba2: its public function, with A = -1 and step sizes -g."""
    from transformers.models.mamba2.modeling_mamba2 import mamba2_chunk_scan

    step = -o["g"]
    y = mamba2_chunk_scan(o["v"] / step[..., None], step, -torch.ones(step.shape[2]), o["k"], o["q"], chunk_size=64)
    return y[0] if isinstance(y, tuple) else y


def fla_simple_gla(o: Operands) -> Tensor:
    """flash-linear-attention's naive loop with one decay a head."""
    from fla.ops.simple_gla.naive import naive_chunk_simple_gla

    heads = o["v"].shape[2]
    q, k = (o[name].expand(-1, -1, heads, -1) for name in "qk")
    return naive_chunk_simple_gla(q, k, o["v"], o["g"], scale=1.0)[0]


def fla_gla(o: Operands) -> Tensor:
    """flash-linear-attention's naive loop with a decay for every key."""
    from fla.ops.gla.naive import naive_recurrent_gla

    keys = o["q"].shape[3]
    return naive_recurrent_gla(o["q"] * keys**0.5, o["k"], o["v"], o["g"])[0]


PATHS: dict[str, tuple[Callable[[Operands], Tensor], str]] = {
    "seqsuite": (ours("portable"), "scalar vector"),
    "loop": (ours("reference"), "scalar vector"),
    "paper listing": (paper_listing, "scalar"),
    "transformers": (transformers_scan, "scalar"),
    "fla naive, one decay": (fla_simple_gla, "scalar"),
    "fla naive, vector": (fla_gla, "vector"),
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


def errors(form: str) -> dict[str, float]:
    """Relative L2 of each path to the float64 loop; a path that cannot run is left out, with the reason."""
    shape: Shape = (1, 256, 4, 1 if form == "scalar" else 4, 32, 32)
    operands = make(shape, form == "vector")
    exact = PATHS["loop"][0]({name: x.double() for name, x in operands.items()}).detach()
    found = {}
    for name, (function, forms) in PATHS.items():
        if form not in forms.split():
            continue
        try:
            y = function(operands).detach()
        except ImportError as error:
            print(f"{name} is left out: {error}")
            continue
        found[name] = float((y - exact).norm() / exact.norm())
        assert found[name] <= 1e-4, f"{name} computes something else: {found[name]}"
    return found


def measure(
    shape: Shape, vector: bool, names: list[str], backward: bool, seconds: float, least: int = 5
) -> dict[str, float]:
    """Median CPU milliseconds of each path; at least `least` rounds, more while `seconds` are not used up."""
    operands = make(shape, vector)
    times: dict[str, list[float]] = {name: [] for name in names}
    for name in names:
        once(PATHS[name][0], operands, backward)
    begin = time.perf_counter()
    for number in range(50):
        if number >= least and time.perf_counter() - begin > seconds:
            break
        for name in names:
            times[name].append(once(PATHS[name][0], operands, backward))
    return {name: 1e3 * statistics.median(values) for name, values in times.items()}


def slope(points: dict[int, float]) -> float:
    """Return the slope of the least-squares line through the logarithms."""
    x, y = [math.log(key) for key in points], [math.log(value) for value in points.values()]
    return statistics.linear_regression(x, y).slope


def peak(name: str, shape: Shape, vector: bool, backward: bool) -> float:
    """Peak extra memory of one run in a fresh process, in MB."""
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}
    command = [sys.executable, __file__, "--child", name, json.dumps([shape, vector, backward])]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def child(name: str, shape: Shape, vector: bool, backward: bool) -> None:
    """Warm up on a small shape, then print by how much the high-water mark rises."""

    def status(key: str) -> float:
        with open("/proc/self/status") as lines:
            return next(int(line.split()[1]) for line in lines if line.startswith(key)) / 1024

    for length in (64, shape[1]):
        operands = make((shape[0], length, *shape[2:]), vector)
        before = status("VmRSS")
        once(PATHS[name][0], operands, backward)
    print(status("VmHWM") - before)


def row(title: str, values: dict[str, float], unit: str) -> None:
    cells = [f"{name} {value:.4g} ({value / values['seqsuite']:.2f}x)" for name, value in values.items()]
    print(f"  {title} ({unit}): " + " · ".join(cells), flush=True)


def label(shape: Shape) -> str:
    return "B{} L{} H{} G{} K{} V{}".format(*shape)


def run(form: str, shapes: list[Shape], quick: bool) -> dict[str, Any]:
    """Measure one form, scalar or vector decays."""
    vector = form == "vector"
    result: dict[str, Any] = {"error": errors(form), "forward": {}, "forward_backward": {}}
    print(f"\n{form} decays; in brackets: how many times seqsuite's")
    names = list(result["error"])
    for backward, key in ((False, "forward"), (True, "forward_backward")):
        names = [name for name in names if not (backward and name == QUADRATIC)]
        for shape in shapes[:1] if quick else shapes:
            result[key][label(shape)] = measure(shape, vector, names, backward, 1 if quick else 8)
            row(f"{key}, {label(shape)}", result[key][label(shape)], "ms")
    if quick:
        return result
    base = shapes[0]
    for backward, key in ((False, "forward"), (True, "forward_backward")):
        points = {n: measure((1, n, *base[2:]), vector, ["seqsuite"], backward, 2)["seqsuite"] for n in LENGTHS}
        memory = {n: peak("seqsuite", (1, n, *base[2:]), vector, backward) for n in LENGTHS[1:]}
        result[f"{key}_by_length"] = {"ms": points, "slope": slope(points), "MB": memory, "MB_slope": slope(memory)}
        print(f"  {key}, growth with L on log-log: time {slope(points):.2f}, memory {slope(memory):.2f}", flush=True)
        names = [name for name in result["error"] if not (backward and name == QUADRATIC)]
        result[f"{key}_memory"] = {name: peak(name, base, vector, backward) for name in names}
        row(f"{key}, {label(base)}", result[f"{key}_memory"], "MB")
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one shape a form, few rounds; writes no file")
    parser.add_argument("--peers", metavar="FOLDER", help="where further peers are installed")
    parser.add_argument("--child", nargs=2, metavar=("NAME", "SHAPE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.peers:
        sys.path.append(arguments.peers)
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), arguments.peers)))
    if arguments.child:
        shape, vector, backward = json.loads(arguments.child[1])
        return child(arguments.child[0], tuple(shape), vector, backward)
    result: dict[str, Any] = {"unit": {"time": "CPU ms, one thread, median", "memory": "MB", "error": "relative L2"}}
    for form, shapes in (("scalar", SCALAR), ("vector", VECTOR)):
        result[form] = run(form, shapes, arguments.quick)
    if not arguments.quick:
        print(f"\nwritten to {write_result('ssd', result)}")
    return None


if __name__ == "__main__":
    main()
