"""The model contract: made by name, listed with wildcards, saved and loaded without pickle.

    model = seqsuite.create_model("mamba_lm_debug", vocab_size=16)
    model.save_pretrained("export")                # config.json, model.safetensors, README.md
    model = seqsuite.load_model("export")

`list_models` and `model_config` need no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqsuite.lazy import lazy_names
from seqsuite.models.registry import list_models, model_config

if TYPE_CHECKING:
    from seqsuite.models.base import Model
    from seqsuite.models.create import create_model, load_model

__all__ = ["Model", "create_model", "list_models", "load_model", "model_config"]

__getattr__, __dir__ = lazy_names(__name__, {"base": ["Model"], "create": ["create_model", "load_model"]})
