"""What a weather run reads: the grid, its split by time, statistics of the training part, samples by position."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from seqsuite.data.order import ShuffledOrder
from seqsuite.errors import UserError
from seqsuite.models import model_config
from seqvision.configs.dense import WeatherModelConfig, chosen
from seqvision.configs.weather_train import WeatherTrainConfig
from seqvision.data.gridded import Grid, open_grid
from seqvision.data.gridded_times import PHASES
from seqvision.weather.baselines import anomaly_terms, cell_regression, climatology_of
from seqvision.weather.scores import area_weights


@dataclass(frozen=True)
class Split:
    """The target steps of each part; inputs are earlier steps, of training targets training steps alone.

    Attributes:
        train: Targets for training.
        valid: For validation.
        test: For the test.
        known: Steps 0 to `known` - 1 are the training part: whatever is learned is learned from them.
    """

    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray
    known: int


def split_steps(count: int, *, valid: int, test: int, back: int, lead: int, source: str = "the grid") -> Split:
    """Split steps by time.

    Args:
        count: Steps T in all.
        valid: Steps before the test.
        test: Last steps.
        back: Steps that a forecast looks back, the latest included.
        lead: Steps ahead.
        source: The file, for the message.

    Raises:
        UserError: Too few steps are left for training.
    """
    known, first = count - valid - test, back - 1 + lead
    if known - first < 2:
        raise UserError(
            f"{source}: its {count} steps less --valid {valid} and --test {test} leave {max(known, 0)} for training; "
            f"forecasts that look back {back} and ahead {lead} need at least {first + 2}"
        )
    return Split(np.arange(first, known), np.arange(known, known + valid), np.arange(known + valid, count), known)


@dataclass(frozen=True)
class Statistics:
    """What is computed from the training steps.

    Attributes:
        climatology: (P, C, H, W) float64.
        scale: (C,) area-weighted deviation of the anomalies.
        linear: (K, C, H, W): the latest anomaly and the mean of the latest.
        damped: (1, C, H, W): the latest anomaly alone.
    """

    climatology: np.ndarray
    scale: np.ndarray
    linear: np.ndarray
    damped: np.ndarray


def statistics_of(
    grid: Grid, phases: np.ndarray, split: Split, model: WeatherModelConfig, config: WeatherTrainConfig
) -> Statistics:
    """Compute the statistics; steps from `split.known` on are not looked at.

    Raises:
        UserError: The climatology lacks a phase, or a variable never changes.
    """
    values, phases = grid.values[: split.known], phases[: split.known]
    climatology = climatology_of(values, phases, config.climatology)
    anomalies = values - climatology[phases]
    area = area_weights(grid.latitude)
    spread = np.nansum(anomalies**2 * area[:, None], (0, 2, 3))
    scale = np.sqrt(spread / np.maximum((np.isfinite(anomalies) * area[:, None]).sum((0, 2, 3)), 1))
    for name, value in zip(grid.variables, scale, strict=True):
        if not value > 0:
            raise UserError(f"{grid.source}: {name} never differs from its climatology; there is nothing to forecast")
    filled = np.nan_to_num(anomalies, nan=0.0)
    starts, target = split.train - config.lead, anomalies[split.train]

    def fitted(mean_history: int) -> np.ndarray:
        return cell_regression(anomaly_terms(filled, starts, mean_history), target, area, config.penalty)

    return Statistics(climatology, scale, fitted(model.mean_history), fitted(0))


class Forecasts(Dataset[dict[str, Tensor]]):
    """Targets with the steps before them: {"fields", "phases", "target_phase", "truth"}; see `WeatherModel.forward`.

    Args:
        values: (T, C, H, W).
        phases: (T,).
        targets: (N,) steps to forecast.
        back: Steps of history.
        lead: Steps ahead.
        seed: Of the order; None: in order, with a length.
    """

    def __init__(
        self, values: np.ndarray, phases: np.ndarray, targets: np.ndarray, *, back: int, lead: int, seed: int | None
    ) -> None:
        self.values, self.phases, self.targets = values, phases, targets
        self.back, self.lead = back, lead
        self.order = None if seed is None else ShuffledOrder(len(targets), seed)

    def __len__(self) -> int:
        if self.order is not None:
            raise TypeError("the order of training has no end")
        return len(self.targets)

    def __getitem__(self, position: int) -> dict[str, Tensor]:
        place = position if self.order is None else self.order.locate(position)[1]
        target = int(self.targets[place])
        start = target - self.lead
        rows = slice(start - self.back + 1, start + 1)
        return {
            "fields": torch.from_numpy(self.values[rows].copy()),
            "phases": torch.from_numpy(self.phases[rows].copy()),
            "target_phase": torch.tensor(int(self.phases[target])),
            "truth": torch.from_numpy(self.values[target].copy()),
        }


def read_grid(config: WeatherTrainConfig) -> Grid:
    """Open the file that the options name."""
    return open_grid(Path(config.file), config.variables, select=config.select, missing=config.missing)


def model_overrides(config: WeatherTrainConfig, grid: Grid) -> dict[str, object]:
    """Return the fields of the model's config that follow from the data and the flags."""
    known = model_config(config.model)
    assert isinstance(known, WeatherModelConfig)
    step = abs(float(grid.longitude[1] - grid.longitude[0]))
    around = bool(np.allclose(np.abs(np.diff(grid.longitude)), step, rtol=1e-3))
    around = around and abs(step * len(grid.longitude) - 360) < step / 2
    if config.wrap == "true" and not around:
        raise UserError(
            f"{grid.source}: --wrap true, but its longitudes ({grid.longitude[0]:g} to {grid.longitude[-1]:g} degrees) "
            "do not go around the globe in equal steps"
        )
    wrap = around if config.wrap == "auto" else config.wrap == "true"
    return {
        "variables": grid.variables,
        "units": grid.units,
        "step_seconds": grid.step_seconds,
        "lead": config.lead,
        "size": grid.size,
        "phases": PHASES[config.climatology],
        "wrap": wrap,
        **({} if wrap else {"margin": 0}),
        **chosen(known, config.model_options),
    }
