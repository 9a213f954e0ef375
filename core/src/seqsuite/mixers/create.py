"""Mixers by name, from the plugin tables, with options checked by name and type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from seqsuite import plugins
from seqsuite.errors import UserError
from seqsuite.mixers.options import check_arguments, check_range, convert

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
        UserError: An option or a width of the wrong type or out of range.
    """
    return build_mixer(name, d_model, options)


def build_mixer(name: str, d_model: int, options: Mapping[str, Any]) -> Mixer:
    """Build a mixer from options in a mapping, whatever their names; see `create_mixer`."""
    cls = plugins.lookup("mixers", convert("create_mixer", "name", name, str))
    owner = f"mixer {name!r}"
    if isinstance(d_model, str):
        raise UserError(f"{owner}: d_model must be int, not {d_model!r} (str)")
    d_model = convert(owner, "d_model", d_model, int)
    check_range(owner, {"d_model": d_model}, least=1)
    return cls(d_model, **check_arguments(cls, owner, options))


def settled_options(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return a mixer's options as it takes them: every value of the type that the mixer declares."""
    cls = plugins.lookup("mixers", name)
    return check_arguments(cls, f"mixer {name!r}", options)
