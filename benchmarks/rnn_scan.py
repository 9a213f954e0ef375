"""Recurrent cells on a CPU beside PyTorch's layers and a plain autograd loop: time, as ratios.

    python benchmarks/rnn_scan.py            # everything, about three minutes
    python benchmarks/rnn_scan.py --quick    # one shape, few rounds; writes no file

One thread, float32, random data, the input projection included in all. All run in one process, in rounds
(each once, then again), and the median of the CPU times counts, so that a busy machine shifts all alike.
sLSTM has no layer in PyTorch: only the loop stands beside it. A row that a peer wins says so.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from _machine import write_result
from torch import Tensor, nn

from seqsuite.ops._rnn_scan.op import CELLS, rnn_scan

SHAPES = [  # B, L, D, H
    (8, 128, 128, 1),
    (1, 512, 256, 1),
    (16, 128, 256, 1),
    (32, 128, 64, 1),
    (8, 128, 256, 4),
]


class Case:
    """One cell at one shape, with the ways to run it."""

    def __init__(self, cell: str, shape: tuple[int, int, int, int]) -> None:
        batch, length, width, heads = shape
        gates, _ = CELLS[cell]
        torch.manual_seed(0)
        self.cell, self.gates, self.width = cell, gates, width
        self.x = torch.randn(batch, length, width, requires_grad=True)
        self.inputs = nn.Linear(width, gates * width)
        p = width // heads
        self.weight = (torch.rand(heads, gates, p, p) * 2 - 1).mul_(width**-0.5).requires_grad_()
        self.bias = torch.zeros(gates, width, requires_grad=True)
        self.leaves = [self.x, *self.inputs.parameters(), self.weight, self.bias]
        self.ways: dict[str, Callable[[], Tensor]] = {"seqsuite": self.scan, "plain loop": self.loop}
        if cell != "slstm" and heads == 1:
            self.layer = getattr(nn, cell.upper())(width, width, batch_first=True)
            self.layer.weight_ih_l0.data.copy_(self.inputs.weight)
            self.layer.weight_hh_l0.data.copy_(self.weight.flatten(0, 2))
            self.layer.bias_ih_l0.data.copy_(self.inputs.bias)
            self.layer.bias_hh_l0.data.copy_(self.bias.flatten())
            self.ways["torch.nn"] = lambda: self.layer(self.x)[0]
        self.gradients = dict.fromkeys(self.ways, self.leaves)
        if "torch.nn" in self.ways:
            self.gradients["torch.nn"] = [self.x, *self.layer.parameters()]

    def _run(self, backend: str) -> Tensor:
        x = self.inputs(self.x).unflatten(2, (self.gates, self.width))
        options: dict[str, Any] = {"cell": self.cell, "bias": self.bias, "backend": backend}
        y = rnn_scan(x, self.weight, **options)
        assert isinstance(y, Tensor)
        return y

    def scan(self) -> Tensor:
        return self._run("portable")

    def loop(self) -> Tensor:
        return self._run("reference")

    def once(self, name: str, backward: bool) -> float:
        """Return the CPU seconds of one run."""
        begin = time.process_time()
        if backward:
            torch.autograd.grad(self.ways[name]().sum(), self.gradients[name])
        else:
            with torch.no_grad():
                self.ways[name]()
        return time.process_time() - begin

    def measure(self, backward: bool, seconds: float) -> dict[str, float]:
        """Median CPU milliseconds; at least three rounds, more while `seconds` are not used up."""
        times: dict[str, list[float]] = {name: [] for name in self.ways}
        begin = time.perf_counter()
        for number in range(50):
            if number >= 3 and time.perf_counter() - begin > seconds:
                break
            for name in self.ways:
                times[name].append(self.once(name, backward))
        return {name: 1e3 * statistics.median(values) for name, values in times.items()}


def check(case: Case) -> None:
    """Demand that all ways compute the same."""
    expected = case.loop().detach()
    for name, way in case.ways.items():
        assert (way().detach() - expected).norm() <= 1e-5 * expected.norm(), f"{name} computes something else"


def show(label: str, values: dict[str, float]) -> None:
    own = values["seqsuite"]
    cells = [f"{name} {value:.4g} ({value / own:.2f}x)" for name, value in values.items()]
    lost = [name for name, value in values.items() if value < own]
    print(f"  {label}: " + " · ".join(cells) + (f" · LOST to {', '.join(lost)}" if lost else ""))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one shape, few rounds; writes no file")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    result: dict[str, Any] = {"unit": {"time": "CPU ms, one thread, median"}}
    for backward, key in ((False, "forward"), (True, "forward_backward")):
        result[key] = {}
        print(f"\n{key} (ms; in brackets: how many times seqsuite's)")
        for shape in SHAPES[:1] if arguments.quick else SHAPES:
            for cell in CELLS:
                case = Case(cell, shape)
                check(case)
                label = "{} B{} L{} D{} H{}".format(cell, *shape)
                result[key][label] = case.measure(backward, 1 if arguments.quick else 5)
                show(label, result[key][label])
    if not arguments.quick:
        print(f"\nwritten to {write_result('rnn_scan', result)}")


if __name__ == "__main__":
    main()
