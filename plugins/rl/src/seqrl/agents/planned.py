"""The agent that plans: a Trajectory Transformer and beam search (Janner et al. 2021).

    agent = PlannedAgent(model, plan={"horizon": 5, "beam_width": 32})
    agent.reset()
    action = agent.act(observation)             # the first action of the best plan
    agent.observe(reward)

Before each plan the rows so far, as tokens, are put in front of the observation. Rows with a context of equal length
are planned in one go; each gets the plan that it would get alone.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from seqrl.agents.base import Agent
from seqrl.data.discretizers import Discretizer
from seqrl.planning.beam import beam_plan
from seqrl.planning.context import PlanContext
from seqrl.planning.draws import RandomDraws
from seqrl.planning.options import EngineName, PlanOptions
from seqrl.spaces import action_kind, action_width, decode_actions
from seqsuite.errors import UserError
from seqsuite.mixers.options import build_config

if TYPE_CHECKING:
    import gymnasium

    from seqrl.models.trajectory_transformer import TrajectoryTransformer


class PlannedAgent(Agent):
    """An agent that plans every action, or every few.

    Args:
        model: The model; its config holds the discretiser.
        observation_space: What it sees; None: that of the checkpoint.
        action_space: What it answers with; None: that of the checkpoint.
        plan: Options of the search, or some of them by name.
        engine: "cached", "plain" or "sliding"; see `seqrl.planning.engines`.
        plan_freq: Actions taken of each plan before the next one.
        clip: Clip continuous actions to their box.

    Attributes:
        plans: (N, H, T) float64, the plan that each row follows, from the present step on; what is past is NaN.
        plan_values: (N,) float64, what each plan was worth when it was made.
        seconds: Wall-clock time of the last call of `act` for planning.

    Raises:
        UserError: The spaces or an option do not fit the model.
    """

    needs_target = False

    def __init__(
        self,
        model: TrajectoryTransformer,
        *,
        observation_space: gymnasium.Space | None = None,
        action_space: gymnasium.Space | None = None,
        plan: PlanOptions | Mapping[str, Any] | None = None,
        engine: EngineName = "cached",
        plan_freq: int = 1,
        clip: bool = False,
    ) -> None:
        super().__init__(model, observation_space=observation_space, action_space=action_space)
        self.model: TrajectoryTransformer = model
        settings = model.config
        self.options = plan if isinstance(plan, PlanOptions) else build_config(PlanOptions, plan or {}, owner="plan")
        if not 1 <= plan_freq <= self.options.horizon:
            raise UserError(f"plan_freq is {plan_freq}; it must lie between 1 and the horizon, {self.options.horizon}")
        self.engine, self.plan_freq, self.clip = engine, plan_freq, clip
        self.discretizer = Discretizer.from_dict(settings.discretizer)
        self.discrete = action_kind(self.action_space) == "discrete"
        given = 1 if self.discrete else action_width(self.action_space)
        if given != settings.action_dim:
            raise UserError(f"the action space has {given} numbers, the model plans {settings.action_dim}")
        self.plans = np.zeros((0, self.options.horizon, settings.transition_dim))
        self.plan_values = np.zeros(0)
        self.seconds = 0.0

    def decode(self, actions: np.ndarray) -> Any:
        """Return encoded actions as the environment takes them, clipped to their box where that was asked for."""
        return decode_actions(self.action_space, actions, clip=self.clip)

    def _allocate(self, num_envs: int) -> None:
        settings = self.model.config
        sizes = {"observation_dim": settings.observation_dim, "action_dim": settings.action_dim}
        rows = self.options.max_context
        self._contexts = [PlanContext(self.discretizer, **sizes, rows=rows) for _ in range(num_envs)]
        self.plans = np.full((num_envs, self.options.horizon, settings.transition_dim), np.nan)
        self.plan_values = np.full(num_envs, np.nan)
        self._left = np.zeros(num_envs, dtype=np.int64)  # actions that may still be taken of the plan
        self._done: list[tuple[np.ndarray, np.ndarray] | None] = [None] * num_envs

    def _begin(self, rows: np.ndarray) -> None:
        for row in rows:
            self._contexts[row].clear()
            self._done[row] = None
        self._left[rows] = 0

    def _act(self, observations: np.ndarray) -> np.ndarray:
        settings = self.model.config
        if observations.shape[1] != settings.observation_dim:
            raise UserError(
                f"the observation has {observations.shape[1]} numbers, the model sees {settings.observation_dim}"
            )
        rows = np.flatnonzero(self.active)
        going_on = rows[self._left[rows] > 0]
        self.plans[going_on] = np.concatenate(
            (self.plans[going_on, 1:], np.full_like(self.plans[going_on, :1], np.nan)), axis=1
        )
        started = time.perf_counter()
        self._plan(rows[self._left[rows] == 0], observations)
        self.seconds = time.perf_counter() - started
        self._left[rows] -= 1
        split = settings.observation_dim
        chosen = self.plans[:, 0, split : split + settings.action_dim]
        if self.discrete:
            count = int(self.action_space.n)  # type: ignore[attr-defined]
            chosen = np.rint(np.nan_to_num(chosen)).clip(0, count - 1)
        else:
            chosen = np.nan_to_num(chosen)
        for row in rows:
            self._done[row] = (observations[row], chosen[row])
        return chosen[:, 0].astype(np.int64) if self.discrete else chosen.astype(np.float32)

    def _plan(self, rows: np.ndarray, observations: np.ndarray) -> None:
        """Plan for some rows, those with equally long prefixes at once."""
        together: dict[int, list[tuple[int, np.ndarray]]] = {}
        for row in rows:
            prefix = self._contexts[row].prefix(observations[row], context=self.options.prefix_context)
            together.setdefault(len(prefix), []).append((row, prefix))
        for group in together.values():
            numbers = [row for row, _ in group]
            plan = beam_plan(
                self.model,
                self.discretizer,
                torch.from_numpy(np.stack([prefix for _, prefix in group])),
                self.options,
                draws=RandomDraws([self.generators[row] for row in numbers]),
                engine=self.engine,
            )
            self.plans[numbers] = plan.rows(self.discretizer)
            self.plan_values[numbers] = plan.values.cpu().numpy()
        self._left[rows] = self.plan_freq

    def _observe(self, rewards: np.ndarray) -> None:
        if rewards.shape[1] != 1:
            raise UserError(f"a plan sums one reward a step, not {rewards.shape[1]}")
        for row, done in enumerate(self._done):
            if done is not None:
                self._contexts[row].add(*done, float(rewards[row, 0]))
                self._done[row] = None
