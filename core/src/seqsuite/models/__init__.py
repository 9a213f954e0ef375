"""The model contract: made by name, listed with wildcards, saved and loaded without pickle.

    model = seqsuite.create_model("mamba_lm_debug", vocab_size=16)
    model.save_pretrained("export")                # config.json, model.safetensors, README.md
    model = seqsuite.load_model("export")

`list_models` and `model_config` need no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from seqsuite.models.registry import list_models, model_config

if TYPE_CHECKING:
    from seqsuite.models.base import Model
    from seqsuite.models.create import create_model, load_model

_HOME = {
    "Model": "seqsuite.models.base",
    "create_model": "seqsuite.models.create",
    "load_model": "seqsuite.models.create",
}
__all__ = ["Model", "create_model", "list_models", "load_model", "model_config"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'seqsuite.models' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
