"""Logged episodes in memory: flat arrays and the rows at which episodes begin.

    episodes = open_episodes("hopper_medium-v2.hdf5")
    episodes.returns.max(), episodes.episode(3).rewards, episodes.select(episodes.returns > 3000)

Row t of an episode holds the observation before action t, the action, and the reward and flags that came
after it. What was observed after the last action is kept apart (`final_observations`), where the source has it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from seqrl.scores import Reference
from seqsuite.errors import UserError
from seqsuite.reports import TableView

if TYPE_CHECKING:
    from gymnasium import Space
    from matplotlib.figure import Figure

STEP_ARRAYS = ("observations", "actions", "rewards", "terminations", "truncations")


@dataclass(frozen=True, eq=False)
class Episode:
    """One episode of T steps; the arrays are views.

    Args:
        observations: `(T, *S)`, before each action.
        actions: `(T, *A)`.
        rewards: (T,).
        terminations: (T,), whether the environment ended the episode at the step.
        truncations: (T,), whether it was cut off there.
        final_observation: `(*S,)`, after the last action; None where it is not known.
        infos: More arrays of T rows, by name.
    """

    observations: NDArray[Any]
    actions: NDArray[Any]
    rewards: NDArray[np.float64]
    terminations: NDArray[np.bool_]
    truncations: NDArray[np.bool_]
    final_observation: NDArray[Any] | None = None
    infos: dict[str, NDArray[Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rewards)

    @property
    def total_return(self) -> float:
        """The sum of the rewards."""
        return float(self.rewards.sum())


@dataclass(frozen=True, eq=False)
class Episodes(TableView):
    """E episodes of N steps in all.

    Args:
        observations: `(N, *S)`; (N, width) flattened where the space is a Dict or Tuple (see `seqrl.spaces`).
        actions: `(N, *A)`; likewise.
        rewards: (N,) float64.
        terminations: (N,) bool.
        truncations: (N,) bool.
        offsets: (E + 1,) int64; episode i is the rows offsets[i] to offsets[i + 1].
        observation_space: The space of one observation, as the environment gives it.
        action_space: The space of one action.
        final_observations: `(E, *S)`, what followed the last step; None where it is not known.
        infos: Further arrays (N, ...) by name; row t belongs to observation t. "a/b" is b within a.
        final_infos: Arrays (E, ...) that belong to the final observations.
        env_id: The environment, as gymnasium names it; empty: not known.
        env_spec: Its specification as gymnasium writes it; empty: not known.
        reference: The returns that count as 0 and 1.
        metadata: What else the source says: texts, numbers, arrays, and dicts of those.
        source: Where the episodes come from, for messages.
        seeds: (E) seeds of the resets; empty: not known.
        options: (E) options of the resets; empty: not known.
        reward_type: The type the rewards are stored in.
        notes: What a user should know of the reading.
    """

    observations: NDArray[Any]
    actions: NDArray[Any]
    rewards: NDArray[np.float64]
    terminations: NDArray[np.bool_]
    truncations: NDArray[np.bool_]
    offsets: NDArray[np.int64]
    observation_space: Space[Any]
    action_space: Space[Any]
    final_observations: NDArray[Any] | None = None
    infos: dict[str, NDArray[Any]] = field(default_factory=dict)
    final_infos: dict[str, NDArray[Any]] = field(default_factory=dict)
    env_id: str = ""
    env_spec: str = ""
    reference: Reference | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    source: str = ""
    seeds: tuple[int | None, ...] = ()
    options: tuple[dict[str, Any] | None, ...] = ()
    reward_type: str = "float64"
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def steps(self) -> int:
        """N, the steps of all episodes."""
        return len(self.rewards)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(E,) steps of each episode."""
        return np.diff(self.offsets)

    @cached_property
    def returns(self) -> NDArray[np.float64]:
        """(E,) undiscounted return of each episode."""
        # Each episode alone, so that its return does not depend on which others are beside it.
        return np.array([self.rewards[a:b].sum() for a, b in zip(self.offsets[:-1], self.offsets[1:], strict=True)])

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the contents: the same for the same steps, whatever file they came from."""
        digest = hashlib.sha256()
        names = (*STEP_ARRAYS, "offsets", *(["final_observations"] if self.final_observations is not None else []))
        for name in names:
            array = np.ascontiguousarray(getattr(self, name))
            digest.update(f"{name} {array.dtype.str} {array.shape};".encode())
            digest.update(array.data if array.size else b"")
        return digest.hexdigest()

    def episode(self, index: int) -> Episode:
        """Return one episode as views, counted from 0 (or from the end, negative)."""
        index = range(len(self))[index]
        rows = slice(int(self.offsets[index]), int(self.offsets[index + 1]))
        return Episode(
            **{name: getattr(self, name)[rows] for name in STEP_ARRAYS},
            final_observation=None if self.final_observations is None else self.final_observations[index],
            infos={name: values[rows] for name, values in self.infos.items()},
        )

    def select(self, indices: NDArray[Any] | Sequence[int]) -> Episodes:
        """Return some of the episodes, in the order given.

        Args:
            indices: Episode numbers, or a mask (E,) of booleans.
        """
        chosen = np.arange(len(self))[np.asarray(indices, dtype=None if len(indices) else np.int64)]
        lengths = self.lengths[chosen]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        rows = np.arange(offsets[-1]) + np.repeat(self.offsets[chosen] - offsets[:-1], lengths)
        return replace(
            self,
            **{name: getattr(self, name)[rows] for name in STEP_ARRAYS},
            offsets=offsets,
            final_observations=None if self.final_observations is None else self.final_observations[chosen],
            infos={name: values[rows] for name, values in self.infos.items()},
            final_infos={name: values[chosen] for name, values in self.final_infos.items()},
            seeds=tuple(self.seeds[i] for i in chosen) if self.seeds else (),
            options=tuple(self.options[i] for i in chosen) if self.options else (),
        )

    def where(self, row: int) -> str:
        """Name a row for a message: its number in the flat arrays, its episode and its step."""
        episode = int(np.searchsorted(self.offsets, row, side="right")) - 1
        return f"row {row} (episode {episode}, step {row - int(self.offsets[episode])})"

    def check(self) -> Episodes:
        """Return the episodes if they can be learned from.

        Raises:
            UserError: Lengths differ, an episode is empty, a value is not finite, an action is out of its space.
        """
        from seqrl.data.checking import check_episodes

        check_episodes(self)
        return self

    def table(self) -> Mapping[str, Any]:
        """Return the summary that `seqrl inspect` prints."""
        from seqrl.data.inspecting import inspect_episodes

        return inspect_episodes(self).table()

    def figure(self) -> Figure:
        """Draw the histogram of the returns."""
        from seqrl.data.inspecting import inspect_episodes

        return inspect_episodes(self).figure()

    @classmethod
    def from_list(
        cls, episodes: Sequence[Episode], observation_space: Space[Any], action_space: Space[Any], **other: Any
    ) -> Episodes:
        """Build from episodes one by one.

        Args:
            episodes: At least one; infos that not all of them have are left out.
            observation_space: Of one observation.
            action_space: Of one action.
            **other: Further fields of `Episodes`.

        Raises:
            UserError: There is no episode.
        """
        if not episodes:
            raise UserError(f"{other.get('source') or 'the data'}: holds no episode")
        finals = [episode.final_observation for episode in episodes]
        known = [name for name in episodes[0].infos if all(name in episode.infos for episode in episodes)]
        return cls(
            observations=np.concatenate([episode.observations for episode in episodes]),
            actions=np.concatenate([episode.actions for episode in episodes]),
            rewards=np.concatenate([episode.rewards for episode in episodes]).astype(np.float64),
            terminations=np.concatenate([episode.terminations for episode in episodes]).astype(bool),
            truncations=np.concatenate([episode.truncations for episode in episodes]).astype(bool),
            offsets=np.concatenate([[0], np.cumsum([len(episode) for episode in episodes])]).astype(np.int64),
            observation_space=observation_space,
            action_space=action_space,
            final_observations=None if any(final is None for final in finals) else np.stack(finals),  # type: ignore[arg-type]
            infos={name: np.concatenate([episode.infos[name] for episode in episodes]) for name in known},
            **other,
        )


def join_episodes(parts: Sequence[Episodes]) -> Episodes:
    """Put several sets of the same environment one after the other; the first one's metadata stays.

    Args:
        parts: At least one, of equal spaces.

    Raises:
        UserError: The spaces differ.
    """
    first = parts[0]
    for other in parts[1:]:
        if (other.observation_space, other.action_space) != (first.observation_space, first.action_space):
            raise UserError(f"{other.source}: its spaces are not those of {first.source}; they cannot be joined")
    joined = Episodes.from_list(
        [part.episode(i) for part in parts for i in range(len(part))],
        first.observation_space,
        first.action_space,
        env_id=first.env_id,
        env_spec=first.env_spec,
        reference=first.reference,
        metadata=first.metadata,
        reward_type=first.reward_type,
        source=" + ".join(part.source for part in parts),
        seeds=sum((part.seeds for part in parts), ()) if all(part.seeds for part in parts) else (),
        options=sum((part.options for part in parts), ()) if all(part.options for part in parts) else (),
        notes=tuple(dict.fromkeys(note for part in parts for note in part.notes)),
    )
    names = [name for name in first.final_infos if all(name in part.final_infos for part in parts)]
    finals = {name: np.concatenate([part.final_infos[name] for part in parts]) for name in names}
    return replace(joined, final_infos=finals)


def returns_to_go(rewards: NDArray[Any], discount: float = 1.0) -> NDArray[np.float64]:
    """Return what is still to come at each step: R_t = r_t + discount R_{t+1}.

    Args:
        rewards: (T,) rewards of one episode.
        discount: Between 0 and 1.

    Returns:
        (T,) float64.
    """
    values = np.asarray(rewards, dtype=np.float64)
    if discount == 1.0:
        return values[::-1].cumsum()[::-1].copy()
    found = np.empty_like(values)
    later = 0.0
    for step in range(len(values) - 1, -1, -1):
        later = found[step] = values[step] + discount * later
    return found
