"""Options of generation, shared by `generate`, `optimize` and their commands (torch-free)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from seqsuite.errors import UserError

FillOrder = Literal["random", "confidence", "left"]


@dataclass(frozen=True)
class FillOptions:
    """How masked tokens become tokens; see `seqchem.generation.filling`.

    Attributes:
        rounds: Runs of the model, each of which settles a part of the masked tokens; 0: one token a run.
        order: Which tokens a round settles: drawn ones, those that the model is surest of, or the leftmost.
        temperature: Divides the logits.
        top_p: A token is drawn from the likeliest that have this probability together.
        batch_size: Rows at once.
    """

    rounds: int = 0
    order: FillOrder = "random"
    temperature: float = 1.0
    top_p: float = 1.0
    batch_size: int = 64

    def __post_init__(self) -> None:
        if self.rounds < 0:
            raise UserError(f"--rounds is {self.rounds}; it must be at least 0, which is one token a round")
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise UserError(f"--temperature is {self.temperature}; it must be above 0")
        if not 0 < self.top_p <= 1:
            raise UserError(f"--top_p is {self.top_p}; it must be above 0 and at most 1")
        if self.batch_size < 1:
            raise UserError(f"--batch_size is {self.batch_size}; it must be at least 1")


@dataclass(frozen=True)
class MoleculeLimits:
    """What a candidate must be to be taken.

    Attributes:
        keep: SMARTS that it must have, with blanks between them; of a seed, their atoms are not masked.
        avoid: SMARTS that it must not have, with blanks between them.
        similarity: Least Tanimoto similarity to its seed (Morgan, radius 2, 2048 bits); of proteins the part of the
            places that are the same.
        tolerance: How far from its goal a property may be, as a part of its trained range; infinity: any distance.
    """

    keep: str = ""
    avoid: str = ""
    similarity: float = 0.0
    tolerance: float = 0.1

    def __post_init__(self) -> None:
        if not 0 <= self.similarity <= 1:
            raise UserError(f"--similarity is {self.similarity}; it must lie between 0 and 1")
        if not self.tolerance > 0:
            raise UserError(f"--tolerance is {self.tolerance}; it must be above 0")
