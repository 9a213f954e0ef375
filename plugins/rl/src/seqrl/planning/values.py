"""What a distribution over bins is worth: its mean, or a percentile, in the units of the reward."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor


def estimate(
    probabilities: Tensor, edges: Tensor, percentile: float | Literal["mean"] = "mean", *, wrap: bool = False
) -> Tensor:
    """Return the number that distributions stand for, as the Trajectory Transformer's planner reads them.

    The stop token counts for nothing: its probability is left out, and the rest is not scaled up.

    Args:
        probabilities: (..., N + 1) of the bins and the stop token, or (..., N).
        edges: (N + 1,) of the bins.
        percentile: "mean": the sum of probability times the bin's middle. A number: the middle of the two edges in
            front of the first bin up to which more than this probability lies; the first edge where that is the
            first bin, or where there is not so much probability.
        wrap: In that last case the middle of the first and the last edge.

    Returns:
        (...,) float64.
    """
    weights = probabilities[..., : len(edges) - 1].double()
    edges = edges.double()
    if percentile == "mean":
        return weights @ ((edges[:-1] + edges[1:]) / 2)
    first = (weights.cumsum(-1) > percentile).to(torch.uint8).argmax(-1)  # 0 where none is
    before = (first - 1) % len(edges) if wrap else (first - 1).clamp(min=0)
    return (edges[before] + edges[first]) / 2
