"""Options of `seqdna import`, `export` and `verify` (torch-free); the docstrings are the command line's help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from seqsuite.errors import UserError


@dataclass(frozen=True)
class ImportConfig:
    """Options of `seqdna import`.

    Args:
        source: A folder, a weights file, or a hub id (owner/name) of a published Caduceus, HyenaDNA or Mamba.
        out: The folder to write.
        source_config: The published config.json, where it does not lie beside the weights.
        tokenizer: A tokenizer.json or vocab.json in place of the checkpoint's own vocabulary.
        swap_halves: Whether the blocks of Caduceus-PS exchange the strands' halves, in place of what its config says.
        padding: as_published: [PAD] is a token like any other; masked: it changes no other position.
        l_max: Positions of HyenaDNA's filter, where neither a config nor the tensors say it.
        shift: Floor of the fading of HyenaDNA's filter; 0.05, as the published weights need it, if nothing says it.
        lower: What lower case letters mean (upper, n or unk), in place of what the published tokenizer makes of them.
        revision: Branch, tag or commit on the hub.
        overwrite: Write into a folder that holds something.
        json: Print JSON instead of a table.
    """

    source: str
    out: str
    source_config: str | None = None
    tokenizer: str | None = None
    swap_halves: bool | None = None
    padding: Literal["as_published", "masked"] = "as_published"
    l_max: int | None = None
    shift: float | None = None
    lower: Literal["upper", "n", "unk"] | None = None
    revision: str | None = None
    overwrite: bool = False
    json: bool = False

    def __post_init__(self) -> None:
        if self.l_max is not None and self.l_max < 1:
            raise UserError(f"--l_max is {self.l_max}; it must be at least 1.")


@dataclass(frozen=True)
class ExportConfig:
    """Options of `seqdna export`.

    Args:
        model: A model folder or a run folder.
        out: The folder to write.
        layout: huggingface: config.json and model.safetensors under the published names.
        overwrite: Write into a folder that holds something.
        json: Print JSON instead of a table.
    """

    model: str
    out: str
    layout: Literal["huggingface"] = "huggingface"
    overwrite: bool = False
    json: bool = False


@dataclass(frozen=True)
class VerifyConfig:
    """Options of `seqdna verify`.

    Args:
        checkpoint: A model folder, a run folder, a published folder or weights file, or a hub id (owner/name).
        length: Bases of the fixed pseudo-random input.
        source_config: The published config.json, where it does not lie beside the weights.
        revision: Branch, tag or commit on the hub.
        json: Print JSON instead of a table.
    """

    checkpoint: str
    length: int = 1024
    source_config: str | None = None
    revision: str | None = None
    json: bool = False

    def __post_init__(self) -> None:
        if self.length < 8:
            raise UserError(f"--length is {self.length}; it must be at least 8.")
