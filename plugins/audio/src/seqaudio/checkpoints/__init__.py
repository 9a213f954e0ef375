"""Checkpoints: published ones into our format and back, and a look at what a checkpoint is.

    from seqaudio.checkpoints import export_checkpoint, import_checkpoint, read_checkpoint, verify_checkpoint
    import_checkpoint("downloads/sashimi_sc09.pt", "models/sc09", source_config="sc09.yaml")
    verify_checkpoint("models/sc09")        # a table in a notebook
    export_checkpoint("runs/mine", "published/mine")

Nothing in a checkpoint is executed: tensors and tables are all that is read of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqsuite.lazy import lazy_names

if TYPE_CHECKING:
    from seqaudio.checkpoints.reading import Checkpoint, read_checkpoint
    from seqaudio.checkpoints.transfer import export_checkpoint, import_checkpoint
    from seqaudio.checkpoints.verification import Verification, verify, verify_checkpoint

__all__ = [
    "Checkpoint",
    "Verification",
    "export_checkpoint",
    "import_checkpoint",
    "read_checkpoint",
    "verify",
    "verify_checkpoint",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "reading": ["Checkpoint", "read_checkpoint"],
        "transfer": ["export_checkpoint", "import_checkpoint"],
        "verification": ["Verification", "verify", "verify_checkpoint"],
    },
)
