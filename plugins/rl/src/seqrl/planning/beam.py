"""The planner of the Trajectory Transformer (Janner et al. 2021, https://arxiv.org/abs/2106.02039).

    plan = beam_plan(model, discretizer, prefix, PlanOptions(horizon=15), draws=RandomDraws([generator]))
    plan.rows(discretizer)                      # (N, H, T) numbers: observation, action, reward, value
    plan.values                                 # (N,) discounted rewards, and the value behind them

Row by row, every kept plan is continued several times by drawn actions; the continuations with the largest sum of
discounted rewards and final value are kept, and only these are continued to the next observation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from seqrl.data.discretizers import Discretizer
from seqrl.models.trajectory_transformer import TrajectoryTransformer
from seqrl.planning.draws import Draws
from seqrl.planning.engines import Engine, make_engine
from seqrl.planning.options import EngineName, PlanOptions
from seqrl.planning.values import estimate
from seqsuite.errors import UserError


@dataclass(frozen=True)
class Plan:
    """The best plan of each environment.

    Attributes:
        tokens: (N, H, T) int64, the present observation's among them.
        values: (N,) float64: discounted rewards and the value behind them.
        kept_values: After each row (N, beam_width) the values of the plans kept, best first.
        kept: After each row (N, beam_width), which of the continuations they were.
    """

    tokens: Tensor
    values: Tensor
    kept_values: tuple[Tensor, ...]
    kept: tuple[Tensor, ...]

    def rows(self, discretizer: Discretizer) -> np.ndarray:
        """Return the plans as numbers (N, H, T)."""
        return discretizer.decode(self.tokens.cpu().numpy())


@torch.inference_mode()
def beam_plan(
    model: TrajectoryTransformer,
    discretizer: Discretizer,
    prefix: Tensor,
    options: PlanOptions,
    *,
    draws: Draws,
    engine: EngineName = "cached",
) -> Plan:
    """Plan for N environments at once; each plan is the one that its environment gets alone.

    Args:
        model: The model.
        discretizer: The one of its tokens.
        prefix: (N, P) tokens: whole rows, then the present observation.
        options: Of the search.
        draws: Where tokens come from.
        engine: See `seqrl.planning.engines`.

    Raises:
        UserError: Model, discretizer and prefix do not fit each other, or the window is too short.
    """
    config = model.config
    if (discretizer.bins, discretizer.dims) != (config.vocab_size, config.transition_dim):
        raise UserError(
            f"the discretizer has {discretizer.bins} bins of {discretizer.dims} numbers, the model "
            f"{config.vocab_size} of {config.transition_dim}"
        )
    if prefix.ndim != 2 or prefix.shape[1] % config.transition_dim != config.observation_dim:
        raise UserError(f"a plan starts from whole rows and an observation, not from tokens {tuple(prefix.shape)}")
    window = min(config.block_size, options.max_context * config.transition_dim - 1)
    return _Search(make_engine(model, engine, window=window), discretizer, options, draws).run(prefix)


class _Search:
    """One search: the rows of the engine are the plans."""

    def __init__(self, engine: Engine, discretizer: Discretizer, options: PlanOptions, draws: Draws) -> None:
        self.engine, self.options, self.draws = engine, options, draws
        self.config = engine.model.config
        device = engine.model.position.device
        self.edges = torch.from_numpy(discretizer.edges).to(device)

    def run(self, prefix: Tensor) -> Plan:
        options, config = self.options, self.config
        self.engine.start(prefix.to(self.edges.device))
        powers = torch.arange(options.horizon + 1, dtype=torch.float64, device=self.edges.device)
        discounts = options.discount**powers
        rewards = discounts.new_zeros(len(prefix), 1, options.horizon + 1)
        kept: list[tuple[Tensor, Tensor]] = []
        for row in range(options.horizon):
            times = options.n_expand * (options.beam_width if row == 0 else 1)
            rewards = rewards.repeat(1, times, 1)
            self._act(times)
            rewards[..., row], rewards[..., row + 1] = self._judge(-2), self._judge(-1)
            values = (rewards * discounts).sum(-1)
            # Percentiles make equal values common; which of them stay is as torch.topk has it, as published.
            best = values.topk(options.beam_width, dim=-1)
            kept.append((best.values, best.indices))
            rewards = rewards.gather(1, kept[-1][1][..., None].expand(-1, -1, rewards.shape[2]))
            self.engine.select(kept[-1][1])
            if row < options.horizon - 1:
                self._observe()
        tokens = self.engine.tokens[:, 0, -options.horizon * config.transition_dim :].unflatten(
            1, (options.horizon, -1)
        )
        return Plan(tokens, kept[-1][0][:, 0], tuple(values for values, _ in kept), tuple(index for _, index in kept))

    def _act(self, times: int) -> None:
        """Draw the actions of `times` continuations of each plan."""
        for place in range(self.config.action_dim):
            logits = self.engine.expand(times) if place == 0 else self.engine.logits()
            self.engine.append(self._draw(logits, self.options.k_act, self.options.cdf_act))

    def _judge(self, place: int) -> Tensor:
        """Draw the token of a reward or value, and return what its distribution is worth: (N, C)."""
        logits = self.engine.logits()
        self.engine.append(self._draw(logits, self.options.k_rew, None))
        probabilities = (logits / self.options.temperature).softmax(-1)
        return estimate(probabilities, self.edges[:, place], self.options.percentile, wrap=self.options.wrap)

    def _observe(self) -> None:
        """Draw the next observation of each plan."""
        for _ in range(self.config.observation_dim):
            logits = self.engine.logits()
            self.engine.append(self._draw(logits, self.options.k_obs, self.options.cdf_obs))

    def _draw(self, logits: Tensor, top_k: int | None, cdf: float | None) -> Tensor:
        return self.draws(logits / self.options.temperature, top_k=top_k, cdf=cdf)
