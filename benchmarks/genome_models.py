"""Genome models on a CPU: training steps and inference beside the same mathematics run plainly, and their memory.

    python benchmarks/genome_models.py              # everything, about half an hour
    python benchmarks/genome_models.py --quick      # short lengths, some minutes
    python benchmarks/genome_models.py --timings --lengths 32768    # no memory; results/genome_models_timings-*.json

One thread, float32, one row, random bases. Peers: the same model with the scan as the plain sequential loop
that the published model code runs without its compiled extension (unbound first: slicing inside the loop, as
published, makes the backward pass quadratic), and transformers' Mamba of the same size, with and without
mambapy's scan. All run in one process in rounds (each once, then again); medians of CPU time. Peak memory is
of a fresh process for every length.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
import torch.nn.functional as F
from _machine import write_result
from torch import Tensor

import seqsuite
from seqdna.long_context import spill_features
from seqsuite.ops import use_backend

SIZE = {"d_model": 128, "n_layer": 4}
LENGTHS = (1024, 8192, 32768)
LONG = (16384, 65536, 262144, 1000000)
CHUNKED = ("mamba_dna:chunks", "caduceus_ps:chunks", "leave_one_out:chunks", "hyenadna_large_1m:chunks")
QUADRATIC = 1024  # transformers' own loop is not run with gradients beyond this length
MINUTES = 8192  # nor the sequential Caduceus
Run = Callable[[Tensor, bool], None]


def random_ids(length: int) -> Tensor:
    return torch.randint(7, 11, (1, length), generator=torch.Generator().manual_seed(0))


def step(model: torch.nn.Module, logits_of: Callable[[Tensor], Tensor]) -> Run:
    """A training step without the optimiser, or a forward pass."""

    def run(ids: Tensor, backward: bool) -> None:
        if not backward:
            with torch.inference_mode():
                logits_of(ids)
            return
        loss = F.cross_entropy(logits_of(ids).flatten(0, 1), ids.flatten())
        loss.backward()
        model.zero_grad(set_to_none=True)

    return run


def ours(name: str, backend: str) -> Run:
    torch.manual_seed(0)
    model = seqsuite.create_model(name, **SIZE)
    inner = step(model, model)

    def run(ids: Tensor, backward: bool) -> None:
        with use_backend(backend):
            inner(ids, backward)

    return run


def transformers_mamba(mambapy: bool) -> Run:
    from transformers import MambaConfig, MambaForCausalLM

    config = MambaConfig(
        vocab_size=16, hidden_size=SIZE["d_model"], num_hidden_layers=SIZE["n_layer"], use_mambapy=mambapy
    )
    model = MambaForCausalLM(config).train()  # its mambapy path is for training alone
    return step(model, lambda ids: model(ids, use_cache=False).logits)


def families() -> dict[str, dict[str, Run]]:
    causal = {"seqsuite": ours("mamba_dna", "portable"), "sequential scan": ours("mamba_dna", "reference")}
    causal |= {
        "transformers": transformers_mamba(mambapy=False),
        "transformers with mambapy": transformers_mamba(mambapy=True),
    }
    caduceus = {"seqsuite": ours("caduceus_ps", "portable"), "sequential scan": ours("caduceus_ps", "reference")}
    # One row of a leave-one-out model trains on every base, one of Caduceus on its masked bases.
    both = {"seqsuite": ours("leave_one_out", "portable"), "Caduceus-PS": caduceus["seqsuite"]}
    return {"causal Mamba": causal, "Caduceus-PS": caduceus, "leave-one-out": both}


def skipped(family: str, name: str, length: int, backward: bool) -> bool:
    """What is left out: what would take longer than all the rest together, and paths that do not apply."""
    if name == "transformers with mambapy":
        return not backward
    if name == "transformers":
        return backward and length > QUADRATIC
    return name == "sequential scan" and family == "Caduceus-PS" and backward and length > MINUTES


def measure(family: str, runs: dict[str, Run], length: int, backward: bool, seconds: float) -> dict[str, float]:
    """Median CPU seconds of each, in rounds while `seconds` are not used up: at least two, or one of over a minute."""
    ids = random_ids(length)
    left = {name: run for name, run in runs.items() if not skipped(family, name, length, backward)}
    for run in left.values():
        run(random_ids(128), backward)
    times: dict[str, list[float]] = {name: [] for name in left}
    begin = time.perf_counter()
    for number in range(20):
        used = time.perf_counter() - begin
        if used > 60 or (number >= 2 and used > seconds):
            break
        for name, run in left.items():
            start = time.process_time()
            run(ids, backward)
            times[name].append(time.process_time() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def peak(kind: str, length: int) -> float:
    """Peak memory in MB beyond that of a short sequence, in a fresh process."""
    command = [sys.executable, __file__, "--child", kind, str(length)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])


def child(kind: str, length: int) -> None:
    """Print by how much the anonymous memory's high-water mark rises; pages of spilled files are the kernel's."""
    name, _, how = kind.partition(":")
    longest = {"mixer_options": {"l_max": max(LONG)}} if name.startswith("hyenadna") else {}
    model = seqsuite.create_model(name, **SIZE, **longest).eval()

    def go(n: int) -> None:
        ids = random_ids(n)[0].numpy().astype(np.uint8)
        if how == "chunks":
            with spill_features(model, ids, chunk=16384) as features:
                for start in range(0, n, 16384):
                    features.logits(start, min(start + 16384, n))
        else:
            with torch.inference_mode():
                model(torch.from_numpy(ids.astype(np.int64))[None])

    go(512)
    before = anonymous()
    watch = Watch()
    go(length)
    print(watch.stop() - before)


def anonymous() -> float:
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024


class Watch:
    """Sample the anonymous memory from a thread."""

    def __init__(self) -> None:
        import threading

        self.highest, self._done = anonymous(), threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._done.wait(0.02):
            self.highest = max(self.highest, anonymous())

    def stop(self) -> float:
        self._done.set()
        self._thread.join()
        return max(self.highest, anonymous())


def slope(lengths: list[int], values: list[float]) -> float:
    """Return the slope of log value against log length."""
    return float(np.polyfit(np.log(lengths), np.log(np.maximum(values, 1e-3)), 1)[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--lengths", type=int, nargs="+", default=LENGTHS, help="of the timed steps")
    parser.add_argument("--timings", action="store_true", help="leave out the memory")
    parser.add_argument("--child", nargs=2, metavar=("KIND", "LENGTH"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.child:
        child(options.child[0], int(options.child[1]))
        return
    lengths = (1024, 4096) if options.quick else options.lengths
    speed: dict[str, dict[str, dict[str, dict[str, float]]]] = {}
    for family, runs in families().items():
        for length in lengths:
            for backward in (False, True):
                what = "training step" if backward else "inference"
                found = measure(family, runs, length, backward, 4 if options.quick else 25)
                speed.setdefault(family, {}).setdefault(what, {})[str(length)] = found
                cells = [f"{name} {length / s:,.0f} ({s / found['seqsuite']:.1f}x)" for name, s in found.items()]
                print(f"{family}, {what}, L {length}: tokens/s (time over ours) " + " · ".join(cells), flush=True)
    result: dict[str, object] = {"size": SIZE, "cpu_seconds": speed}
    if options.timings:
        print("no result written: --quick" if options.quick else write_result("genome_models_timings", result))
        return
    if not options.quick:
        write_result("genome_models", result)
    memory: dict[str, dict[str, float]] = {}
    slopes: dict[str, float] = {}
    long = (4096, 16384, 65536) if options.quick else LONG
    for kind in CHUNKED + ("caduceus_ps:whole",):
        tried = [n for n in long if kind.endswith("chunks") or n <= 65536]
        memory[kind] = {str(n): peak(kind, n) for n in tried}
        slopes[kind] = slope(tried, list(memory[kind].values()))
        cells = [f"{int(n):,}: {mb:.0f} MB" for n, mb in memory[kind].items()]
        print(f"{kind}: " + " · ".join(cells) + f"; slope {slopes[kind]:.2f}", flush=True)
    if not options.quick:
        print(write_result("genome_models", {**result, "peak_mb": memory, "peak_slope": slopes}))
    if any(math.isnan(value) for value in slopes.values()):
        raise SystemExit("a memory measurement failed")


if __name__ == "__main__":
    main()
