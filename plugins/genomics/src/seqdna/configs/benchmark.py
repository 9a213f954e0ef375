"""Options of `seqdna benchmark` (torch-free); the docstring is the command line's help."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from seqsuite.errors import UserError


@dataclass(frozen=True)
class BenchmarkConfig:
    """Options of `seqdna benchmark`.

    Args:
        folder: A folder of data sets in the layout of Genomic Benchmarks, of the Nucleotide Transformer tasks, of BEND
            or of DART-Eval (tasks 1 and 3), or one of them.
        model: Run folder or model folder of a pretrained model, or the name of a model to train from scratch.
        model_options: With a model's name: fields of its config to change.
        from_scratch: Take the architecture of --model and fresh weights.
        mode: What to train, as in finetune; BEND's own protocol is frozen, DART-Eval's is lora.
        pooling: How positions become one vector, as in finetune.
        genome: FASTA file of the intervals, where the data sets hold coordinates.
        only: Names of data sets to do; none means all.
        seeds: Runs of each data set; 0 for as many as published: 5, or 10 of the Nucleotide Transformer tasks.
        parts: Of sets in numbered parts (BEND's enhancers): how many to hold out, one a run; 0 for each.
        epochs: Passes over the training rows; 0 for as many as published: 10, or 20; 100 of BEND with --mode frozen.
        batch_size: Rows of a step; 0 for as published: 256, or 128.
        lr: Peak learning rate; 0 for as published: 1e-3, of DART-Eval 1e-4, of BEND with --mode frozen mostly 3e-3.
        rc_augment: Show every second training sequence as its other strand.
        conjoin: A model that reads one strand averages over both when it predicts.
        baselines: Fit simple models on each data set too.
        quick: A trial run: 64 rows of each split, one epoch, one run.
        accelerator: auto, cpu, gpu or another of Lightning's accelerators.
        precision: As in training: auto, 32-true, bf16-mixed and so on.
        threads: CPU threads of PyTorch; 0 leaves its choice.
        workers: Processes that read data ahead.
        seed: The first seed.
        out: Where the runs go: one run folder a data set, and the table.
        resume: Go on: data sets and runs that are done are not repeated.
        overwrite: Replace what is there.
        json: Print the result as JSON instead of a table.
    """

    folder: str
    model: str = ""
    model_options: dict[str, Any] = field(default_factory=dict)
    from_scratch: bool = False
    mode: Literal["full", "lora", "frozen", "probe"] = "full"
    pooling: str = "mean"
    genome: str = ""
    only: tuple[str, ...] = ()
    seeds: int = 0
    parts: int = 0
    epochs: float = 0.0
    batch_size: int = 0
    lr: float = 0.0
    rc_augment: bool = False
    conjoin: bool = False
    baselines: bool = False
    quick: bool = False
    accelerator: str = "auto"
    precision: str = "auto"
    threads: int = 0
    workers: int = 0
    seed: int = 0
    out: str = "runs/benchmark"
    resume: bool = False
    overwrite: bool = False
    json: bool = False

    def __post_init__(self) -> None:
        for name in ("seeds", "parts", "epochs", "batch_size", "lr"):
            if getattr(self, name) < 0:
                raise UserError(f"--{name} is {getattr(self, name)}; it must be at least 0.")
        if self.resume and self.overwrite:
            raise UserError("--resume and --overwrite exclude each other: go on, or replace what is there.")
