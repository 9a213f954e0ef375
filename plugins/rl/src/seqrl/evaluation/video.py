"""One episode as a video.

record(seqrl.load("runs/cartpole"), "episode.mp4", target=500)
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seqrl.evaluation.rollouts import episode_seeds
from seqrl.evaluation.run import check_spaces, environment_of, limited, options_of
from seqsuite.errors import UserError

if TYPE_CHECKING:
    from seqrl.api import TrainedPolicy


@dataclass(frozen=True)
class Recorded:
    """An episode that was written as a video.

    Attributes:
        path: The file.
        frames: How many pictures it has: one before each step, and the last one.
        achieved: The episode's return.
    """

    path: Path
    frames: int
    achieved: float


def record(
    policy: TrainedPolicy,
    path: str | Path,
    env: str = "auto",
    *,
    target: float | None = None,
    seed: int = 0,
    episode: int = 0,
    max_steps: int = 0,
    env_options: Mapping[str, Any] | None = None,
    **agent_options: Any,
) -> Recorded:
    """Play one episode, the same that `evaluate` plays under this number, and write its pictures as they come.

    Args:
        policy: Who plays.
        path: The .mp4 file; over one that is there.
        env: The environment's id; auto: that of the checkpoint.
        target: Raw return to ask for.
        seed: Of the evaluation.
        episode: Number of the episode.
        max_steps: Steps after which it is cut; 0: the environment's limit, or the policy's `max_ep_len`.
        env_options: Arguments of the environment, over those of the checkpoint's own.
        agent_options: Those of the policy's agent.

    Raises:
        UserError: The environment cannot draw itself here, or the file cannot be written.
    """
    from seqrl.environments import make_environment

    env_id = environment_of(policy.config, env)
    agent = policy.agent(**agent_options)
    if sys.platform == "linux" and not {"DISPLAY", "WAYLAND_DISPLAY"} & set(os.environ):
        os.environ.setdefault("MUJOCO_GL", "egl")  # MuJoCo's own default looks for a window
    environment = make_environment(env_id, **options_of(policy.config, env_id, env_options), render_mode="rgb_array")
    try:
        check_spaces(env_id, "observation", agent.observation_space, environment.observation_space)
        check_spaces(env_id, "action", agent.action_space, environment.action_space)
        start, drawn = episode_seeds(seed, episode)
        observation, _ = environment.reset(seed=start)
        agent.reset(target, seed=[drawn])
        rate = float(environment.metadata.get("render_fps") or 30)
        limit = max_steps or (float("inf") if limited(environment) else policy.config.max_ep_len)
        with _Film(Path(path).expanduser(), rate) as film:
            film.add(_picture(environment, env_id))
            achieved, ended, steps = 0.0, False, 0
            while not ended and steps < limit:
                observation, reward, terminated, truncated, _ = environment.step(agent.act(observation))
                agent.observe(float(reward))
                achieved, ended, steps = achieved + float(reward), terminated or truncated, steps + 1
                film.add(_picture(environment, env_id))
        return Recorded(film.path, steps + 1, achieved)
    finally:
        environment.close()


def _picture(environment: Any, env_id: str) -> np.ndarray:
    """Return what the environment looks like, (H, W, 3) uint8."""
    try:
        drawn = environment.render()
    except Exception as error:  # each renderer has its own: GL, EGL, pygame, box2d
        told = (str(error).strip().splitlines() or [type(error).__name__])[0]
        way = ""
        if "mujoco" in type(environment.unwrapped).__module__:
            way = "; without a display it needs MUJOCO_GL=egl (libegl1) or MUJOCO_GL=osmesa (libosmesa6)"
        raise UserError(f"{env_id} cannot draw itself here: {told}{way}") from error
    if not isinstance(drawn, np.ndarray) or drawn.ndim != 3:
        raise UserError(f"{env_id} gives no pictures with render_mode rgb_array")
    return drawn


class _Film:
    """Writes pictures into a file aside, and renames it at the end.

    Args:
        path: The file.
        rate: Pictures a second.
    """

    def __init__(self, path: Path, rate: float) -> None:
        self.path, self.rate = path, rate
        self._aside = path.with_name(f".{os.getpid()}.{path.name}")
        self._container: Any = None
        self._stream: Any = None

    def __enter__(self) -> _Film:
        try:
            import av
        except ImportError as error:
            raise UserError("a video needs PyAV: pip install 'seqrl[video]'") from error
        self._errors = (av.error.FFmpegError, OSError)
        try:
            self._container = av.open(str(self._aside), "w", format="mp4")
        except self._errors as error:
            raise self._cannot(error) from error
        return self

    def _cannot(self, error: Exception) -> UserError:
        return UserError(f"cannot write {self.path}: {getattr(error, 'strerror', None) or error}")

    def add(self, picture: np.ndarray) -> None:
        """Append a picture (H, W, 3) uint8; an odd last row or column is dropped, as the codec asks."""
        import av

        if self._stream is None:
            self._stream = self._container.add_stream("libx264", rate=Fraction(self.rate).limit_denominator(1001))
            self._stream.height, self._stream.width = (side // 2 * 2 for side in picture.shape[:2])
            self._stream.pix_fmt = "yuv420p"
        even = np.ascontiguousarray(picture[: self._stream.height, : self._stream.width])
        try:
            self._container.mux(self._stream.encode(av.VideoFrame.from_ndarray(even, format="rgb24")))
        except self._errors as error:
            raise self._cannot(error) from error

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        try:
            if kind is None:
                self._container.mux(self._stream.encode())
            self._container.close()
            if kind is None:
                os.replace(self._aside, self.path)
        except self._errors as error:
            if kind is None:
                raise self._cannot(error) from error
        finally:
            self._aside.unlink(missing_ok=True)
