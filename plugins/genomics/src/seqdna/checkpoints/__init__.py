"""Checkpoints: published ones into our format and back, and a look at what a checkpoint is.

    from seqdna.checkpoints import export_checkpoint, import_checkpoint, read_checkpoint, verify_checkpoint
    import_checkpoint("downloads/caduceus-ps", "models/caduceus-ps")
    verify_checkpoint("models/caduceus-ps")         # a table in a notebook
    export_checkpoint("models/mine", "hub/mine")

Nothing in a checkpoint is executed: tensors and JSON are all that is read of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqsuite.lazy import lazy_names

if TYPE_CHECKING:
    from seqdna.checkpoints.reading import Checkpoint, read_checkpoint
    from seqdna.checkpoints.transfer import Transfer, export_checkpoint, import_checkpoint
    from seqdna.checkpoints.verification import Verification, verify_checkpoint

__all__ = [
    "Checkpoint",
    "Transfer",
    "Verification",
    "export_checkpoint",
    "import_checkpoint",
    "read_checkpoint",
    "verify_checkpoint",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "reading": ["Checkpoint", "read_checkpoint"],
        "transfer": ["Transfer", "export_checkpoint", "import_checkpoint"],
        "verification": ["Verification", "verify_checkpoint"],
    },
)
