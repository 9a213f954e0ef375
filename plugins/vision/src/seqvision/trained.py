"""Trained models of masks, of gridded fields and of series, as `seqvision.load` gives them.

    seqvision.load("runs/segment").segment("pictures/", out="segmented").figure()
    seqvision.load("runs/winds").forecast("winds.nc", out="ahead.nc").table()
    seqvision.load("runs/etth1").forecast(frame).figure()

Each shows a table of what it is in a notebook.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seqsuite.errors import UserError
from seqsuite.models.published import own_folder, read_json
from seqsuite.reports import TableView
from seqvision.configs.dense import DenseModelConfig, WeatherModelConfig
from seqvision.configs.segment import SegmentConfig
from seqvision.configs.weather import WeatherConfig
from seqvision.forecasting.forecaster import Forecaster, load_forecaster
from seqvision.models.dense import DenseModel
from seqvision.models.dense_weather import WeatherModel
from seqvision.models.folders import holds_series
from seqvision.segmentation.predict import load_segmenter, segment
from seqvision.segmentation.train import predict_masks
from seqvision.weather.forecasting import forecast
from seqvision.weather.forecasting import load_forecaster as load_weather

if TYPE_CHECKING:
    from seqvision.segmentation import Segmented
    from seqvision.weather import Forecast


class Segmenter(TableView):
    """A trained model that gives a class to every pixel.

    Args:
        model: The network; put in evaluation mode.
        folder: Its run or model folder.
    """

    def __init__(self, model: DenseModel, folder: Path) -> None:
        self.model, self.folder = model.eval(), folder

    def __repr__(self) -> str:
        config, classes = self.model.config, len(self.classes)
        size = " x ".join(map(str, config.size))
        return f"Segmenter({config.backbone}, {self.model.num_parameters():,} parameters, {size}, {classes} classes)"

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of its classes; numbers where they have none."""
        return self.model.config.class_names or tuple(map(str, range(self.model.config.num_classes)))

    def table(self) -> dict[str, Any]:
        """Return what it is, by name."""
        config, test = self.model.config, _summary(self.folder).get("test", {})
        facts = {"backbone": config.backbone, "parameters": self.model.num_parameters()}
        facts |= {"size": "x".join(map(str, config.size)), "classes": ", ".join(self.classes)}
        shown = {"miou": "test mean IoU", "pixel_accuracy": "test pixel accuracy"}
        return facts | {said: test[name] for name, said in shown.items() if name in test}

    def masks(self, pictures: Sequence[np.ndarray], *, batch: int = 8) -> list[np.ndarray]:
        """Return the classes (H, W) int64 of pictures (H, W, 3) uint8 of any size, at their own size.

        Raises:
            UserError: A picture is none, or the batch is below 1.
        """
        for number, picture in enumerate(pictures):
            if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8 or not picture.size:
                raise UserError(f"picture {number}: must be (H, W, 3) uint8, not {picture.shape} {picture.dtype}")
        if batch < 1:
            raise UserError(f"batch is {batch}; it must be at least 1")
        starts = range(0, len(pictures), batch)
        return [mask for first in starts for mask in predict_masks(self.model, pictures[first : first + batch])]

    def segment(self, images: str | Path, **options: Any) -> Segmented:
        """Segment an image or a folder and write the masks.

        Args:
            images: An image, or a folder of images.
            options: Fields of `SegmentConfig`: out, masks, overwrite, ...

        Raises:
            UserError: An image, a mask or an output; one line names it.
        """
        return segment(SegmentConfig(str(self.folder), str(images), **options), self.model)


class WeatherForecaster(TableView):
    """A trained forecast of gridded fields.

    Args:
        model: The network; put in evaluation mode.
        folder: Its run or model folder.
    """

    def __init__(self, model: WeatherModel, folder: Path) -> None:
        self.model, self.folder = model.eval(), folder

    def __repr__(self) -> str:
        config = self.model.config
        size, names = " x ".join(map(str, config.size)), ", ".join(config.variables)
        return f"WeatherForecaster({config.backbone}, {self.model.num_parameters():,} parameters, {size}, {names})"

    def table(self) -> dict[str, Any]:
        """Return what it is, by name."""
        config = self.model.config
        facts = {"backbone": config.backbone, "parameters": self.model.num_parameters()}
        facts |= {"variables": ", ".join(config.variables), "grid": "x".join(map(str, config.size))}
        facts |= {"steps ahead": config.lead, "looks back": config.steps_back}
        scores = _summary(self.folder).get("test", {}).get("model", {}).get("rmse", {})
        return facts | {f"test RMSE {name}": value for name, value in scores.items()}

    def forecast(self, file: str | Path, **options: Any) -> Forecast:
        """Forecast from a file and write the netCDF file and the map.

        Args:
            file: A netCDF file or a zarr folder.
            options: Fields of `WeatherConfig`: out, starts, missing, overwrite, ...

        Raises:
            UserError: The file or an output; one line names it.
        """
        return forecast(WeatherConfig(str(self.folder), str(file), **options), self.model)


Trained = Segmenter | WeatherForecaster | Forecaster


def load_trained(path: Path, device: str) -> Trained | None:
    """Load what a run or model folder holds; None where that is none of these.

    Args:
        path: The folder.
        device: Where to put it.

    Raises:
        UserError: It is damaged, or the device cannot be used.
    """
    if holds_series(path):
        return load_forecaster(path, device=device)
    folder = own_folder(path)
    kind = read_json(folder / "config.json").get("model") if folder else None
    if kind == WeatherModelConfig.model:
        return WeatherForecaster(load_weather(path, device=device), path)
    if kind == DenseModelConfig.model:
        return Segmenter(load_segmenter(path, device=device), path)
    return None


def _summary(folder: Path) -> Mapping[str, Any]:
    path = folder / "summary.json"
    found = read_json(path) if path.is_file() else {}
    return found if isinstance(found, Mapping) else {}
