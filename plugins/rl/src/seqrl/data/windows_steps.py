"""The steps of episodes as a policy sees them: normalised states, actions, scaled returns-to-go, time steps.

    mean, std = state_statistics(episodes)
    steps = prepare_steps(episodes, state_mean=mean, state_std=std, return_scale=1000.0)
    kept = top_episodes(episodes, 0.1)

Everything is computed once and lies flat, one row a step of the data; `seqrl.data.windows` cuts windows out of it.
The numbers are those of the Decision Transformer's code (Chen et al. 2021).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from seqrl.data.episodes import returns_to_go
from seqrl.spaces import action_kind, encode_actions, encode_observations, is_pixels
from seqsuite.errors import UserError

if TYPE_CHECKING:
    from seqrl.data.episodes import Episodes

TINY = 1e-6
"""Added to deviations, so that a constant observation can be divided by its own."""
_CHUNK = 1 << 18


@dataclass(frozen=True)
class Steps:
    """Steps of episodes, flat.

    Attributes:
        states: (N, *S) float32, normalised; pixels (N, H, W, C) as they are, uint8.
        next_states: The state after each step, likewise; where an episode ends and what followed is not known, zeros.
        next_known: (N,) bool: whether it is known.
        actions: (N, A) float32 or (N,) int64.
        rewards: (N, R) float32, not scaled.
        returns: (N, R) float32, returns-to-go divided by the scale.
        next_returns: Those after each step; 0 behind an episode's last one.
        timesteps: (N,) int64, below the maximum.
        terminations: (N,) bool.
        offsets: (E + 1,) int64, where episodes begin.
        episode: (N,) int64, which one a step belongs to.
        state_padding: What stands for no state: zeros before normalising.
        action_padding: What stands for no action.
    """

    states: np.ndarray
    next_states: np.ndarray | None
    next_known: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    returns: np.ndarray
    next_returns: np.ndarray
    timesteps: np.ndarray
    terminations: np.ndarray
    offsets: np.ndarray
    episode: np.ndarray
    state_padding: np.ndarray
    action_padding: float | int

    def __len__(self) -> int:
        return len(self.states)


def state_statistics(episodes: Episodes) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and deviation (W,) float64 of the encoded observations, over all steps of all episodes.

    Args:
        episodes: Of vector observations; a selection has been made by nobody yet, as in the published code.
    """
    total, squares, count = 0.0, 0.0, episodes.steps
    shift = encode_observations(episodes.observation_space, episodes.observations[:1])[0].astype(np.float64)
    for first in range(0, count, _CHUNK):
        part = encode_observations(episodes.observation_space, episodes.observations[first : first + _CHUNK]) - shift
        total, squares = total + part.sum(0), squares + np.square(part).sum(0)
    mean = np.asarray(total / count)
    deviation = np.sqrt(np.maximum(squares / count - mean**2, 0.0))
    return mean + shift, deviation + TINY


def top_episodes(episodes: Episodes, fraction: float) -> np.ndarray:
    """Return which episodes hold the best `fraction` of all steps, the best one always, by return from low to high.

    Args:
        episodes: All of them.
        fraction: Above 0, at most 1; from the best episode down, as long as their steps are no more than this share.

    Raises:
        UserError: The fraction is out of range.
    """
    if not 0 < fraction <= 1:
        raise UserError(f"--top_fraction is {fraction}; it must be above 0 and at most 1")
    order = np.argsort(episodes.returns, kind="stable")
    budget = max(int(fraction * episodes.steps), 1)
    fits = np.cumsum(episodes.lengths[order][::-1]) <= budget
    count = len(fits) if fits.all() else max(1, int(np.argmin(fits)))
    return order[len(order) - count :]


def delay_rewards(rewards: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Return rewards (N, ...) that come all together in the last step of each episode.

    Args:
        rewards: Of each step.
        offsets: (E + 1,), where episodes begin.
    """
    delayed = np.zeros_like(rewards)
    delayed[offsets[1:] - 1] = np.add.reduceat(rewards, offsets[:-1], axis=0)
    return delayed


def scaled_returns(
    rewards: np.ndarray, offsets: np.ndarray, *, discount: float = 1.0, scale: float = 1.0
) -> np.ndarray:
    """Return the returns-to-go (N, R) float64 of rewards (N, R), divided by a scale.

    Args:
        rewards: Of each step and objective.
        offsets: (E + 1,), where episodes begin.
        discount: Of a step.
        scale: The divisor.
    """
    found = np.empty(rewards.shape, np.float64)
    for start, stop in itertools.pairwise(offsets):
        for column in range(rewards.shape[1]):
            found[start:stop, column] = returns_to_go(rewards[start:stop, column], discount)
    return found / scale


def objective_rewards(episodes: Episodes, key: str) -> np.ndarray:
    """Return the rewards (N, R) float64: those of the data, or of several objectives from an info.

    Args:
        episodes: The data.
        key: Name of an info with (N, R) rewards; empty: the plain ones, R = 1.

    Raises:
        UserError: There is no such info, or it holds no numbers of that form.
    """
    if not key:
        return np.asarray(episodes.rewards, np.float64)[:, None]
    if key not in episodes.infos:
        known = ", ".join(sorted(episodes.infos)) or "none"
        raise UserError(f"{episodes.source}: has no info {key!r} for --objectives; its infos: {known}")
    values = np.asarray(episodes.infos[key])
    if values.ndim == 1:
        values = values[:, None]
    if values.ndim != 2 or len(values) != episodes.steps or values.dtype.kind not in "fiub":
        raise UserError(
            f"{episodes.source}: info {key!r} is {values.dtype} {values.shape}; --objectives wants numbers "
            f"({episodes.steps}, R)"
        )
    if not np.isfinite(values).all():
        raise UserError(f"{episodes.source}: info {key!r} holds a reward that is no finite number")
    return values.astype(np.float64)


def prepare_steps(
    episodes: Episodes,
    *,
    state_mean: np.ndarray | None = None,
    state_std: np.ndarray | None = None,
    return_scale: float = 1.0,
    max_ep_len: int = 1000,
    discount: float = 1.0,
    delayed: bool = False,
    objectives: str = "",
    following: bool = False,
) -> Steps:
    """Encode, normalise and scale all steps.

    Args:
        episodes: The data.
        state_mean: (W,), subtracted from encoded observations; None: nothing is. Not for pixels.
        state_std: (W,), what they are divided by.
        return_scale: What returns-to-go are divided by.
        max_ep_len: Later time steps count as `max_ep_len - 1`.
        discount: Of returns.
        delayed: All rewards of an episode come in its last step.
        objectives: Name of an info with rewards of several objectives, see `objective_rewards`.
        following: Whether the states after each step are wanted as well.

    Raises:
        UserError: The rewards of objectives are not there.
    """
    offsets = np.asarray(episodes.offsets, np.int64)
    lengths = np.diff(offsets)
    rewards = objective_rewards(episodes, objectives)
    if delayed:
        rewards = delay_rewards(rewards, offsets)
    returns = scaled_returns(rewards, offsets, discount=discount, scale=return_scale)
    last = offsets[1:] - 1
    states, padding = _states(episodes, episodes.observations, state_mean, state_std)
    next_known = np.ones(len(states), bool)
    next_known[last] = episodes.final_observations is not None
    after = None
    if following:
        after = np.concatenate((states[1:], np.zeros_like(states[:1])))
        after[last] = 0
        if episodes.final_observations is not None:
            after[last] = _states(episodes, episodes.final_observations, state_mean, state_std)[0]
    return Steps(
        states=states,
        next_states=after,
        next_known=next_known,
        actions=encode_actions(episodes.action_space, episodes.actions),
        rewards=rewards.astype(np.float32),
        returns=returns.astype(np.float32),
        next_returns=_shifted(returns, last).astype(np.float32),
        timesteps=np.minimum(np.arange(len(states)) - np.repeat(offsets[:-1], lengths), max_ep_len - 1),
        terminations=np.asarray(episodes.terminations, bool),
        offsets=offsets,
        episode=np.repeat(np.arange(len(lengths)), lengths),
        state_padding=padding,
        action_padding=-10.0 if action_kind(episodes.action_space) == "continuous" else 0,
    )


def _shifted(returns: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Return what stands one step later, 0 behind the last steps of episodes."""
    after = np.concatenate((returns[1:], np.zeros_like(returns[:1])))
    after[last] = 0
    return after


def _states(
    episodes: Episodes, observations: np.ndarray, mean: np.ndarray | None, std: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return encoded, normalised states and the row that pads them; pixels stay as they are."""
    if is_pixels(episodes.observation_space):
        return observations, np.zeros(observations.shape[1:], observations.dtype)
    states = encode_observations(episodes.observation_space, observations)
    shift = np.zeros(states.shape[-1]) if mean is None else np.asarray(mean, np.float64)
    scale = np.ones(states.shape[-1]) if std is None else np.asarray(std, np.float64)
    found = np.empty(states.shape, np.float32)
    for first in range(0, len(states), _CHUNK):
        found[first : first + _CHUNK] = (states[first : first + _CHUNK] - shift) / scale
    return found, (-shift / scale).astype(np.float32)
