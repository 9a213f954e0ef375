"""How far a Hyena filter reads, from the options of a model (torch-free)."""

from __future__ import annotations

from typing import Any

from seqsuite.errors import UserError


def filter_reach(mixer_options: dict[str, Any]) -> int | None:
    """Return how many bases a Hyena filter reads at most, `l_max` of the mixer options; None: no bound is set.

    Raises:
        UserError: It is no number above 0.
    """
    reach = mixer_options.get("l_max")
    if reach is not None and (not isinstance(reach, int) or isinstance(reach, bool) or reach < 1):
        raise UserError(f"--model_options.mixer_options.l_max is {reach!r}; it must be a whole number above 0.")
    return reach
