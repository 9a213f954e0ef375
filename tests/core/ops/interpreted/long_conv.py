"""The long convolution in Triton's interpreter: distances from the float64 reference, as JSON."""

from __future__ import annotations

import json
import sys
from typing import Any

import torch
from common import distances, make_seq  # first: it sets TRITON_INTERPRET
from torch._subclasses.fake_tensor import FakeTensorMode

from seqsuite.ops import long_conv

# name: skip, reverse, recompute, seq, dtype, (B, L, D, K)
CONVS = {
    "everything": (True, False, False, "none", torch.float32, (3, 40, 3, 40)),
    "reverse recomputed": (True, True, True, "none", torch.float32, (2, 33, 2, 60)),
    "longer than one tile": (False, False, False, "none", torch.float32, (1, 270, 18, 50)),
    "as long as the transform": (False, True, False, "none", torch.float32, (1, 239, 1, 18)),
    "padded": (True, False, False, "padded", torch.float32, (2, 30, 2, 20)),
    "packed": (False, True, False, "packed", torch.float32, (2, 24, 2, 24)),
    "a few taps": (True, True, False, "none", torch.float32, (2, 20, 3, 9)),
    "bf16": (True, False, False, "none", torch.bfloat16, (3, 40, 3, 40)),
}


def conv(name: str) -> dict[str, float]:
    skip, reverse, recompute, kind, dtype, (batch, length, width, taps) = CONVS[name]
    random = torch.Generator().manual_seed(0)
    shapes: dict[str, tuple[int, ...]] = {"u": (batch, length, width), "k": (taps, width)}
    shapes |= {"D": (width,)} if skip else {}
    tensors = {key: torch.randn(*shape, generator=random, dtype=torch.float64) for key, shape in shapes.items()}
    seq = make_seq(kind, batch, length)

    def call(**operands: Any) -> Any:
        y = long_conv(**operands, reverse=reverse, recompute=recompute, seq=seq)
        return y.tensor_split(2, dim=1)  # there is no state: both halves of the output are compared

    return distances(call, tensors, dtype)


def shapes_foretold() -> dict[str, float]:
    """1 for each result whose shape or dtype differs from what the registered operator tells the tracer, else 0."""
    found = {}
    for length, taps, keep in ((40, 40, True), (40, 9, True), (40, 40, False)):
        u, k = torch.ones(3, length, 2), torch.ones(taps, 2)
        true = torch.ops.seqsuite.long_conv_fwd(u, k, None, False, keep, "triton")
        with FakeTensorMode() as mode:
            u, k = mode.from_tensor(u), mode.from_tensor(k)
            told = torch.ops.seqsuite.long_conv_fwd(u, k, None, False, keep, "triton")
        for number, (a, b) in enumerate(zip(true, told, strict=True)):
            found[f"{length} {taps} {keep} {number}"] = float(a.shape != b.shape or a.dtype != b.dtype)
    return found


if __name__ == "__main__":
    json.dump({name: conv(name) for name in CONVS} | {"shapes foretold": shapes_foretold()}, sys.stdout)
