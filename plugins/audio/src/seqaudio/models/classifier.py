"""Classes of raw waveforms: a learned front end and SaShiMi's layers looking both ways.

    model = seqsuite.create_model("wave_classifier")
    logits = model(wave, seq=Seq.from_lengths(lengths, wave.shape[1]))       # (B, L) float -> (B, num_classes)
    features = model.embed(wave, seq=seq)                                    # (B, D), what the last map reads

A clip is scaled to unit power first. What is padded on the right changes nothing. The front end is either a bank of
Gabor filters whose places and widths are learned, as in LEAF (Zeghidour et al. 2021, arXiv 2101.08596), or linear
frames.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqaudio.configs.classifier import ClassifierConfig
from seqaudio.models.sashimi import build_backbone
from seqaudio.models.spectral_stem import SpectralStem
from seqsuite.models.base import Model, settle_mixer
from seqsuite.ops import Seq

_FLOOR = 1e-5
"""Power below is raised to it in front of the logarithm; that of a whole clip is 1."""
_CENTRE, _SPREAD = -4.0, 3.5
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
        """Return the features of the frames (B, ceil(L / frame_stride), D).

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
        stride = self.config.frame_stride
        return Seq.from_lengths((lengths + stride - 1) // stride, count)


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
    """Learned filters at one place a stride: (B, L) to (B, ceil(L / frame_stride), D).

    Frame t is centred on sample t stride + stride / 2, and sees zeros beyond both ends. A filter of the bank is a pair
    of real ones, a quarter of a turn apart, and gives the logarithm of their summed squares; the stem sees
    these as a picture. A linear map of `context` frames follows.
    """

    def __init__(self, config: ClassifierConfig) -> None:
        super().__init__()
        self.stride, self.power = config.stride, config.front_end == "filterbank"
        shape = (config.filters, config.kernel)
        if self.power:
            self.filters = GaborFilters(*shape, config.sample_rate)
        else:
            self.weight = nn.Parameter(torch.randn(shape) / shape[1] ** 0.5)
        self.stem = SpectralStem(config.filters, config.stem) if config.stem else None
        features = config.filters if self.stem is None else self.stem.features
        self.map = nn.Conv1d(features, config.d_model, config.context, padding=config.context // 2)

    def forward(self, wave: Tensor, lengths: Tensor) -> Tensor:
        """Make the frames of samples (B, L), zeros behind the lengths (B,)."""
        weight = self.filters() if self.power else self.weight
        length, kernel = wave.shape[1], weight.shape[1]
        before = (kernel - self.stride) // 2
        after = -(-length // self.stride) * self.stride - length + kernel - self.stride - before
        found = F.conv1d(F.pad(wave, (before, after))[:, None], weight[:, None], stride=self.stride).transpose(1, 2)
        if self.power:
            found = ((found.unflatten(2, (2, -1)).square().sum(2) + _FLOOR).log() - _CENTRE) / _SPREAD
        inside = torch.arange(found.shape[1], device=wave.device) * self.stride < lengths[:, None]
        found = found.masked_fill(~inside[..., None], 0)
        if self.stem is not None:
            found = self.stem(found, (lengths + self.stride - 1) // self.stride)
        return self.map(found.transpose(1, 2)).transpose(1, 2)


class GaborFilters(nn.Module):
    """Pairs of Gabor filters (2 filters, kernel), first all cosines, then all sines; where and how wide is learned.

    Centres begin equally spaced in mel from 60 Hz to below half the rate, bandwidths at the distance to the next. Each
    filter has unit gain for white noise of power 1. Free filters in their place learn the training speakers by heart.

    Args:
        filters: Number of pairs.
        kernel: Samples of a filter.
        sample_rate: Samples a second.
    """

    mel: Tensor

    def __init__(self, filters: int, kernel: int, sample_rate: int) -> None:
        super().__init__()
        self.kernel, self.sample_rate = kernel, sample_rate
        mel = torch.linspace(_mel(_LOWEST_HZ), _mel(sample_rate / 2), filters + 2, dtype=torch.float64)
        self.register_buffer("mel", mel.float(), persistent=False)  # follows from the rate
        self.shift = nn.Parameter(torch.zeros(filters))  # of the centre, in spacings
        self.widen = nn.Parameter(torch.zeros(filters))  # logarithm of the factor of the bandwidth
        for parameter in (self.shift, self.widen):
            parameter._no_weight_decay = True  # type: ignore[attr-defined]

    def forward(self) -> Tensor:
        """Return the filters."""
        spacing = self.mel[1] - self.mel[0]
        centre = 700 * ((self.mel[1:-1] + spacing * self.shift) / 1127).expm1()
        edges = 700 * (self.mel / 1127).expm1()
        width = (edges[2:] - edges[:-2]) / 2 * self.widen.exp()
        t = torch.arange(self.kernel, device=centre.device, dtype=centre.dtype) - (self.kernel - 1) / 2
        t = t / self.sample_rate
        # A Gaussian with this deviation in time has half its power gain at centre +- width / 2.
        deviation = math.sqrt(math.log(2)) / (math.pi * width)
        deviation = deviation.clamp(max=self.kernel / self.sample_rate / 5)[:, None]
        envelope = (-0.5 * (t / deviation).square()).exp()
        envelope = envelope / envelope.square().sum(1, keepdim=True).sqrt()
        turn = 2 * math.pi * centre[:, None] * t
        return torch.cat((envelope * turn.cos(), envelope * turn.sin()))


def _mel(hertz: float) -> float:
    return 1127 * math.log(1 + hertz / 700)
