"""SeqSuite: operators, mixers, models and training for long sequences.

The names below load torch on first use; importing the package does not.

    import seqsuite
    model = seqsuite.create_model("mamba_lm_debug", vocab_size=16)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seqsuite.mixers import create_mixer
    from seqsuite.models import create_model, list_models, load_model

__version__ = "0.1.0"
__all__ = ["__version__", "create_mixer", "create_model", "list_models", "load_model"]

_HOME = {
    "create_mixer": "seqsuite.mixers",
    "create_model": "seqsuite.models",
    "list_models": "seqsuite.models",
    "load_model": "seqsuite.models",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'seqsuite' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
