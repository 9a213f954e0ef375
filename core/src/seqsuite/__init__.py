"""SeqSuite: operators, mixers, models and training for long sequences.

The names below load torch on first use; importing the package does not.

    import seqsuite
    model = seqsuite.create_model("mamba_lm_debug", vocab_size=16)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqsuite.lazy import lazy_names

if TYPE_CHECKING:
    from seqsuite.mixers import create_mixer
    from seqsuite.models import create_model, list_models, load_model

__version__ = "0.1.0"
__all__ = ["__version__", "create_mixer", "create_model", "list_models", "load_model"]

__getattr__, __dir__ = lazy_names(
    __name__, {"mixers": ["create_mixer"], "models": ["create_model", "list_models", "load_model"]}
)
