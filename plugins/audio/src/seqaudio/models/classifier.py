"""Classes of raw waveforms: a learned front end and SaShiMi's layers looking both ways.

    model = seqsuite.create_model("wave_classifier")
    logits = model(wave, seq=Seq.from_lengths(lengths, wave.shape[1]))       # (B, L) float -> (B, num_classes)
    features = model.embed(wave, seq=seq)                                    # (B, D), what the last map reads

A clip is scaled to unit power first. What is padded on the right changes nothing. The front end is either a bank of
learned band-pass filters in the manner of Zeghidour et al. (2018, arXiv 1711.01161), or linear frames.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqaudio.configs.classifier import ClassifierConfig
from seqaudio.models.sashimi import build_backbone
from seqsuite.models.base import Model, settle_mixer
from seqsuite.ops import Seq

_FLOOR = 1e-3
"""Power below is raised to it in front of the logarithm; that of a whole clip is 1."""
_CENTRE, _SPREAD = -3.0, 3.0
"""About the mean and the deviation of the logarithm, which goes on centred and scaled by them."""
_LOWEST_HZ = 60.0


class WaveClassifier(Model):
    """A classifier of waveforms (B, L); see `ClassifierConfig`."""

    config: ClassifierConfig

    def __init__(self, config: ClassifierConfig) -> None:
        config = settle_mixer(config)
        super().__init__(config)
        self.front_end = Frames(config)
        self.backbone = build_backbone(config)
        self.head = nn.Linear(config.d_model, config.num_classes)

    def forward_features(self, wave: Tensor, *, seq: Seq | None = None) -> Tensor:
        """Return the features of the frames (B, ceil(L / stride), D).

        Args:
            wave: (B, L) samples.
            seq: Lengths of rows that are padded on the right.
        """
        lengths = _lengths(wave, seq)
        frames = self.front_end(_unit_power(wave, lengths), lengths)
        features: Tensor = self.backbone(frames, seq=self._frames(lengths, frames.shape[1]))
        return features

    def embed(self, wave: Tensor, *, seq: Seq | None = None) -> Tensor:
        """Return the mean of the features over a clip: (B, D). Arguments as `forward_features`."""
        features = self.forward_features(wave, seq=seq)
        valid = self._frames(_lengths(wave, seq), features.shape[1]).valid
        assert valid is not None
        return features.masked_fill(~valid[..., None], 0).sum(1) / valid.sum(1, keepdim=True).clamp(min=1)

    def classify(self, embedded: Tensor) -> Tensor:
        """Return the logits (B, num_classes) of what `embed` returned."""
        return self.head(F.dropout(embedded, self.config.dropout, self.training))

    def forward(self, wave: Tensor, *, seq: Seq | None = None) -> Tensor:
        """Return the logits (B, num_classes). Arguments as `forward_features`."""
        return self.classify(self.embed(wave, seq=seq))

    def _frames(self, lengths: Tensor, count: int) -> Seq:
        return Seq.from_lengths((lengths + self.config.stride - 1) // self.config.stride, count)


def _lengths(wave: Tensor, seq: Seq | None) -> Tensor:
    if seq is None or seq.valid is None:
        return torch.full((len(wave),), wave.shape[1], dtype=torch.int64, device=wave.device)
    return seq.valid.sum(1)


def _unit_power(wave: Tensor, lengths: Tensor) -> Tensor:
    """Return each row at mean power 1 over its length, zeros behind it; silence stays silence."""
    inside = torch.arange(wave.shape[1], device=wave.device) < lengths[:, None]
    wave = wave.masked_fill(~inside, 0)
    power = wave.square().sum(1, keepdim=True) / lengths.clamp(min=1)[:, None]
    return wave / power.clamp(min=1e-12).sqrt()


class Frames(nn.Module):
    """Learned filters at one place a stride: (B, L) to (B, ceil(L / stride), D).

    Frame t is centred on sample t stride + stride / 2, and sees zeros beyond both ends. With `power` a filter is a pair
    of real ones, at first a quarter of a turn apart, and gives the logarithm of their summed squares. A linear map of
    `context` frames follows.
    """

    def __init__(self, config: ClassifierConfig) -> None:
        super().__init__()
        self.stride, self.power = config.stride, config.front_end == "filterbank"
        shape = (config.filters, config.kernel)
        filters = gabor_filters(*shape, config.sample_rate) if self.power else torch.randn(shape) / shape[1] ** 0.5
        self.weight = nn.Parameter(filters[:, None])
        self.map = nn.Conv1d(config.filters, config.d_model, config.context, padding=config.context // 2)

    def forward(self, wave: Tensor, lengths: Tensor) -> Tensor:
        """Make the frames of samples (B, L), zeros behind the lengths (B,)."""
        length, kernel = wave.shape[1], self.weight.shape[2]
        before = (kernel - self.stride) // 2
        after = -(-length // self.stride) * self.stride - length + kernel - self.stride - before
        found = F.conv1d(F.pad(wave, (before, after))[:, None], self.weight, stride=self.stride).transpose(1, 2)
        if self.power:
            found = ((found.unflatten(2, (2, -1)).square().sum(2) + _FLOOR).log() - _CENTRE) / _SPREAD
        inside = torch.arange(found.shape[1], device=wave.device) * self.stride < lengths[:, None]
        return self.map(found.masked_fill(~inside[..., None], 0).transpose(1, 2)).transpose(1, 2)


def gabor_filters(filters: int, kernel: int, sample_rate: int) -> Tensor:
    """Return pairs of Gabor filters (2 filters, kernel): first all cosines, then all sines.

    Centres are equally spaced in mel from 60 Hz to below half the rate, bandwidths are the distance to the next, and
    each filter has unit gain for white noise of power 1.
    """
    mel = torch.linspace(_mel(_LOWEST_HZ), _mel(sample_rate / 2), filters + 2, dtype=torch.float64)
    hertz = 700 * ((mel / 1127).exp() - 1)
    centre, width = hertz[1:-1, None], (hertz[2:] - hertz[:-2])[:, None] / 2
    t = (torch.arange(kernel, dtype=torch.float64) - (kernel - 1) / 2) / sample_rate
    # A Gaussian with this deviation in time has half its power gain at centre +- width / 2.
    deviation = (math.sqrt(math.log(2)) / (math.pi * width)).clamp(max=kernel / sample_rate / 5)
    envelope = (-0.5 * (t / deviation).square()).exp()
    envelope = envelope / envelope.square().sum(1, keepdim=True).sqrt()
    turn = 2 * math.pi * centre * t
    return torch.cat((envelope * turn.cos(), envelope * turn.sin())).float()


def _mel(hertz: float) -> float:
    return 1127 * math.log(1 + hertz / 700)
