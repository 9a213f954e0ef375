"""Scan orders of the reference's image and video models."""

from __future__ import annotations

from torch import Tensor

from seqsuite.backbones import alternating_orders, factorised_orders, scan_order
from seqsuite.testing.parity import Case, adapter

LAYERS = 8


@adapter("scan_orders")
def orders(case: Case) -> dict[str, Tensor]:
    given = case.hyperparameters
    grid = tuple(given[axis] for axis in "THW" if axis in given)
    factorization = given.get("factorization")
    cycle = factorised_orders(factorization) if factorization else alternating_orders(len(grid))
    found = {f"layer{layer}": scan_order(grid, cycle[layer % len(cycle)]) for layer in range(LAYERS)}
    # The factorised cases list every sequence, also where there is one.
    return {name: cells.view(-1, cells.shape[-1]) for name, cells in found.items()} if factorization else found
