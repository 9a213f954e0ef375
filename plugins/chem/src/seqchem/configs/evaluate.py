"""Options of `seqchem evaluate` (torch-free); the docstring is the help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from seqsuite.errors import UserError


@dataclass(frozen=True)
class RTEvaluateConfig:
    """Options of `seqchem evaluate`.

    Args:
        run: A run folder of `seqchem finetune`, or a model folder.
        data: Sequences with measured properties: CSV, TSV, .smi, .sdf or .fasta, plain or gzip. With --generated:
            molecules or proteins to compare with, of a test set.
        part: Which rows: those of a part of the run's split, where the file is the one it was trained on, or all;
            auto: the test part, and all rows of another file.
        properties: Which, as in qed or logs=measured_column; left out: those of the model.
        sequence_column: Column of the sequences; left out: found by its name.
        salts: Mixtures and salts: keep them, keep the largest part, or refuse them; of the run's own file, as in the
            run.
        on_invalid: Rows that cannot be used: error, or left out (skip).
        baselines: Train random forests and gradient boosting on the run's own training rows, and measure them too.
        train: The file of the training rows, where the run's own is no longer where it was.
        seeds: Fits of each baseline.
        seed: The first of their seeds.
        generated: Measure these generated molecules or proteins instead: a file of `seqchem generate`, or any other of
            SMILES or letters.
        decode: independent reads all digits in one pass, sequential shows each digit those before it.
        beams: Beginnings of a number that sequential decoding keeps.
        point: What stands for the distribution of a number: its mean or its mode; auto: as in `seqchem predict`.
        clip: Clip values to the trained range.
        out: A folder for evaluation.json, predictions.csv, parity.png and report.html; empty: write nothing.
        report: Write them into the folder `evaluation` of the run.
        batch_size: Rows at once.
        device: Where to run: cpu, cuda, cuda:1 and so on.
        threads: Threads on a CPU, of the forests too; 0: torch's own number.
        overwrite: Write over what is there.
        json: Print JSON instead of tables.
    """

    run: str
    data: str
    part: Literal["auto", "all", "train", "valid", "test"] = "auto"
    properties: tuple[str, ...] = ()
    sequence_column: str = ""
    salts: Literal["keep", "largest", "refuse"] = "keep"
    on_invalid: Literal["error", "skip"] = "skip"
    baselines: bool = False
    train: str = ""
    seeds: int = 1
    seed: int = 0
    generated: str = ""
    decode: Literal["independent", "sequential"] = "independent"
    beams: int = 4
    point: Literal["auto", "mean", "mode"] = "auto"
    clip: bool = False
    out: str = ""
    report: bool = False
    batch_size: int = 64
    device: str = "cpu"
    threads: int = 0
    overwrite: bool = False
    json: bool = False

    def __post_init__(self) -> None:
        for name, least in {"seeds": 1, "seed": 0, "batch_size": 1, "beams": 1, "threads": 0}.items():
            if getattr(self, name) < least:
                raise UserError(f"--{name} is {getattr(self, name)}; it must be at least {least}")
        if self.generated and self.baselines:
            raise UserError("--generated measures molecules, which have no baselines; leave out --baselines")
