"""Laws of the sample order and of the loaders' batches."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import Dataset

from seqsuite.data import PositionBatches, ScoringBatches, ShuffledOrder, item_rng, item_seed, make_loader

sizes = st.integers(1, 300)
seeds = st.integers(0, 2**63)


@given(n=sizes, seed=seeds, epoch=st.integers(0, 1000))
def test_every_epoch_is_a_permutation(n: int, seed: int, epoch: int) -> None:
    order = ShuffledOrder(n, seed)
    located = [order.locate(epoch * n + rank) for rank in range(n)]
    assert {where for where, _ in located} == {epoch}
    assert sorted(index for _, index in located) == list(range(n))


@given(n=sizes, seed=seeds, positions=st.lists(st.integers(0, 10**12), min_size=1, max_size=30))
def test_an_order_has_no_memory(n: int, seed: int, positions: list[int]) -> None:
    order = ShuffledOrder(n, seed)
    forth = [order.locate(position) for position in positions]
    back = [order.locate(position) for position in reversed(positions)]
    assert forth == back[::-1] == [ShuffledOrder(n, seed).locate(position) for position in positions]


@given(n=st.integers(50, 10**9), seed=seeds)
def test_epochs_and_seeds_differ(n: int, seed: int) -> None:
    def head(seed: int, epoch: int) -> list[int]:
        order = ShuffledOrder(n, seed)
        return [order.index(epoch, rank) for rank in range(20)]

    assert len({tuple(head(seed + more, epoch)) for more in range(3) for epoch in range(3)}) == 9


def test_places_are_uniform() -> None:
    """Chi-square of (place, item) over 3000 epochs: 99.9th percentile of 100 - 20 + 1 = 81 degrees is 126."""
    n, epochs = 10, 3000
    order = ShuffledOrder(n, 5)
    counts = torch.zeros(n, n)
    for epoch in range(epochs):
        for rank in range(n):
            counts[rank, order.index(epoch, rank)] += 1
    expected = epochs / n
    assert ((counts - expected) ** 2 / expected).sum() < 126


def test_neighbours_part() -> None:
    """In a random permutation of 10^6, neighbours are n/3 apart on average; 3000 pairs know it to 2 %."""
    n = 10**6
    order = ShuffledOrder(n, 1)
    gaps = [abs(order.index(0, rank) - order.index(0, rank + 1)) for rank in range(3000)]
    assert sum(gaps) / len(gaps) == pytest.approx(n / 3, rel=0.06)


@pytest.mark.parametrize(("n", "position"), [(0, 0), (3, -1)])
def test_nonsense_is_refused(n: int, position: int) -> None:
    with pytest.raises(ValueError, match=r"at least one item|never negative"):
        ShuffledOrder(n, 0).locate(position)


@given(seed=seeds, keys=st.lists(st.integers(0, 2**40), max_size=4), other=st.integers(0, 2**40))
def test_item_seeds_are_pure_and_differ(seed: int, keys: list[int], other: int) -> None:
    assert item_seed(seed, *keys) == item_seed(seed, *keys) < 2**64
    assert item_seed(seed, *keys) != item_seed(seed, *keys, other)
    assert (item_seed(seed, other) == item_seed(other, seed)) == (seed == other)
    assert item_rng(seed, *keys).integers(2**60) == item_rng(seed, *keys).integers(2**60)


@settings(max_examples=60)
@given(
    steps=st.integers(1, 12), start=st.integers(0, 12), rows=st.integers(1, 4), parts=st.integers(1, 3),
    world=st.integers(1, 4),
)  # fmt: skip
def test_ranks_and_parts_cover_each_position_once(steps: int, start: int, rows: int, parts: int, world: int) -> None:
    batch = rows * parts * world
    start = min(start, steps)
    ranks = [
        PositionBatches(steps=steps, batch_size=batch, start=start, accumulate=parts, rank=rank, world=world)
        for rank in range(world)
    ]
    assert all(len(rank) == steps * parts for rank in ranks)
    lists = [list(rank) for rank in ranks]
    assert {len(part) for rank in lists for part in rank} <= {rows}
    for step in range(start, steps):
        here = slice((step - start) * parts, (step - start + 1) * parts)
        seen = sorted(position for rank in lists for part in rank[here] for position in part)
        assert seen == list(range(step * batch, (step + 1) * batch))


@given(start=st.integers(0, 9))
def test_a_late_start_is_the_rest_of_an_early_one(start: int) -> None:
    whole = list(PositionBatches(steps=9, batch_size=8, accumulate=2, rank=1, world=2))
    late = list(PositionBatches(steps=9, batch_size=8, accumulate=2, rank=1, world=2, start=start))
    assert late == whole[2 * start :]


@given(n=st.integers(1, 60), rows=st.integers(1, 7), world=st.integers(1, 5))
def test_validation_counts_each_item_once(n: int, rows: int, world: int) -> None:
    ranks = [ScoringBatches(n, rows=rows, rank=rank, world=world) for rank in range(world)]
    assert len({len(list(rank)) for rank in ranks} | {len(rank) for rank in ranks}) == 1
    counted = [index for rank in ranks for batch in list(rank)[: rank.counted] for index in batch]
    assert sorted(counted) == list(range(n))


def test_uneven_batch_is_refused() -> None:
    with pytest.raises(ValueError, match="batch_size 10 is no multiple"):
        PositionBatches(steps=1, batch_size=10, accumulate=2, world=2)


class Positions(Dataset[dict[str, torch.Tensor]]):
    def __getitem__(self, position: int) -> dict[str, torch.Tensor]:
        return {"position": torch.tensor(position)}


@pytest.mark.parametrize("workers", [0, 2])
def test_loader_leaves_the_global_generator_alone(workers: int) -> None:
    before = torch.get_rng_state()
    batches = PositionBatches(steps=3, batch_size=2, start=1)
    loaded: list[Any] = [batch["position"].tolist() for batch in make_loader(Positions(), batches, workers=workers)]
    assert loaded == [[2, 3], [4, 5]]
    assert torch.equal(before, torch.get_rng_state())
