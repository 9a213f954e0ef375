"""Small sets of episodes, made by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple

from seqrl.data.episodes import Episodes
from seqrl.scores import Reference
from seqrl.spaces import flatten_elements, is_nested

LENGTHS = (4, 1, 6)

OBSERVATIONS = {
    "box": Box(-np.inf, np.inf, (3,), np.float32),
    "box64": Box(np.array([[-1.0, -2.0]]), np.array([[1.0, 2.5]]), dtype=np.float64),
    "pixels": Box(0, 255, (40, 36, 3), np.uint8),
    "discrete": Discrete(5, start=2),
    "multi": MultiDiscrete([3, 4]),
    "dict": Dict({"joint": Box(-1, 1, (2,), np.float32), "goal": Discrete(3), "on": MultiBinary(2)}),
    "tuple": Tuple((Box(-1, 1, (2, 2), np.float64), Dict({"a": Discrete(2, start=1)}))),
}
ACTIONS = {
    "box": Box(-1, 1, (2,), np.float32),
    "discrete": Discrete(3),
    "shifted": Discrete(3, start=-1),
    "multi": MultiDiscrete([2, 3]),
    "tuple": Tuple((Discrete(2), Box(0, 1, (1,), np.float32))),
}


def sampled(space: Any, count: int) -> np.ndarray:
    """Elements of a space as `Episodes` keeps them."""
    rows = [space.sample() for _ in range(count)]
    if not is_nested(space):
        return np.stack(rows).astype(space.dtype)
    return np.stack([flatten_elements(space, row) for row in rows])


@pytest.fixture
def make() -> Callable[..., Episodes]:
    """A maker of three episodes of any spaces, with everything a set can carry."""

    def build(observations: str = "box", actions: str = "box", *, finals: bool = True, **other: Any) -> Episodes:
        spaces = OBSERVATIONS[observations], ACTIONS[actions]
        for seed, space in enumerate(spaces):
            space.seed(seed)
        steps, count = sum(LENGTHS), len(LENGTHS)
        offsets = np.concatenate([[0], np.cumsum(LENGTHS)])
        terminations, truncations = np.zeros((2, steps), dtype=bool)
        terminations[offsets[1:3] - 1] = True
        truncations[offsets[2:] - 1] = True  # the second episode ends both ways
        generator = np.random.default_rng(0)
        fields = {
            "infos": {"qpos": generator.normal(size=(steps, 2)), "time": generator.normal(size=steps).astype("f4")},
            "reward_type": "float32",
            "seeds": (7, None, 2**40),
            "env_id": "Toy-v0",
            "reference": Reference(-1.5, 20.25, "metadata of toy-v0"),
        }
        return Episodes(
            observations=sampled(spaces[0], steps),
            actions=sampled(spaces[1], steps),
            rewards=generator.normal(size=steps).astype(np.float32).astype(np.float64),
            terminations=terminations,
            truncations=truncations,
            offsets=offsets,
            observation_space=spaces[0],
            action_space=spaces[1],
            final_observations=sampled(spaces[0], count) if finals else None,
            source="toy",
            **fields | other,
        )

    return build


@pytest.fixture
def hdf5(tmp_path: Path) -> Callable[..., Path]:
    """A writer of HDF5 files by hand, as D4RL's are: keys with slashes are groups."""

    def write(name: str = "toy.hdf5", **arrays: Any) -> Path:
        path = tmp_path / name
        with h5py.File(path, "w") as file:
            for key, values in arrays.items():
                if values is not None:
                    file[key] = values
        return path

    return write


@pytest.fixture
def flat() -> dict[str, np.ndarray]:
    """Ten rows of a D4RL file: a terminal at row 3, a timeout at row 7, two rows after it."""
    generator = np.random.default_rng(1)
    arrays = {
        "observations": generator.normal(size=(10, 3)).astype(np.float32),
        "actions": generator.uniform(-1, 1, size=(10, 2)).astype(np.float32),
        "rewards": generator.normal(size=10).astype(np.float32),
        "terminals": np.zeros(10, dtype=bool),
        "timeouts": np.zeros(10, dtype=bool),
    }
    arrays["terminals"][3], arrays["timeouts"][7] = True, True
    return arrays


@pytest.fixture
def same() -> Callable[..., None]:
    """A comparison of two sets, types included."""

    def compare(a: Episodes, b: Episodes) -> None:
        steps = ("observations", "actions", "rewards", "terminations", "truncations")
        for name in (*steps, "offsets", "final_observations"):
            x, y = getattr(a, name), getattr(b, name)
            assert (x is None) == (y is None), name
            if x is not None:
                assert x.dtype == y.dtype, name
                np.testing.assert_array_equal(x, y, err_msg=name)
        for name in ("infos", "final_infos"):
            x, y = getattr(a, name), getattr(b, name)
            assert x.keys() == y.keys(), name
            for key in x:
                assert x[key].dtype == y[key].dtype, (name, key)
                np.testing.assert_array_equal(x[key], y[key], err_msg=key)
        spaces = ("observation_space", "action_space")
        for name in (*spaces, "env_id", "env_spec", "reference", "seeds", "options", "reward_type"):
            assert getattr(a, name) == getattr(b, name), name

    return compare
