"""Options of `seqdna finetune` (torch-free); the docstring is the command line's help."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from seqsuite.errors import UserError
from seqsuite.training.configs import TrainConfig


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig(TrainConfig):
    """Options of `seqdna finetune`.

    Args:
        data: Labelled sequences: CSV, TSV (plain or gzip) or Parquet with a sequence column, FASTA with headers
            '>name|label', a table or BED file of intervals (with --genome), or a folder with train and test.
        model: Run folder or model folder of a pretrained model, or the name of a model to train from scratch.
        model_options: With a model's name: fields of its config to change, such as --model_options.d_model 64.
        from_scratch: Take the architecture of --model and fresh weights.
        mode: Train everything (full), low-rank changes of the linear layers (lora), or the head alone (frozen); or
            fit a logistic or ridge regression on the embeddings (probe).
        pooling: How positions become one vector: mean, max, first, last or centre; a probe takes several: mean+max.
        classifier: Head of a network: linear on the pooled positions, or conv: three convolutions along the positions,
            where it matters what stands where.
        lora_rank: Rank of the changes.
        lora_alpha: The changes are scaled by alpha / rank.
        lora_targets: Names of the linear layers to change, such as in_proj,out_proj; none means all but the head.
        labels: Label column; several, such as a,b,c, for several yes/no labels or several numbers.
        sequence_column: Column of the sequences; by default 'sequence' or 'seq'.
        split_column: Column that says train, valid or test; by default 'split', where there is one.
        genome: FASTA file of the intervals.
        problem: What the labels are: classification, multi_label or regression; auto looks at them.
        valid: File of the validation rows, where they are not in the data file.
        test: File of the test rows, where they are not in the data file.
        valid_fraction: Share of the training rows held out for validation, where none are given.
        test_fraction: Share of all rows held out for the test, where none are given.
        folds: Cross-validation: every fold is held out once; as the test set, or for validation where there is one.
        parts: Where the split column numbers parts (part1, part2, ...): hold out only so many of them, one a run; 0 for
            each. The part after the one held out is for validation.
        seeds: Runs with different seeds, of the weights, the order and the drawn validation rows.
        epochs: Passes over the training rows, where --steps is 0.
        steps: Optimizer steps; 0 for as many as --epochs make.
        validate_every: Steps between validations; 0 for one an epoch.
        patience: Stop after this many validations without a better one; 0 never stops early.
        metric: What chooses the best weights: accuracy, mcc, f1, f1_binary, auroc, auprc, r2, pearson, spearman;
            auto is accuracy, auroc of several labels, or r2.
        positive_weight: Weight of what is there in the loss of yes/no labels, against 1 of what is not.
        crop: Use the middle of longer sequences, this many bases; 0 uses all.
        limit: Use at most this many rows of each split, drawn at random; 0 uses all.
        rc_augment: Show every second training sequence as its other strand; not for labels that have a strand.
        mutate: Share of the bases of a training sequence that become another base, drawn anew each time; 0.05, say,
            keeps a model from learning a small set by heart.
        strand_specific: The labels belong to the strand given, as those of splice sites do: an RC-equivariant model
            may then call a sequence and its reverse complement different things.
        conjoin: A model that reads one strand averages over both when it predicts.
        lower: What lower-case (soft-masked) bases become, if not what the model's tokenizer says.
        iupac: What ambiguity codes other than N become, if not what the model's tokenizer says.
        uracil: What U becomes, if not what the model's tokenizer says.
        baselines: Fit simple models on the same split: majority, regressions on one-hot bases and 6-mers, a small CNN.
        json: Print the result as JSON instead of a table.
    """

    data: str = field(kw_only=False)
    model: str = ""
    model_options: dict[str, Any] = field(default_factory=dict)
    from_scratch: bool = False
    mode: Literal["full", "lora", "frozen", "probe"] = "full"
    classifier: Literal["linear", "conv"] = "linear"
    pooling: str = "mean"
    lora_rank: int = 8
    lora_alpha: float = 16.0
    lora_targets: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    sequence_column: str = ""
    split_column: str = ""
    genome: str = ""
    problem: Literal["auto", "classification", "multi_label", "regression"] = "auto"
    valid: str = ""
    test: str = ""
    valid_fraction: float = 0.1
    test_fraction: float = 0.2
    folds: int = 1
    parts: int = 0
    seeds: int = 1
    epochs: float = 10.0
    steps: int = 0
    batch_size: int = 64
    validate_every: int = 0
    checkpoint_every: int = 1000
    log_every: int = 50
    patience: int = 0
    metric: str = "auto"
    positive_weight: float = 1.0
    crop: int = 0
    limit: int = 0
    rc_augment: bool = False
    mutate: float = 0.0
    strand_specific: bool = False
    conjoin: bool = False
    lower: Literal["upper", "n", "unk"] | None = None
    iupac: Literal["unk", "n"] | None = None
    uracil: Literal["t", "unk"] | None = None
    baselines: bool = True
    json: bool = False
    out: str = "runs/finetune"

    free_on_resume: ClassVar[frozenset[str]] = TrainConfig.free_on_resume | {
        *("baselines", "json"),
        *("data", "valid", "test", "genome"),  # their content is compared instead
    }

    def __post_init__(self) -> None:
        if not self.steps:
            dataclasses.replace(self, steps=1)  # 0 stands for --epochs; everything else is checked on a twin
            return
        super().__post_init__()
        for name, least in (
            ("folds", 1),
            ("seeds", 1),
            ("patience", 0),
            ("crop", 0),
            ("limit", 0),
            ("lora_rank", 1),
            ("parts", 0),
        ):
            if getattr(self, name) < least:
                raise UserError(f"--{name} is {getattr(self, name)}; it must be at least {least}.")
        for name in ("valid_fraction", "test_fraction"):
            if not 0 < getattr(self, name) < 1:
                raise UserError(f"--{name} is {getattr(self, name)}; it must lie between 0 and 1.")
        if not 0 <= self.mutate < 1:
            raise UserError(f"--mutate {self.mutate}: it is a share of the bases, at least 0 and below 1.")
        if not 0 < self.positive_weight < float("inf"):
            raise UserError(f"--positive_weight is {self.positive_weight}; it must be above 0.")
        if not 0 < self.epochs < float("inf"):
            raise UserError(f"--epochs is {self.epochs}; it must be above 0.")
        if self.mode != "probe" and "+" in self.pooling:
            raise UserError(f"--pooling {self.pooling}: several poolings together are for --mode probe.")
        if self.mode == "probe" and self.rc_augment:
            raise UserError("--rc_augment is for training; a probe takes --conjoin.")
        if self.mode == "probe" and self.classifier != "linear":
            raise UserError("--classifier conv is for training; a probe fits a linear model.")
        if self.classifier == "conv" and self.pooling != "mean":
            raise UserError(f"--pooling {self.pooling}: --classifier conv pools in its own way; leave one of them out.")
        if self.mode == "probe" and self.strand_specific:
            raise UserError("--strand_specific is for training; a probe pools both strands.")
        if self.mode == "probe" and self.mutate:
            raise UserError("--mutate is for training; a probe trains nothing.")
