"""Options of `seqrl collect` (torch-free); the docstring is the help."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

from seqsuite.errors import UserError, unknown_name

POLICIES = ("random", "scripted", "optimal", "ppo", "sac")


@dataclass(frozen=True)
class CollectConfig:
    """Options of `seqrl collect`.

    What is drawn in an episode depends on --seed and the episode's number alone: neither --num_envs nor an interruption
    changes the data. Finished episodes are kept in OUT.parts until all of them are there.

    Args:
        env: The environment, as gymnasium names it: CartPole-v1, Hopper-v5, seqrl/TMaze-v0, ...
        policy: random; scripted (classic control, T-Maze); optimal (toy text, by value iteration); ppo or sac
            (trained first, by Stable-Baselines3); sb3:FILE.zip (a model that Stable-Baselines3 saved: such files hold
            pickled code, of which nothing is run; only the parameters are loaded).
        epsilon: Probability of a random action at each step; several, as in 0,0.3,1, are a mixture over episodes.
        episodes: How many, shared evenly over the mixture; 0: as --steps says, or 100 where neither is given.
        steps: Collect whole episodes until there are this many steps, shared evenly over the mixture.
        num_envs: Environments that step together.
        processes: Give each its own process: for slow environments on many cores.
        seed: Of everything that is drawn.
        format: How the data set is written.
        out: The folder to write, or the .hdf5 file for d4rl; empty: named after the environment and the policy.
        resume: Go on with an interrupted collection; with more --episodes or --steps than before if wanted.
        overwrite: Replace what is there.
        max_episode_steps: Time limit; 0: the environment's own, or 1000 where it has none.
        env_options: Arguments of the environment, such as --env_options.corridor_length 90.
        train_steps: Steps that ppo or sac is trained for.
        checkpoints: Policies to keep along that training, evenly spaced; several are a mixture like D4RL's
            medium-replay.
        train_options: Arguments of Stable-Baselines3's PPO or SAC, such as --train_options.learning_rate 0.001.
        deterministic: A policy of Stable-Baselines3 takes its most likely action instead of drawing one.
        reference_episodes: Episodes of the random policy that measure the score 0; 0: none.
        reference_min: The return of score 0 instead.
        reference_max: The return of score 1; by default that of the scripted or optimal policy, where one was run.
        json: Print JSON instead of a table.
    """

    env: str
    policy: str = "random"
    epsilon: tuple[float, ...] = (0.0,)
    episodes: int = 0
    steps: int = 0
    num_envs: int = 8
    processes: bool = False
    seed: int = 0
    format: Literal["minari-hdf5", "minari-arrow", "d4rl"] = "minari-hdf5"
    out: str = ""
    resume: bool = False
    overwrite: bool = False
    max_episode_steps: int = 0
    env_options: dict[str, Any] = field(default_factory=dict)
    train_steps: int = 80_000
    checkpoints: int = 1
    train_options: dict[str, Any] = field(default_factory=dict)
    deterministic: bool = False
    reference_episodes: int = 50
    reference_min: float | None = None
    reference_max: float | None = None
    json: bool = False

    def __post_init__(self) -> None:
        for name, least in {
            **dict.fromkeys(("episodes", "steps", "seed", "max_episode_steps", "reference_episodes"), 0),
            **dict.fromkeys(("num_envs", "train_steps", "checkpoints"), 1),
        }.items():
            if getattr(self, name) < least:
                raise UserError(f"--{name} is {getattr(self, name)}; it must be at least {least}")
        if not self.policy.startswith("sb3:") and self.policy not in POLICIES:
            if self.policy.endswith(".zip"):
                raise UserError(f"--policy {self.policy}: to load a file of Stable-Baselines3, write sb3:{self.policy}")
            raise unknown_name("--policy", self.policy, (*POLICIES, "sb3:FILE.zip"))
        self._check_mixture()
        if self.episodes and self.steps:
            raise UserError("give --episodes or --steps, not both")
        if self.resume and self.overwrite:
            raise UserError("give --resume or --overwrite, not both")
        if self.format == "d4rl" and self.out and not self.out.endswith((".hdf5", ".h5")):
            raise UserError(f"--out {self.out}: a D4RL data set is one file; end it in .hdf5")
        for name in ("reference_min", "reference_max"):
            value = getattr(self, name)
            if value is not None and not math.isfinite(value):
                raise UserError(f"--{name} is {value}; it must be a finite number")

    def _check_mixture(self) -> None:
        """Refuse a mixture that means nothing."""
        if not self.epsilon:
            raise UserError("--epsilon is empty; it must hold at least one number from 0 to 1")
        for value in self.epsilon:
            if not 0 <= value <= 1:  # not a number fails this as well
                raise UserError(f"--epsilon {value:g} is no probability; it must be between 0 and 1")
        if self.policy == "random" and self.epsilon != (0.0,):
            raise UserError("--epsilon has no meaning for --policy random, whose actions are all random")
        if self.policy not in ("ppo", "sac") and self.checkpoints != 1:
            raise UserError("--checkpoints goes with --policy ppo or sac, the policies that are trained")

    @property
    def asked_episodes(self) -> int:
        """Return the number of episodes to collect; 0 where steps count."""
        return self.episodes or (0 if self.steps else 100)

    @property
    def target(self) -> str:
        """Return the folder or file to write."""
        if self.out:
            return self.out
        policy = "sb3" if self.policy.startswith("sb3:") else self.policy
        suffix = ".hdf5" if self.format == "d4rl" else ""
        return f"{self.env.replace('/', '-').replace(':', '-')}-{policy}{suffix}"

    def identity(self) -> dict[str, Any]:
        """Return the options that determine the episodes, which a resumed collection must share."""
        names = ("env", "policy", "epsilon", "seed", "max_episode_steps", "env_options", "train_steps", "checkpoints")
        values = {name: getattr(self, name) for name in (*names, "train_options", "deterministic")}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
