"""Environments are made, or one line says why not."""

from __future__ import annotations

import numpy as np
import pytest

from seqrl.environments import make_environment, make_vector
from seqsuite.errors import UserError


@pytest.mark.parametrize(
    ("env_id", "options", "told"),
    [
        ("CartPol-v1", {}, "Did you mean 'CartPole-v1'"),
        ("cartpole", {}, "Did you mean 'CartPole-v1'"),
        ("tmaze", {}, "'seqrl/TMaze-v0'"),
        ("CartPole-v9", {}, "'CartPole-v1'"),
        ("a b", {}, "Unknown environment"),
        ("Hopper-v2", {}, "Hopper-v5"),
        ("ALE/Pong-v5", {}, "pip install 'ale-py'"),
        ("phys2d/CartPole-v1", {}, "pip install 'gymnasium[jax]'"),
        ("nowhere_at_all:Env-v0", {}, "nowhere_at_all"),
        ("CartPole-v1", {"sutton_barto_rewards": True}, "Did you mean 'sutton_barto_reward'"),
        ("FrozenLake-v1", {"map_name": "9x9"}, "map_name='9x9'"),
        ("seqrl/TMaze-v0", {"corridor_length": 0}, "corridor_length is 0"),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_cannot_be_made_is_told_in_one_line(env_id: str, options: dict[str, object], told: str) -> None:
    with pytest.raises(UserError) as caught:
        make_environment(env_id, **options)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_hopper_steps_without_a_display() -> None:
    environment = make_environment("Hopper-v5")
    observation, _ = environment.reset(seed=0)
    assert observation.shape == (11,)
    for _ in range(5):
        observation, reward, *_ = environment.step(np.zeros(3, np.float32))
    assert np.isfinite(observation).all()
    assert np.isfinite(reward)
    environment.close()


def test_a_vector_keeps_the_last_observation_until_it_is_told_to_reset() -> None:
    alone = make_environment("CartPole-v1")
    vector = make_vector("CartPole-v1", 2)
    vector.reset(seed=[5, 6])
    alone.reset(seed=5)
    ended = False
    while not ended:
        expected, _, ended, _, _ = alone.step(1)
        found, _, terminated, _, _ = vector.step(np.array([1, 0]))
        np.testing.assert_array_equal(found[0], expected)
    assert terminated.tolist() == [True, False]
    other = found[1]
    found, _ = vector.reset(seed=[9, 0], options={"reset_mask": terminated})
    np.testing.assert_array_equal(found[0], alone.reset(seed=9)[0])
    np.testing.assert_array_equal(found[1], other)


def test_no_vector_of_nothing() -> None:
    with pytest.raises(UserError, match="at least 1"):
        make_vector("CartPole-v1", 0)
