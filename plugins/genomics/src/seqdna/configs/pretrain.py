"""Options of `seqdna pretrain` (torch-free); the docstring is the command line's help."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from seqsuite.errors import UserError
from seqsuite.training.configs import TrainConfig


@dataclass(frozen=True)
class Stage:
    """A part of a run with windows of one length.

    Attributes:
        length: Bases in a window.
        first: The first step of the stage.
        end: The step behind its last.
        windows: Windows that take the place of one row of the batch.
    """

    length: int
    first: int
    end: int
    windows: int


@dataclass(frozen=True, kw_only=True)
class PretrainConfig(TrainConfig):
    """Options of `seqdna pretrain`.

    The model's head decides the objective: masked_lm predicts hidden bases from both sides, causal_lm the
    next base, leave_one_out every base from all the others.

    Args:
        fasta: Genome to train on: a FASTA file (plain, gzip or bgzip), a .2bit or a GenBank file, or 'ecoli' for
            the one that comes along.
        model: Name of a genome language model; `seqsuite models` lists them.
        model_options: Fields of its config to change, such as --model_options.d_model 64.
        length: Bases in a window.
        tokens_per_step: Bases in a step, a multiple of --length; sets --batch_size. 0 leaves that as it is.
        stages: Sequence-length warm-up, as length:share of the steps, such as 64:0.1,256:0.2,1024:0.7;
            the shares sum to 1, no length is above --length. Empty: --length from the start.
        stage_batch: tokens: a shorter window gives more rows, bases per step stay constant (lengths must
            divide --length); rows: the rows stay constant, as in HyenaDNA.
        mask_rate: Share of the bases to predict in training; masked models only.
        masking: guarded: only A, C, G, T are hidden, and drawn as random letters; published: as Caduceus
            was trained: N becomes [PAD], random letters are any of the vocabulary, special tokens included,
            and whatever is not [PAD] is asked for. Masked models only.
        eos: Let each row end with the target [SEP], as HyenaDNA was trained; causal models only.
        rc_augment: Show the reverse complement of a window with probability one half. auto: for models that
            read one strand, as Caduceus-Ph, Mamba and HyenaDNA were trained for Caduceus's comparison, but
            not for bimamba_*, the control without it; RC-equivariant models need none.
        windows: Where training windows come from. random: anywhere in the training part; tiled: end to end, each
            once an epoch; caduceus: each interval of --intervals from its start over 2^20 bases, tiled; hyenadna:
            each of them recentred to one window. Bases of held-out intervals are cut out of training intervals.
        valid_fraction: Share of the genome held out for validation, before the test block.
        test_fraction: Share of the genome held out for the test, at its end.
        valid_chromosomes: Records for validation, with commas between them, instead of the fractions.
        test_chromosomes: Records for the test, likewise.
        intervals: A BED file with train, valid or test in its fourth column, instead of the fractions.
        lower: What lower-case (soft-masked) bases become: upper-case bases, N, or the unknown token.
        iupac: What ambiguity codes other than N become: the unknown token or N.
        uracil: What U becomes: T or the unknown token.
        valid_windows: Windows of the validation block that are scored during training.
        eval_sites: Test positions to measure one at a time, at the end.
        baselines: Fit and score the count models on the same split.
        also: Another genome to measure the model and the fitted count models on: what transfers.
        json: Print the result as JSON instead of a table.
    """

    fasta: str = "ecoli"
    model: str = "caduceus_ps_debug"
    model_options: dict[str, Any] = field(default_factory=dict)
    length: int = 1024
    tokens_per_step: int = 0
    stages: str = ""
    stage_batch: Literal["tokens", "rows"] = "tokens"
    mask_rate: float = 0.15
    masking: Literal["guarded", "published"] = "guarded"
    eos: bool = False
    rc_augment: Literal["auto", "yes", "no"] = "auto"
    windows: Literal["random", "tiled", "caduceus", "hyenadna"] = "random"
    valid_fraction: float = 0.1
    test_fraction: float = 0.1
    valid_chromosomes: str = ""
    test_chromosomes: str = ""
    intervals: str = ""
    lower: Literal["upper", "n", "unk"] = "upper"
    iupac: Literal["unk", "n"] = "unk"
    uracil: Literal["t", "unk"] = "t"
    valid_windows: int = 128
    eval_sites: int = 4096
    baselines: bool = True
    also: str = ""
    json: bool = False
    out: str = "runs/pretrain"

    free_on_resume: ClassVar[frozenset[str]] = TrainConfig.free_on_resume | {
        *("valid_windows", "eval_sites", "baselines", "also", "json"),
        *("fasta", "intervals"),  # their content is compared instead
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least in (("length", 1), ("valid_windows", 1), ("eval_sites", 1), ("tokens_per_step", 0)):
            if getattr(self, name) < least:
                raise UserError(f"--{name} is {getattr(self, name)}; it must be at least {least}.")
        if self.tokens_per_step % self.length:
            raise UserError(
                f"--tokens_per_step is {self.tokens_per_step}; it must be a multiple of --length {self.length}."
            )
        if self.tokens_per_step:
            object.__setattr__(self, "batch_size", self.tokens_per_step // self.length)
        for name in ("mask_rate", "valid_fraction", "test_fraction"):
            if not 0 < getattr(self, name) < 1:
                raise UserError(f"--{name} is {getattr(self, name)}; it must lie between 0 and 1.")
        self._check_splits()
        self.stage_plan()

    def _check_splits(self) -> None:
        if bool(self.valid_chromosomes) != bool(self.test_chromosomes):
            raise UserError("--valid_chromosomes and --test_chromosomes belong together; give both.")
        if self.intervals and self.valid_chromosomes:
            raise UserError("--intervals and --valid_chromosomes both split the genome; give one of them.")
        if self.windows in ("caduceus", "hyenadna") and not self.intervals:
            raise UserError(f"--windows {self.windows} is a recipe for --intervals; give a BED file.")

    @property
    def schedule_ends(self) -> bool:
        """Whether what a step does depends on how many steps there are in all: the stages do."""
        return super().schedule_ends or bool(self.stages)

    def stage_plan(self) -> tuple[Stage, ...]:
        """Return the stages of the run, at least one, end to end.

        Raises:
            UserError: `stages` does not parse, or does not fit the length or the steps.
        """
        if not self.stages:
            return (Stage(self.length, 0, self.steps, 1),)
        parsed = [_parse_stage(text.strip()) for text in self.stages.split(",")]
        if abs(sum(share for _, share in parsed) - 1) > 1e-6:
            shares = " + ".join(f"{share:g}" for _, share in parsed)
            raise UserError(f"--stages {self.stages}: the shares {shares} must sum to 1.")
        plan, first, done = [], 0, 0.0
        for length, share in parsed:
            done += share
            end = round(done * self.steps)
            if end == first:
                raise UserError(f"--stages {self.stages}: {length}:{share:g} of {self.steps} steps is not one step.")
            plan.append(Stage(length, first, end, self._stage_windows(length)))
            first = end
        return tuple(plan)

    def _stage_windows(self, length: int) -> int:
        if length > self.length:
            raise UserError(f"--stages {self.stages}: {length} is longer than --length {self.length}.")
        if self.stage_batch == "rows":
            return 1
        if self.length % length:
            raise UserError(
                f"--stages {self.stages}: {length} does not divide --length {self.length}, so the bases per step "
                "cannot stay constant; choose a divisor or --stage_batch rows."
            )
        return self.length // length


def _parse_stage(text: str) -> tuple[int, float]:
    try:
        length, share = text.split(":")
        stage = int(length), float(share)
    except ValueError:
        stage = 0, 0.0
    if stage[0] < 1 or not 0 < stage[1] <= 1:
        raise UserError(f"--stages: {text!r} is no length:share; give for example 64:0.1,256:0.2,1024:0.7.")
    return stage
