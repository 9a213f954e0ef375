"""Sequence mixers: parameters around the operators, (B, L, D) to (B, L, D), one mixer a file.

    mixer = seqsuite.create_mixer("mamba", 64, d_state=16)
    y = mixer(x)                                   # whole
    y, state = mixer.prefill(x[:, :100])           # in chunks, the state carried
    y_t, state = mixer.step(x[:, 100], state)      # one step

Every mixer keeps one law, checked by `seqsuite.testing.mixers`: the three views give the same numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqsuite.lazy import lazy_names

if TYPE_CHECKING:
    from seqsuite.mixers.base import Mixer, ProjectedMixer, State, run_reversed
    from seqsuite.mixers.create import create_mixer, list_mixers
    from seqsuite.mixers.hyena import Hyena, HyenaFilter
    from seqsuite.mixers.mamba import Mamba, MambaState

__all__ = [
    "Hyena",
    "HyenaFilter",
    "Mamba",
    "MambaState",
    "Mixer",
    "ProjectedMixer",
    "State",
    "create_mixer",
    "list_mixers",
    "run_reversed",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "hyena": ["Hyena", "HyenaFilter"],
        "mamba": ["Mamba", "MambaState"],
        "base": ["Mixer", "ProjectedMixer", "State", "run_reversed"],
        "create": ["create_mixer", "list_mixers"],
    },
)
