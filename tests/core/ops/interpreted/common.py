"""What the programs here share: they run Triton kernels in Triton's interpreter, apart from the tests' process.

TRITON_INTERPRET must be set before a kernel is defined; importing this module first does that.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

os.environ["TRITON_INTERPRET"] = "1"

import torch
from triton.runtime import interpreter

from seqsuite.ops import Seq

_patch_tensor = interpreter._patch_lang_tensor


def _patch_tensor_for_numpy(tensor: Any, scope: Any) -> None:
    """Triton 3.6 turns one-element arrays into loop bounds by int(), which NumPy 2.4 refuses."""
    _patch_tensor(tensor, scope)
    scope.set_attr(tensor, "__index__", lambda self: int(self.handle.data.item()))


interpreter._patch_lang_tensor = _patch_tensor_for_numpy


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
