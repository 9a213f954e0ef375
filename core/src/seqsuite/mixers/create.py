"""Mixers by name, from the plugin tables, with options checked by name and type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from seqsuite import plugins
from seqsuite.mixers.options import check_arguments

if TYPE_CHECKING:
    from seqsuite.mixers.base import Mixer


def list_mixers(pattern: str = "*") -> list[str]:
    """Return the names of the mixers that match a wildcard, sorted."""
    return sorted(plugins.names("mixers", pattern))


def create_mixer(name: str, d_model: int, **options: Any) -> Mixer:
    """Build a mixer by name.

    Args:
        name: A name of `list_mixers()`.
        d_model: Width D of the sequence.
        options: The keyword arguments of the mixer's constructor.

    Returns:
        A mixer from (B, L, D) to (B, L, D).

    Raises:
        UnknownNameError: No such mixer, or no such option; near names are suggested.
        UserError: An option of the wrong type.
    """
    cls = plugins.lookup("mixers", name)
    return cls(d_model, **check_arguments(cls, f"mixer {name!r}", options))
