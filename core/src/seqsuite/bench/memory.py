"""Peak memory of one run: `python -m seqsuite.bench.memory BENCH CONTENDER SHAPE PASS DEVICE` prints megabytes.

A process of its own, so that nothing freed earlier is reused unseen. Freed blocks must go back to the system for
the high-water mark to mean anything: `peak` sets MALLOC_MMAP_THRESHOLD_.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys

from seqsuite.bench.measure import Shape


def peak(bench: str, contender: str, shape: Shape, backward: bool, device: str = "cpu") -> float:
    """Return by how many MB a run raises the peak of a fresh process."""
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "OMP_NUM_THREADS": "1"}
    words = [bench, contender, json.dumps(shape), str(int(backward)), device]
    command = [sys.executable, "-m", "seqsuite.bench.memory", *words]
    return float(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)


def _status(key: str) -> float:
    with open("/proc/self/status", encoding="utf-8") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(key)) / 1024


def _forget_peak() -> None:
    """Let the high-water mark begin anew, where the system allows it: imports and warming up may have been above."""
    with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w", encoding="utf-8") as switch:
        switch.write("5")


def main(words: list[str]) -> None:
    """Warm up on a tiny shape (at the shape itself what compiles), run once, print the rise of the high-water mark."""
    import torch

    from seqsuite.bench.measure import run_once, to_device
    from seqsuite.bench.ops import bench_of

    called, name, shape, backward, device = words
    bench = bench_of(called)
    contender = bench.contenders[name]
    rise = 0.0
    asked = tuple(json.loads(shape))
    for size in (asked if contender.compiles else bench.shapes["tiny"][0], asked):
        operands = contender.prepare(to_device(bench.make(size), device, torch.float32))
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        _forget_peak()
        before = torch.cuda.memory_allocated() / 2**20 if device == "cuda" else _status("VmRSS")
        run_once(contender, operands, bool(int(backward)))
        after = torch.cuda.max_memory_allocated() / 2**20 if device == "cuda" else _status("VmHWM")
        rise = after - before
    print(rise)


if __name__ == "__main__":
    main(sys.argv[1:])
