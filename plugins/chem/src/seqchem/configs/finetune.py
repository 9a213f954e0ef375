"""Options of `seqchem finetune` (torch-free); the docstring is the help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from seqchem.configs.data import SequenceTrainConfig, demand
from seqsuite.errors import UserError


@dataclass(frozen=True, kw_only=True)
class RTFinetuneConfig(SequenceTrainConfig):
    """Options of `seqchem finetune`.

    Steps alternate: some that ask for a property of a row, then as many that ask for masked parts of its sequence.
    Without --properties, the one column of numbers is taken where there is only one; --task generation then reads
    sequences alone.

    Args:
        task: both alternates; property only asks for numbers, generation only for sequences; binders masks the whole
            binder of proteins written TARGET.BINDER, for generate --binder_of.
        binder_column: Column of the binders, where the column of sequences has the targets alone, with --task binders.
        alternate: Steps of one kind before the other.
        drop_others: Probability that another property than the asked one is left out of the text, so that a model of
            several can be asked with some or none of them given.
        leading: Probability that some leading digits of the asked number are visible, as decoding digit by digit meets
            them.
        mask_probability: Share of a sequence's tokens that are masked in generation steps.
        max_span: Longest span of masked tokens.
        mask_whole: Probability that a generation step masks all of a sequence, as making molecules from nothing does.
        entity_separator: Token between parts of a sequence ("." between precursors): generation steps then mask within
            one part.
        entity: Which part, from 0, below 0 from the end; left out: drawn.
        sc_weight: Weight of self-consistency: what generation filled in is asked for its property. 0: none.
        reduction: Losses of generation and self-consistency: positions is a mean over all tokens of a row, masked ones
            or not, as published; masked a mean over the masked ones.
        alphabet: Give a new model the whole alphabet of its language, not only the symbols of the training rows.
        augment: Probability that a training row is another SMILES of its molecule, atoms in random order.
        export: Which weights become the model: best of the validations, or the last.
        score_rows: Most rows of each part that are predicted at the end.
    """

    task: Literal["both", "property", "generation", "binders"] = "both"
    binder_column: str = ""
    alternate: int = 50
    drop_others: float = 0.5
    leading: float = 0.25
    mask_probability: float = 0.4
    max_span: int = 7
    mask_whole: float = 0.1
    entity_separator: str = ""
    entity: int | None = None
    sc_weight: float = 1.0
    reduction: Literal["positions", "masked"] = "positions"
    alphabet: bool = True
    augment: float = 0.0
    export: Literal["best", "last"] = "best"
    score_rows: int = 5000
    steps: int = 4000
    batch_size: int = 32
    lr: float = 1e-3
    weight_decay: float = 0.01
    validate_every: int = 200
    checkpoint_every: int = 200
    log_every: int = 50
    out: str = "runs/finetuned"

    free_on_resume: ClassVar[frozenset[str]] = SequenceTrainConfig.free_on_resume | {"score_rows"}

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("drop_others", "leading", "mask_whole", "augment"):
            demand(name, getattr(self, name), 0 <= getattr(self, name) <= 1, "at least 0 and at most 1")
        demand("mask_probability", self.mask_probability, 0 < self.mask_probability <= 1, "above 0 and at most 1")
        self._check_binders()
        demand("sc_weight", self.sc_weight, self.sc_weight >= 0, "at least 0")
        for name in ("alternate", "max_span", "score_rows"):
            demand(name, getattr(self, name), getattr(self, name) >= 1, "at least 1")

    def _check_binders(self) -> None:
        if self.task != "binders":
            demand("binder_column", self.binder_column, not self.binder_column, "left out but with --task binders")
            return
        for name in ("properties", "entity_separator", "entity"):
            value = getattr(self, name)
            demand(name, value, value in ((), "", None), "left out with --task binders")
        if self.language not in ("auto", "protein"):
            raise UserError(f"--language {self.language}: --task binders is for proteins")
