"""What every operator asks of its operands' dtypes, whatever their shapes."""

from __future__ import annotations

import torch
from torch import Tensor

_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def require_floating(**operands: Tensor | None) -> None:
    """Raise TypeError, naming the operand, unless each one that is there holds real floating-point numbers.

    An integer operand would be truncated in the result, and a complex one would lose its imaginary part.
    """
    for name, tensor in operands.items():
        if tensor is not None and tensor.dtype not in _DTYPES:
            raise TypeError(f"{name} must be float16, bfloat16, float32 or float64, not {tensor.dtype}")


def compute_dtype(x: Tensor) -> torch.dtype:
    """Return the precision of the computation: float64 for a float64 input, else float32."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def room_for(elements: int) -> int:
    """Return how long a buffer must be so that elementwise passes over all of it have no remainder.

    The ends of PyTorch's vector loops round transcendental functions differently; over such a buffer each
    element is rounded the same way wherever it lies, and a run from right to left gives the same bits.
    """
    return -(-elements // 64) * 64


def solid(*tensors: Tensor | None) -> list[Tensor | None]:
    """Return the tensors with their elements side by side, as kernels without strides read them; None stays."""
    return [None if x is None else x.contiguous() for x in tensors]
