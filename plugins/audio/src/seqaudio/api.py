"""What a notebook imports: a trained audio model, from a run or a model folder.

    import seqaudio
    model = seqaudio.load("runs/audio")
    model                                   # a table of what it is
    model.evaluate("recordings/")           # bits per sample beside simple codes
    model.generate(seconds=2, n=4)          # new clips, played in a notebook
    codes = model.codes(samples)            # samples at model.sample_rate -> codes, as in training

A run folder says all that is needed: rate, quantisation, level, and which files were held out.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from seqaudio.configs.evaluate import HELD_OUT
from seqaudio.models.base import SampleModel
from seqaudio.models.diffwave import DiffWave
from seqaudio.quantization import Normalization, Quantizer, normalize
from seqaudio.training.inputs import read_files
from seqaudio.training.tasks import SETTINGS
from seqsuite.errors import UserError
from seqsuite.models import load_model
from seqsuite.models.create import to_device
from seqsuite.models.published import is_hub_id, own_folder, read_json
from seqsuite.reports import TableView, html_table

if TYPE_CHECKING:
    from seqaudio.data import Splits
    from seqaudio.evaluation import AudioEvaluation, DenoisingEvaluation
    from seqaudio.generation import Generated

__all__ = ["AudioModel", "load"]

_VERBS = {"RestorationModel": "restore", "WaveClassifier": "predict"}
"""Models of this package that are no `AudioModel`: what takes them."""


class AudioModel(TableView):
    """A trained model and what belongs to it.

    Args:
        model: The network; put in evaluation mode.
        settings: What training wrote beside it: `normalize` and `length`.
        summary: What the run wrote at its end; empty for a bare model folder.
        folder: The run folder or model folder; None for a model from elsewhere.

    Attributes:
        objective: "autoregressive", "diffusion" or, of a model with another head, its name.
        quantizer: Makes codes of samples; None of a model over waveforms.
        normalize: How the level of a clip is set before the model.
        length: Samples of a window in training; 0: unknown.
    """

    def __init__(
        self,
        model: SampleModel | DiffWave,
        settings: Mapping[str, Any] | None = None,
        summary: Mapping[str, Any] | None = None,
        folder: Path | None = None,
    ) -> None:
        self.model = model.eval()
        self.settings, self.summary, self.folder = dict(settings or {}), dict(summary or {}), folder
        self.normalize: Normalization = self.settings.get("normalize", "none")
        self.length = int(self.settings.get("length", 0))
        self.objective, self.quantizer = "diffusion", None
        if isinstance(model, SampleModel):
            self.objective = "autoregressive" if model.config.head == "next_sample" else model.config.head
            self.quantizer = Quantizer(model.config.bits, model.config.quantization)

    def __repr__(self) -> str:
        return f"AudioModel({self.name}, {self.model.num_parameters():,} parameters, {self.sample_rate} Hz)"

    def _repr_html_(self) -> str:
        return html_table(self.table())

    @property
    def name(self) -> str:
        """Name of its size, or of its class."""
        return self.model.name or type(self.model).__name__

    @property
    def sample_rate(self) -> int:
        """Samples a second."""
        return int(self.model.config.sample_rate)

    @property
    def channels(self) -> int:
        """Channels that it takes."""
        return int(getattr(self.model.config, "audio_channels", 1))

    @property
    def device(self) -> torch.device:
        """Where its parameters lie."""
        return next(self.model.parameters()).device

    def to(self, device: str | torch.device) -> AudioModel:
        """Move the model to a device; returns itself.

        Raises:
            UserError: The device cannot be used here.
        """
        to_device(self.model, device)
        return self

    def table(self) -> dict[str, Any]:
        """Return what it is, by name."""
        facts: dict[str, Any] = {"model": self.name, "objective": self.objective}
        facts |= {"parameters": self.model.num_parameters(), "samples a second": self.sample_rate}
        facts["channels"] = self.channels
        if self.quantizer is not None:
            facts |= {"bits": self.quantizer.bits, "quantization": self.quantizer.kind}
        facts |= {"normalize": self.normalize, "window": self.length or "unknown"}
        shown = ("bits_per_sample", "mean_squared_error", "steps")
        return facts | {name.replace("_", " "): self.summary[name] for name in shown if name in self.summary}

    def codes(self, samples: np.ndarray) -> np.ndarray:
        """Return the codes (L,) int64 of one clip (L,) at the model's sample rate, levelled as in training.

        Raises:
            UserError: The model takes waveforms.
        """
        if self.quantizer is None:
            raise UserError(f"{self.name} takes waveforms, not codes")
        return self.quantizer.encode(normalize(np.asarray(samples, dtype=np.float32), self.normalize))

    def files(self) -> Splits | None:
        """Return the files that its run used for training, validation and test; None where that is not known."""
        return None if self.folder is None else read_files(self.folder)

    def evaluate(self, source: str | Path = HELD_OUT, **options: Any) -> AudioEvaluation | DenoisingEvaluation:
        """Measure it on sound, by default on the test files of its run; see `seqaudio.evaluation.evaluate`."""
        from seqaudio.evaluation import evaluate

        return evaluate(self, source, **options)

    def generate(self, *, prompt: str | Path | np.ndarray | None = None, **options: Any) -> Generated:
        """Draw new clips; see `seqaudio.generation.generate`."""
        from seqaudio.generation import generate

        return generate(self, prompt=prompt, **options)

    def stream(self, **options: Any) -> Iterator[np.ndarray]:
        """Yield new sound as it is made; see `seqaudio.generation.stream`."""
        from seqaudio.generation import stream

        return stream(self, **options)


def load(source: str | os.PathLike[str], *, device: str = "cpu") -> AudioModel:
    """Load a trained model of samples or of diffusion.

    Args:
        source: A run folder, a model folder, or a hub id (``"owner/name"``).
        device: Where to put it.

    Raises:
        UserError: There is no model, it is damaged, or it is of another kind or domain.
    """
    path = Path(os.path.expanduser(source))
    if not path.exists() and (not is_hub_id(str(source)) or path.parent.is_dir()):
        raise UserError(f"{path}: there is no such folder; give a run folder or a model folder")
    if path.is_file():
        raise UserError(f"{path} is a file; give a run folder or a model folder")
    folder = own_folder(path)
    if folder is None and path.is_dir():
        half = " (its run is not complete; go on with --resume)" if (path / "checkpoints").is_dir() else ""
        raise UserError(f"{path} holds no model{half}; give a run folder or a model folder")
    model = load_model(folder or str(source))
    if not isinstance(model, SampleModel | DiffWave):
        kind = type(model).__name__
        way = f"; use it with `seqaudio {_VERBS[kind]}`" if kind in _VERBS else ", which is no audio model of seqaudio"
        raise UserError(f"{source} holds a {kind}{way}")
    settings, summary = {}, {}
    if folder is not None:
        settings = read_json(folder / SETTINGS) if (folder / SETTINGS).is_file() else {}
        told = path / "summary.json"
        summary = read_json(told) if folder != path and told.is_file() else {}
    return AudioModel(model, settings, summary, path if path.is_dir() else None).to(device)
