"""Experts written by hand: classic control and T-Maze.

Each is a rule from the last observation to an action, from the physics of the environment; T-Maze's also
remembers the cue. `scripted_policy(environment)` finds the one that fits.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqrl.collection.policies import Actor, Policy
from seqsuite.errors import UserError


def scripted_policy(environment: Any) -> Policy:
    """Return the expert of an environment.

    Args:
        environment: Made by gymnasium; its physical constants are read.

    Raises:
        UserError: There is none for it.
    """
    name = type(environment.unwrapped).__name__
    if name not in _EXPERTS:
        known = ", ".join(known.removesuffix("Env").replace("_", "") for known in _EXPERTS)
        raise UserError(
            f"--policy scripted: there is none for {environment.spec.id} (for {known}); "
            "take optimal for toy text, ppo or sac to train one, or random"
        )
    return Policy("scripted", _EXPERTS[name](environment.unwrapped), expert=True)


def _stateless(rule: Callable[[Any], Any]) -> Callable[[np.random.Generator], Actor]:
    return lambda _: rule


def _cartpole(_: Any) -> Callable[[np.random.Generator], Actor]:
    # Angle and angular velocity balance the pole; the small part of place and speed keeps the cart on the track.
    gains = np.array([0.02, 0.1, 1.0, 0.5])
    return _stateless(lambda state: int(gains @ state > 0))


def _mountain_car(_: Any) -> Callable[[np.random.Generator], Actor]:
    return _stateless(lambda state: 2 if state[1] >= 0 else 0)


def _mountain_car_continuous(environment: Any) -> Callable[[np.random.Generator], Actor]:
    low, high = environment.min_action, environment.max_action
    return _stateless(lambda state: np.array([high if state[1] >= 0 else low], np.float32))


def _acrobot(_: Any) -> Callable[[np.random.Generator], Actor]:
    # The power that the motor puts in is torque times the speed of the second joint.
    return _stateless(lambda state: 2 if state[5] >= 0 else 0)


def _pendulum(environment: Any) -> Callable[[np.random.Generator], Actor]:
    g, m, l, step = (float(getattr(environment, name)) for name in ("g", "m", "l", "dt"))  # noqa: E741
    limit = float(environment.max_torque)
    gains = _regulator(3 * g / (2 * l), 3 / (m * l**2), step)

    def act(state: NDArray[np.float32]) -> NDArray[np.float32]:
        angle, speed = math.atan2(state[1], state[0]), float(state[2])
        balance = -(gains[0] * angle + gains[1] * speed)
        if abs(angle) < 0.6 and abs(balance) <= 1.5 * limit:
            return np.array([np.clip(balance, -limit, limit)], np.float32)
        # Energy against that of standing upright at rest; torque along the motion adds some, against it takes some.
        energy = m * l**2 / 6 * speed**2 + m * g * l / 2 * (math.cos(angle) - 1)
        along = 1.0 if speed >= 0 else -1.0
        return np.array([along * float(np.clip(-4 * energy, -limit, limit))], np.float32)

    return _stateless(act)


def _regulator(fall: float, push: float, step: float) -> NDArray[np.float64]:
    """Return the gains (2,) of the linear-quadratic regulator about the upright position with Pendulum's own costs."""
    # Pendulum integrates the speed first and then the angle with the new speed.
    a = np.array([[1 + fall * step**2, step], [fall * step, 1.0]])
    b = np.array([[push * step**2], [push * step]])
    state_cost, action_cost = np.diag([1.0, 0.1]), np.array([[0.001]])
    value, gain = state_cost, np.zeros((1, 2))
    for _ in range(2000):
        gain = np.linalg.solve(action_cost + b.T @ value @ b, b.T @ value @ a)
        value = state_cost + a.T @ value @ (a - b @ gain)
    return gain[0]


def _tmaze(_: Any) -> Callable[[np.random.Generator], Actor]:
    def begin(_: np.random.Generator) -> Actor:
        cue = 0.0

        def act(state: NDArray[np.float32]) -> int:
            nonlocal cue
            cue = cue or float(state[1])
            return 0 if not state[2] else (1 if cue > 0 else 3)

        return act

    return begin


_EXPERTS: dict[str, Callable[[Any], Callable[[np.random.Generator], Actor]]] = {
    "CartPoleEnv": _cartpole,
    "MountainCarEnv": _mountain_car,
    "Continuous_MountainCarEnv": _mountain_car_continuous,
    "PendulumEnv": _pendulum,
    "AcrobotEnv": _acrobot,
    "TMaze": _tmaze,
}
