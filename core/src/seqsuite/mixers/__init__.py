"""Sequence mixers: parameters around the operators, (B, L, D) to (B, L, D), one mixer a file.

    mixer = seqsuite.create_mixer("mamba", 64, d_state=16)
    y = mixer(x)                                   # whole
    y, state = mixer.prefill(x[:, :100])           # in chunks, the state carried
    y_t, state = mixer.step(x[:, 100], state)      # one step

Every mixer keeps one law, checked by `seqsuite.testing.mixers`: the three views give the same numbers.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seqsuite.mixers.base import Mixer, ProjectedMixer, State, run_reversed
    from seqsuite.mixers.create import create_mixer, list_mixers
    from seqsuite.mixers.mamba import Mamba, MambaState

_HOME = {
    "Mamba": "seqsuite.mixers.mamba",
    "MambaState": "seqsuite.mixers.mamba",
    "Mixer": "seqsuite.mixers.base",
    "ProjectedMixer": "seqsuite.mixers.base",
    "State": "seqsuite.mixers.base",
    "create_mixer": "seqsuite.mixers.create",
    "list_mixers": "seqsuite.mixers.create",
    "run_reversed": "seqsuite.mixers.base",
}
__all__ = [
    "Mamba",
    "MambaState",
    "Mixer",
    "ProjectedMixer",
    "State",
    "create_mixer",
    "list_mixers",
    "run_reversed",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'seqsuite.mixers' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
