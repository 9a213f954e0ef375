"""Agents that see the last K steps: Decision Transformer (Chen et al. 2021), behaviour cloning and RATE.

At each step the network reads the returns to go, normalised observations and actions of the last K steps, the action
of the current step still a zero, and its answer at the current step is played. The return to go starts at the target
and falls by what each step brings. What lies before an episode's first step is zero, after normalising, and masked.

All rows write into the same column of buffers made once, and a window is a view of them; a row that begins anew
clears its own past. Acting therefore costs the same at any age of an episode.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from seqrl.agents.base import Agent
from seqrl.spaces import action_kind, action_width, decode_actions, observation_width
from seqsuite.errors import UserError

if TYPE_CHECKING:
    import gymnasium

    from seqrl.configs.models import WindowPolicyConfig
    from seqrl.models.rate import RATE
    from seqsuite.models.base import Model

_WINDOWS = 8
"""Windows that a buffer holds: its last K - 1 columns move to its front once in 7 K steps."""


class WindowedAgent(Agent):
    """An agent that sees the last K steps.

    Args:
        model: A `DecisionTransformer`, `BehaviorCloning` or `RATE`.
        observation_space: What it sees; None: that of the checkpoint.
        action_space: What it answers with; None: that of the checkpoint.
        context: Steps that it sees, at most those of its training; None: as many.
        temperature: Of discrete actions: 0 takes the most likely one, else they are drawn from softmax(logits / t).
        delayed: The return to go stays at the target: the reward comes at the end of an episode.
        clip: Clip continuous actions to their box.

    Raises:
        UserError: An option is out of its range, or the spaces are not known or not those of the network.
    """

    config: WindowPolicyConfig
    remembers = False
    """Whether the network keeps a memory of earlier windows."""

    def __init__(
        self,
        model: Model,
        *,
        observation_space: gymnasium.Space | None = None,
        action_space: gymnasium.Space | None = None,
        context: int | None = None,
        temperature: float = 0.0,
        delayed: bool = False,
        clip: bool = False,
    ) -> None:
        given = _known_spaces(model.config)
        super().__init__(model, observation_space=observation_space or given[0], action_space=action_space or given[1])
        self._check_network()
        trained = self.config.context
        self.context = trained if context is None else context
        if not (trained if self.remembers else 1) <= self.context <= trained:
            way = "a memory is written at their end" if self.remembers else f"give 1 to {trained}"
            raise UserError(f"context is {context}; the network was trained on {trained} steps: {way}")
        if not 0 <= temperature < float("inf"):
            raise UserError(f"temperature is {temperature}; it must be 0 (the most likely action) or above")
        self.discrete = self.config.discrete
        if temperature and not self.discrete:
            raise UserError("a temperature is for discrete actions; this policy's actions are continuous")
        self.temperature, self.delayed, self.clip = temperature, delayed, clip
        self.needs_target = getattr(model, "needs_target", True)

    def _check_network(self) -> None:
        """Refuse spaces that the network was not made for."""
        shape = self.observation_space.shape if self.pixels else (observation_width(self.observation_space),)
        kind = "discrete" if self.config.discrete else "continuous"
        if shape != self.config.observation_shape:
            raise UserError(f"the network takes observations of shape {self.config.observation_shape}, the space "
                            f"{self.observation_space} gives {shape}")  # fmt: skip
        if action_kind(self.action_space) != kind or action_width(self.action_space) != self.config.action_dim:
            raise UserError(f"the network gives {self.config.action_dim} {kind} actions, the space is "
                            f"{self.action_space}")  # fmt: skip

    def decode(self, actions: np.ndarray) -> Any:
        """Return encoded actions as the environment takes them, clipped to their box where that was asked for."""
        return decode_actions(self.action_space, actions, clip=self.clip)

    def _allocate(self, num_envs: int) -> None:
        width = self.context * _WINDOWS
        returns = getattr(self.config, "return_dim", 1)
        if self.targets is not None and self.targets.shape[1] != returns:
            raise UserError(f"target_return has {self.targets.shape[1]} objectives; the policy knows {returns}")

        def room(*rest: int, dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.zeros(num_envs, width, *rest, dtype=dtype, device=self.device)

        self._states = room(*self.config.observation_shape, dtype=torch.uint8 if self.pixels else torch.float32)
        action = () if self.discrete else (self.config.action_dim,)
        self._actions = room(*action, dtype=torch.int64 if self.discrete else torch.float32)
        self._returns = room(returns)
        self._timesteps = room(dtype=torch.int64)
        self._buffers = (self._states, self._actions, self._returns, self._timesteps)
        mean, std = self.config.state_mean, self.config.state_std
        self._mean = torch.tensor(mean, device=self.device) if mean else None
        self._std = torch.tensor(std, device=self.device) if std else None
        # The first column in use is K - 1: a window never reaches over the front.
        self._column = self.context - 2
        self._ages = np.zeros(num_envs, dtype=np.int64)
        self._remaining = np.zeros((num_envs, returns))

    def _begin(self, rows: np.ndarray) -> None:
        index = torch.from_numpy(rows).to(self.device)
        for buffer in self._buffers:
            buffer[index] = 0
        self._ages[rows] = 0
        if self.targets is not None:
            self._remaining[rows] = self.targets[rows]

    def _act(self, observations: np.ndarray) -> np.ndarray:
        column = self._advance()
        seen = torch.from_numpy(observations).to(self.device)
        if self._mean is not None:
            seen = seen - self._mean
        self._states[:, column] = seen if self._std is None else seen / self._std
        self._returns[:, column] = torch.from_numpy(self._remaining / self.config.return_scale)
        self._timesteps[:, column] = torch.from_numpy(np.minimum(self._ages, self.config.max_ep_len - 1))
        self._ages += 1
        answers = self._answer(column)
        chosen = self._choose(answers) if self.discrete else answers
        self._actions[:, column] = chosen
        return chosen.cpu().numpy()

    def _advance(self) -> int:
        """Return the column of the next step; at the end of the buffers the last K - 1 move to their front."""
        self._column += 1
        if self._column == self._timesteps.shape[1]:
            kept = self.context - 1
            for buffer in self._buffers:
                buffer[:, :kept] = buffer[:, self._column - kept : self._column]
                buffer[:, kept:] = 0
            self._column = kept
        return self._column

    def _seen(self) -> np.ndarray:
        """Return how many steps, the present one included, the rows look back on: (N,)."""
        return np.minimum(self._ages, self.context)

    def _answer(self, column: int) -> Tensor:
        """Return what the network answers at the present step: actions (N, A), or logits (N, n)."""
        if self.active.all():
            return self._predict(None, *self._window(column, self._seen(), None))
        rows = np.flatnonzero(self.active)
        if not len(rows):
            return torch.zeros(self.num_envs, self.config.action_dim, device=self.device)
        index = torch.from_numpy(rows).to(self.device)
        found = self._predict(index, *self._window(column, self._seen()[rows], index))
        return found.new_zeros(self.num_envs, *found.shape[1:]).index_copy(0, index, found)

    def _window(self, column: int, seen: np.ndarray, rows: Tensor | None) -> tuple[tuple[Tensor, ...], Tensor | None]:
        """Return views of the buffers up to a column, as far as the oldest row looks, and the mask of the others."""
        longest = int(seen.max())
        window = slice(column - longest + 1, column + 1)
        given = tuple(buffer[:, window] if rows is None else buffer[rows, window] for buffer in self._buffers)
        if seen.min() == longest:
            return given, None
        return given, torch.from_numpy(np.arange(longest) >= longest - seen[:, None]).to(self.device)

    def _predict(self, rows: Tensor | None, given: tuple[Tensor, ...], mask: Tensor | None) -> Tensor:
        """Return the network's answers of some rows (None: of all) at the last step of their windows."""
        return self.model(*given, mask=mask).actions[:, -1]

    def _choose(self, logits: Tensor) -> Tensor:
        """Return the most likely actions, or draws from the rows' own generators: (N,) int64."""
        if not self.temperature:
            return logits.argmax(-1)
        below = torch.softmax(logits.double() / self.temperature, -1).cumsum(-1)
        drawn = torch.tensor([[generator.random()] for generator in self.generators], device=logits.device)
        # The sum of all may lie a rounding below 1.
        return (drawn >= below / below[:, -1:]).sum(-1).clamp_(max=logits.shape[-1] - 1)

    def _observe(self, rewards: np.ndarray) -> None:
        if self.targets is None or self.delayed:
            return
        if rewards.shape != self._remaining.shape:
            told, given = self._remaining.shape[1], rewards.shape[1]
            raise UserError(f"the target has {told} objectives and the reward {given}; they must be as many")
        self._remaining -= rewards


def _known_spaces(config: WindowPolicyConfig) -> tuple[gymnasium.Space | None, gymnasium.Space | None]:
    """Return spaces after the network's own shapes, where a checkpoint from elsewhere does not say them."""
    from gymnasium.spaces import Box, Discrete

    seen: gymnasium.Space | None = None
    done: gymnasium.Space | None = None
    if not config.observation_space:
        low, high, kind = (0, 255, np.uint8) if config.pixels else (-np.inf, np.inf, np.float32)
        seen = Box(low, high, config.observation_shape, kind)  # type: ignore[arg-type]
    if not config.action_space:
        done = Discrete(config.action_dim) if config.discrete else Box(-1, 1, (config.action_dim,))
    return seen, done


class MemoryAgent(WindowedAgent):
    """An agent of a policy with a memory (RATE): it sees its present segment and what it kept of earlier ones.

    Args:
        model: A `RATE`.
        options: Those of `WindowedAgent`; the context is that of the training, one segment.
    """

    model: RATE
    remembers = True

    def _allocate(self, num_envs: int) -> None:
        super()._allocate(num_envs)
        self._memory: Any = self.model.init_memory(num_envs)

    def _begin(self, rows: np.ndarray) -> None:
        super()._begin(rows)
        self._keep(torch.from_numpy(rows).to(self.device), self.model.init_memory(len(rows)))

    def _seen(self) -> np.ndarray:
        return (self._ages - 1) % self.context + 1

    def _act(self, observations: np.ndarray) -> np.ndarray:
        chosen = super()._act(observations)
        # A full segment, its last action now known, becomes memory.
        full = np.flatnonzero((self._ages % self.context == 0) & self.active)
        if len(full):
            rows = torch.from_numpy(full).to(self.device)
            given, mask = self._window(self._column, np.full(len(full), self.context), rows)
            self._keep(rows, self.model(*given, mask=mask, memory=self._kept(rows))[1])
        return chosen

    def _predict(self, rows: Tensor | None, given: tuple[Tensor, ...], mask: Tensor | None) -> Tensor:
        memory = self._memory if rows is None else self._kept(rows)
        return self.model(*given, mask=mask, memory=memory)[0].actions[:, -1]

    def _kept(self, rows: Tensor) -> Any:
        return _each(lambda part: part[rows], self._memory)

    def _keep(self, rows: Tensor, memory: Any) -> None:
        # Both may be views of parameters: nothing is written in place.
        self._memory = _each(lambda old, new: old.index_copy(0, rows, new), self._memory, memory)


def _each(function: Callable[..., Tensor], *memories: Any) -> Any:
    """Apply a function to the tensors of memories of one structure: named tuples, tuples and None."""
    first = memories[0]
    if first is None or isinstance(first, Tensor):
        return None if first is None else function(*memories)
    parts = [_each(function, *group) for group in zip(*memories, strict=True)]
    return type(first)(*parts) if hasattr(first, "_fields") else tuple(parts)
