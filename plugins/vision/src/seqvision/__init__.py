"""Image, video and series models on SeqSuite.

    import seqvision
    model = seqvision.load("runs/digits")       # loads torch; importing the package does not

`import seqvision.models` puts our models into timm's registry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqsuite.lazy import lazy_names

if TYPE_CHECKING:
    from seqvision.api import VisionModel, load

__version__ = "0.1.0"
__all__ = ["VisionModel", "load"]

__getattr__, __dir__ = lazy_names(__name__, {"api": ["VisionModel", "load"]})
