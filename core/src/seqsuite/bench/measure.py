"""Measuring: contenders in one process, interleaved, medians; peak memory of a fresh process for each.

A contender is a function of operands. All compute the same thing, which is checked before anything is timed.
In a round each runs once, then the next round begins, so that a busy machine shifts all alike. Each round has an
order of its own: what ran before decides which memory is at hand. On a CPU the process's CPU time counts (one
thread), on CUDA the time between two events.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

Shape = tuple[int, ...]
Operands = dict[str, Any]


def _whole(operands: Operands) -> Operands:
    return operands


def _always(shape: Shape, backward: bool) -> bool:
    return True


@dataclass(frozen=True)
class Contender:
    """One way to compute what an operator computes.

    Attributes:
        run: operands -> output.
        needs: The module that must be importable.
        prepare: Operands -> operands in the layout that it wants, outside the timing.
        finish: Its output -> a tensor in our layout, for the comparison.
        step: Forward and backward pass; None: torch's autograd over `run`.
        serves: (shape, whether backward) -> whether to run it.
        tolerance: Relative L2 distance that its output may have.
        devices: Where it runs.
        half: Whether it takes bfloat16 and float16.
        compiles: Whether it compiles at the first run at a shape; its memory is that of the second.
    """

    run: Callable[[Operands], Any]
    needs: str = ""
    prepare: Callable[[Operands], Operands] = _whole
    finish: Callable[[Any], Tensor] = torch.as_tensor
    step: Callable[[Operands], Any] | None = None
    serves: Callable[[Shape, bool], bool] = _always
    tolerance: float = 1e-5
    devices: tuple[str, ...] = ("cpu", "cuda")
    half: bool = True
    compiles: bool = False

    @property
    def installed(self) -> bool:
        """Whether the module it needs is found."""
        return not self.needs or find_spec(self.needs) is not None


@dataclass(frozen=True)
class Bench:
    """What is measured of one operator, or of one of its variants.

    Attributes:
        name: "einfft", or "ssd:vector" for a variant.
        axes: What the numbers of a shape are, as "B L D N".
        make: Shape -> operands, tensors that need gradients.
        contenders: By name; "seqsuite" is ours; "reference" is the truth unless `truth` is given.
        shapes: "tiny", "quick" and "full" lists.
        bytes: Shape -> bytes of the operands and the output, float32, each moved once.
        flops: Shape -> multiplications and additions of the forward pass in the algorithm's own count.
        memory: Shapes at which peak memory is taken.
        growth: Shapes of growing length, for the slope of time and memory in L.
        truth: Operands -> what all must compute, where the reference is too slow or its rounding too coarse.
        half: Whether bfloat16 and float16 operands have a meaning; complex ones have none.
    """

    name: str
    axes: str
    make: Callable[[Shape], Operands]
    contenders: Mapping[str, Contender]
    shapes: Mapping[str, Sequence[Shape]]
    bytes: Callable[[Shape], float]
    flops: Callable[[Shape], float]
    memory: Sequence[Shape] = ()
    growth: Sequence[Shape] = ()
    truth: Callable[[Operands], Tensor] | None = None
    half: bool = True

    def label(self, shape: Shape) -> str:
        """Return "B 1, L 1024, ..."."""
        return ", ".join(f"{axis} {size}" for axis, size in zip(self.axes.split(), shape, strict=True))

    def served(
        self, shape: Shape, backward: bool, device: str = "cpu", dtype: torch.dtype = torch.float32
    ) -> dict[str, Contender]:
        """Return the contenders that are installed and take part at a shape, on a device, with a dtype."""

        def takes_part(one: Contender) -> bool:
            fits = device in one.devices and (one.half or dtype == torch.float32)
            return fits and one.installed and one.serves(shape, backward)

        return {name: one for name, one in self.contenders.items() if takes_part(one)}


def run_once(contender: Contender, operands: Operands, backward: bool) -> Any:
    """Run forward, or forward and backward."""
    if not backward:
        with torch.no_grad():
            return contender.run(operands)
    if contender.step is not None:
        return contender.step(operands)
    leaves = [x for x in operands.values() if isinstance(x, Tensor) and x.requires_grad]
    y = contender.run(operands)
    return torch.autograd.grad(y, leaves, torch.ones_like(y))


def seconds_of(contender: Contender, operands: Operands, backward: bool, repeats: int, device: str) -> float:
    """Return the seconds of one run, the mean of `repeats`."""
    if device == "cuda":
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        for _ in range(repeats):
            run_once(contender, operands, backward)
        end.record()
        torch.cuda.synchronize()
        return begin.elapsed_time(end) / 1e3 / repeats
    began = time.process_time()
    for _ in range(repeats):
        run_once(contender, operands, backward)
    return (time.process_time() - began) / repeats


def to_device(operands: Operands, device: str, dtype: torch.dtype) -> Operands:
    """Return the operands as leaves on a device; floating-point ones in a dtype."""
    found: Operands = {}
    for name, x in operands.items():
        if isinstance(x, Tensor):
            kind = dtype if x.dtype == torch.float32 else x.dtype
            found[name] = x.detach().to(device, kind).requires_grad_(x.requires_grad)
        else:
            found[name] = x
    return found


def check(bench: Bench, shape: Shape, operands: Operands, prepared: Mapping[str, Operands], slack: float) -> None:
    """Raise AssertionError unless all compute the same at this shape."""
    reference = bench.contenders["reference"]
    with torch.no_grad():
        truth = bench.truth(operands) if bench.truth else reference.finish(reference.run(reference.prepare(operands)))
        expected = truth.to(torch.complex128 if truth.is_complex() else torch.float64)
        for name, own in prepared.items():
            one = bench.contenders[name]
            y = one.finish(one.run(own)).to(expected)
            distance = float((y - expected).norm() / expected.norm().clamp_min(1e-30))
            # Written so that a distance that is no number fails.
            assert distance <= one.tolerance * slack, f"{bench.name}, {name}: off by {distance:.2g} at {shape}"


def measure(
    bench: Bench, shape: Shape, backward: bool, seconds: float, *, device: str = "cpu", dtype: torch.dtype
) -> dict[str, float]:
    """Time every contender at a shape.

    Args:
        bench: The operator.
        shape: Sizes of the operands.
        backward: Forward and backward pass, or forward alone.
        seconds: Rounds go on so long; there are three at least.
        device: "cpu" or "cuda".
        dtype: Of the floating-point operands.

    Returns:
        Median milliseconds by contender.

    Raises:
        AssertionError: A contender computes something else.
    """
    operands = to_device(bench.make(shape), device, dtype)
    runs = bench.served(shape, backward, device, dtype)
    prepared = {name: each.prepare(operands) for name, each in runs.items()}
    check(bench, shape, operands, prepared, 1.0 if dtype == torch.float32 else 1e3)
    warm = {name: seconds_of(each, prepared[name], backward, 1, device) for name, each in runs.items()}
    repeats = {name: max(1, min(50, int(0.005 / max(value, 1e-5)))) for name, value in warm.items()}
    times: dict[str, list[float]] = {name: [] for name in runs}
    order = random.Random(0)
    began = time.perf_counter()
    while any(len(found) < 3 for found in times.values()) or time.perf_counter() - began < seconds:
        for name in order.sample(list(runs), len(runs)):
            times[name].append(seconds_of(runs[name], prepared[name], backward, repeats[name], device))
        if min(len(found) for found in times.values()) >= 200:
            break
    return {name: 1e3 * statistics.median(found) for name, found in times.items()}


def copy_ms(megabytes: int, device: str) -> float:
    """Return the median milliseconds in which a device copies so many MB within its memory."""
    source = torch.ones(megabytes * 2**18, device=device)
    target = torch.empty_like(source)
    contender = Contender(lambda o: target.copy_(source))
    return 1e3 * statistics.median(seconds_of(contender, {}, False, 1, device) for _ in range(11))


def slope(lengths: Sequence[float], values: Sequence[float]) -> float:
    """Return the slope of log(values) over log(lengths) by least squares."""
    x, y = (torch.tensor(list(v), dtype=torch.float64).clamp_min(1e-9).log() for v in (lengths, values))
    x = x - x.mean()
    return float((x * (y - y.mean())).sum() / (x * x).sum())
