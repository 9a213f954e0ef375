"""The recurrent cells' Triton kernels in the interpreter: distances to the float64 reference, as JSON."""

from __future__ import annotations

import json
import sys
from typing import Any

import torch
from common import distances, make_seq  # sets TRITON_INTERPRET

from seqsuite.ops._rnn_scan.op import CELLS, rnn_scan

# name: optional operands, reverse, seq, (B, L, H, P)
CASES = {
    "everything": ("bias initial_state", False, "none", (2, 11, 2, 3)),
    "reverse packed": ("bias initial_state", True, "packed", (2, 9, 2, 3)),
    "padded": ("initial_state", False, "padded", (2, 5, 1, 4)),
    "bare": ("", False, "none", (1, 1, 1, 1)),
}


def run(cell: str, name: str, dtype: torch.dtype) -> dict[str, float]:
    optional, reverse, kind, (batch, length, heads, p) = CASES[name]
    gates, parts = CELLS[cell]
    random = torch.Generator().manual_seed(0)
    shapes: dict[str, tuple[int, ...]] = {"x": (batch, length, gates, heads * p), "weight": (heads, gates, p, p)}
    more = {"bias": (gates, heads * p), "initial_state": (batch, parts, heads * p)}
    shapes |= {key: more[key] for key in optional.split()}
    tensors = {key: torch.randn(*shape, generator=random, dtype=torch.float64) for key, shape in shapes.items()}
    tensors["weight"] *= p**-0.5
    if cell == "slstm" and "initial_state" in tensors:
        tensors["initial_state"][:, 2].abs_()
    seq = make_seq(kind, batch, length)

    def call(**operands: Any) -> Any:
        return rnn_scan(**operands, cell=cell, reverse=reverse, seq=seq, return_final_state=True)

    return distances(call, tensors, dtype)


def main() -> None:
    found = {f"{cell}, {name}": run(cell, name, torch.float32) for cell in CELLS for name in CASES}
    found |= {f"{cell}, bfloat16": run(cell, "everything", torch.bfloat16) for cell in CELLS}
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
