"""Networks from waveforms to classes behind one face: `embed` to one vector a clip, `logits` from those.

model = make_network("wave_classifier", {}, classes=10)
features = embed(model, wave, lengths)          # (B, L) float, (B,) -> (B, D)
scores = logits(model, features)                # (B, classes)
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import seqsuite
from seqaudio.configs.classifier import ClassifierConfig
from seqaudio.configs.models import AudioConfig
from seqaudio.data.torch_audio import torchaudio
from seqaudio.models.base import SampleModel
from seqaudio.models.spectral_stem import masked_norm
from seqaudio.quantization import Quantizer
from seqsuite.errors import UserError
from seqsuite.models import model_config
from seqsuite.models.base import Model
from seqsuite.ops import Seq

_FLOOR = 1e-6


def network_config(name: str, options: dict[str, Any], *, classes: int) -> ClassifierConfig | AudioConfig:
    """Return the config of a model with a head for classes.

    Raises:
        UserError: The model does not classify sound, or an option does not fit.
    """
    known = model_config(name)
    if not isinstance(known, (ClassifierConfig, AudioConfig)):
        raise UserError(
            f"--model {name} does not classify sound; give wave_classifier or a model such as sashimi_debug"
        )
    if options.get("num_classes", classes) != classes:
        raise UserError(
            f"--model_options.num_classes is {options['num_classes']}, but the labels have {classes} classes"
        )
    if isinstance(known, AudioConfig):
        if options.get("head", "classification") != "classification":
            raise UserError(f"--model_options.head is {options['head']!r}; a classifier has the head 'classification'")
        options = {**options, "head": "classification"}
    found = model_config(name, **{**options, "num_classes": classes})
    assert isinstance(found, (ClassifierConfig, AudioConfig))
    return found


def make_network(name: str, options: dict[str, Any], *, classes: int) -> Model:
    """Build a model with fresh weights and a head for classes; see `network_config`."""
    config = network_config(name, options, classes=classes)
    return seqsuite.create_model(name, **dataclasses.asdict(config))


def embed(model: nn.Module, wave: Tensor, lengths: Tensor) -> Tensor:
    """Return one vector a clip (B, D), what the last map reads.

    Args:
        model: A `WaveClassifier`, a model over quantised samples, or a `LogMelCNN`.
        wave: (B, L) samples, padded on the right.
        lengths: (B,) samples of each clip.
    """
    if not isinstance(model, SampleModel):
        found: Tensor = model.embed(wave, seq=Seq.from_lengths(lengths, wave.shape[1]))  # type: ignore[operator]
        return found
    inside = torch.arange(wave.shape[1], device=wave.device) < lengths[:, None]
    wave = wave.masked_fill(~inside, 0)
    peak = wave.abs().amax(1, keepdim=True)
    quantizer = Quantizer(model.config.bits, model.config.quantization)
    codes = quantizer.encode(wave / peak.clamp(min=_FLOOR))
    seq = Seq.from_lengths(lengths, wave.shape[1])
    return model.pool(model.forward_features(codes, seq=seq), seq=seq)


def logits(model: nn.Module, features: Tensor) -> Tensor:
    """Return the scores (B, classes) of what `embed` returned."""
    if isinstance(model, SampleModel):
        assert model.head is not None
        return model.head(features)
    found: Tensor = model.classify(features)  # type: ignore[operator]
    return found


class LogMel(nn.Module):
    """Log mel spectrogram of clips at unit power: (B, L), (B,) -> (B, bands, T), and the frames (B,) inside each clip.

    Args:
        rate: Samples a second.
        bands: Mel bands.
    """

    mel: Tensor
    window: Tensor

    def __init__(self, rate: int, bands: int = 40) -> None:
        super().__init__()
        self.hop, self.span = max(round(0.01 * rate), 1), round(0.032 * rate)
        mel = torchaudio().functional.melscale_fbanks(self.span // 2 + 1, 0.0, rate / 2, bands, rate)
        # They follow from the rate, and are no weights to be stored.
        self.register_buffer("mel", mel, persistent=False)
        self.register_buffer("window", torch.hann_window(self.span), persistent=False)

    def forward(self, wave: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Make the spectrogram; zeros outside a clip."""
        inside = torch.arange(wave.shape[1], device=wave.device) < lengths[:, None]
        wave = wave.masked_fill(~inside, 0)
        power = wave.square().sum(1, keepdim=True) / lengths[:, None]
        wave = wave / power.clamp(min=1e-12).sqrt()
        spectrum = torch.stft(
            wave, self.span, self.hop, window=self.window, center=True, pad_mode="constant", return_complex=True
        )
        found = (self.mel.T @ spectrum.abs().square() + 1e-3).log()
        return found, lengths // self.hop + 1


class LogMelCNN(nn.Module):
    """The small convolutional baseline: log mel, three layers of 3 x 3, mean over time, linear.

    Args:
        rate: Samples a second.
        classes: Number of classes.
        width: Channels of the first layer; twice and four times that follow.
    """

    def __init__(self, rate: int, classes: int, width: int = 16) -> None:
        super().__init__()
        self.log_mel = LogMel(rate)
        widths = (1, width, 2 * width, 4 * width)
        self.layers = nn.ModuleList(
            nn.Conv2d(before, after, 3, padding=1) for before, after in itertools.pairwise(widths)
        )
        self.norms = nn.ModuleList(nn.GroupNorm(1, after) for after in widths[1:])
        self.head = nn.Linear(widths[-1] * -(-self.log_mel.mel.shape[1] // 2 ** len(self.layers)), classes)

    def embed(self, wave: Tensor, *, seq: Seq) -> Tensor:
        """Return the features, pooled over time: (B, 4 width bands / 8)."""
        assert seq.valid is not None
        x, frames = self.log_mel(wave, seq.valid.sum(1))
        x = x[:, None]
        for layer, norm in zip(self.layers, self.norms, strict=True):
            inside = (torch.arange(x.shape[3], device=x.device) < frames[:, None])[:, None, None]
            x = layer(x * inside)
            x = F.relu(masked_norm(x, inside, norm))
            x = F.max_pool2d(x * inside, 2, ceil_mode=True)
            frames = (frames + 1) // 2
        inside = (torch.arange(x.shape[3], device=x.device) < frames[:, None])[:, None, None]
        return (x * inside).sum(3).flatten(1) / frames[:, None]

    def classify(self, features: Tensor) -> Tensor:
        """Return the scores (B, classes)."""
        return self.head(F.dropout(features, 0.2, self.training))
