"""Values below the first level of `--model_options`, which the command line gives as text (torch-free)."""

from __future__ import annotations

from typing import Any

import yaml

from seqsuite.errors import UserError


def nested_values(options: dict[str, Any], *, below: bool = False) -> dict[str, Any]:
    """Read text in nested options as YAML, as text on the first level is read already.

    `--model_options.mixer_options.l_max 64` arrives as ``{"mixer_options": {"l_max": "64"}}``.

    Args:
        options: What `--model_options` holds.
        below: Whether this is below the first level.
    """
    return {
        name: nested_values(value, below=True)
        if isinstance(value, dict)
        else _value(value)
        if below and isinstance(value, str)
        else value
        for name, value in options.items()
    }


def _value(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def filter_reach(mixer_options: dict[str, Any]) -> int | None:
    """Return how many bases a Hyena filter reads at most, `l_max` of the mixer options; None: no bound is set.

    Raises:
        UserError: It is no number above 0.
    """
    reach = mixer_options.get("l_max")
    if reach is not None and (not isinstance(reach, int) or isinstance(reach, bool) or reach < 1):
        raise UserError(f"--model_options.mixer_options.l_max is {reach!r}; it must be a whole number above 0.")
    return reach
