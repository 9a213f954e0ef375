"""Options of `seqrl evaluate` (torch-free); the docstring is the help."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from seqsuite.errors import UserError

_PLAN = ("horizon", "beam_width", "n_expand", "max_context")
"""Options of the search that have a flag of their own."""


@dataclass(frozen=True)
class EvaluateConfig:
    """Options of `seqrl evaluate`.

    Args:
        run: A run folder of `seqrl train`, a model folder or a hub id.
        env: The environment to play in; auto: that of the checkpoint.
        env_options: Arguments of the environment, such as --env_options.corridor_length 90; the others are as in the
            checkpoint's data.
        targets: Raw returns to ask for, as in 3600,1800, or --targets=-200 below zero. auto: those of the run, else the
            published ones of the environment, else the best and the mean return of the run's data.
        episodes: Episodes for each target.
        num_envs: Environments that run at once; what an episode starts from does not depend on it.
        seed: Of the episodes: each one's seed follows from this and its number.
        checkpoint: last: the weights at the end of training; best: those of the best evaluation during training, of a
            run without evaluations those of the best validation loss.
        context: Steps that the policy sees; 0: as many as in training.
        temperature: Of discrete actions: 0 takes the likeliest, 1 draws as published for Atari.
        delayed: Keep the return to go at the target, for rewards that come at the end of an episode; left out: as
            the run was trained.
        clip: Clip continuous actions to their bounds.
        max_steps: Steps after which an episode is cut; 0: the environment's own limit.
        horizon: Of a Trajectory Transformer's search: rows to plan; left out, like the next, the published default.
        beam_width: Plans kept from row to row.
        n_expand: Continuations drawn of each.
        max_context: Rows that the model sees at once.
        plan: Further options of the search, such as --plan.k_act 40; see `seqrl plan --help`.
        engine: cached, plain or sliding; left out: cached.
        plan_freq: Actions taken of each plan; left out: 1.
        out: A folder for evaluation.json, episodes.csv, achieved.png and report.html; empty: write nothing.
        report: Write them into the folder `evaluation` of the run.
        video: An .mp4 file for the first episode of the first target; empty: none.
        device: Where to run: cpu, cuda, ...
        threads: Threads on a CPU; 0: torch's own number.
        overwrite: Write over what is there.
        json: Print JSON instead of tables.
    """

    run: str
    env: str = "auto"
    env_options: dict[str, Any] = field(default_factory=dict)
    targets: str = "auto"
    episodes: int = 10
    num_envs: int = 10
    seed: int = 0
    checkpoint: Literal["last", "best"] = "last"
    context: int = 0
    temperature: float = 0.0
    delayed: bool | None = None
    clip: bool = False
    max_steps: int = 0
    horizon: int | None = None
    beam_width: int | None = None
    n_expand: int | None = None
    max_context: int | None = None
    plan: dict[str, Any] = field(default_factory=dict)
    engine: Literal["cached", "plain", "sliding"] | None = None
    plan_freq: int | None = None
    out: str = ""
    report: bool = False
    video: str = ""
    device: str = "cpu"
    threads: int = 0
    overwrite: bool = False
    json: bool = False

    def __post_init__(self) -> None:
        least = {"episodes": 1, "num_envs": 1, "seed": 0, "context": 0, "max_steps": 0, "threads": 0}
        for name, smallest in least.items():
            if getattr(self, name) < smallest:
                raise UserError(f"--{name} is {getattr(self, name)}; it must be at least {smallest}")
        if self.video and not self.video.endswith(".mp4"):
            raise UserError(f"--video {self.video}: give a file that ends in .mp4")

    @property
    def search(self) -> list[str]:
        """The flags that were given of a planner."""
        names = (*_PLAN, "plan", "engine", "plan_freq")
        return [name for name in names if getattr(self, name) not in (None, {})]

    @property
    def agent_options(self) -> dict[str, Any]:
        """What was asked of the agent."""
        given: dict[str, Any] = {"context": self.context or None, "temperature": self.temperature or None}
        given |= {"delayed": self.delayed, "clip": self.clip or None}
        flags = {name: getattr(self, name) for name in _PLAN if getattr(self, name) is not None}
        given |= {"plan": (self.plan | flags) or None, "engine": self.engine, "plan_freq": self.plan_freq}
        return {name: value for name, value in given.items() if value is not None}
