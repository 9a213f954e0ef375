"""The core's own table of names, listed like any plugin's (torch-free)."""

from __future__ import annotations

from seqsuite import __version__
from seqsuite.plugins import Plugin

_LANGUAGE_MODELS = ("mamba_lm_debug", "mamba_130m", "mamba_370m", "mamba_790m", "mamba_1_4b", "mamba_2_8b")

plugin = Plugin(
    name="seqsuite",
    version=__version__,
    summary="the core: operators, mixers and language models that belong to no one domain",
    models={name: f"seqsuite.models.configs:{name}" for name in _LANGUAGE_MODELS},
    mixers={"hyena": "seqsuite.mixers.hyena:Hyena", "mamba": "seqsuite.mixers.mamba:Mamba"},
    commands={
        "plugins": "seqsuite.cli.suite:plugins",
        "models": "seqsuite.cli.suite:models",
        "doctor": "seqsuite.cli.suite:doctor",
        "new-plugin": "seqsuite.cli.suite:new_plugin",
    },
)
