"""Options of `seqchem export` (torch-free); the docstring is the help."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """Options of `seqchem export`.

    Args:
        run: A run folder or a model folder of a Regression Transformer with the two-stream attention of XLNet.
        out: The folder to write: config.json, weights and vocab.txt as the published code and transformers'
            XLNetLMHeadModel read them, and inference.json with the properties.
        weights: safetensors, or bin (pytorch_model.bin) for the old releases that the published code asks for.
        overwrite: Write into a folder that holds something.
        json: Print JSON instead of a table.
    """

    run: str = field(kw_only=False)
    out: str = field(kw_only=False)
    weights: Literal["safetensors", "bin"] = "safetensors"
    overwrite: bool = False
    json: bool = False
