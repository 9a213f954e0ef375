"""Mixers by name, and stacks of them by a pattern, from the plugin tables; options checked by name and type.

A pattern names the mixers of consecutive blocks, ``"mamba*3, attention"``: three of Mamba, one of
attention, and so on from the start until every block has one. A pattern that is longer than the stack is
cut. The options of a single mixer are its keyword arguments; those of a pattern go by the mixer's name,
``{"mamba": {"d_state": 8}, "attention": {...}}``, and hold for all blocks of that name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from seqsuite import plugins
from seqsuite.errors import UserError, unknown_name
from seqsuite.mixers.options import check_arguments, check_range, convert

if TYPE_CHECKING:
    from seqsuite.mixers.base import Mixer


def list_mixers(pattern: str = "*") -> list[str]:
    """Return the names of the mixers that match a wildcard.

    Args:
        pattern: The wildcard, as in file names.

    Returns:
        The names, sorted.
    """
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


def is_pattern(mixer: str) -> bool:
    """Tell whether a text is a pattern of blocks and not one mixer's name."""
    return "," in mixer or "*" in mixer


def parse_pattern(mixer: str) -> list[tuple[str, int]]:
    """Return the mixers of a pattern and how many blocks each has: ``[("mamba", 3), ("attention", 1)]``.

    Raises:
        UserError: A part is empty or its number of blocks is none.
    """
    parts = []
    for part in mixer.split(","):
        found = re.fullmatch(r"\s*([^\s*]+)\s*(?:\*\s*([0-9]{1,6}))?\s*", part)
        if found is None or (found[2] is not None and int(found[2]) < 1):
            raise UserError(
                f"mixer: {part.strip()!r} is no part of a pattern; write a name or a name and a number of blocks "
                "(1 to 999999), as in 'mamba*3, attention'"
            )
        parts.append((found[1], int(found[2] or 1)))
    return parts


def block_mixers(mixer: str, n_layer: int) -> list[str]:
    """Return the name of each block's mixer: the pattern repeated, or cut, to `n_layer` blocks."""
    if not is_pattern(mixer):
        return [mixer] * n_layer
    once = [name for name, count in parse_pattern(mixer) for _ in range(count)]
    return [once[layer % len(once)] for layer in range(n_layer)]


def build_mixers(mixer: str, n_layer: int, d_model: int, options: Mapping[str, Any]) -> Iterator[Mixer]:
    """Build the mixers of a stack one after the other, one a block.

    Args:
        mixer: A name of `list_mixers()`, or a pattern of them.
        n_layer: Number of blocks.
        d_model: Width D of the sequence.
        options: The mixer's options; of a pattern the options of each of its mixers by name.

    Raises:
        UserError: See `settled_mixer`.
    """
    mixer, options = settled_mixer(mixer, options)
    patterned = is_pattern(mixer)
    for name in block_mixers(mixer, n_layer):
        yield build_mixer(name, d_model, options.get(name, {}) if patterned else options)


def settled_mixer(mixer: str, options: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return a mixer or a pattern in its plain spelling, and its options as they are taken.

    Raises:
        UnknownNameError: A mixer or an option that does not exist; near names are suggested.
        UserError: The pattern cannot be read, or a value is of the wrong type.
    """
    if not is_pattern(mixer):
        return mixer.strip(), settled_options(mixer.strip(), options)
    parts = parse_pattern(mixer)
    for name, _ in parts:
        plugins.lookup("mixers", name)
    known = dict(parts)
    for name, given in options.items():
        if name not in known:
            raise unknown_name(f"mixer in the options of the pattern {mixer!r}", name, known)
        if not isinstance(given, Mapping):
            raise UserError(f"mixer_options: {name} must hold the options of the mixer {name!r}, not {given!r}")
    # A pattern of one block keeps its number: without it, it would be a mixer's name, whose options are not by name.
    plain = ", ".join(name if count == 1 < len(parts) else f"{name}*{count}" for name, count in parts)
    return plain, {name: settled_options(name, given) for name, given in options.items()}


def settled_options(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return a mixer's options as it takes them: every value of the type that the mixer declares."""
    cls = plugins.lookup("mixers", name)
    return check_arguments(cls, f"mixer {name!r}", options)
