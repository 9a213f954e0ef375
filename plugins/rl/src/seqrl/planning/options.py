"""How far and how widely a plan is searched (torch-free)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from seqsuite.errors import UserError
from seqsuite.mixers.options import check_range

EngineName = Literal["cached", "plain", "sliding"]


@dataclass(frozen=True, kw_only=True)
class PlanOptions:
    """Options of `seqrl.planning.beam_plan`; the defaults are the published ones for Hopper.

    Args:
        horizon: Rows to plan, the present one included.
        beam_width: Plans kept from row to row.
        n_expand: Continuations drawn of each.
        discount: Of a plan's rewards and of the value behind them.
        max_context: Rows that the model sees at once; fewer where its block is shorter.
        k_obs: Observation tokens are drawn from this many likeliest; 1: the likeliest; None: from all.
        k_act: The same for action tokens.
        k_rew: The same for the reward's and the value's.
        cdf_obs: Leaves out the unlikeliest observation tokens, up to this probability together; None: none.
        cdf_act: The same for action tokens.
        percentile: A reward is its distribution's "mean", or this part of it lies below: 0.7.
        wrap: A percentile that falls into the first bin is the middle of the first and the last threshold, as in the
            published code, whose index wraps around; otherwise it is the first threshold.
        prefix_context: Earlier rows stand in front of the present observation.
        temperature: Divides the logits.
    """

    horizon: int = 15
    beam_width: int = 128
    n_expand: int = 2
    discount: float = 0.99
    max_context: int = 5
    k_obs: int | None = 1
    k_act: int | None = None
    k_rew: int | None = 1
    cdf_obs: float | None = None
    cdf_act: float | None = 0.6
    percentile: float | Literal["mean"] = "mean"
    wrap: bool = False
    prefix_context: bool = True
    temperature: float = 1.0

    def __post_init__(self) -> None:
        least = {name: getattr(self, name) for name in ("horizon", "beam_width", "n_expand", "max_context")}
        kept = {name: getattr(self, name) for name in ("k_obs", "k_act", "k_rew") if getattr(self, name) is not None}
        check_range("plan", least | kept, least=1)
        check_range("plan", {"temperature": self.temperature}, above=0)
        check_range("plan", {"discount": self.discount}, least=0)
        for name in ("cdf_obs", "cdf_act"):
            self._require_share(name, getattr(self, name))
        if self.percentile != "mean":
            self._require_share("percentile", self.percentile)
        if self.max_context == 1 and (self.horizon > 1 or self.prefix_context):
            raise UserError("plan: max_context must be at least 2: behind a whole row the model would see nothing")

    def _require_share(self, name: str, value: object) -> None:
        if value is None:
            return
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise UserError(f"plan: {name} must be a number between 0 and 1, not {value!r}")
        if not 0 < value < 1:
            raise UserError(f"plan: {name} must lie between 0 and 1, not {value:g}")
