"""Options of `seqchem optimize` (torch-free); the docstring is the help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from seqchem.generation.goals import PropertyGoal, parse_goals
from seqchem.generation.options import FillOptions, FillOrder, MoleculeLimits
from seqsuite.errors import UserError


@dataclass(frozen=True)
class OptimizeMoleculesConfig:
    """Options of `seqchem optimize`.

    Args:
        run: A run folder of `seqchem finetune`, or a model folder.
        seeds: Where to start: a file of molecules, or SMILES with commas between them.
        goal: What is wanted: a change, as in logp=+2 or logp=-1 (the more the better), or a value without sign, as in
            qed=0.9 (the nearer the better); several as in plogp=+2,sa=-1.
        similarity: Least Tanimoto similarities to the seed; the best molecule at each is told.
        out: A CSV file to write; a page (.html) and a picture (.png) are written beside it.
        rounds: Generations of the search.
        children: Candidates of each seed in a generation.
        population: Parents of each seed, for each similarity.
        fraction: Part of a parent's tokens that is masked and written anew.
        resize: Tokens by which a masked span may grow or shrink.
        keep: SMARTS that a molecule must have, with blanks between them; their atoms are not masked.
        avoid: SMARTS that it must not have, with blanks between them.
        limit: Take the first so many seeds; 0: all.
        sequence_column: Column of the SMILES of a file; left out: found by its name.
        on_invalid: Rows of a file of seeds that the model cannot start from: an error, or left out (skip).
        fill_rounds: Runs of the model that the masks of a candidate are filled in; 0: one token a run.
        order: Which tokens a run settles: random ones, those that the model is surest of, or the leftmost.
        temperature: Below 1 the likely tokens become likelier.
        top_p: Draw from the likeliest tokens that together reach this probability.
        rdkit: RDKit says what a molecule has, where it knows the property, and the formula of `seqchem properties` what
            a peptide has; --rdkit false: the model says.
        seed: Of the draws.
        batch_size: Rows at once.
        device: Where to run: cpu, cuda, cuda:1 and so on.
        threads: Threads on a CPU; 0: torch's own number.
        overwrite: Replace what is there.
        json: Print JSON instead of a table.
    """

    run: str
    seeds: str
    goal: tuple[str, ...] = ()
    similarity: tuple[float, ...] = (0.4,)
    out: str = ""
    rounds: int = 8
    children: int = 8
    population: int = 4
    fraction: float = 0.3
    resize: int = 2
    keep: str = ""
    avoid: str = ""
    limit: int = 0
    sequence_column: str = ""
    on_invalid: Literal["error", "skip"] = "error"
    fill_rounds: int = 4
    order: FillOrder = "random"
    temperature: float = 1.0
    top_p: float = 1.0
    rdkit: bool = True
    seed: int = 0
    batch_size: int = 64
    device: str = "cpu"
    threads: int = 0
    overwrite: bool = False
    json: bool = False

    def __post_init__(self) -> None:
        least = {"rounds": 1, "children": 1, "population": 1, "resize": 0, "limit": 0, "seed": 0, "threads": 0}
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise UserError(f"--{name} is {getattr(self, name)}; it must be at least {bound}")
        if not 0 < self.fraction <= 1:
            raise UserError(f"--fraction is {self.fraction}; it must be above 0 and at most 1")
        if not self.similarity or not all(0 <= value <= 1 for value in self.similarity):
            raise UserError("--similarity: give numbers from 0 to 1, as in 0.4,0.6")
        if self.out and not self.out.endswith(".csv"):
            raise UserError(f"--out {self.out}: give a file that ends in .csv")
        if self.fill_rounds < 0:
            raise UserError(f"--fill_rounds is {self.fill_rounds}; it must be at least 0, which is one token a run")
        if not self.goals():
            raise UserError("--goal: say what is wanted, as in --goal logp=+1")
        self.filling()

    def goals(self) -> tuple[PropertyGoal, ...]:
        """Return the goals."""
        return parse_goals(self.goal)

    def limits(self) -> MoleculeLimits:
        """Return what a candidate must be."""
        return MoleculeLimits(self.keep, self.avoid)

    def filling(self) -> FillOptions:
        """Return how masks are filled."""
        return FillOptions(self.fill_rounds, self.order, self.temperature, self.top_p, self.batch_size)
