"""What a notebook imports: a trained classifier of images or clips, from a run or a model folder.

    import seqvision
    model = seqvision.load("runs/digits")
    model                                       # a table of what it is
    model.evaluate()                            # on the test split of its run
    model.predict("photos/")                    # a table, and a figure with the top classes
    model.features("photos/")                   # (n, D)

A model folder says how images become inputs; a run folder also says which ones were held out.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import yaml

from seqsuite.errors import UserError
from seqsuite.mixers.options import build_config
from seqsuite.models import load_model
from seqsuite.models.create import to_device
from seqsuite.models.published import is_hub_id, own_folder, read_json
from seqsuite.reports import TableView, html_table
from seqvision.configs.models import ImageModelConfig
from seqvision.configs.train import VisionTrainConfig
from seqvision.models.folders import half_done, refuse_series
from seqvision.models.image_model import ImageModel
from seqvision.trained import Trained, load_trained

if TYPE_CHECKING:
    from seqvision.evaluation import Evaluation, Predictions

__all__ = ["VisionModel", "load", "load_classifier"]


class VisionModel(TableView):
    """A trained classifier and what belongs to it.

    Args:
        model: The network; put in evaluation mode.
        options: What its run was told; None for a bare model folder.
        summary: What the run wrote at its end.
        folder: The run or model folder; None for a model from elsewhere.
    """

    def __init__(
        self,
        model: ImageModel,
        options: VisionTrainConfig | None = None,
        summary: Mapping[str, Any] | None = None,
        folder: Path | None = None,
    ) -> None:
        self.model = model.eval()
        self.options, self.summary, self.folder = options, dict(summary or {}), folder

    def __repr__(self) -> str:
        size = " x ".join(str(part) for part in (self.config.in_chans, *self.config.img_size))
        return f"VisionModel({self.name}, {self.model.num_parameters():,} parameters, {size})"

    def _repr_html_(self) -> str:
        return html_table(self.table())

    @property
    def config(self) -> ImageModelConfig:
        """What it was built from."""
        return self.model.config

    @property
    def name(self) -> str:
        """Its architecture."""
        return self.config.architecture

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of its classes; numbers where they have none."""
        return self.config.classes or tuple(str(number) for number in range(self.config.num_classes))

    @property
    def device(self) -> torch.device:
        """Where its parameters lie."""
        return next(self.model.parameters()).device

    def to(self, device: str | torch.device) -> VisionModel:
        """Move the model to a device; returns itself.

        Raises:
            UserError: The device cannot be used here.
        """
        to_device(self.model, device)
        return self

    def table(self) -> dict[str, Any]:
        """Return what it is, by name."""
        config = self.config
        facts: dict[str, Any] = {"architecture": config.architecture, "parameters": self.model.num_parameters()}
        facts["inputs"] = " x ".join(str(part) for part in (config.in_chans, *config.img_size))
        facts["classes"] = config.num_classes
        test = self.summary.get("test") or {}
        shown = {"top1": "test top-1", "top5": "test top-5", "cross_entropy": "test cross entropy"}
        return facts | {said: test[name] for name, said in shown.items() if name in test}

    def evaluate(self, source: str = "", **options: Any) -> Evaluation:
        """Measure it, by default on the test split of its run; see `seqvision.evaluation.evaluate`."""
        from seqvision.evaluation import evaluate

        return evaluate(self, source, **options)

    def predict(self, source: str | Path | np.ndarray, **options: Any) -> Predictions:
        """Classify images or videos; see `seqvision.evaluation.predict`."""
        from seqvision.evaluation import predict

        return predict(self, source, **options)

    def features(self, source: str | Path | np.ndarray, *, batch: int = 64) -> np.ndarray:
        """Return the features in front of the last map: (n, D) float64.

        Args:
            source: As for `predict`.
            batch: Inputs that run at once.

        Raises:
            UserError: There is no such source, or an input cannot be read.
        """
        from seqvision.evaluation.predicting import read_inputs
        from seqvision.evaluation.scoring import features

        return features(self.model, read_inputs(self, source)[0], batch=batch)


def load(source: str | os.PathLike[str], *, device: str = "cpu") -> VisionModel | Trained:
    """Load a trained model: a classifier of images or clips, a model of masks, of gridded fields, or of series.

    Args:
        source: A run folder, a model folder, or, of a classifier, a hub id (``"owner/name"``).
        device: Where to put it.

    Raises:
        UserError: There is no model, it is damaged, or it is of another kind.
    """
    return load_trained(Path(os.path.expanduser(source)), device) or load_classifier(source, device=device)


def load_classifier(source: str | os.PathLike[str], *, device: str = "cpu") -> VisionModel:
    """Load a trained classifier of images or clips.

    Args:
        source: A run folder, a model folder, or a hub id (``"owner/name"``).
        device: Where to put it.

    Raises:
        UserError: There is no model, it is damaged, or it is of another kind.
    """
    path = Path(os.path.expanduser(source))
    if not path.exists() and (not is_hub_id(str(source)) or path.parent.is_dir()):
        raise UserError(f"{path}: there is no such folder; give a run folder or a model folder")
    if path.is_file():
        raise UserError(f"{path} is a file; give a run folder or a model folder")
    folder = own_folder(path)
    if folder is None and path.is_dir():
        refuse_series(path)
        half = half_done(path)
        raise UserError(f"{path} holds no model{half}; give a run folder, or bring it in with `seqvision import`")
    model = load_model(folder or str(source))
    if not isinstance(model, ImageModel):
        raise UserError(f"{source} holds a {type(model).__name__}, which is no classifier of images or clips")
    options, summary = None, {}
    if folder is not None and folder != path:
        options = _options(path / "config.yaml")
        told = path / "summary.json"
        summary = read_json(told) if told.is_file() else {}
    return VisionModel(model, options, summary, path if path.is_dir() else None).to(device)


def _options(path: Path) -> VisionTrainConfig | None:
    """Return what a run was told; None where the folder does not say."""
    if not path.is_file():
        return None
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError, OSError) as error:
        raise UserError(f"{path}: is no valid YAML ({' '.join(str(error).split())})") from error
    if not isinstance(values, dict) or "source" not in values or "task" not in values:
        return None
    return build_config(VisionTrainConfig, values, owner=str(path))
