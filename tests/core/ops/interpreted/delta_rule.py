"""The delta rule's Triton kernels in Triton's interpreter: distances from the float64 reference, as JSON."""

from __future__ import annotations

import json
import sys
from typing import Any

import torch
from common import distances, make_seq

from seqsuite.ops._delta_rule.op import delta_rule

# name: decay, own removal, optional operands, reverse, seq, (B, L, H, K, V)
CASES: dict[str, tuple[str, bool, str, bool, str, tuple[int, int, int, int, int]]] = {
    "everything": ("head", False, "beta initial_state", False, "none", (2, 18, 1, 3, 4)),
    "plain": ("none", False, "beta", False, "none", (1, 17, 1, 3, 2)),
    "key decay reverse packed": ("key", False, "beta initial_state", True, "packed", (1, 20, 2, 3, 2)),
    "key decay padded": ("key", False, "beta", False, "padded", (1, 9, 1, 3, 4)),
    "own removal": ("key", True, "initial_state", False, "none", (1, 18, 1, 3, 4)),
    "own removal reverse packed": ("head", True, "beta initial_state", True, "packed", (1, 9, 1, 4, 3)),
    "own removal without decay": ("none", True, "beta", False, "padded", (1, 9, 1, 4, 3)),
    "values in blocks": ("key", True, "beta initial_state", False, "none", (1, 5, 1, 3, 20)),
    "one step": ("head", False, "beta", True, "none", (1, 1, 1, 2, 2)),
}


def measure(name: str, dtype: torch.dtype) -> dict[str, float]:
    decay, own, optional, reverse, kind, (batch, length, heads, key, value) = CASES[name]
    random = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=random, dtype=torch.float64)

    rows = (batch, length, heads)
    tensors = {"q": normal(*rows, key), "k": torch.nn.functional.normalize(normal(*rows, key), dim=-1)}
    tensors |= {"v": normal(*rows, value)}
    if "beta" in optional:
        tensors["beta"] = 2 * torch.sigmoid(normal(*rows))
    if decay != "none":
        tensors["g"] = -normal(*rows, *[key] * (decay == "key")).abs()
    if own:
        read = torch.nn.functional.normalize(normal(*rows, key), dim=-1)
        tensors |= {"a": -read * torch.sigmoid(normal(*rows, key)), "b": read}
    if "initial_state" in optional:
        tensors["initial_state"] = normal(batch, heads, key, value)
    seq = make_seq(kind, batch, length)

    def call(**operands: Any) -> Any:
        if own:
            operands["remove"] = (operands.pop("a"), operands.pop("b"))
        operands.setdefault("beta", None)
        return delta_rule(**operands, reverse=reverse, seq=seq, return_final_state=True)

    return distances(call, tensors, dtype)


def main() -> None:
    found = {name: measure(name, torch.float32) for name in CASES}
    found["everything, bfloat16"] = measure("everything", torch.bfloat16)
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
