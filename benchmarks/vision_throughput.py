"""Images a second at 224 x 224 on one CPU thread: Mamba-2D-S beside the same network with plain scans, and ViT-S.

    python benchmarks/vision_throughput.py              # about four minutes
    python benchmarks/vision_throughput.py --quick      # sizes of a few cells, seconds; writes no file

One thread, float32, random images, all in one process in rounds (each contender once, then again), medians of CPU time.
The plain scans are the sequential loop as a formula (backend "reference": unbound first, so that its backward pass is
linear in the length), and the loop as public code writes it (it discretises everything and slices the time axis).
The latter's backward pass is quadratic in the length: it is measured on one block of each size of grid, and the time of
the whole network is that of its 10 blocks of 28 x 28 cells and 14 of 14 x 14, named "from blocks" in the result.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import timm
import torch
import torch.nn.functional as F
from _machine import write_result
from torch import Tensor, nn

import seqsuite.mixers.mamba
import seqvision.models  # noqa: F401 - timm's registry
from seqsuite.bench.cases.selective_scan import literal_loop
from seqsuite.cli.output import print_table
from seqsuite.ops import use_backend

OURS = "mamba_nd_small_patch8_224"
PASSES = ("forward", "forward + backward")
FEW = {"vit_small_patch8_224", "plain scan", "plain scan, sliced"}  # the slow ones: two rounds, or one


@contextmanager
def sliced_scan() -> Iterator[None]:
    """Let Mamba scan as public code does, within a block."""
    module: Any = seqsuite.mixers.mamba
    own = module.selective_scan

    def scan(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, **options: Any) -> Tensor:
        if options.pop("reverse", False):
            u, delta, B, C, z = (x.flip(1) for x in (u, delta, B, C, options.pop("z")))
            return scan(u, delta, A, B, C, z=z, **options).flip(1)
        operands = {"u": u, "delta": delta, "B": B, "C": C, "z": options["z"]}
        operands = {name: x.transpose(1, 2) for name, x in operands.items()}  # as its block has them: time last
        return literal_loop(operands | {"A": A, "D": options["D"], "delta_bias": options["delta_bias"]}).transpose(1, 2)

    module.selective_scan = scan
    try:
        yield
    finally:
        module.selective_scan = own


Manner = Callable[[], AbstractContextManager[None]]
MANNERS: dict[str, Manner] = {
    "seqsuite": nullcontext,
    "plain scan": lambda: use_backend("reference"),
    "plain scan, sliced": sliced_scan,
}


def seconds_of(model: nn.Module, images: Tensor, backward: bool, manner: Manner) -> float:
    """Return the CPU seconds of one pass over a batch."""
    start = time.process_time()
    with manner():
        if backward:
            F.cross_entropy(model(images), torch.zeros(len(images), dtype=torch.long)).backward()
            model.zero_grad(set_to_none=True)
        else:
            with torch.inference_mode():
                model(images)
    return time.process_time() - start


def rounds_of(runs: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """Return the median seconds of each run, in rounds; the slow ones take part in fewer of them."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds):
        for name, run in runs.items():
            if number < (1 if name == "plain scan, sliced" else 2 if name in FEW else rounds):
                times[name].append(run())
    return {name: statistics.median(found) for name, found in times.items()}


def agreement(model: nn.Module, images: Tensor) -> float:
    """Return the largest difference of the plain scans' logits from ours, over the largest logit."""
    found = []
    with torch.inference_mode():
        for manner in MANNERS.values():
            with manner():
                found.append(model(images))
    return max(float((x - found[0]).abs().max() / found[0].abs().max()) for x in found[1:])


def from_blocks(size: int, rounds: int) -> dict[str, float]:
    """Return seconds of one image, forward + backward with the sliced scan, of one block on each of the two grids."""
    found = {}
    for side, name in ((size, "block before merging"), (size // 2, "block after merging")):
        torch.manual_seed(0)
        model = timm.create_model(OURS, depth=1, merge_after=(), img_size=side)
        images = torch.randn(1, 3, side, side)
        found[name] = statistics.median(seconds_of(model, images, True, sliced_scan) for _ in range(rounds))
    return found


def measure(size: int, batch: int, rounds: int, plain: bool) -> dict[str, dict[str, float]]:
    """Return the seconds of one image by pass and contender."""
    torch.manual_seed(0)
    images = torch.randn(batch, 3, size, size)
    ours = timm.create_model(OURS, img_size=size)
    peers = {name: timm.create_model(name, img_size=size) for name in ("vit_small_patch16_224", "vit_small_patch8_224")}
    found: dict[str, dict[str, float]] = {}
    for name in PASSES:
        backward = name != "forward"
        contenders: dict[str, tuple[nn.Module, Manner]] = {"seqsuite": (ours, nullcontext)}
        contenders |= {peer: (model, nullcontext) for peer, model in peers.items()}
        if plain:
            manners = ["plain scan"] + ([] if backward else ["plain scan, sliced"])
            contenders |= {manner: (ours, MANNERS[manner]) for manner in manners}
        for model, manner in contenders.values():
            if manner is nullcontext:
                seconds_of(model, images, backward, manner)
        runs = {
            contender: partial(seconds_of, model, images, backward, manner)
            for contender, (model, manner) in contenders.items()
        }
        found[name] = {contender: each / batch for contender, each in rounds_of(runs, rounds).items()}
        print(f"batch {batch}, {name}: " + ", ".join(f"{k} {v:.3f} s" for k, v in found[name].items()), flush=True)
    return found


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="32 x 32 images: does it run")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    size = 32 if arguments.quick else 224
    torch.manual_seed(0)
    # A classifier that starts at zero would agree with anything.
    checked = timm.create_model(OURS, num_classes=0, img_size=32).eval()
    difference = agreement(checked, torch.randn(1, 3, 32, 32))
    single = measure(size, 1, arguments.rounds, plain=True)
    blocks = from_blocks(size, 1)
    single[PASSES[1]]["plain scan, sliced (from blocks)"] = 10 * blocks["block before merging"] + (
        14 * blocks["block after merging"]
    )
    batched = measure(size, 8, min(3, arguments.rounds), plain=False)
    rows = [
        (f"{count}", name, contender, f"{seconds:.3f}", f"{1 / seconds:.2f}", f"{seconds / table['seqsuite']:.2f}")
        for count, tables in (("1", single), ("8", batched))
        for name, table in tables.items()
        for contender, seconds in table.items()
    ]
    heads = ("batch", "pass", "network", "s an image", "images/s", "time over ours")
    print_table(heads, rows, title=f"{OURS}, {size} x {size}, one thread")
    result = {"model": OURS, "size": size, "largest_difference_of_plain_scans": difference}
    result |= {"seconds_an_image": {"batch 1": single, "batch 8": batched}, "blocks": blocks}
    if not arguments.quick:
        print(write_result("vision_throughput", result))


if __name__ == "__main__":
    main()
