"""Options of `seqrl plan` (torch-free); the docstring is the help."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal

from seqsuite.errors import UserError


@dataclass(frozen=True)
class PlanConfig:
    """Options of `seqrl plan`; the defaults of the search are the published ones for Hopper.

    Args:
        checkpoint: A Trajectory Transformer: a run folder, or the folder of a model.
        observation: Plan from this observation: numbers with commas between them; otherwise an environment is played.
        env: The environment to play; "" for that of the checkpoint.
        steps: Decisions to take in the environment.
        horizon: Steps to plan.
        beam_width: Plans kept from step to step.
        n_expand: Continuations drawn of each.
        discount: Of a plan's rewards and of the value behind them.
        max_context: Steps that the model sees at once.
        k_obs: Observation tokens are drawn from so many likeliest; 1: the likeliest one; 0: from all.
        k_act: The same for action tokens.
        k_rew: The same for the reward's and the value's tokens.
        cdf_obs: The unlikeliest observation tokens, up to this probability together, are left out; 0: none.
        cdf_act: The same for action tokens.
        percentile: A reward is its distribution's mean, or this part of it lies below, such as 0.7.
        prefix_context: Earlier steps stand in front of the present observation.
        temperature: Divides the logits.
        engine: cached: exact and fast; plain: everything anew for each token; sliding: faster where the context is
            full, with other numbers.
        clip: Clip actions to their box.
        seed: Of the draws and of the environment.
        time: Plan a single decision three times more, and tell the median of the time.
        threads: CPU threads; 0 leaves it to PyTorch.
        device: Where to run: cpu, cuda, ...
        json: Print JSON instead of a table.
    """

    checkpoint: str
    observation: str = ""
    env: str = ""
    steps: int = 1
    horizon: int = 15
    beam_width: int = 128
    n_expand: int = 2
    discount: float = 0.99
    max_context: int = 5
    k_obs: int = 1
    k_act: int = 0
    k_rew: int = 1
    cdf_obs: float = 0.0
    cdf_act: float = 0.6
    percentile: str = "mean"
    prefix_context: bool = True
    temperature: float = 1.0
    engine: Literal["cached", "plain", "sliding"] = "cached"
    clip: bool = False
    seed: int = 0
    time: bool = False
    threads: int = 0
    device: str = "cpu"
    json: bool = False

    def __post_init__(self) -> None:
        for name in ("steps", "horizon", "beam_width", "n_expand", "max_context"):
            if getattr(self, name) < 1:
                raise UserError(f"--{name} is {getattr(self, name)}; it must be at least 1")
        for name in ("k_obs", "k_act", "k_rew", "threads", "seed"):
            if getattr(self, name) < 0:
                raise UserError(f"--{name} is {getattr(self, name)}; it must be at least 0")
        for name in ("cdf_obs", "cdf_act"):
            if not 0 <= getattr(self, name) < 1:
                raise UserError(f"--{name} is {getattr(self, name)}; it must be at least 0 and below 1")
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise UserError(f"--temperature is {self.temperature}; it must be above 0")
        if self.observation and (self.env or self.steps > 1):
            raise UserError("--observation plans one decision without an environment; leave out --env and --steps")
        self.numbers()
        self.search()

    def numbers(self) -> list[float]:
        """Return the numbers of the observation."""
        try:
            found = [float(part) for part in self.observation.split(",")] if self.observation else []
        except ValueError as error:
            raise UserError(f"--observation: {error}; write numbers with commas between them") from error
        if not all(math.isfinite(number) for number in found):
            raise UserError("--observation: the numbers must be finite")
        return found

    def search(self) -> dict[str, Any]:
        """Return the fields of `seqrl.planning.PlanOptions`."""
        from seqrl.planning.options import PlanOptions

        values = {
            field.name: getattr(self, field.name) for field in dataclasses.fields(PlanOptions) if field.name != "wrap"
        }
        values |= {name: values[name] or None for name in ("k_obs", "k_act", "k_rew", "cdf_obs", "cdf_act")}
        if self.percentile != "mean":
            try:
                values["percentile"] = float(self.percentile)
            except ValueError as error:
                raise UserError(f"--percentile is {self.percentile!r}; it must be mean or a number") from error
        PlanOptions(**values)
        return values
