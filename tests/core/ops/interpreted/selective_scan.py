"""The selective scan in Triton's interpreter: distances from the float64 reference, as JSON."""

from __future__ import annotations

import json
import sys
from typing import Any

import torch
from common import distances, make_seq  # sets TRITON_INTERPRET

from seqsuite.ops import selective_scan

# name: groups, constant, optional operands, softplus, reverse, seq, (B, L, D, N)
SCANS = {
    "everything": (1, "", "D z delta_bias initial_state", True, False, "none", (2, 19, 12, 5)),
    "grouped reverse packed": (2, "", "D z delta_bias initial_state", True, True, "packed", (2, 9, 8, 4)),
    "constant padded": (1, "BC", "z initial_state", False, False, "padded", (2, 9, 6, 4)),
    "constant B reverse padded": (1, "B", "D", True, True, "padded", (2, 6, 6, 4)),
    "bare": (1, "", "", False, False, "none", (1, 1, 3, 1)),
}


def scan(name: str, dtype: torch.dtype) -> dict[str, float]:
    groups, constant, optional, softplus, reverse, kind, (batch, length, width, state) = SCANS[name]
    random = torch.Generator().manual_seed(0)
    shapes = {"u": (batch, length, width), "delta": (batch, length, width), "A": (width, state)}
    shapes |= {m: (width, state) if m in constant else (batch, length, groups, state) for m in "BC"}
    more = {"D": (width,), "z": (batch, length, width), "delta_bias": (width,), "initial_state": (batch, width, state)}
    shapes |= {key: more[key] for key in optional.split()}
    tensors = {key: torch.randn(*shape, generator=random, dtype=torch.float64) for key, shape in shapes.items()}
    tensors["A"] = -tensors["A"].abs()
    seq = make_seq(kind, batch, length)

    def call(**operands: Any) -> Any:
        return selective_scan(**operands, delta_softplus=softplus, reverse=reverse, seq=seq, return_final_state=True)

    return distances(call, tensors, dtype)


def main() -> None:
    found = {name: scan(name, torch.float32) for name in SCANS}
    torch.use_deterministic_algorithms(True)
    found["everything, deterministic"] = scan("everything", torch.float32)
    found |= {f"{name}, bfloat16": scan(name, torch.bfloat16) for name in ("everything", "grouped reverse packed")}
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
