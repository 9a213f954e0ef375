"""Gated linear attention in Triton's interpreter: distances from the float64 reference, as JSON."""

from __future__ import annotations

import json
import sys
from typing import Any

import torch
from common import distances, make_seq  # sets TRITON_INTERPRET

from seqsuite.ops._ssd.op import ssd

# name: vector decays, strength of the decays, initial state, reverse, seq, (B, L, G, H, K, V)
CASES = {
    "scalar": (False, 1.0, True, False, "none", (2, 21, 2, 4, 5, 3)),
    "scalar reverse packed": (False, 1.0, True, True, "packed", (2, 19, 1, 2, 3, 4)),
    "scalar padded": (False, 0.01, False, False, "padded", (2, 18, 1, 2, 4, 2)),
    "scalar underflow": (False, 100.0, True, False, "none", (1, 20, 1, 2, 3, 3)),
    "scalar wide": (False, 0.1, True, False, "none", (1, 20, 1, 1, 17, 70)),
    "scalar bare": (False, 1.0, False, False, "none", (1, 1, 1, 1, 1, 1)),
    "vector": (True, 1.0, True, False, "none", (2, 18, 1, 2, 5, 3)),
    "vector reverse packed": (True, 1.0, True, True, "packed", (1, 18, 2, 2, 3, 4)),
    "vector padded": (True, 0.01, False, False, "padded", (1, 18, 1, 2, 4, 2)),
    "vector underflow": (True, 100.0, True, False, "none", (1, 18, 1, 2, 3, 3)),
    "vector wide": (True, 0.1, True, False, "none", (1, 17, 1, 1, 17, 70)),
}


def attend(name: str, dtype: torch.dtype) -> dict[str, float]:
    vector, strength, stateful, reverse, kind, (batch, length, groups, heads, keys, values) = CASES[name]
    random = torch.Generator().manual_seed(0)
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys("qk", (batch, length, groups, keys))
    shapes |= {"v": (batch, length, heads, values), "g": (batch, length, heads, *([keys] if vector else []))}
    shapes |= {"initial_state": (batch, heads, keys, values)} if stateful else {}
    tensors = {key: torch.randn(*shape, generator=random, dtype=torch.float64) for key, shape in shapes.items()}
    tensors["g"] = -strength * tensors["g"].abs()
    options = {"reverse": reverse, "seq": make_seq(kind, batch, length), "chunk_size": 16, "return_final_state": True}
    return distances(lambda **operands: ssd(**operands, **options), tensors, dtype)  # type: ignore[arg-type]


def main() -> None:
    found: dict[str, Any] = {name: attend(name, torch.float32) for name in CASES}
    found |= {f"{name}, bfloat16": attend(name, torch.bfloat16) for name in ("scalar", "vector")}
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
