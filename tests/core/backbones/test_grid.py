"""Scan orders over grids, and mixers that scan them."""

from __future__ import annotations

import copy
import itertools
import math
import pickle

import pytest
import torch
from torch import Tensor

from seqsuite.backbones import (
    GridMixer,
    MultiScan,
    ScanOrder,
    alternating_orders,
    factorised_orders,
    mix_grid,
    scan_order,
    to_grid,
    to_sequences,
)
from seqsuite.errors import UserError
from seqsuite.mixers import create_mixer
from seqsuite.mixers.base import run_reversed

GRIDS = [(5,), (3, 4), (1, 6), (2, 3, 4), (1, 3, 5), (2, 1, 3, 2)]
D = 6


def every_order(ndim: int) -> list[ScanOrder]:
    """Every way to scan a grid: which axes stay apart, in which order, from which end."""
    return [
        ScanOrder(axes[apart:], reverse, axes[:apart])
        for axes in itertools.permutations(range(ndim))
        for apart in range(ndim)
        for reverse in (False, True)
    ]


CASES = [(grid, order) for grid in GRIDS[:-1] for order in every_order(len(grid))]
CASES += [(GRIDS[-1], order) for order in every_order(4)[::7]]


def by_hand(grid: tuple[int, ...], order: ScanOrder) -> Tensor:
    """The order as nested loops, slowest axis outside."""
    sequences = []
    for outer in itertools.product(*(range(grid[axis]) for axis in order.apart)):
        cells = []
        for inner in itertools.product(*(range(grid[axis]) for axis in order.axes)):
            place = dict(zip((*order.apart, *order.axes), (*outer, *inner), strict=True))
            index = 0
            for axis, length in enumerate(grid):
                index = index * length + place[axis]
            cells.append(index)
        sequences.append(cells[::-1] if order.reverse else cells)
    return torch.tensor(sequences)


def mixer(name: str = "mamba", **options):
    torch.manual_seed(0)
    options = options or ({"d_state": 3, "d_conv": 2} if name == "mamba" else {})
    return create_mixer(name, D, **options).double()


def field(*grid: int, batch: int = 2) -> Tensor:
    return torch.randn(batch, *grid, D, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("grid", "order"), CASES)
def test_an_order_is_the_nested_loops_and_the_views_agree_with_it(grid, order):
    index = scan_order(grid, order)
    expected = by_hand(grid, order)
    assert torch.equal(index, expected if order.apart else expected[0])
    assert torch.equal(index.flatten().sort().values, torch.arange(math.prod(grid)))  # every cell once
    assert torch.equal(scan_order(grid, order.reversed()), index.flip(-1))

    x = field(*grid)
    y = to_sequences(x, order)
    assert torch.equal(y, x.flatten(1, -2)[:, index.view(-1, index.shape[-1])].flatten(0, 1))
    assert torch.equal(to_grid(y, grid, order), x)
    back = y.reshape(len(x), -1, D)[:, index.flatten().argsort()]
    assert torch.equal(back.view_as(x), x)


def test_alternating_orders_are_those_of_the_paper():
    assert [order.axes for order in alternating_orders(1)] == [(0,), (0,)]
    assert [order.axes for order in alternating_orders(2)] == [(0, 1)] * 2 + [(1, 0)] * 2
    assert [order.axes for order in alternating_orders(3)] == [(0, 1, 2)] * 2 + [(0, 2, 1)] * 2 + [(2, 1, 0)] * 2
    for ndim in range(1, 6):
        orders = alternating_orders(ndim)
        assert [order.reverse for order in orders] == [False, True] * ndim
        assert [order.axes[-1] for order in orders[::2]] == list(range(ndim))[::-1]  # each axis fastest once


def test_a_video_of_one_frame_is_an_image():
    for image, video in zip(alternating_orders(2), alternating_orders(3)[:4], strict=True):
        assert torch.equal(scan_order((4, 9), image), scan_order((1, 4, 9), video))


def test_factorised_orders_scan_every_axis_and_keep_the_others_apart():
    for name, lengths in (("hw_t", [12, 12, 24]), ("h_w_t", [4, 3, 2])):
        orders = factorised_orders(name)
        assert [scan_order((2, 3, 4), order).shape[-1] for order in orders] == [n for n in lengths for _ in (0, 1)]


@pytest.mark.parametrize("grid", [(4,), (3, 4), (2, 3, 2)])
@pytest.mark.parametrize("name", ["mamba", "s4d", "hyena", "tcn"])
def test_a_mixer_over_a_grid_is_the_mixer_over_the_cells_in_order(name, grid):
    mix = mixer(name)
    x = field(*grid)
    for order in every_order(len(grid)):
        index = scan_order(grid, order)
        rows = x.flatten(1, -2)
        expected = torch.empty_like(rows)
        for cells in index.view(-1, index.shape[-1]):
            expected[:, cells] = mix(rows[:, cells])
        torch.testing.assert_close(GridMixer(mix, order)(x), expected.view_as(x))


def test_on_one_axis_a_grid_mixer_is_the_mixer():
    mix, x = mixer(), field(7)
    assert torch.equal(GridMixer(mix, ScanOrder((0,)))(x), mix(x))
    assert torch.equal(GridMixer(mix, ScanOrder((0,), reverse=True))(x), run_reversed(mix, x))


@pytest.mark.parametrize("order", [ScanOrder((1, 0)), ScanOrder((1, 0), reverse=True), ScanOrder((1,), True, (0,))])
def test_gradients(order):
    mix = GridMixer(mixer(), order)
    x = field(2, 3, batch=1).requires_grad_()
    assert torch.autograd.gradcheck(mix, (x,), atol=1e-6)


@pytest.mark.parametrize("order", every_order(2) + list(alternating_orders(3)))
def test_a_causal_mixer_sees_the_cells_scanned_before_and_no_others(order):
    grid = (3, 2, 2)[: order.ndim]
    x = field(*grid, batch=1)
    index = scan_order(grid, order).view(-1, math.prod(grid[axis] for axis in order.axes))
    mix = GridMixer(mixer(), order)
    before = mix(x)
    for sequence in index:
        for place, cell in enumerate(sequence):
            changed = x.clone()
            changed.view(-1, D)[cell] += 1
            moved = (mix(changed) != before).reshape(-1, D).any(-1).nonzero().flatten()
            assert set(moved.tolist()) == set(sequence[place:].tolist())


@pytest.mark.parametrize("shared", [True, False])
def test_several_scans_are_combined(shared):
    orders = alternating_orders(2)
    x = field(3, 4)
    first = mixer()
    sums = MultiScan(first, orders) if shared else MultiScan.separate(first, orders)
    assert len(sums.mixers) == (1 if shared else 4)
    members = list(sums.mixers) * (4 if shared else 1)
    outputs = [mix_grid(member, x, order) for member, order in zip(members, orders, strict=True)]
    torch.testing.assert_close(sums(x), sum(outputs))
    torch.testing.assert_close(MultiScan(sums.mixers if not shared else first, orders, "mean")(x), sum(outputs) / 4)
    if not shared:
        assert not torch.equal(outputs[0], mix_grid(members[1], x, orders[0]))  # drawn anew
    concat = MultiScan(sums.mixers if not shared else first, orders, "concat").double()
    parts = concat.merge.weight.split(D, dim=1)
    torch.testing.assert_close(concat(x), sum(y @ part.T for y, part in zip(outputs, parts, strict=True)))


def test_scans_from_both_ends_see_everything():
    x = field(3, 4, batch=1).requires_grad_()
    for orders in (alternating_orders(2), alternating_orders(2)[:2]):
        y = MultiScan(mixer(), orders)(x)
        for cell in y.sum(-1).flatten():
            (gradient,) = torch.autograd.grad(cell, x, retain_graph=True)
            assert gradient.abs().sum(-1).all()


def test_one_mixer_in_all_orders_knows_no_direction():
    """The four orders are closed under transposing and turning the grid, so the layer is equivariant."""
    layer, x = MultiScan(mixer(), alternating_orders(2)), field(3, 5)
    torch.testing.assert_close(layer(x.transpose(1, 2)), layer(x).transpose(1, 2))
    torch.testing.assert_close(layer(x.flip(1, 2)), layer(x).flip(1, 2))


def test_rows_of_a_batch_do_not_see_each_other():
    layer, x = MultiScan(mixer(), [ScanOrder((1,), apart=(0,)), ScanOrder((1, 0))]), field(3, 4, batch=3)
    torch.testing.assert_close(layer(x)[1:2], layer(x[1:2]))


def test_layers_copy_and_pickle():
    layer, x = MultiScan.separate(mixer(), alternating_orders(2)), field(2, 3)
    for again in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(again(x), layer(x))


def test_the_input_is_not_changed():
    x = field(3, 4)
    kept = x.clone()
    MultiScan(mixer(), alternating_orders(2))(x)
    assert torch.equal(x, kept)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ScanOrder((0, 2)), "once each"),
        (lambda: ScanOrder((), apart=(0,)), "at least one must be scanned"),
        (lambda: ScanOrder((0, 1), apart=(1,)), "once each"),
        (lambda: factorised_orders("t_hw"), "Unknown factorization 't_hw'"),
        (lambda: MultiScan([mixer()], alternating_orders(2)), "got 1 for 4 orders"),
        (lambda: MultiScan(mixer(), []), "for 0 orders"),
        (lambda: MultiScan(mixer(), alternating_orders(2), "sum"), "Unknown combine 'sum'"),
        (lambda: MultiScan(mixer(), [ScanOrder((0,)), ScanOrder((0, 1))]), "different numbers of axes"),
        (lambda: MultiScan([mixer(), create_mixer("mamba", 2)], alternating_orders(1)), "differ in width"),
    ],
)
def test_what_the_user_can_mend_is_told(call, message):
    with pytest.raises(UserError, match=message):
        call()


def test_a_grid_of_other_axes_is_refused():
    with pytest.raises(ValueError, match=r"for 2 axes, the grid \(3, 4, 5\) has 3"):
        GridMixer(mixer(), ScanOrder((0, 1)))(field(3, 4, 5))
    with pytest.raises(ValueError, match="at least one axis"):
        alternating_orders(0)
