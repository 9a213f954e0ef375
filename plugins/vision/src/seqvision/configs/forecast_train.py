"""Options of `seqvision forecast-train` (torch-free); the docstring is the help."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from seqsuite.errors import UserError
from seqsuite.training.configs import TrainConfig


@dataclass(frozen=True, kw_only=True)
class ForecastTrainConfig(TrainConfig):
    """Options of `seqvision forecast-train`.

    Rows are split by time and scaled by the training rows; weights, season and penalty are chosen on the validation
    rows; the test rows are scored once, at the end, every window of them.

    Args:
        source: The series: .csv, .csv.gz or .parquet with a line of names, rows in the order of time.
        horizons: Rows to forecast; a model is trained for each: --horizons 96,192,336,720.
        look_back: Rows that a forecast sees.
        split: auto, ett_h, ett_m (the published 12, 4 and 4 months), or shares of training, validation and test such
            as 70/10/20. auto: by the file's name for ETTh1, ETTm2 and the like, else 70/10/20.
        date_column: The column of timestamps; found by its name or its values if not given.
        columns: Columns to use, with commas between them; all by default.
        drop: Columns to leave out.
        model: A model of series (simba_series_small, simba_series_variates, simba_series_debug).
        model_options: Fields of its config to change, such as --model_options.d_model 64.
        loss: What is minimised: mse, mae, or huber with its knee at one deviation. Validation is by mse.
        epochs: Passes over the training windows, where --steps is 0.
        validate_every: Steps between validations; 0: once a pass.
        seeds: Runs of each horizon from different random numbers.
        baselines: Also measure the last value, the last season, NLinear by ridge regression, and DLinear and NLinear
            trained by gradient.
        season: Rows of a season for the seasonal forecast; 0: the day, week or year that is best on validation.
        linear_epochs: Passes of DLinear and NLinear.
        linear_lr: Their learning rate.
        resamples: Resamples of the intervals of paired differences.
        json: Print the result as JSON instead of a table.
    """

    source: str = field(kw_only=False)
    horizons: tuple[int, ...] = (96,)
    look_back: int = 96
    split: str = "auto"
    date_column: str = ""
    columns: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    model: str = "simba_series_small"
    model_options: dict[str, Any] = field(default_factory=dict)
    loss: Literal["mse", "mae", "huber"] = "mse"
    epochs: float = 10.0
    validate_every: int = 0
    seeds: int = 1
    baselines: bool = True
    season: int = 0
    linear_epochs: float = 10.0
    linear_lr: float = 2e-3
    resamples: int = 2000
    steps: int = 0
    batch_size: int = 32
    lr: float = 1e-3
    weight_decay: float = 0.05
    warmup: float = 0.1
    log_every: int = 100
    checkpoint_every: int = 500
    json: bool = False
    out: str = "runs/forecast"

    free_on_resume: ClassVar[frozenset[str]] = TrainConfig.free_on_resume - {"validate_every"} | {
        "baselines",
        "json",
        "source",
        "resamples",
    }  # the weights are those of the best validation: when it runs decides about them

    def __post_init__(self) -> None:
        if not self.steps:
            dataclasses.replace(self, steps=1)  # 0 stands for --epochs; everything else is checked on a twin
            return
        super().__post_init__()
        for name in ("look_back", "seeds", "resamples"):
            if getattr(self, name) < 1:
                raise UserError(f"--{name} is {getattr(self, name)}; it must be at least 1")
        if not self.horizons or min(self.horizons) < 1:
            raise UserError(f"--horizons {','.join(map(str, self.horizons))}: give whole numbers from 1 on")
        if len(set(self.horizons)) < len(self.horizons):
            raise UserError(f"--horizons {','.join(map(str, self.horizons))}: one is given twice")
        for name in ("epochs", "linear_epochs", "linear_lr"):
            if not 0 < getattr(self, name) <= 1e6:
                raise UserError(f"--{name} is {getattr(self, name)}; it must be above 0 and at most 1e6")
        if not 0 <= self.season <= self.look_back:
            raise UserError(f"--season {self.season} must lie within the look-back of {self.look_back} rows")
