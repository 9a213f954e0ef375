"""The linear recurrence in Triton's interpreter: distances from the float64 reference, as JSON."""

from __future__ import annotations

import json
import sys
from typing import Any

import torch
from common import make_seq  # sets TRITON_INTERPRET

from seqsuite.ops._linear_scan import triton as kernels
from seqsuite.ops._linear_scan.op import linear_scan

kernels.LEAST_CHUNK = 4  # cut tiny sequences too

# name: dtypes of (a, b, state), constant a, state given, reverse, seq, (B, L, D)
F32, BF16, C64 = torch.float32, torch.bfloat16, torch.complex64
CASES = {
    "real": ((F32, F32, F32), False, True, False, "none", (2, 11, 5)),
    "real reverse packed": ((F32, F32, F32), False, True, True, "packed", (2, 11, 5)),
    "real constant": ((F32, F32, F32), True, True, True, "none", (2, 9, 70)),
    "real one chunk padded": ((F32, F32, F32), True, False, False, "padded", (2, 4, 3)),
    "real one step": ((F32, F32, F32), False, True, False, "none", (1, 1, 3)),
    "complex": ((C64, C64, C64), False, True, False, "none", (2, 11, 5)),
    "complex reverse padded": ((C64, C64, C64), False, False, True, "padded", (2, 9, 3)),
    "complex constant": ((C64, C64, C64), True, True, False, "none", (2, 10, 3)),
    "complex factors of real input": ((C64, F32, F32), False, True, False, "none", (1, 6, 3)),
    "bf16": ((BF16, BF16, F32), False, True, False, "none", (2, 9, 5)),
    "bf16 input of float32 factors": ((F32, BF16, F32), True, True, True, "none", (2, 9, 5)),
}


def case(name: str) -> dict[str, float]:
    dtypes, constant, given, reverse, kind, (batch, length, width) = CASES[name]
    random = torch.Generator().manual_seed(0)
    shapes = [(width,) if constant else (batch, length, width), (batch, length, width), (batch, width)]
    operands = [torch.randn(shape, generator=random, dtype=dtype) for shape, dtype in zip(shapes, dtypes, strict=True)]
    seq = make_seq(kind, batch, length)
    results = []
    for backend in ("reference", "triton"):
        leaves = [x.to(torch.complex128 if x.is_complex() else torch.float64) for x in operands]
        leaves = [x.requires_grad_() for x in (leaves if backend == "reference" else map(torch.clone, operands))]
        state = {"initial_state": leaves[2]} if given else {}
        outputs = linear_scan(*leaves[:2], **state, return_final_state=True, reverse=reverse, seq=seq, backend=backend)
        random = torch.Generator().manual_seed(2)
        weights: list[Any] = [torch.randn(x.shape, generator=random).bfloat16().to(x.dtype) for x in outputs]
        results.append([*outputs, *torch.autograd.grad(outputs, leaves[: 2 + given], weights)])
    found = {}
    for label, true, mine in zip(("output", "state", "a", "b", "initial_state"), *results, strict=False):
        found[label] = float(((mine.to(true.dtype) - true).norm() / true.norm().clamp_min(1e-12)).detach())
    return found


if __name__ == "__main__":
    json.dump({name: case(name) for name in CASES}, sys.stdout)
