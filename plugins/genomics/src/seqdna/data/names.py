"""One name for one record: ``chr1`` and ``1``, ``chrM`` and ``MT``, settled once against the names a genome has."""

from __future__ import annotations

from collections.abc import Iterable

from seqsuite.errors import UnknownNameError, suggest

_MITOCHONDRION = ("chrM", "MT", "M", "chrMT")


def resolve_names(wanted: Iterable[str], available: Iterable[str], *, where: str = "") -> dict[str, str]:
    """Return for each wanted record name the one that is available: itself, or its alias.

    Aliases are the name with ``chr`` put before it or taken away, and M, MT, chrM, chrMT for each other.

    Args:
        wanted: Names as a BED or VCF file has them.
        available: Names as the genome has them.
        where: What to put before an error, such as ``"file.bed, line 3: "``.

    Raises:
        UserError: A name has no counterpart; near names are given.
    """
    known = dict.fromkeys(available)
    resolved = {}
    for name in wanted:
        found = next((alias for alias in _aliases(name) if alias in known), None)
        if found is None:
            raise UnknownNameError(f"{where}{'u' if where else 'U'}nknown record {name!r}.{suggest(name, known)}")
        resolved[name] = found
    return resolved


def _aliases(name: str) -> tuple[str, ...]:
    if name in _MITOCHONDRION:
        return (name, *_MITOCHONDRION)
    return (name, name.removeprefix("chr") if name.startswith("chr") else f"chr{name}")
