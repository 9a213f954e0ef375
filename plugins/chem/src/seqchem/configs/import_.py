"""Options of `seqchem import` (torch-free); the docstring is the help."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from seqsuite.errors import UserError


@dataclass(frozen=True, kw_only=True)
class ImportConfig:
    """Options of `seqchem import`.

    Args:
        source: The folder of a published Regression Transformer: config.json, vocab.txt, pytorch_model.bin or
            model.safetensors, and inference.json, which tells the properties; nothing in it is executed.
        out: The folder to write.
        gelu: What the activation gelu means in config.json: the published models were trained with the tanh
            approximation, later releases of transformers run them with the exact form.
        language: Of the text; auto: as the files or the vocabulary say.
        encoding: Numerical encodings; auto: as config.json says.
        ranges: Properties that inference.json does not tell, as in qed=0:1,esol=-11.6:1.6.
        decimals: Digits behind the dot of the properties in --ranges.
        overwrite: Write into a folder that holds something.
        json: Print JSON instead of a table.
    """

    source: str = field(kw_only=False)
    out: str = field(kw_only=False)
    gelu: Literal["gelu_tanh", "gelu"] = "gelu_tanh"
    language: Literal["auto", "smiles", "selfies", "selfies_v1", "protein", "reaction"] = "auto"
    encoding: Literal["auto", "float", "int", "none"] = "auto"
    ranges: tuple[str, ...] = ()
    decimals: int = 3
    overwrite: bool = False
    json: bool = False

    def __post_init__(self) -> None:
        if self.decimals < 0:
            raise UserError(f"--decimals is {self.decimals}; it must be at least 0")
