"""Errors that the user can mend, told in one line.

Anything raised as a `UserError` reaches a terminal as a single line and exit code 2; every other
exception is a fault of ours and keeps its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something the user can mend: names the file, row, flag or key, and the way out."""


class UnknownNameError(UserError, KeyError):
    """A name that is not in a table; the message suggests near names."""

    def __str__(self) -> str:
        return str(self.args[0])


def suggest(name: str, options: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the options nearest to `name`, or the short list of all.

    Args:
        name: What was asked for.
        options: The names that exist.
    """
    known = sorted(set(options))
    lowered = {option.lower(): option for option in known}
    near = difflib.get_close_matches(name.lower(), list(lowered), n=3, cutoff=0.6)
    if near:
        return f" Did you mean {' or '.join(repr(lowered[match]) for match in near)}?"
    if not known:
        return " None is known here."
    shown = ", ".join(known[:12]) + (", ..." if len(known) > 12 else "")
    return f" Known: {shown}."


def unknown_name(kind: str, name: str, options: Iterable[str]) -> UnknownNameError:
    """Build the error for a name that is in no table.

    Args:
        kind: What it would be: model, mixer, command, option.
        name: What was asked for.
        options: The names that exist.

    Returns:
        The error, to be raised; its line suggests near names.
    """
    return UnknownNameError(f"Unknown {kind} {name!r}.{suggest(name, options)}")
