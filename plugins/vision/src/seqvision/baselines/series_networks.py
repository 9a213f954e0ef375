"""DLinear and NLinear (Zeng et al. 2023, arXiv 2205.13504) as networks, for training by gradient.

Both map the look-back to the horizon linearly with weights shared by all columns: DLinear a moving average and what
is left apart, NLinear the differences to the last value.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

_AVERAGE = 25
"""Rows of DLinear's moving average, its authors' number."""


def _mean_map(look_back: int, horizon: int) -> nn.Linear:
    """Return a linear layer that begins as the mean of its inputs."""
    layer = nn.Linear(look_back, horizon)
    nn.init.constant_(layer.weight, 1 / look_back)
    return layer


class NLinear(nn.Module):
    """y = last + W (x - last) + b, (B, L, C) to (B, H, C).

    Args:
        look_back: L.
        horizon: H.
    """

    def __init__(self, look_back: int, horizon: int) -> None:
        super().__init__()
        self.linear = _mean_map(look_back, horizon)

    def forward(self, x: Tensor) -> Tensor:
        """Forecast."""
        last = x[:, -1:]
        return self.linear((x - last).transpose(1, 2)).transpose(1, 2) + last


class DLinear(nn.Module):
    """y = W1 trend + W2 (x - trend) + b, the trend a moving average; (B, L, C) to (B, H, C).

    Args:
        look_back: L.
        horizon: H.
    """

    def __init__(self, look_back: int, horizon: int) -> None:
        super().__init__()
        self.trend, self.rest = _mean_map(look_back, horizon), _mean_map(look_back, horizon)

    def forward(self, x: Tensor) -> Tensor:
        """Forecast."""
        columns = x.transpose(1, 2)
        side = (_AVERAGE - 1) // 2
        trend = F.avg_pool1d(F.pad(columns, (side, side), mode="replicate"), _AVERAGE, stride=1)
        return (self.trend(trend) + self.rest(columns - trend)).transpose(1, 2)


NETWORKS: dict[str, type[nn.Module]] = {"DLinear": DLinear, "NLinear": NLinear}
"""The networks by name."""
