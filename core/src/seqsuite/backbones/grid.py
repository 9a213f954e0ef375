"""Sequence mixers over grids: images, videos, volumes, fields of any number of axes.

A grid is scanned in an order: which axis runs fastest, from which end, and which axes are not scanned but
keep their slices apart. A mixer then sees a plain sequence. Alternating the orders from block to block is
Mamba-ND (Li et al. 2024, https://arxiv.org/abs/2402.05892); several orders at once in one block is what
bidirectional and cross-scan models do. `GridMixer` and `MultiScan` put any mixer of the suite into a grid
model, (B, *grid, D) to (B, *grid, D):

    mix = GridMixer(create_mixer("mamba", 64), ScanOrder((1, 0)))                    # column by column
    mix = MultiScan(create_mixer("mamba", 64), alternating_orders(2), combine="mean")  # four ways, one mixer
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from seqsuite.errors import UserError, unknown_name
from seqsuite.mixers.base import Mixer, run_reversed

CombineScans = Literal["add", "mean", "concat"]
Factorization = Literal["hw_t", "h_w_t"]


@dataclass(frozen=True)
class ScanOrder:
    """How the cells of a grid become sequences.

    Attributes:
        axes: The axes that are scanned, slowest first: the last one runs fastest.
        reverse: Scan from the other end.
        apart: The other axes: every one of their slices is a sequence of its own. They are put in front in this
            order.
    """

    axes: tuple[int, ...]
    reverse: bool = False
    apart: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "axes", tuple(self.axes))
        object.__setattr__(self, "apart", tuple(self.apart))
        every = (*self.apart, *self.axes)
        if not self.axes or sorted(every) != list(range(len(every))):
            raise UserError(
                f"scan order: axes {self.axes} and apart {self.apart} must name the axes 0 to {max(len(every), 1) - 1} "
                "once each, and at least one must be scanned"
            )

    @property
    def ndim(self) -> int:
        """Number of axes of the grids that it is for."""
        return len(self.apart) + len(self.axes)

    @property
    def permutation(self) -> tuple[int, ...]:
        """All axes: those kept apart, then those scanned."""
        return (*self.apart, *self.axes)

    def reversed(self) -> ScanOrder:
        """Return the same order from the other end."""
        return replace(self, reverse=not self.reverse)


def alternating_orders(ndim: int) -> tuple[ScanOrder, ...]:
    """Return Mamba-ND's cycle of orders: every axis fastest in turn, last axis first, each from both ends.

    The axis that runs fastest has changed places with the last one, so three axes give (0, 1, 2), (0, 2, 1) and
    (2, 1, 0).

    Args:
        ndim: Number of axes, at least one.

    Returns:
        2 ndim orders; block i of a model takes order i modulo their number.
    """
    if ndim < 1:
        raise ValueError(f"a grid has at least one axis, got {ndim}")
    last = ndim - 1
    orders = []
    for fastest in range(last, -1, -1):
        axes = list(range(ndim))
        axes[fastest], axes[last] = axes[last], axes[fastest]
        orders += [ScanOrder(tuple(axes)), ScanOrder(tuple(axes), reverse=True)]
    return tuple(orders)


def factorised_orders(factorization: Factorization) -> tuple[ScanOrder, ...]:
    """Return the factorised orders of a video (time, height, width), which Mamba-ND compares with its own.

    Args:
        factorization: "hw_t": frames on their own in both image orders, then everything with time fastest.
            "h_w_t": every line of every axis on its own.

    Returns:
        Six orders, each direction followed by its reverse.
    """
    table = {
        "hw_t": (ScanOrder((1, 2), apart=(0,)), ScanOrder((2, 1), apart=(0,)), ScanOrder((2, 1, 0))),
        "h_w_t": (ScanOrder((2,), apart=(0, 1)), ScanOrder((1,), apart=(0, 2)), ScanOrder((0,), apart=(2, 1))),
    }
    if factorization not in table:
        raise unknown_name("factorization", factorization, table)
    return tuple(each for order in table[factorization] for each in (order, order.reversed()))


def scan_order(grid: Sequence[int], order: ScanOrder) -> Tensor:
    """Return where each scan position lies in the grid.

    Args:
        grid: Cells along each axis.
        order: The order.

    Returns:
        (L,) int64 row-major index of the cell at each scan position; with axes kept apart (S, L) for S sequences.
        Its argsort is the way back.

    Raises:
        ValueError: The order is for another number of axes.
    """
    _require_axes(grid, order)
    cells = torch.arange(math.prod(grid)).view(*grid).permute(order.permutation)
    cells = cells.reshape(-1, _length(grid, order)) if order.apart else cells.reshape(-1)
    return cells.flip(-1) if order.reverse else cells


def to_sequences(x: Tensor, order: ScanOrder) -> Tensor:
    """Lay a grid out as sequences, as views where memory allows.

    Args:
        x: (B, *grid, D).
        order: The order.

    Returns:
        (B S, L, D) for S sequences of L steps in each grid.

    Raises:
        ValueError: The order is for another number of axes.
    """
    grid = x.shape[1:-1]
    _require_axes(grid, order)
    axes = [1 + axis for axis in order.permutation]
    y = x.permute(0, *axes, x.ndim - 1).reshape(-1, _length(grid, order), x.shape[-1])
    return y.flip(1) if order.reverse else y


def to_grid(y: Tensor, grid: Sequence[int], order: ScanOrder) -> Tensor:
    """Undo `to_sequences`.

    Args:
        y: (B S, L, D).
        grid: Cells along each axis.
        order: The order.

    Returns:
        (B, *grid, D).

    Raises:
        ValueError: The order is for another number of axes.
    """
    _require_axes(grid, order)
    permutation = order.permutation
    y = y.flip(1) if order.reverse else y
    y = y.reshape(-1, *[grid[axis] for axis in permutation], y.shape[-1])  # (B, *permuted grid, D)
    back = [1 + permutation.index(axis) for axis in range(len(permutation))]
    return y.permute(0, *back, y.ndim - 1)


def mix_grid(mixer: Mixer, x: Tensor, order: ScanOrder) -> Tensor:
    """Run a mixer over a grid in one order; from the far end without copies where the mixer is `reversible`.

    Args:
        mixer: From (B, L, D) to (B, L, D).
        x: (B, *grid, D).
        order: The order.

    Returns:
        (B, *grid, D).
    """
    ahead = replace(order, reverse=False)
    y = to_sequences(x, ahead)
    y = run_reversed(mixer, y) if order.reverse else mixer(y)
    return to_grid(y, x.shape[1:-1], ahead)


class GridMixer(nn.Module):
    """A mixer that scans a grid in one order, (B, *grid, D) to (B, *grid, D).

    Args:
        mixer: From (B, L, D) to (B, L, D).
        order: The order.
    """

    def __init__(self, mixer: Mixer, order: ScanOrder) -> None:
        super().__init__()
        self.mixer = mixer
        self.order = order

    def forward(self, x: Tensor) -> Tensor:
        """Mix (B, *grid, D)."""
        return mix_grid(self.mixer, x, self.order)

    def extra_repr(self) -> str:
        """Name the order."""
        return f"order={self.order}"


class MultiScan(nn.Module):
    """Scan a grid in several orders and combine the outputs, (B, *grid, D) to (B, *grid, D).

    With the orders of `alternating_orders` every cell sees the whole grid in one layer.

    Args:
        mixers: One mixer, which all orders share, or one for each order.
        orders: The orders.
        combine: Sum, mean, or a learned linear map of the concatenation back to D.

    Raises:
        UserError: Mixers and orders do not fit together, or an unknown combination.
    """

    def __init__(
        self, mixers: Mixer | Sequence[Mixer], orders: Sequence[ScanOrder], combine: CombineScans = "add"
    ) -> None:
        super().__init__()
        shared = isinstance(mixers, Mixer)
        members: list[Mixer] = [mixers] if isinstance(mixers, Mixer) else list(mixers)
        if not orders or (not shared and len(members) != len(orders)):
            raise UserError(
                f"MultiScan: give one mixer for all orders or one for each, got {len(members)} for {len(orders)} orders"
            )
        if len({order.ndim for order in orders}) > 1:
            raise UserError("MultiScan: the orders are for grids of different numbers of axes")
        if len({member.d_model for member in members}) > 1:
            raise UserError(f"MultiScan: the mixers differ in width: {[member.d_model for member in members]}")
        if combine not in get_args(CombineScans):
            raise unknown_name("combine", combine, get_args(CombineScans))
        self.orders = tuple(orders)
        self.combine = combine
        self.mixers = nn.ModuleList(members)
        width = members[0].d_model
        self.merge = nn.Linear(len(orders) * width, width, bias=False) if combine == "concat" else None

    @classmethod
    def separate(cls, mixer: Mixer, orders: Sequence[ScanOrder], combine: CombineScans = "add") -> MultiScan:
        """Build with a mixer of its own for each order: the given one, and freshly drawn copies of it."""
        copies = [copy.deepcopy(mixer) for _ in orders[1:]]
        for each in copies:
            each.reset_parameters()
        return cls([mixer, *copies], orders, combine)

    def forward(self, x: Tensor) -> Tensor:
        """Mix (B, *grid, D)."""
        members = list(self.mixers) * (len(self.orders) if len(self.mixers) == 1 else 1)
        outputs = [mix_grid(mixer, x, order) for mixer, order in zip(members, self.orders, strict=True)]  # type: ignore
        if self.merge is not None:
            return self.merge(torch.cat(outputs, dim=-1))
        total = torch.stack(outputs).sum(0)
        return total / len(outputs) if self.combine == "mean" else total

    def extra_repr(self) -> str:
        """Name the orders and the combination."""
        return f"orders={self.orders}, combine={self.combine!r}"


def _require_axes(grid: Sequence[int], order: ScanOrder) -> None:
    if len(grid) != order.ndim:
        raise ValueError(f"the scan order is for {order.ndim} axes, the grid {tuple(grid)} has {len(grid)}")


def _length(grid: Sequence[int], order: ScanOrder) -> int:
    return math.prod([grid[axis] for axis in order.axes])  # a list: torch.compile cannot follow a generator here
