"""Sequence-length warm-up: bases per step stay constant, every window is drawn once, a position decides all."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqdna.configs import PretrainConfig
from seqdna.data import Genome, Interval, TrainWindows
from seqdna.tasks import LeaveOneOutWindows, StagedWindows
from seqdna.tokenizers import NucleotideTokenizer
from seqsuite.data import PositionBatches
from seqsuite.data.order import item_seed
from seqsuite.errors import UserError

TOKENIZER = NucleotideTokenizer()


class Numbers:
    """Windows that are their own number, in eight bytes and on."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.asked: list[int] = []

    def ids(self, position: int) -> np.ndarray:
        self.asked.append(position)
        return np.full(self.length, 7 + item_seed(0, position) % 4, dtype=np.uint8)


def build(config: PretrainConfig):
    plan = config.stage_plan()
    windows = [Numbers(stage.length) for stage in plan]
    rows = [LeaveOneOutWindows(w, TOKENIZER, seed=0) for w in windows]
    return StagedWindows(plan, rows, config.batch_size), windows


@given(
    steps=st.integers(10, 200),
    cuts=st.lists(st.integers(1, 9), min_size=1, max_size=3, unique=True),
    halvings=st.lists(st.integers(0, 4), min_size=4, max_size=4),
)
def test_stages_tile_the_run(steps, cuts, halvings):
    edges = [0, *sorted(cuts), 10]
    shares = [(b - a) / 10 for a, b in pairwise(edges)]
    text = ",".join(f"{64 >> h}:{share:.1f}" for h, share in zip(halvings, shares, strict=False))
    plan = PretrainConfig(steps=steps, length=64, stages=text).stage_plan()
    assert plan[0].first == 0
    assert plan[-1].end == steps
    for left, right in pairwise(plan):
        assert left.end == right.first
    for stage, share in zip(plan, shares, strict=True):
        assert abs((stage.end - stage.first) - share * steps) <= 1
        assert stage.windows * stage.length == 64


def test_bases_per_step_stay_constant_and_no_window_comes_twice() -> None:
    config = PretrainConfig(steps=10, batch_size=4, length=64, stages="8:0.3,32:0.3,64:0.4")
    data, windows = build(config)
    shapes = []
    for batch in PositionBatches(steps=10, batch_size=4):
        joined = data.collate([data[p] for p in batch])
        shapes.append(tuple(joined["input_ids"].shape))
        assert joined["labels"].shape == joined["input_ids"].shape
    assert shapes == [(32, 8)] * 3 + [(8, 32)] * 3 + [(4, 64)] * 4
    asked = [number for w in windows for number in w.asked]
    # In order, so that windows laid end to end are each seen once an epoch.
    assert asked == list(range(3 * 32 + 3 * 8 + 4 * 4))


def test_constant_rows_as_in_hyenadna() -> None:
    config = PretrainConfig(steps=4, batch_size=4, length=60, stages="7:0.5,60:0.5", stage_batch="rows")
    data, _ = build(config)
    shapes = [tuple(data.collate([data[p] for p in batch])["labels"].shape) for batch in
              PositionBatches(steps=4, batch_size=4)]  # fmt: skip
    assert shapes == [(4, 7)] * 2 + [(4, 60)] * 2


@pytest.mark.parametrize(("accumulate", "world"), [(2, 1), (1, 2), (2, 2)])
def test_ranks_and_parts_share_the_rows_of_a_step(accumulate, world) -> None:
    config = PretrainConfig(steps=4, batch_size=4, length=16, stages="4:0.5,16:0.5")
    split, windows = build(config)
    for rank in range(world):
        for batch in PositionBatches(steps=4, batch_size=4, accumulate=accumulate, rank=rank, world=world):
            split.collate([split[p] for p in batch])
    whole, all_windows = build(config)
    for p in range(16):
        whole[p]
    asked, expected = ([sorted(w.asked) for w in kind] for kind in (windows, all_windows))
    assert asked == expected


def test_without_stages_positions_are_the_windows() -> None:
    genome = Genome.from_sequences({"r": "ACGTTGCA" * 40})
    windows = TrainWindows(genome, [Interval("r", 0, 320)], 16, seed=3)
    rows = LeaveOneOutWindows(windows, TOKENIZER, seed=3)
    config = PretrainConfig(steps=5, batch_size=2, length=16)
    data = StagedWindows(config.stage_plan(), [rows], 2)
    for p in (0, 3, 9):
        assert (data[p]["input_ids"].numpy() == windows.ids(p)[None]).all()


def test_tokens_per_step_sets_the_rows() -> None:
    config = PretrainConfig(length=64, tokens_per_step=640)
    assert config.batch_size == 10
    assert config.schedule_ends
    with pytest.raises(UserError, match="multiple of --length 64"):
        PretrainConfig(length=64, tokens_per_step=100)


def test_stages_tie_the_run_to_its_number_of_steps() -> None:
    constant = {"lr": 1e-3, "min_lr": 1e-3, "warmup": 0.0}
    assert not PretrainConfig(**constant).schedule_ends
    assert PretrainConfig(**constant, length=64, stages="64:1").schedule_ends
