"""Options of `seqvision import` (torch-free); the docstring is the help."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from seqsuite.errors import UserError


@dataclass(frozen=True, kw_only=True)
class ImportConfig:
    """Options of `seqvision import`.

    Args:
        source: A folder in timm's layout (config.json beside its weights), or a file of weights (.safetensors, .pth),
            such as the published ones of Mamba-ND; nothing in it is executed.
        out: The folder to write.
        model: The architecture; needed where the source does not name it.
        model_options: Further arguments of timm.create_model.
        img_size: Height and width, of clips also the frames, where they are not the architecture's own.
        classes: A text file with the name of a class on each line.
        overwrite: Write into a folder that holds something.
        json: Print JSON instead of a table.
    """

    source: str = field(kw_only=False)
    out: str = ""
    model: str = ""
    model_options: dict[str, Any] = field(default_factory=dict)
    img_size: tuple[int, ...] = ()
    classes: str = ""
    overwrite: bool = False
    json: bool = False

    def __post_init__(self) -> None:
        if not self.out:
            raise UserError("--out is missing: it names the folder to write")
