"""Packages that only some outputs need."""

from __future__ import annotations

import importlib
from types import ModuleType

from seqsuite.errors import UserError


def needed(package: str, module: str, purpose: str) -> ModuleType:
    """Import a module of an optional package.

    Args:
        package: Its name on the package index.
        module: What to import.
        purpose: What needs it, for the message.

    Raises:
        UserError: It is not installed; says how to install it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UserError(f"{purpose} needs the package {package} ({error}): pip install {package}") from error
