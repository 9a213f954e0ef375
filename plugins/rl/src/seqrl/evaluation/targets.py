"""Which returns a policy is asked for: those that were given, those of its run, or the published ones."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from seqsuite.errors import UserError

if TYPE_CHECKING:
    from seqrl.api import TrainedPolicy

Targets = str | float | Sequence[float]


def parse_targets(targets: Targets) -> tuple[float, ...]:
    """Return raw returns from "3600,1800", a number or several.

    Raises:
        UserError: There is none, or one is no finite number.
    """
    parts: Sequence[Any]
    if isinstance(targets, str):
        parts = [part.strip() for part in targets.split(",")]
    else:
        parts = [targets] if isinstance(targets, int | float) else list(targets)
    if not parts:
        raise UserError("--targets is empty; give returns, as in 3600,1800, or auto")
    values = []
    for part in parts:
        try:
            values.append(float(part))
        except (TypeError, ValueError):
            given = targets if isinstance(targets, str) else list(parts)
            raise UserError(f"--targets {given!r}: {part!r} is no number; give returns, as in 3600,1800") from None
        if not math.isfinite(values[-1]):
            raise UserError(f"--targets: {part!r} is not finite; give returns, as in 3600,1800")
    return tuple(dict.fromkeys(values))


def targets_of(policy: TrainedPolicy, targets: Targets, env_id: str) -> tuple[float | None, ...]:
    """Return what to ask a policy for.

    Returns:
        Raw returns; (None,) for a policy that takes none, whatever is given.

    Args:
        policy: Whose run may say it.
        targets: "auto", or what `parse_targets` takes. auto: the targets of the run; else the published ones of the
            environment; else the best and the mean return of the run's data.
        env_id: The environment.

    Raises:
        UserError: The list is malformed, or nothing says what to ask for.
    """
    if not getattr(policy.model, "needs_target", False):
        return (None,)
    if targets != "auto":
        return parse_targets(targets)
    given = (policy.options or {}).get("targets") or [
        row.get("target") for row in policy.summary.get("last") or () if isinstance(row, Mapping)
    ]
    known = [float(target) for target in given if isinstance(target, int | float)]
    if known:
        return tuple(dict.fromkeys(known))
    from seqrl.scores import bare_name
    from seqrl.training.evaluating import PUBLISHED_TARGETS

    if bare_name(env_id) in PUBLISHED_TARGETS:
        return PUBLISHED_TARGETS[bare_name(env_id)]
    data = policy.summary.get("data") or {}
    found = [data[key] for key in ("return_max", "return_mean") if isinstance(data.get(key), int | float)]
    if not found:
        raise UserError(f"nothing says what returns to ask for in {env_id}: give --targets, as in 3600,1800")
    return tuple(dict.fromkeys(map(float, found)))
