"""Making sound with trained models. Names load on first use; no torch until then.

from seqaudio.generation import generate, stream
made = generate(model, seconds=2, n=8, temperature=0.95)        # clips in the order of their likelihood
for piece in stream(model, seconds=10): ...                     # while it is made
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqsuite.lazy import lazy_names

if TYPE_CHECKING:
    from seqaudio.generation.autoregressive import stream
    from seqaudio.generation.engine import Engine
    from seqaudio.generation.monitor import Fault, Monitor
    from seqaudio.generation.results import Clip, Generated
    from seqaudio.generation.run import generate, generate_files
    from seqaudio.generation.sampling import Draws

__all__ = ["Clip", "Draws", "Engine", "Fault", "Generated", "Monitor", "generate", "generate_files", "stream"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "autoregressive": ["stream"],
        "engine": ["Engine"],
        "monitor": ["Fault", "Monitor"],
        "results": ["Clip", "Generated"],
        "run": ["generate", "generate_files"],
        "sampling": ["Draws"],
    },
)
