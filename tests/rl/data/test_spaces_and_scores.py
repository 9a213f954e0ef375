"""Spaces as text and arrays, against gymnasium's own functions; scores against D4RL's table."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Sequence, Text, Tuple

from seqrl.scores import D4RL_DATASETS, Reference, comparable, d4rl_reference, normalized_score, reference_for
from seqrl.spaces import (
    action_kind,
    action_width,
    decode_actions,
    encode_actions,
    encode_observations,
    flatten_elements,
    is_pixels,
    observation_width,
    space_from_json,
    space_to_json,
    unflatten_elements,
)
from seqsuite.errors import UserError

SPACES = [
    Box(-np.inf, np.inf, (3,), np.float32),
    Box(np.array([[-1.0, -2.0]]), np.array([[1.0, 2.5]]), dtype=np.float64),
    Box(-1, 1, (), np.float32),
    Box(0, 255, (84, 84, 4), np.uint8),
    Discrete(5, start=2),
    MultiDiscrete([3, 4]),
    MultiDiscrete([[2, 3], [4, 5]]),
    MultiBinary(4),
    MultiBinary([2, 3]),
    Dict({"b": Discrete(3), "a": Box(-1, 1, (2, 2), np.float32), "c": Tuple((MultiBinary(2), Discrete(2, start=1)))}),
    Tuple((Discrete(2), Dict({"x": Box(0, 1, (1,), np.float64)}))),
]


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_text_round_trip(space):
    assert space_from_json(space_to_json(space)) == space


def test_text_of_pixels_is_short_and_minaris_is_read():
    from minari.serialization import serialize_space

    pixels = Box(0, 255, (84, 84, 4), np.uint8)
    assert len(space_to_json(pixels)) < 200
    assert space_from_json(serialize_space(Box(-2, 3, (2,), np.float32))) == Box(-2, 3, (2,), np.float32)
    for text in ("", "[]", "{}", '{"type": "Cube"}', '{"type": "Box"}'):
        with pytest.raises(UserError, match="no space"):
            space_from_json(text)
    with pytest.raises(UserError, match="cannot be stored"):
        space_to_json(Sequence(Discrete(2)))


@pytest.mark.parametrize("space", [s for s in SPACES if not is_pixels(s)], ids=str)
def test_observations_are_flattened_as_gymnasium_does(space):
    """One by one, in batches of any axes, and back."""
    space.seed(0)
    rows = [space.sample() for _ in range(6)]
    expected = np.stack([gymnasium.spaces.flatten(space, row) for row in rows])
    assert observation_width(space) == gymnasium.spaces.flatdim(space)
    for row, flat in zip(rows, expected, strict=True):
        np.testing.assert_array_equal(encode_observations(space, row), flat.astype(np.float32))
    batch = gymnasium.vector.utils.concatenate(space, rows, gymnasium.vector.utils.create_empty_array(space, 6))
    encoded = encode_observations(space, batch)
    assert encoded.dtype == np.float32
    np.testing.assert_array_equal(encoded, expected.astype(np.float32))
    whole = unflatten_elements(space, flatten_elements(space, batch))
    np.testing.assert_array_equal(flatten_elements(space, whole), flatten_elements(space, batch))
    if not isinstance(space, Dict | Tuple):
        np.testing.assert_array_equal(whole, batch)
        twice = np.stack([batch, batch])
        np.testing.assert_array_equal(encode_observations(space, twice), np.stack([encoded, encoded]))


def test_what_cannot_be_encoded():
    with pytest.raises(UserError, match="are images"):
        observation_width(Box(0, 255, (8, 8, 3), np.uint8))
    with pytest.raises(UserError, match="no fixed number"):
        observation_width(Text(5))
    with pytest.raises(UserError, match=r"has shape \(3,\); these have shape \(2, 4\)"):
        encode_observations(Box(-1, 1, (3,)), np.zeros((2, 4)))
    with pytest.raises(UserError, match="5 choices"):
        encode_observations(Discrete(5), np.array([5]))


def test_actions():
    box = Box(np.array([-2.0, 0.0], dtype="f4"), np.array([2.0, 1.0], dtype="f4"))
    assert (action_kind(box), action_width(box)) == ("continuous", 2)
    values = np.array([[[3.0, -1.0], [0.5, 0.25]]])
    assert encode_actions(box, values).dtype == np.float32
    np.testing.assert_array_equal(decode_actions(box, values, clip=True), [[[2, 0], [0.5, 0.25]]])
    np.testing.assert_array_equal(decode_actions(box, encode_actions(box, values)), values)
    choice = Discrete(3, start=-1)
    assert (action_kind(choice), action_width(choice)) == ("discrete", 3)
    np.testing.assert_array_equal(encode_actions(choice, np.array([-1, 0, 1])), [0, 1, 2])
    assert choice.contains(decode_actions(choice, np.int64(2))[()])
    square = Box(-1, 1, (2, 2))
    assert encode_actions(square, square.sample()).shape == (4,)
    assert square.contains(decode_actions(square, encode_actions(square, square.sample())))
    with pytest.raises(UserError, match="must be a Box of floats or Discrete"):
        action_kind(MultiDiscrete([2, 2]))


def test_scores_end_at_0_and_1_and_are_linear():
    for name in D4RL_DATASETS:
        reference = d4rl_reference(name)
        ends = np.array([reference.minimum, reference.maximum, (reference.minimum + reference.maximum) / 2])
        np.testing.assert_allclose(normalized_score(ends, reference), [0, 1, 0.5], atol=1e-12)
    assert isinstance(normalized_score(3.0, reference), float)


def test_a_published_score():
    """D4RL's paper gives Hammer's expert as 12794.13 and Door's random as -56.51; a replay set shares them."""
    assert d4rl_reference("hammer-cloned-v1").maximum == pytest.approx(12794.13, abs=0.01)
    assert d4rl_reference("door-human-v0").minimum == pytest.approx(-56.51, abs=0.01)
    assert d4rl_reference("hopper-full-replay-v2") == d4rl_reference("hopper-random-v0")


def test_names():
    with pytest.raises(UserError, match="Did you mean 'hopper-medium-v2'"):
        d4rl_reference("hoper-medium-v2")
    assert reference_for("hopper_medium-v2") == reference_for("Hopper-v5") == d4rl_reference("hopper-medium-v2")
    assert reference_for("CartPole-v1") is None
    assert Reference.from_dict(d4rl_reference("ant-expert-v2").to_dict()) == d4rl_reference("ant-expert-v2")
    assert Reference.from_dict({}) is None
    for bad in ((1.0, 1.0), (2.0, 1.0), (float("nan"), 1.0)):
        with pytest.raises(UserError, match="reference scores"):
            Reference(*bad, "mine")


def test_comparable():
    hopper = d4rl_reference("hopper-medium-v2")
    assert comparable("Hopper-v2", hopper)[0]
    assert comparable("hopper-expert-v2", hopper)[0]
    for env_id in ("Hopper-v5", "Hopper-v4", "Walker2d-v2", "walker2d-medium-v2", "CartPole-v1", ""):
        assert not comparable(env_id, hopper)[0]
    assert "v5" in comparable("Hopper-v5", hopper)[1]
    assert not comparable("Hopper-v2", None)[0]
    assert comparable("CartPole-v1", Reference(20, 500, "metadata of cartpole-v0"))[0]
