"""Options of `seqrl export` (torch-free); the docstring is the help."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """Options of `seqrl export`.

    Args:
        run: A run folder or a model folder of a Decision Transformer of vectors and continuous actions.
        out: The folder to write: config.json and model.safetensors of transformers' DecisionTransformerModel.
        overwrite: Write into a folder that holds something.
        json: Print JSON instead of a table.
    """

    run: str = field(kw_only=False)
    out: str = field(kw_only=False)
    overwrite: bool = False
    json: bool = False
