"""Raw audio models on SeqSuite.

    import seqaudio
    model = seqaudio.load("runs/audio")
    model.evaluate("recordings/")

`load` imports torch on first use; importing the package does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqsuite.lazy import lazy_names

if TYPE_CHECKING:
    from seqaudio.api import AudioModel, load

__version__ = "0.1.0"
__all__ = ["AudioModel", "__version__", "load"]

__getattr__, __dir__ = lazy_names(__name__, {"api": ["AudioModel", "load"]})
