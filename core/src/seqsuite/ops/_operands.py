"""What every operator asks of its operands, whatever their shapes: tensors, of which dtypes, on one device."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

FLOATING = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
COMPLEX = (torch.complex64, torch.complex128)


def require_floating(needed: Mapping[str, Tensor], **optional: Tensor | None) -> None:
    """Refuse operands that are not real floating-point tensors on one device; see `require_dtypes`.

    An integer operand would be truncated in the result, and a complex one would lose its imaginary part.
    """
    require_dtypes(FLOATING, needed, **optional)


def require_dtypes(dtypes: tuple[torch.dtype, ...], needed: Mapping[str, Tensor], **optional: Tensor | None) -> None:
    """Refuse operands that are no tensors, of another dtype, or not on one device.

    Args:
        dtypes: Those that are taken.
        needed: Operands by name.
        **optional: Operands that may be None.

    Raises:
        TypeError: Names the operand, and what it is.
        ValueError: Names the operand that is elsewhere than the first.
    """
    given = dict(needed) | {name: x for name, x in optional.items() if x is not None}
    for name, x in given.items():
        if not isinstance(x, Tensor):
            raise TypeError(f"{name} must be a tensor, not {'None' if x is None else type(x).__name__}")
        if x.dtype not in dtypes:
            *kinds, last = (str(dtype).removeprefix("torch.") for dtype in dtypes)
            raise TypeError(f"{name} must be {', '.join(kinds)} or {last}, not {x.dtype}")
    require_one_device(**given)


def require_one_device(**operands: Tensor | None) -> None:
    """Raise ValueError, naming the operand, unless those that are there are where the first one is."""
    given = [(name, x) for name, x in operands.items() if x is not None]
    for name, x in given[1:]:
        if x.device != given[0][1].device:
            first, there = given[0][0], given[0][1].device
            raise ValueError(f"{name} must be on {there} like {first}, got {x.device}")


def check_chunk_size(chunk_size: int | None, largest: int) -> None:
    """Raise ValueError unless it is None or a power of two up to the largest."""
    if chunk_size is None:
        return
    if not isinstance(chunk_size, int) or not 1 <= chunk_size <= largest or chunk_size & (chunk_size - 1):
        raise ValueError(f"chunk_size must be a power of two from 1 to {largest}, got {chunk_size!r}")


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
