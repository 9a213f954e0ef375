"""Options of the commands that train on a file of sequences (torch-free); the docstring is part of their help."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from seqsuite.errors import UserError, unknown_name
from seqsuite.training.configs import TrainConfig

LANGUAGES = ("auto", "smiles", "selfies", "selfies_v1", "protein", "reaction")
SPLITS = ("auto", "random", "scaffold", "scaffold_balanced", "identity", "given")


@dataclass(frozen=True, kw_only=True)
class SequenceTrainConfig(TrainConfig):
    """What `seqchem pretrain` and `seqchem finetune` share.

    Args:
        source: Molecules or proteins: CSV or TSV with a header, .smi, .sdf or .fasta; plain or gzip.
        sequence_column: Column of the sequences; by default smiles, mol, sequence or another usual name.
        properties: Columns of numbers, as in expt or qed,logp; name=column renames one, all takes every one. Cells may
            be empty.
        ignore_columns: Columns that --properties all does not take.
        language: What the model reads: smiles, selfies (of the file's SMILES), selfies_v1 (the alphabet of published
            models), protein, reaction. auto: that of --start, else by the file: selfies for molecules.
        salts: Mixtures and salts: keep them, keep the largest part, or refuse them.
        standardize: Check every sequence and write molecules as canonical SMILES; no takes them as they are.
        on_invalid: Rows that cannot be used are an error, or skip leaves them out and says which.
        split: How rows become train, valid and test: random, scaffold (largest scaffolds to train), scaffold_balanced
            (scaffolds shuffled by the seed), identity (clusters of proteins), given (a split column, or --valid and
            --test); auto: given where there is one, else random. Equal sequences always stay together.
        split_column: Column that says train, valid or test; by default split, where there is one.
        split_sizes: Shares of train, valid and test.
        split_file: parts.csv of another run on the same file.
        split_seed: Seed of the split; left out: --seed.
        identity: Proteins of at least this share of equal amino acids go into one part, with --split identity.
        valid: File of the validation rows, where they are not in the source.
        test: File of the test rows, where they are not in the source.
        limit: Use at most this many rows of the source, drawn at random; 0 uses all.
        max_length: Longest row in tokens; longer ones are left out. 0: that of the model.
        model: Size of a new model: rt_debug, rt_mini, rt_base or rt_small (as published), or another that a plugin has.
        model_options: Fields of its config, such as --model_options.n_layer 8 --model_options.mixer mamba.
        start: Run folder or model folder to go on from: a pretrained run or an import.
        decimals: Digits behind the point of a property's numbers.
        normalize: Write a property's numbers as a share of its range on the training rows; no writes them as they are.
        validation_rows: Most rows that a validation scores.
        bucket: Batches whose rows are sorted by length together, so that less is padding; 1 sorts nothing.
        json: Print the result as JSON instead of a table.
    """

    source: str = field(kw_only=False)
    sequence_column: str = ""
    properties: tuple[str, ...] = ()
    ignore_columns: tuple[str, ...] = ()
    language: str = "auto"
    salts: Literal["keep", "largest", "refuse"] = "keep"
    standardize: bool = True
    on_invalid: Literal["error", "skip"] = "error"
    split: str = "auto"
    split_column: str = ""
    split_sizes: tuple[float, float, float] = (0.8, 0.1, 0.1)
    split_file: str = ""
    split_seed: int | None = None
    identity: float = 0.4
    valid: str = ""
    test: str = ""
    limit: int = 0
    max_length: int = 0
    model: str = "rt_mini"
    model_options: dict[str, Any] = field(default_factory=dict)
    start: str = ""
    decimals: int = 3
    normalize: bool = True
    validation_rows: int = 2000
    bucket: int = 50
    json: bool = False

    free_on_resume: ClassVar[frozenset[str]] = TrainConfig.free_on_resume | {
        *("json", "validation_rows"),
        *("source", "valid", "test", "split_file", "start"),  # their content is compared instead
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.language not in LANGUAGES:
            raise unknown_name("--language", self.language, LANGUAGES)
        if self.split not in SPLITS:
            raise unknown_name("--split", self.split, SPLITS)
        sizes: Any = self.split_sizes
        if len(sizes) != 3 or not all(isinstance(size, (int, float)) and 0 <= size < math.inf for size in sizes):
            raise UserError(f"--split_sizes {sizes}: give three shares, of train, valid and test, as in 0.8,0.1,0.1")
        if not sizes[0]:
            raise UserError("--split_sizes leaves nothing to train on: its first share is 0")
        for name, least in {"limit": 0, "max_length": 0, "decimals": 0, "validation_rows": 1, "bucket": 1}.items():
            demand(name, getattr(self, name), getattr(self, name) >= least, f"at least {least}")
        demand("identity", self.identity, 0 < self.identity <= 1, "above 0 and at most 1")
        if self.split_file and (self.valid or self.test or self.split not in ("auto", "given")):
            raise UserError("--split_file says the parts: leave --split, --valid and --test out")
        if (self.valid or self.test) and self.split_column:
            raise UserError("--valid and --test are files of their own: leave --split_column out")
        if (self.valid or self.test) and self.split not in ("auto", "given"):
            raise UserError(f"--valid and --test say the parts: leave --split {self.split} out")


def demand(name: str, value: object, holds: bool, what: str) -> None:
    """Refuse an option that is out of its range.

    Args:
        name: Of the option.
        value: What it is.
        holds: Whether that is right.
        what: What it must be.

    Raises:
        UserError: It is not.
    """
    if not holds:
        raise UserError(f"--{name} is {value}; it must be {what}")
