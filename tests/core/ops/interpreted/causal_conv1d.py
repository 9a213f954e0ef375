"""The short convolution in Triton's interpreter: distances from the float64 reference, as JSON."""

from __future__ import annotations

import json
import sys
from typing import Any

import torch
from common import distances, make_seq  # sets TRITON_INTERPRET

from seqsuite.ops import causal_conv1d

# name: bias, state, silu, reverse, seq, (B, L, D, K)
CONVS = {
    "everything": (True, True, True, False, "none", (2, 11, 5, 4)),
    "reverse packed": (True, True, True, True, "packed", (2, 11, 5, 3)),
    "padded": (False, True, False, False, "padded", (2, 35, 3, 4)),
    "short": (True, True, True, True, "none", (1, 2, 3, 5)),
}


def conv(name: str, dtype: torch.dtype) -> dict[str, float]:
    bias, state, silu, reverse, kind, (batch, length, width, taps) = CONVS[name]
    random = torch.Generator().manual_seed(0)
    shapes: dict[str, tuple[int, ...]] = {"x": (batch, length, width), "weight": (width, taps)}
    shapes |= {"bias": (width,)} if bias else {}
    shapes |= {"initial_state": (batch, width, taps)} if state else {}
    tensors = {key: torch.randn(*shape, generator=random, dtype=torch.float64) for key, shape in shapes.items()}
    activation = "silu" if silu else None
    seq = make_seq(kind, batch, length)

    def call(**operands: Any) -> Any:
        return causal_conv1d(**operands, activation=activation, reverse=reverse, seq=seq, return_final_state=True)

    return distances(call, tensors, dtype)


def main() -> None:
    found = {name: conv(name, torch.float32) for name in CONVS}
    found |= {f"{name}, bfloat16": conv(name, torch.bfloat16) for name in ("everything", "reverse packed")}
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
