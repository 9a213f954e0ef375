"""Options of `seqchem generate` (torch-free); the docstring is the help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from seqchem.generation.goals import PropertyGoal, parse_goals
from seqchem.generation.options import FillOptions, FillOrder, MoleculeLimits
from seqsuite.errors import UserError


@dataclass(frozen=True)
class GenerateMoleculesConfig:
    """Options of `seqchem generate`.

    Args:
        run: A run folder of `seqchem finetune`, or a model folder; of molecules or of proteins.
        goal: Wanted properties, as in qed=0.9,logp=2; qed=0.9~0.05 says how far away is still good.
        n: How many molecules or peptides are wanted; with seeds, of each seed.
        out: A CSV file to write, of all candidates; a page (.html) and a picture (.png) are written beside it.
        seeds: Molecules to change: a file of them, or SMILES with commas between them; left out: from nothing.
        sequence_column: Column of the SMILES of files; left out: found by its name.
        on_invalid: Rows of a file of seeds that the model cannot start from: an error, or left out (skip).
        fraction: Part of a seed's tokens that is masked and written anew.
        resize: Tokens by which a masked span of a seed may grow or shrink.
        lengths: Shortest and longest molecule in tokens, from nothing, as in 20,40; left out: as in training.
        keep: SMARTS that a molecule must have, with blanks between them; of seeds, their atoms are not masked.
        avoid: SMARTS that it must not have, with blanks between them.
        similarity: Least Tanimoto similarity to its seed.
        tolerance: How far from its goal a property may be, as a part of its trained range; 10: any distance.
        tries: Most candidates for each wanted molecule.
        train: A file of molecules that are not to be made again, such as that of training.
        rounds: Runs of the model that a molecule is written in; 0: one token a run.
        order: Which tokens a run settles: random ones, those that the model is surest of, or the leftmost.
        temperature: Below 1 the likely tokens become likelier.
        top_p: Draw from the likeliest tokens that together reach this probability.
        rdkit: RDKit says what a molecule has, where it knows the property, and the formula of `seqchem properties` what
            a peptide has; --rdkit false: the model says.
        binder_of: A protein to write binders of, its letters or a FASTA file of it, with a model that was trained on
            pairs (finetune --task binders). Of the other options --length, --top_k, --temperature and --tries count.
        length: Amino acids of a binder.
        top_k: Amino acids that each place of a binder is drawn from, the likeliest there.
        seed: Of the draws.
        batch_size: Rows at once.
        device: Where to run: cpu, cuda, cuda:1 and so on.
        threads: Threads on a CPU; 0: torch's own number.
        overwrite: Replace what is there.
        json: Print JSON instead of a table.
    """

    run: str
    goal: tuple[str, ...] = ()
    n: int = 100
    out: str = ""
    seeds: str = ""
    sequence_column: str = ""
    on_invalid: Literal["error", "skip"] = "error"
    fraction: float = 0.4
    resize: int = 1
    lengths: tuple[int, ...] = ()
    keep: str = ""
    avoid: str = ""
    similarity: float = 0.0
    tolerance: float = 0.1
    tries: int = 10
    train: str = ""
    rounds: int = 0
    order: FillOrder = "random"
    temperature: float = 1.0
    top_p: float = 1.0
    rdkit: bool = True
    binder_of: str = ""
    length: int = 12
    top_k: int = 3
    seed: int = 0
    batch_size: int = 64
    device: str = "cpu"
    threads: int = 0
    overwrite: bool = False
    json: bool = False

    def __post_init__(self) -> None:
        least = {"n": 1, "tries": 1, "resize": 0, "seed": 0, "threads": 0, "length": 1, "top_k": 1}
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise UserError(f"--{name} is {getattr(self, name)}; it must be at least {bound}")
        if not 0 < self.fraction <= 1:
            raise UserError(f"--fraction is {self.fraction}; it must be above 0 and at most 1")
        if self.lengths and not (len(self.lengths) == 2 and 1 <= self.lengths[0] <= self.lengths[1]):
            raise UserError("--lengths: give the shortest and the longest, as in 20,40")
        if self.similarity and not self.seeds:
            raise UserError("--similarity is to a seed; give --seeds")
        if self.top_k != 3 and not self.binder_of:
            raise UserError("--top_k belongs to --binder_of; --top_p does the like for other sequences")
        if self.binder_of and (self.seeds or self.goal):
            raise UserError("--binder_of writes binders; leave out --seeds and --goal")
        if self.out and not self.out.endswith(".csv"):
            raise UserError(f"--out {self.out}: give a file that ends in .csv")
        self.goals()
        self.limits()
        self.filling()

    def goals(self) -> tuple[PropertyGoal, ...]:
        """Return the goals."""
        return parse_goals(self.goal, relative=False)

    def limits(self) -> MoleculeLimits:
        """Return what a candidate must be."""
        return MoleculeLimits(self.keep, self.avoid, self.similarity, self.tolerance)

    def filling(self) -> FillOptions:
        """Return how masks are filled."""
        return FillOptions(self.rounds, self.order, self.temperature, self.top_p, self.batch_size)
