"""Initial step sizes of state spaces: log-uniform between two bounds."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from seqsuite.errors import UserError
from seqsuite.mixers.options import check_range


def check_step_sizes(owner: str, dt_min: float, dt_max: float, dt_init_floor: float = 0.0) -> None:
    """Check the bounds.

    Raises:
        UserError: One is not positive, or they do not rise; one line names the owner and the option.
    """
    check_range(owner, {"dt_min": dt_min, "dt_max": dt_max}, above=0)
    check_range(owner, {"dt_init_floor": dt_init_floor}, least=0)
    if dt_min > dt_max:
        raise UserError(f"{owner}: dt_min must not be above dt_max, {dt_min} and {dt_max}")


def draw_step_sizes(count: int, dt_min: float, dt_max: float, dt_init_floor: float) -> Tensor:
    """Return (count,) numbers whose softplus is log-uniform between the bounds and not below the floor."""
    delta = torch.exp(torch.empty(count).uniform_(math.log(dt_min), math.log(dt_max))).clamp(min=dt_init_floor)
    return delta + torch.log(-torch.expm1(-delta))  # inverse of softplus
