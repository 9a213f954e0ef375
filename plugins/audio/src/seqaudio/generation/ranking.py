"""Clips in the order of their likelihood, and which of them to leave out (Goel et al. 2022, section 4.2).

Models of samples now and then fall into noise, which is unlikely, or into silence, which is very likely: leaving out
the least likely 40 % and the likeliest 5 % is what the paper found best for its models.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from seqsuite.errors import UserError

State = Literal["kept", "rejected: unlikely", "rejected: likely"]


def check_rejection(bottom: float, top: float) -> None:
    """Raise a `UserError` unless both shares leave something."""
    if not (0 <= bottom < 1 and 0 <= top < 1 and bottom + top < 1):
        raise UserError(f"reject_bottom and reject_top are shares below 1 together, not {bottom:g} and {top:g}")


def rank(scores: Sequence[float], bottom: float = 0.0, top: float = 0.0) -> list[tuple[int, State]]:
    """Order clips from the likeliest to the least likely.

    Args:
        scores: The mean log-likelihood of a sample of each clip.
        bottom: Share of the least likely to reject, rounded down.
        top: Share of the likeliest to reject, rounded down.

    Returns:
        Place in `scores`, and what becomes of the clip.

    Raises:
        UserError: The shares leave nothing.
    """
    check_rejection(bottom, top)
    order = sorted(range(len(scores)), key=lambda i: -scores[i])
    # A share such as 0.3 of 10 is 2.9999999999999996 in floating point.
    first, last = (math.floor(share * len(scores) + 1e-9) for share in (top, bottom))
    states: list[State] = ["kept"] * len(scores)
    states[:first] = ["rejected: likely"] * first
    states[len(scores) - last :] = ["rejected: unlikely"] * last
    return list(zip(order, states, strict=True))
