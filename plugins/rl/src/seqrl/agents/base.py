"""What every agent is: reset, act, observe; for one environment or for N at once.

    agent.reset(target_return=3600)                     # one environment: no leading axis anywhere
    action = agent.act(observation)                     # what env.step takes
    agent.observe(reward)

    agent.reset([3600, 1800], num_envs=2, seed=[0, 1])  # two environments: everything has a leading 2
    agent.restart([1])                                  # a new episode in the second, the first goes on
    agent.rest([0])                                     # no more thought for the first: it gets any action

A kind of agent is a subclass with four methods, `_allocate`, `_begin`, `_act` and `_observe`, which always see the
leading axis. Whatever an agent draws for a row comes from that row's own generator, so that what a row does does not
depend on the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from seqrl.spaces import decode_actions, encode_observations, is_pixels, space_from_json
from seqsuite.errors import UserError

if TYPE_CHECKING:
    import gymnasium

    from seqrl.configs.models import PolicyConfig
    from seqsuite.models.base import Model

Numbers = float | Sequence[Any] | np.ndarray


class Agent:
    """A trained policy that plays.

    Args:
        model: Its network; put in evaluation mode. `model.config` is a `PolicyConfig`.
        observation_space: What it sees; None: that of the checkpoint.
        action_space: What it answers with; None: that of the checkpoint.

    Attributes:
        num_envs: Environments that it plays at once.
        active: (N,) bool: rows that are not at rest; for the others nothing need be computed.
        generators: One random generator a row, made from the row's seed when its episode begins.
        targets: The raw returns that the rows were told to reach, (N, R) float64; None: none.

    Raises:
        UserError: The checkpoint does not say its spaces and they were not given.
    """

    config: PolicyConfig
    needs_target = True
    """Whether `reset` must be told a return to reach."""

    def __init__(
        self,
        model: Model,
        *,
        observation_space: gymnasium.Space | None = None,
        action_space: gymnasium.Space | None = None,
    ) -> None:
        self.model = model.eval()
        self.config = model.config
        self.observation_space = _space("observation", observation_space, self.config.observation_space)
        self.action_space = _space("action", action_space, self.config.action_space)
        self.pixels = is_pixels(self.observation_space)
        self.num_envs = 0
        self.active = np.ones(0, dtype=bool)
        self.targets: np.ndarray | None = None
        self.generators: list[np.random.Generator] = []
        self._single = True
        self._acted = False

    @property
    def device(self) -> torch.device:
        """Where its parameters lie."""
        return next(self.model.parameters()).device

    def reset(
        self, target_return: Numbers | None = None, *, num_envs: int | None = None, seed: int | Sequence[int] = 0
    ) -> None:
        """Forget everything and begin new episodes in all rows.

        Args:
            target_return: The raw (undivided) return to reach: one for all, one a row, or (N, R) for R objectives.
            num_envs: N environments at once, and a leading N in everything; None: one, and no leading axis.
            seed: Of what is drawn; one a row, or a number from which row i gets (number, i).

        Raises:
            UserError: There are no environments, or no target where one is needed.
        """
        if num_envs is not None and num_envs < 1:
            raise UserError(f"num_envs is {num_envs}; it must be at least 1")
        if target_return is None and self.needs_target:
            raise UserError(f"a {type(self.model).__name__} is told what to reach: give reset(target_return=...)")
        self._single, self.num_envs = num_envs is None, num_envs or 1
        self.active = np.ones(self.num_envs, dtype=bool)
        self.targets = None if target_return is None else self._rows_of(target_return, "target_return")
        self.generators = [np.random.default_rng(key) for key in _keys(seed, self.num_envs)]
        self._acted = False
        self._allocate(self.num_envs)
        self._begin(np.arange(self.num_envs))

    def restart(
        self,
        rows: Sequence[int] | np.ndarray,
        *,
        target_return: Numbers | None = None,
        seed: Sequence[int] | None = None,
    ) -> None:
        """Begin new episodes in some rows; the others go on undisturbed.

        Args:
            rows: Their numbers, or a mask (N,) bool.
            target_return: A raw return for each of these rows, or one for all; None: what the row had.
            seed: One for each of these rows; None: the row's generator goes on.

        Raises:
            UserError: There is no such row.
        """
        rows = _numbers(rows)
        if len(rows) and not 0 <= rows.min() <= rows.max() < self.num_envs:
            raise UserError(f"restart(rows): rows are 0 .. {self.num_envs - 1}, not {rows.tolist()}")
        if target_return is not None:
            if self.targets is None:
                self.targets = np.zeros((self.num_envs, 1))
            given = np.asarray(target_return, dtype=np.float64)
            self.targets[rows] = given[:, None] if given.ndim == 1 else given
        if seed is not None:
            for row, key in zip(rows, seed, strict=True):
                self.generators[row] = np.random.default_rng(key)
        self.active[rows] = True
        self._begin(rows)

    def rest(self, rows: Sequence[int] | np.ndarray) -> None:
        """Let rows rest: they get any action, until a `restart`.

        Args:
            rows: Their numbers, or a mask (N,) bool.
        """
        self.active[_numbers(rows)] = False

    @torch.inference_mode()
    def act(self, observation: Any) -> Any:
        """Return what to do.

        Args:
            observation: What the environment shows; with a leading N after `reset(num_envs=N)`.

        Returns:
            An action of the action space; with a leading N after `reset(num_envs=N)`.

        Raises:
            UserError: The agent was not reset, or this is no observation of its environments, or not finite.
        """
        if not self.num_envs:
            raise UserError("the agent plays no episode yet; begin one with reset()")
        seen = np.asarray(observation) if self.pixels else encode_observations(self.observation_space, observation)
        self._check_seen(seen)
        actions = self._act(seen[None] if self._single else seen)
        self._acted = True
        done = self.decode(actions[0] if self._single else actions)
        # A discrete action alone is a plain number, as environments and their tables take it.
        return done.item() if isinstance(done, np.generic | np.ndarray) and done.ndim == 0 else done

    @torch.inference_mode()
    def observe(self, reward: Numbers) -> None:
        """Take in what the last action brought.

        Args:
            reward: A number; (N,) or (N, R) after `reset(num_envs=N)`.

        Raises:
            UserError: There was no action before it.
        """
        if not self._acted:
            raise UserError("observe(reward) belongs to an action: call act(observation) first")
        self._observe(self._rows_of(reward, "reward"))

    def _check_seen(self, seen: np.ndarray) -> None:
        """Refuse encoded observations that are not one for each row, or not finite; rows at rest may show anything."""
        shape = self.observation_space.shape if self.pixels else seen.shape[-1:]
        wanted = shape if self._single else (self.num_envs, *(shape or ()))
        if seen.shape != wanted:
            count = "one observation is" if self._single else f"{self.num_envs} observations are"
            raise UserError(f"act(observation): {count} {wanted} when encoded; these are {seen.shape}")
        if not np.isfinite(seen).all() and not np.isfinite(seen if self._single else seen[self.active]).all():
            raise UserError("act(observation): an observation is not finite (NaN or infinite)")

    def decode(self, actions: np.ndarray) -> Any:
        """Return encoded actions as the environment takes them; a subclass that clips does it here."""
        return decode_actions(self.action_space, actions)

    def _rows_of(self, values: Numbers, what: str) -> np.ndarray:
        """Return numbers as (N, R) float64."""
        try:
            array = np.asarray(values, dtype=np.float64)
        except (TypeError, ValueError):
            raise UserError(f"{what} is {values!r}; it must be a number, or several") from None
        if self._single and array.ndim == 1:
            array = array[None]  # R objectives of one environment
        if array.ndim == 0:
            array = np.full(self.num_envs, array)
        if array.ndim == 1:
            array = array[:, None]
        if array.ndim != 2 or len(array) != self.num_envs:
            raise UserError(f"{what} has shape {np.shape(values)}; there are {self.num_envs} environments")
        if not np.isfinite(array[self.active]).all():
            raise UserError(f"{what} is not finite (NaN or infinite)")
        return array.copy()

    def _allocate(self, num_envs: int) -> None:
        """Make room for N rows."""
        raise NotImplementedError

    def _begin(self, rows: np.ndarray) -> None:
        """Begin new episodes in rows (n,) int64; `self.targets` and `self.generators` are already theirs."""
        raise NotImplementedError

    def _act(self, observations: np.ndarray) -> np.ndarray:
        """Return encoded actions, (N, A) float32 or (N,) int64.

        Args:
            observations: (N, S) float32 as `seqrl.spaces` encodes them, not normalised; of pixels (N, C, H, W) uint8.
        """
        raise NotImplementedError

    def _observe(self, rewards: np.ndarray) -> None:
        """Take in the rewards (N, R) float64 of the last actions."""
        raise NotImplementedError


def make_agent(model: Model, **options: Any) -> Agent:
    """Return the agent of a model.

    Args:
        model: A policy (`DecisionTransformer`, `BehaviorCloning`, `RATE`) or a `TrajectoryTransformer`.
        options: Those of `WindowedAgent`, or of `seqrl.agents.planned.PlannedAgent`.

    Raises:
        UserError: The model is no policy, or an option is unknown or out of its range.
    """
    import inspect

    from seqsuite.errors import unknown_name

    kind = _kind_of(model)
    known = [name for name in inspect.signature(kind).parameters if name != "model"]
    for name in options:
        if name not in known:
            shown = [other for other in known if not other.endswith("_space")]
            raise unknown_name(f"option of a {type(model).__name__}'s agent", name, shown)
    return kind(model, **options)


def _kind_of(model: Model) -> type[Agent]:
    from seqrl.configs.models import PolicyConfig

    if not isinstance(model.config, PolicyConfig):
        raise UserError(f"a {type(model).__name__} is no policy and cannot play")
    if type(model).__name__ == "TrajectoryTransformer":
        from seqrl.agents.planned import PlannedAgent

        return PlannedAgent
    from seqrl.agents.windowed import MemoryAgent, WindowedAgent

    return MemoryAgent if hasattr(model, "init_memory") else WindowedAgent


def _space(what: str, given: gymnasium.Space | None, text: str) -> gymnasium.Space:
    if given is not None:
        return given
    if not text:
        raise UserError(f"the checkpoint does not say its {what} space; give {what}_space=")
    return space_from_json(text)


def _numbers(rows: Sequence[int] | np.ndarray) -> np.ndarray:
    rows = np.asarray(rows)
    return np.flatnonzero(rows) if rows.dtype == bool else rows.astype(np.int64)


def _keys(seed: int | Sequence[int], rows: int) -> list[Any]:
    if isinstance(seed, int):
        return [[seed, row] for row in range(rows)]
    if len(seed) != rows:
        raise UserError(f"{len(seed)} seeds for {rows} environments")
    return list(seed)
