"""Options of `seqvision export` (torch-free); the docstring is the help."""

from __future__ import annotations

from dataclasses import dataclass, field

from seqsuite.errors import UserError


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """Options of `seqvision export`.

    The folder is what timm's push to the hub holds. timm reads it with
    timm.create_model("local-dir:FOLDER", pretrained=True), for our architectures after import seqvision.models.

    Args:
        model: A run folder or a model folder.
        out: The folder to write.
        overwrite: Write into a folder that holds something.
        json: Print JSON instead of a table.
    """

    model: str = field(kw_only=False)
    out: str = ""
    overwrite: bool = False
    json: bool = False

    def __post_init__(self) -> None:
        if not self.out:
            raise UserError("--out is missing: it names the folder to write")
