"""Names of a package that load their module on first use, so that importing the package stays light.

    if TYPE_CHECKING:
        from seqsuite.mixers.mamba import Mamba
    __all__ = ["Mamba"]
    __getattr__, __dir__ = lazy_names(__name__, {"mamba": ["Mamba"]})

Type checkers see the imports, the interpreter does not.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any


def lazy_names(
    package: str, homes: Mapping[str, Sequence[str]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the `__getattr__` and `__dir__` of a package.

    Args:
        package: The package's `__name__`.
        homes: Module below the package -> names that live in it.
    """
    home = {name: module for module, names in homes.items() for name in names}

    def get(name: str) -> Any:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(f"{package}.{home[name]}"), name)
        setattr(sys.modules[package], name, value)
        return value

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *home})

    return get, names
