"""The delta rule on a CPU beside plain ways to compute it: time as ratios, growth with length, rounding.

    python benchmarks/delta_rule.py            # everything, about five minutes
    python benchmarks/delta_rule.py --quick    # one shape, under a minute; writes no file

One thread, float32, random data, unit keys. All run in one process, in rounds (each once, then again), and the
median of the CPU times counts, so that a busy machine shifts all alike. "reference loop" is ours; "sliced loop" and
"chunked, plain" are the two plain forms in which public code states the rule (a loop that slices the time axis,
and chunks of 64 with the inverse of the triangular system by a loop over rows), written here anew.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from _machine import write_result
from torch import Tensor

from seqsuite.ops._delta_rule.op import delta_rule

SHAPES = [(1, 2048, 4, 64, 64), (1, 2048, 2, 128, 128)]  # B, L, H, K, V
KINDS = ("delta rule", "decay a head", "decay a channel", "own removal")
LENGTHS = (1024, 2048, 4096, 8192)
Operands = dict[str, Any]


def make(shape: tuple[int, int, int, int, int], kind: str) -> Operands:
    batch, length, heads, key, value = shape
    random = torch.Generator().manual_seed(0)

    def normal(*size: int) -> Tensor:
        return torch.randn(batch, length, heads, *size, generator=random)

    def unit() -> Tensor:
        return torch.nn.functional.normalize(normal(key), dim=-1)

    operands: Operands = {"q": normal(key), "k": unit(), "v": normal(value), "beta": torch.sigmoid(normal())}
    if kind == "decay a head":
        operands["g"] = -0.1 * normal().abs()
    if kind in ("decay a channel", "own removal"):
        operands["g"] = -0.1 * normal(key).abs()
    if kind == "own removal":
        read = unit()
        operands["remove"] = (-read * torch.sigmoid(normal(key)), read)
    return operands


def ours(backend: str) -> Callable[..., Tensor]:
    def run(o: Operands) -> Tensor:
        y = delta_rule(**o, backend=backend)
        assert isinstance(y, Tensor)
        return y

    return run


def sliced_loop(o: Operands) -> Tensor:
    """The recurrence as public code states it: heads first, the time axis sliced in the loop."""
    q, k, v = (o[name].transpose(1, 2) for name in "qkv")
    beta = o["beta"].transpose(1, 2)
    S = q.new_zeros(*q.shape[:2], q.shape[3], v.shape[3])
    out = torch.zeros_like(v)
    for t in range(q.shape[2]):
        if "g" in o:
            S = S * o["g"][:, t].exp()[..., None, None]
        key = k[:, :, t]
        change = (v[:, :, t] - (S * key[..., None]).sum(-2)) * beta[:, :, t, None]
        S = S + key[..., None] * change[..., None, :]
        out[:, :, t] = torch.einsum("bhk,bhkv->bhv", q[:, :, t] * q.shape[3] ** -0.5, S)
    return out.transpose(1, 2)


def chunked_plain(o: Operands, size: int = 64) -> Tensor:
    """The chunked form as public code states it: inverse by a loop over rows, decays as differences of sums."""
    q, k, v = (o[name].transpose(1, 2).unflatten(2, (-1, size)) for name in "qkv")  # (B, H, n, C, ...)
    beta = o["beta"].transpose(1, 2).unflatten(2, (-1, size))[..., None]
    q, v, key = q * q.shape[-1] ** -0.5, v * beta, k * beta
    g = o["g"].transpose(1, 2).unflatten(2, (-1, size)).cumsum(-1) if "g" in o else beta[..., 0] * 0
    decay = (g[..., :, None] - g[..., None, :]).tril().exp().tril()
    inverse = -(key @ k.mT * decay).tril(-1)
    for i in range(1, size):
        inverse[..., i, :i] += (inverse[..., i, :, None] * inverse[..., :, :i]).sum(-2)
    inverse = inverse + torch.eye(size)
    w, u = inverse @ (key * g.exp()[..., None]), inverse @ v
    S = q.new_zeros(*q.shape[:2], q.shape[-1], v.shape[-1])
    out = torch.zeros_like(v)
    for i in range(q.shape[2]):
        change = u[:, :, i] - w[:, :, i] @ S
        within = (q[:, :, i] @ k[:, :, i].mT * decay[:, :, i]).tril()
        out[:, :, i] = (q[:, :, i] * g[:, :, i, :, None].exp()) @ S + within @ change
        left = (g[:, :, i, -1, None] - g[:, :, i]).exp()[..., None]
        S = S * g[:, :, i, -1, None, None].exp() + (k[:, :, i] * left).mT @ change
    return out.flatten(2, 3).transpose(1, 2)


PATHS = {
    "seqsuite": ours("portable"),
    "reference loop": ours("reference"),
    "sliced loop": sliced_loop,
    "chunked, plain": chunked_plain,
}


def once(function: Callable[..., Tensor], operands: Operands, backward: bool) -> float:
    """Return the CPU seconds of one run."""
    if not backward:
        begin = time.process_time()
        with torch.no_grad():
            function(operands)
        return time.process_time() - begin
    named: Operands = {name: x.detach().requires_grad_() for name, x in operands.items() if isinstance(x, Tensor)}
    leaves = list(named.values())
    if "remove" in operands:
        named["remove"] = tuple(x.detach().requires_grad_() for x in operands["remove"])
        leaves += named["remove"]
    begin = time.process_time()
    torch.autograd.grad(function(named).sum(), leaves)
    return time.process_time() - begin


def measure(shape: tuple[int, int, int, int, int], kind: str, backward: bool, rounds: int) -> dict[str, float]:
    """Median CPU milliseconds of each path that has this kind; the comparison of results warms up."""
    operands = make(shape, kind)
    names = list(PATHS) if kind in ("delta rule", "decay a head") else ["seqsuite", "reference loop"]
    if backward:
        # Slices in the loop make the sliced loop's backward pass quadratic; the row loop writes in place.
        names = ["seqsuite", "reference loop"]
    expected = PATHS["reference loop"](operands)
    for name in names:
        y = PATHS[name](operands)
        assert (y - expected).norm() <= 1e-5 * expected.norm(), f"{name} computes something else"
    times: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            times[name].append(once(PATHS[name], operands, backward))
    return {name: 1e3 * statistics.median(values) for name, values in times.items()}


def rounding(kind: str) -> dict[str, float]:
    """Relative L2 of float32 from the float64 reference, forward and worst gradient, at L = 512."""
    exact = {
        name: tuple(y.double() for y in x) if isinstance(x, tuple) else x.double()
        for name, x in make((1, 512, 2, 64, 64), kind).items()
    }
    results = []
    for backend, dtype in (("reference", torch.float64), ("portable", torch.float32)):
        leaves: list[Tensor] = []
        named: Operands = {}
        for name, x in exact.items():
            parts = [y.to(dtype).requires_grad_() for y in (x if isinstance(x, tuple) else (x,))]
            leaves += parts
            named[name] = tuple(parts) if isinstance(x, tuple) else parts[0]
        y = ours(backend)(named)
        weight = torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).to(dtype)
        results.append([y.detach(), *torch.autograd.grad(y, leaves, weight)])
    distances = [float((mine.double() - true).norm() / true.norm()) for true, mine in zip(*results, strict=True)]
    return {"forward": distances[0], "worst gradient": max(distances[1:])}


def growth(kind: str, rounds: int) -> dict[str, Any]:
    """CPU milliseconds by length, and the slope of their logarithms from the shortest to the longest."""
    times = {}
    for length in LENGTHS:
        operands = make((1, length, 4, 64, 64), kind)
        times[length] = 1e3 * min(once(PATHS["seqsuite"], operands, False) for _ in range(rounds + 1))
    first, last = LENGTHS[0], LENGTHS[-1]
    slope = math.log(times[last] / times[first]) / math.log(last / first)
    return {"ms": {str(length): value for length, value in times.items()}, "slope": slope}


def show(title: str, values: dict[str, float]) -> None:
    cells = [f"{name} {value:.4g} ({value / values['seqsuite']:.2f}x)" for name, value in values.items()]
    print(f"{title}: " + " · ".join(cells), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one shape, few rounds; writes no file")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    rounds = 3
    result: dict[str, Any] = {"unit": "CPU ms, one thread, median; in brackets on screen: how many times seqsuite's"}
    for backward, part in ((False, "forward"), (True, "forward_backward")):
        result[part] = {}
        for shape in SHAPES[:1] if quick else SHAPES:
            for kind in KINDS if shape == SHAPES[0] else KINDS[:1]:
                label = "B{} L{} H{} K{} V{}, ".format(*shape) + kind
                result[part][label] = measure(shape, kind, backward, rounds)
                show(f"{part}, {label}", result[part][label])
    result["rounding"] = {kind: rounding(kind) for kind in KINDS}
    print(result["rounding"])
    if quick:
        return
    result["growth"] = {kind: growth(kind, rounds) for kind in KINDS[:3]}
    print(result["growth"])
    print(f"written to {write_result('delta_rule', result)}")


if __name__ == "__main__":
    main()
