"""T-Maze: a corridor whose first observation holds the cue that decides at its end, many steps later.

    up
    s ---------------- j     s: start, j: junction, `corridor_length` steps to the right of s
    down

Bakker (2001) "Reinforcement Learning with Long Short-Term Memory"; this form, its observation and its numbers
follow RATE (Cherepanov et al., arXiv 2306.09459, and its public code): corridor of `30 n - 2` steps, episodes of
`30 n`. Nothing but memory solves it: without the cue the turn is a coin's toss.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from seqsuite.errors import UserError

RIGHT, UP, LEFT, DOWN = range(4)
_MOVES = {RIGHT: (1, 0), UP: (0, 1), LEFT: (-1, 0), DOWN: (0, -1)}


class TMaze(gymnasium.Env[NDArray[np.float32], int]):
    """The corridor with a turn at its end, registered as `seqrl/TMaze-v0`.

    Observation, float32 (4,): [y, cue, junction, noise]. y is 0 in the corridor, 1 or -1 after the turn. cue is 1
    (turn up) or -1 (turn down) in the first `hint_steps` observations and 0 afterwards. junction is 1 at the end of
    the corridor, else 0. noise is drawn from -1, 0, 1 at every step. The place in the corridor is not observed.

    Actions: 0 right, 1 up, 2 left, 3 down; a move into a wall does nothing.

    Reward: `goal_reward` for the turn that the cue asks for, `wrong_reward` for the other one; both end the episode.
    It is truncated after `episode_length` steps. `info["success"]` tells whether the right turn was taken.

    Args:
        corridor_length: Steps from start to junction; the shortest episode takes one more.
        episode_length: Steps after which the episode ends; None: `corridor_length + 2`.
        hint_steps: Observations that show the cue.
        goal_reward: Of the right turn.
        wrong_reward: Of the wrong turn: 0 as published, -1 to tell it from not arriving.
        render_mode: None or rgb_array.

    `reset(options={"cue": 1})` sets the cue instead of drawing it.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 10}

    def __init__(
        self,
        corridor_length: int = 28,
        episode_length: int | None = None,
        hint_steps: int = 1,
        goal_reward: float = 1.0,
        wrong_reward: float = 0.0,
        render_mode: str | None = None,
    ) -> None:
        self.episode_length = corridor_length + 2 if episode_length is None else episode_length
        for name, value in {"corridor_length": corridor_length, "episode_length": self.episode_length}.items():
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise UserError(f"T-Maze: {name} is {value!r}; it must be a whole number of at least 1")
        if hint_steps < 1:
            raise UserError(f"T-Maze: hint_steps is {hint_steps!r}; the cue is shown at least once")
        self.corridor_length, self.hint_steps = corridor_length, hint_steps
        self.goal_reward, self.wrong_reward, self.render_mode = goal_reward, wrong_reward, render_mode
        bounds = np.array([[-1, -1, 0, -1], [1, 1, 1, 1]], np.float32)
        self.observation_space = spaces.Box(bounds[0], bounds[1], dtype=np.float32)
        self.action_space = spaces.Discrete(4)  # type: ignore[assignment]  # an int in, as gymnasium's own do
        self.x = self.y = self.cue = self.time = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin an episode at the start, with a cue that is drawn or given by `options["cue"]`."""
        super().reset(seed=seed)
        drawn = int(self.np_random.integers(2)) * 2 - 1
        self.cue = int((options or {}).get("cue", drawn))
        if self.cue not in (-1, 1):
            raise UserError(f"T-Maze: the cue is {self.cue}; it must be 1 (up) or -1 (down)")
        self.x = self.y = self.time = 0
        return self._observation(), {"success": False}

    def step(self, action: int) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Move; see the class for what is observed and rewarded."""
        right, up = _MOVES[int(action)]
        x, y = self.x + right, self.y + up
        if (y == 0 and 0 <= x <= self.corridor_length) or (abs(y) == 1 and x == self.corridor_length):
            self.x, self.y = x, y
        self.time += 1
        arrived, success = self.y != 0, self.y == self.cue
        reward = (self.goal_reward if success else self.wrong_reward) if arrived else 0.0
        truncated = not arrived and self.time >= self.episode_length
        return self._observation(), float(reward), arrived, truncated, {"success": success}

    def _observation(self) -> NDArray[np.float32]:
        shown = self.cue if self.time < self.hint_steps else 0
        junction = self.x == self.corridor_length and self.y == 0
        return np.array([self.y, shown, junction, self.np_random.integers(-1, 2)], np.float32)

    def render(self) -> NDArray[np.uint8] | None:  # type: ignore[override]
        """Return the maze as rgb (height, width, 3): walls black, the goal green, the agent red."""
        if self.render_mode != "rgb_array":
            return None
        picture = np.zeros((3, self.corridor_length + 1, 3), np.uint8)
        picture[1] = picture[0, -1] = picture[2, -1] = 220
        picture[1 - self.cue, -1] = (60, 180, 75)
        picture[1 - self.y, self.x] = (230, 25, 75)
        cell = max(4, 480 // (self.corridor_length + 1)) // 2 * 2  # video codecs want even sizes
        return picture.repeat(cell, 0).repeat(cell, 1)
