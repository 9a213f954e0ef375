"""MixToken for token labelling: a box of cells changes places between samples (https://arxiv.org/abs/2104.10858).

A batch is paired with its reverse. What lies in the box comes from the partner, before the first stage;
the logits of the cells are put back behind the last one, so that each row's belong to its own image again,
and the class label of a row is that of both images in the proportion of the areas.
"""

from __future__ import annotations

import torch
from torch import Tensor

Box = tuple[int, int, int, int]
"""(top, left, bottom, right) in cells of the last stage; the end is not within."""


def draw_box(height: int, width: int, generator: torch.Generator | None = None) -> Box:
    """Draw a box whose share of the area is uniform, around a uniform centre, cut at the border.

    Args:
        height: Cells from top to bottom.
        width: Cells from left to right.
        generator: Of the draws; None: torch's own, which also dropout uses.

    Returns:
        The box, which may be empty.
    """
    share, down, right = torch.rand(3, generator=generator).tolist()
    edges = []
    for size, centre in ((height, int(down * height)), (width, int(right * width))):
        half = int(size * share**0.5) // 2
        edges.append((max(centre - half, 0), min(centre + half, size)))
    (top, bottom), (left, end) = edges
    return top, left, bottom, end


def swap_box(x: Tensor, box: Box, scale: int = 1) -> Tensor:
    """Exchange a box of cells between the rows of a batch and its reverse. Its own inverse.

    Args:
        x: (B, H, W, D).
        box: In units of `scale` cells.
        scale: Cells of x that a cell of the box is long.

    Returns:
        (B, H, W, D).
    """
    top, left, bottom, right = (edge * scale for edge in box)
    within = torch.zeros(x.shape[1:3], dtype=torch.bool, device=x.device)
    within[top:bottom, left:right] = True
    return torch.where(within[..., None], x.flip(0), x)
