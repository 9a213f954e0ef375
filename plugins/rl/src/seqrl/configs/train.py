"""Options of `seqrl train` (torch-free); the docstring is the help."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from seqsuite.errors import UserError
from seqsuite.training.configs import TrainConfig

PUBLISHED: dict[str, dict[str, Any]] = {
    "windows": {"lr": 1e-4, "weight_decay": 1e-4, "betas": (0.9, 0.999), "clip": 0.25, "batch_size": 64,
                "discount": 1.0},
    "pixels": {"lr": 6e-4, "weight_decay": 0.1, "betas": (0.9, 0.95), "clip": 1.0, "batch_size": 128,
               "discount": 1.0},
    "trajectory": {"lr": 6e-4, "weight_decay": 0.1, "betas": (0.9, 0.95), "clip": 1.0, "batch_size": 256,
                   "discount": 0.99},
}  # fmt: skip
"""What stands where an option is left out: Decision Transformer's code for policies over windows of vectors and (its
Atari part) of pixels, Trajectory Transformer's for it."""
WARMUP = 10_000
"""Updates of the Decision Transformer's warm-up."""
PIXELS_WARMUP = 3
"""The same over pixels: 10,240 tokens at 128 windows of 30."""


@dataclass(frozen=True, kw_only=True)
class PolicyTrainConfig(TrainConfig):
    """Options of `seqrl train`.

    Where --lr, --weight_decay, --betas, --clip, --batch_size or --discount are left out, the published values of the
    model's family stand: 1e-4, 1e-4, 0.9,0.999, 0.25, 64 and 1 of the Decision Transformer (behaviour cloning and RATE
    as well); over pixels 6e-4, 0.1, 0.9,0.95, 1, 128 and 1; 6e-4, 0.1, 0.9,0.95, 1, 256 and 0.99 of the Trajectory
    Transformer.

    Args:
        source: Logged episodes: a D4RL file (.hdf5), a Minari folder or the id of a Minari dataset that was downloaded,
            or an .npz file.
        env: The environment of the data, as gymnasium names it, where the source does not say it.
        model: decision_transformer, behavior_cloning, rate or trajectory_transformer; each has a _debug size.
        model_options: Fields of the model's config, such as --model_options.context 50 --model_options.mixer mamba. An
            action head loses its tanh by itself where actions reach beyond -1 .. 1.
        top_fraction: Learn from the best episodes only, as many as hold this share of all steps: 0.1 with
            behavior_cloning is 10 %BC. States are normalised over all episodes nevertheless.
        delayed: All rewards of an episode come in its last step.
        discount: Of returns.
        objectives: Name of an info of the data with rewards (N, R) of several objectives, a return-to-go for each;
            empty: the plain rewards.
        return_scale: What returns are divided by. auto: 1000 for hopper, halfcheetah, walker2d and ant, and 10 for
            reacher, as published; 1 for pixels, as published; else the largest return-to-go of the data, by its size.
        max_ep_len: Later time steps count as the last of these. 0: the limit of the data's environment, or the longest
            episode where that is more.
        valid_fraction: Share of the episodes that is kept out of training and scored.
        windows: any: windows begin at any step and are padded at an episode's end; inside: they lie within an episode
            wherever it is long enough; auto: inside for pixels and for rate, as published, else any.
        segments: Consecutive windows of one row of a batch, for models with a memory (rate).
        discretizer: How numbers become tokens for trajectory_transformer: quantile (published), uniform or percentile.
        state_loss: Weight of the loss of predicted next states, for a model that has this head.
        return_loss: Weight of the loss of predicted next returns, for a model that has this head.
        decay_of: What weight decay applies to. all: every parameter that its module does not exempt; matrices: no
            biases, norms and embeddings; auto: as published, all for vectors, matrices for pixels and for
            trajectory_transformer.
        eval_env: An environment to play in during training; auto: that of the data.
        eval_every: Steps between such evaluations, one at the end included; 0: none.
        eval_episodes: Episodes of an evaluation, for each target.
        agent_options: Of the agent in these evaluations, such as --agent_options.temperature 1 (draw discrete actions,
            as published for Atari, instead of taking the likeliest).
        targets: Returns to ask for, as in 3600,1800, or --targets=-200 below zero; empty: the published ones of the
            environment, else the best and the mean return of the data.
        lr: Peak learning rate.
        min_lr: Learning rate at the end of a cosine; left out: constant, or a tenth for pixels and for
            trajectory_transformer.
        warmup: Linear warm-up: a fraction of all steps below 1, else a number of steps. Left out: a tenth of the
            steps, at most 10000 (as published in a run of 100000); 3 steps for pixels; one pass, or a tenth of the
            steps where that is less, for trajectory_transformer.
        weight_decay: AdamW's weight decay.
        betas: AdamW's two averaging rates.
        clip: Largest gradient norm; 0 for no clipping.
        batch_size: Rows of one step, over all devices and accumulated parts.
        json: Print the result as JSON instead of a table.
    """

    source: str = field(kw_only=False)
    env: str = ""
    model: str = "decision_transformer"
    model_options: dict[str, Any] = field(default_factory=dict)
    top_fraction: float = 1.0
    delayed: bool = False
    discount: float | None = None
    objectives: str = ""
    return_scale: float | Literal["auto"] = "auto"
    max_ep_len: int = 0
    valid_fraction: float = 0.1
    windows: Literal["auto", "any", "inside"] = "auto"
    segments: int = 3
    discretizer: Literal["quantile", "uniform", "percentile"] = "quantile"
    state_loss: float = 0.0
    return_loss: float = 0.0
    decay_of: Literal["auto", "all", "matrices"] = "auto"
    eval_env: str = "auto"
    eval_every: int = 0
    eval_episodes: int = 10
    agent_options: dict[str, Any] = field(default_factory=dict)
    targets: tuple[float, ...] = ()
    steps: int = 10_000
    lr: float | None = None  # type: ignore[assignment]
    min_lr: float | None = None  # type: ignore[assignment]
    warmup: float | None = None  # type: ignore[assignment]
    weight_decay: float | None = None  # type: ignore[assignment]
    betas: tuple[float, float] | None = None  # type: ignore[assignment]
    clip: float | None = None  # type: ignore[assignment]
    batch_size: int | None = None  # type: ignore[assignment]
    checkpoint_every: int = 500
    validate_every: int = 500
    log_every: int = 100
    json: bool = False
    out: str = "runs/policy"

    free_on_resume: ClassVar[frozenset[str]] = TrainConfig.free_on_resume | {
        *("json", "source", "eval_env", "eval_every", "eval_episodes", "agent_options", "targets")
    }

    def __post_init__(self) -> None:
        if self.open_options:
            self.filled("windows", passes=1)  # everything else is checked on a twin
            return
        super().__post_init__()
        assert self.discount is not None
        scale = self.return_scale
        _demand("top_fraction", self.top_fraction, 0 < self.top_fraction <= 1, "above 0 and at most 1")
        _demand("discount", self.discount, 0 < self.discount <= 1, "above 0 and at most 1")
        _demand("return_scale", scale, scale == "auto" or 0 < scale < math.inf, "auto or a number above 0")
        _demand("max_ep_len", self.max_ep_len, self.max_ep_len >= 0, "at least 0")
        _demand("valid_fraction", self.valid_fraction, 0 <= self.valid_fraction < 1, "at least 0 and below 1")
        for name in ("state_loss", "return_loss"):
            _demand(name, getattr(self, name), 0 <= getattr(self, name) < math.inf, "at least 0")
        for name, least in {"segments": 1, "eval_every": 0, "eval_episodes": 1}.items():
            _demand(name, getattr(self, name), getattr(self, name) >= least, f"at least {least}")
        _demand("targets", self.targets, all(map(math.isfinite, self.targets)), "numbers, as in 3600,1800")
        if self.decay != "matrices":
            raise UserError("--decay has no effect here: use --decay_of")

    @property
    def open_options(self) -> list[str]:
        """Names of the options that were left out and depend on the model."""
        names = ("lr", "min_lr", "warmup", "weight_decay", "betas", "clip", "batch_size", "discount")
        return [name for name in names if getattr(self, name) is None]

    def filled(self, family: str, *, passes: int) -> PolicyTrainConfig:
        """Return the options with the published values where none were given.

        Args:
            family: Of the model: windows, pixels (windows of them) or trajectory.
            passes: Steps of one pass over the data.
        """
        known = dict(PUBLISHED[family])
        lr = known["lr"] if self.lr is None else self.lr
        if family == "trajectory":
            known |= {"min_lr": 0.1 * lr, "warmup": float(min(passes, max(1, self.steps // 10)))}
        elif family == "pixels":
            known |= {"min_lr": 0.1 * lr, "warmup": float(min(PIXELS_WARMUP, self.steps))}
        else:
            known |= {"min_lr": lr, "warmup": float(min(WARMUP, max(1, self.steps // 10)))}
        return dataclasses.replace(self, **{name: known[name] for name in self.open_options})


def _demand(name: str, value: object, holds: bool, what: str) -> None:
    if not holds:
        raise UserError(f"--{name} is {value}; it must be {what}")
