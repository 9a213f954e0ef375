"""Which frames make a clip: laws of stretches, pieces, padding and frame rates."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqsuite.data.order import item_rng
from seqsuite.errors import UserError
from seqvision.data.video_sampling import Sampling, frame_grid

NUMBERS = {"frames": st.integers(1, 12), "stride": st.integers(1, 5), "count": st.integers(1, 90)}
KINDS = st.sampled_from(["dense", "sparse"])


@given(**NUMBERS, kind=KINDS, seed=st.integers(0, 2**32))
def test_long_videos_give_rising_frames_inside(frames, stride, count, kind, seed):
    sampling = Sampling(frames, stride, kind=kind)
    numbers = sampling.random(count, item_rng(seed))
    assert numbers.shape == (frames,)
    assert numbers.min() >= 0
    assert numbers.max() < count
    assert (np.diff(numbers) >= 0).all()
    if kind == "dense" and count >= sampling.span:
        assert set(np.diff(numbers)) <= {stride}
    if kind == "sparse" and count >= frames:
        # One frame of each piece: the t-th begins at floor(t * count / T).
        edges = [t * count // frames for t in range(frames + 1)]
        assert all(low <= number < high for number, low, high in zip(numbers, edges[:-1], edges[1:], strict=True))


@given(**NUMBERS, kind=KINDS, views=st.integers(1, 5))
def test_views_lie_evenly(frames, stride, count, kind, views):
    sampling = Sampling(frames, stride, kind=kind)
    clips = sampling.spaced(count, views)
    assert clips.shape == (views, frames)
    if count < sampling.span:
        assert (clips == clips[0]).all()
        return
    if kind == "dense":
        starts, room = clips[:, 0], count - sampling.span
        if views > 1:
            assert (starts[0], clips[-1, -1]) == (0, count - 1) or room == 0
            assert np.abs(np.diff(starts) - room / (views - 1)).max() <= 1
        else:
            assert abs((clips[0, 0] + clips[0, -1]) - (count - 1)) <= 1
    elif views > 1 and count >= frames:
        edges = np.array([t * count // frames for t in range(frames + 1)])
        np.testing.assert_array_equal(clips[0], edges[:-1])
        np.testing.assert_array_equal(clips[-1], edges[1:] - 1)


def test_every_start_and_every_frame_of_a_piece_can_be_drawn():
    dense = {int(Sampling(4, 2).random(10, item_rng(0, draw))[0]) for draw in range(200)}
    assert dense == {0, 1, 2, 3}
    sparse = np.array([Sampling(3, kind="sparse").random(10, item_rng(0, draw)) for draw in range(300)])
    assert [set(column.tolist()) for column in sparse.T] == [{0, 1, 2}, {3, 4, 5}, {6, 7, 8, 9}]


@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_short_videos(kind):
    def seen(short: str) -> list[int]:
        return Sampling(6, 1, kind=kind, short=short).random(4, item_rng(0)).tolist()

    assert seen("hold") == [0, 1, 2, 3, 3, 3]
    assert seen("loop") == [0, 1, 2, 3, 0, 1]
    with pytest.raises(UserError, match="4 frames are too few for a clip of 6"):
        seen("error")
    assert Sampling(4, 1, kind=kind, short="error").random(4, item_rng(0)).tolist() == [0, 1, 2, 3]


def test_the_same_generator_draws_the_same():
    sampling = Sampling(5, 3)
    assert sampling.random(90, item_rng(3, 7)).tolist() == sampling.random(90, item_rng(3, 7)).tolist()
    assert len({int(sampling.random(90, item_rng(3, draw))[0]) for draw in range(40)}) > 10


def test_a_stretch_holds_the_frames_between_its_ends():
    times = np.arange(100) / 25
    assert frame_grid(times, 0).tolist() == list(range(100))
    assert frame_grid(times, 0, start=1.0, seconds=0.4).tolist() == list(range(25, 35))
    assert frame_grid(times, 0, start=3.9).tolist() == [98, 99]
    assert frame_grid(times, 0, start=7.0).tolist() == []


@given(st.integers(2, 100), st.sampled_from([5, 10, 12.5, 24, 25, 30, 50, 60]), st.floats(2, 70))
def test_another_rate_shows_the_frame_of_each_moment(count, file_rate, rate):
    times = np.arange(count) / file_rate
    numbers = frame_grid(times, rate)
    assert abs(len(numbers) - count / file_rate * rate) <= 1
    moments = np.arange(len(numbers)) / rate
    for moment, number in zip(moments, numbers, strict=True):
        assert times[number] <= moment + 1e-5
        assert number == count - 1 or times[number + 1] > moment - 1e-5


def test_a_single_frame_has_no_duration_that_could_be_told():
    assert frame_grid(np.zeros(1), 30.0).tolist() == [0]


def test_half_the_rate_is_every_other_frame():
    assert frame_grid(np.arange(9) / 30, 15).tolist() == [0, 2, 4, 6, 8]
    assert frame_grid(np.arange(4) / 10, 20).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


@pytest.mark.parametrize(
    ("options", "say"),
    [
        ({"frames": 0}, "--frames is 0"),
        ({"stride": 0}, "at least 1"),
        ({"frame_rate": float("inf")}, "frames a second"),
        ({"kind": "sparce"}, "Did you mean 'sparse'"),
        ({"short": "hol"}, "Did you mean 'hold'"),
    ],
)
def test_options_that_make_no_sense(options, say):
    with pytest.raises(UserError, match=say):
        Sampling(**options)
