"""What the metrics take: anything that becomes a numpy array, tensors of any device included."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

ArrayLike: TypeAlias = Any


def as_float64(values: ArrayLike, name: str) -> np.ndarray:
    """Return values as a float64 array.

    Args:
        values: A numpy array, a tensor (also one with a gradient, or on a device), or nested lists.
        name: What they are, for the error.

    Raises:
        ValueError: They are not finite numbers, or there are none.
    """
    if hasattr(values, "detach"):  # a tensor; torch itself need not be loaded
        values = values.detach().cpu()
        values = values.double().numpy() if hasattr(values, "double") else values
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: is no array of numbers ({error})") from error
    if array.size == 0:
        raise ValueError(f"{name}: is empty, shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name}: holds {np.count_nonzero(~np.isfinite(array))} values that are not finite")
    return array
