"""Run the Triton kernels in Triton's interpreter and print their distance from the float64 reference, as JSON.

A program of its own, because TRITON_INTERPRET must be set before the kernels are defined.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

os.environ["TRITON_INTERPRET"] = "1"

import torch
from triton.runtime import interpreter

from seqsuite.ops import Seq, causal_conv1d, selective_scan

_patch_tensor = interpreter._patch_lang_tensor


def _patch_tensor_for_numpy(tensor: Any, scope: Any) -> None:
    """Triton 3.6 turns one-element arrays into loop bounds by int(), which NumPy 2.4 refuses."""
    _patch_tensor(tensor, scope)
    scope.set_attr(tensor, "__index__", lambda self: int(self.handle.data.item()))


interpreter._patch_lang_tensor = _patch_tensor_for_numpy

# name: groups, constant, optional operands, softplus, reverse, seq, (B, L, D, N)
SCANS = {
    "everything": (1, "", "D z delta_bias initial_state", True, False, "none", (2, 19, 12, 5)),
    "grouped reverse packed": (2, "", "D z delta_bias initial_state", True, True, "packed", (2, 9, 8, 4)),
    "constant padded": (1, "BC", "z initial_state", False, False, "padded", (2, 9, 6, 4)),
    "constant B reverse padded": (1, "B", "D", True, True, "padded", (2, 6, 6, 4)),
    "bare": (1, "", "", False, False, "none", (1, 1, 3, 1)),
}
# name: bias, state, silu, reverse, seq, (B, L, D, K)
CONVS = {
    "everything": (True, True, True, False, "none", (2, 11, 5, 4)),
    "reverse packed": (True, True, True, True, "packed", (2, 11, 5, 3)),
    "padded": (False, True, False, False, "padded", (2, 35, 3, 4)),
    "short": (True, True, True, True, "none", (1, 2, 3, 5)),
}


def make_seq(kind: str, batch: int, length: int) -> Seq | None:
    random = torch.rand(batch, length, generator=torch.Generator().manual_seed(1))
    if kind == "packed":
        return Seq.from_resets(random < 0.25)
    return Seq.from_lengths([length - 1] * batch, length, side="left") if kind == "padded" else None


def distances(call: Callable[..., Any], tensors: dict[str, torch.Tensor], dtype: torch.dtype) -> dict[str, float]:
    """Relative L2 of each output and gradient of the Triton path in `dtype`."""
    results = []
    for backend, precision in (("reference", torch.float64), ("triton", dtype)):
        rounded = {name: x.to(dtype) for name, x in tensors.items()}
        leaves = {name: x.to(precision).requires_grad_() for name, x in rounded.items()}
        outputs = call(**leaves, backend=backend)
        random = torch.Generator().manual_seed(2)
        weights = [torch.randn(x.shape, generator=random).to(dtype).to(x.dtype) for x in outputs]
        grads = torch.autograd.grad(outputs, list(leaves.values()), weights)
        results.append([*outputs, *grads])
    names = ["output", "state", *tensors]
    found = {}
    for name, true, mine in zip(names, *results, strict=True):
        found[name] = float((mine.double() - true).norm() / true.norm().clamp_min(1e-12))
    return found


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
    found = {f"scan, {name}": scan(name, torch.float32) for name in SCANS}
    found |= {f"conv, {name}": conv(name, torch.float32) for name in CONVS}
    torch.use_deterministic_algorithms(True)
    found["scan, everything, deterministic"] = scan("everything", torch.float32)
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
