"""Windows of K steps for training a policy, drawn as the Decision Transformer draws them (Chen et al. 2021).

    windows = EpisodeWindows(steps, length=20, seed=0)             # endless: what stands at a position never changes
    batch = windows.__getitems__(range(64))                 # {"states": (64, 20, W), "actions": ..., "mask": ...}

An episode is drawn in proportion to its length and its first step uniformly, which is a uniform draw among all steps;
what lies behind the episode's end is missing, and the window is padded on the left: states with zeros from before they
were normalised, continuous actions with -10, everything else with 0, under the mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from seqrl.data.windows_steps import Steps
from seqsuite.data.order import item_seed

FIELDS = ("states", "actions", "returns_to_go", "timesteps", "mask")
"""What every batch holds; "rewards", "dones", "next_states", "next_returns" and "next_mask" can be had as well."""
_DRAW = 1
_SHIFTS = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def draw_uniform(seed: int, stream: int, positions: Sequence[int] | np.ndarray) -> np.ndarray:
    """Return one number of [0, 1) for each position, a pure function of it: the top bits of core's `item_seed`.

    Args:
        seed: The run's seed.
        stream: What the numbers are for; other streams are independent.
        positions: (n,), at least 0.

    Returns:
        (n,) float64.
    """
    # `item_seed` mixes its keys one by one; up to the position they are the same for all.
    state = np.uint64(_before_last_key(seed, stream))
    value = _mixed(state ^ np.asarray(positions, np.uint64))
    return (value >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _before_last_key(seed: int, stream: int) -> int:
    return int(_mixed(np.asarray([item_seed(seed, stream)], np.uint64))[0])


def _mixed(values: np.ndarray) -> np.ndarray:
    """SplitMix64's step and finaliser, of many numbers; arithmetic wraps around."""
    values = values + _GOLDEN
    for shift, factor in _SHIFTS:
        values = (values ^ (values >> np.uint64(shift))) * np.uint64(factor)
    return values ^ (values >> np.uint64(31))


def as_batch(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return what `__getitems__` made: it is a batch already."""
    return batch


class EpisodeWindows(Dataset[Any]):
    """Windows of consecutive steps within one episode.

    Args:
        steps: All steps.
        length: L, steps of a window: the model's context, or several segments of it.
        seed: Of the draws; None: every step of the kept episodes once, in order, for measuring.
        keep: Which episodes take part; None: all.
        inside: Move a window that would reach beyond its episode's end back to where it ends there, as the Atari
            agent's are; only an episode shorter than a window is padded.
        pad: The side that is padded; "right" keeps segments where evaluation has them.
        fields: What a batch holds; see `FIELDS`.

    Raises:
        ValueError: There is no step to draw, or states after steps are asked for and were not prepared.
    """

    collate = staticmethod(as_batch)

    def __init__(
        self,
        steps: Steps,
        length: int,
        *,
        seed: int | None,
        keep: np.ndarray | None = None,
        inside: bool = False,
        pad: Literal["left", "right"] = "left",
        fields: Sequence[str] = FIELDS,
    ) -> None:
        self.steps, self.length, self.seed, self.inside, self.pad = steps, length, seed, inside, pad
        self.fields = tuple(fields)
        if "next_states" in self.fields and steps.next_states is None:
            raise ValueError("next_states: prepare the steps with following=True")
        episodes = np.arange(len(steps.offsets) - 1) if keep is None else np.asarray(keep, np.int64)
        self._begin = steps.offsets[episodes]
        self._ends = np.cumsum(steps.offsets[episodes + 1] - self._begin)
        self._starts = np.concatenate(([0], self._ends[:-1]))
        if length < 1 or not len(episodes) or not self._ends[-1]:
            raise ValueError(f"no window of {length} steps in {len(episodes)} episodes")
        self._ordered = None
        if seed is None:
            first = [np.arange(steps.offsets[e], steps.offsets[e + 1], length) for e in episodes]
            self._ordered = np.concatenate(first)

    def __len__(self) -> int:
        """Windows of a measurement; of draws, which never end, the steps that can be drawn."""
        return int(self._ends[-1]) if self._ordered is None else len(self._ordered)

    def locate(self, positions: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return the first step (n,) of the windows at some positions, as a row of `steps`."""
        if self._ordered is not None:
            return self._ordered[np.asarray(positions)]
        assert self.seed is not None
        total = int(self._ends[-1])
        drawn = (draw_uniform(self.seed, _DRAW, positions) * total).astype(np.int64)
        episode = np.searchsorted(self._ends, drawn, side="right")
        first = self._begin[episode] + drawn - self._starts[episode]
        if self.inside:
            stop = self.steps.offsets[self.steps.episode[first] + 1]
            first = np.maximum(np.minimum(first, stop - self.length), self._begin[episode])
        return first

    def gather(self, first: np.ndarray) -> dict[str, Tensor]:
        """Return the windows that begin at some steps.

        Args:
            first: (n,), rows of `steps`.

        Returns:
            `fields`, each (n, L, ...).
        """
        first = np.asarray(first, np.int64)[:, None]
        stop = np.minimum(first + self.length, self.steps.offsets[self.steps.episode[first] + 1])
        index = first + np.arange(self.length)
        if self.pad == "left":
            index = index - (first + self.length - stop)
        valid = (index >= first) & (index < stop)
        index = np.where(valid, index, first)
        missing = None if valid.all() else ~valid
        return {name: torch.from_numpy(self._field(name, index, valid, missing)) for name in self.fields}

    def _field(self, name: str, index: np.ndarray, valid: np.ndarray, missing: np.ndarray | None) -> np.ndarray:
        steps = self.steps
        padding: Any = 0
        if name == "mask":
            return valid
        if name == "next_mask":
            return valid & steps.next_known[index]
        if name == "states":
            source, padding = steps.states, steps.state_padding
        elif name == "next_states":
            assert steps.next_states is not None
            source, padding = steps.next_states, steps.state_padding
        elif name == "actions":
            source, padding = steps.actions, steps.action_padding
        elif name == "dones":
            source, padding = steps.terminations.view(np.int8), 2
        else:
            named = {"returns_to_go": "returns", "next_returns": "next_returns"}
            source = getattr(steps, named.get(name, name))
        values: np.ndarray = source[index]
        if name == "dones":
            values = values.astype(np.int64)
        if missing is not None:
            values[missing] = padding
        return values

    def __getitems__(self, positions: Sequence[int]) -> dict[str, Tensor]:
        """Return the batch at some positions."""
        return self.gather(self.locate(positions))

    def __getitem__(self, position: int) -> dict[str, Tensor]:
        return {name: part[0] for name, part in self.__getitems__([position]).items()}
