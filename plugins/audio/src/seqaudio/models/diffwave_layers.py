"""The layers of DiffWave-SaShiMi: norm, pooling, mel conditioning and the residual block, on (B, L, D).

Every layer is told the same things beside its input (`Given`): the embedded diffusion step, the rows' lengths and
the mel spectrogram. Weights are normed and begin as torch's do; the published code draws them anew, which its
weight norm then overwrites.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from seqaudio.configs.diffwave import DiffWaveConfig
from seqaudio.models.diffwave_s4 import DiffWaveS4
from seqsuite.backbones import unet

LEAST_VARIANCE = 1e-8
"""Frames whose channels vary less are normalised as if they varied so much: constant frames stay finite."""


class Given(NamedTuple):
    """What every block is told beside its input.

    Attributes:
        step: (B, E) embedded diffusion step.
        lengths: (B,) samples of each row, or None where no row is padded.
        mel: (B, M, frames), or None.
    """

    step: Tensor
    lengths: Tensor | None
    mel: Tensor | None

    def masked(self, x: Tensor, rate: int) -> Tensor:
        """Return x (B, L / rate, D) with zeros where a row is over."""
        if self.lengths is None:
            return x
        return x.masked_fill(~within(self.lengths, x.shape[1], rate)[..., None], 0)


def within(lengths: Tensor, steps: int, rate: int) -> Tensor:
    """Return (B, steps): whether a step of so many samples holds any of the row's."""
    return torch.arange(steps, device=lengths.device) * rate < lengths[:, None]


def step_features(steps: Tensor, width: int, *, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return sines and cosines of diffusion steps, (B, width).

    Args:
        steps: (B,), whole or fractional, from 0.
        width: Even; frequencies fall geometrically from 1 to 1e-4.
        dtype: Of the result.
    """
    half = width // 2
    frequencies = torch.exp(torch.arange(half, device=steps.device) * -(math.log(1e4) / max(half - 1, 1)))
    angles = steps.to(dtype)[:, None] * frequencies.to(dtype)
    return torch.cat((angles.sin(), angles.cos()), 1)


class FrameNorm(nn.Module):
    """Normalises each frame over its channels, with one shift and one scale for all of them.

    Attributes:
        m: (1,), added to the centred frame.
        s: (1,), the standard deviation given to it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.m = nn.Parameter(torch.zeros(1))
        self.s = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (B, L, D), in float32 at least."""
        work = x if x.dtype == torch.float64 else x.float()
        variance, mean = torch.var_mean(work, -1, correction=0, keepdim=True)
        # A floor and not an addition: frames above it are normalised exactly as in the published model.
        scale = self.s.to(work.dtype) * variance.clamp(min=LEAST_VARIANCE).rsqrt()
        return (scale * (work - mean + self.m.to(work.dtype))).to(self.s.dtype)


class DownPool(unet.DownPool):
    """Joins `pool` steps into one of another width; rate: samples of a step that it takes."""

    def __init__(self, d_input: int, d_output: int, pool: int, rate: int) -> None:
        super().__init__(d_input, d_output, pool)
        self.rate = rate
        weight_norm(self.linear)

    def forward(self, x: Tensor, given: Given) -> Tensor:  # type: ignore[override]
        """(B, L, D) to (B, L / pool, D')."""
        return super().forward(given.masked(x, self.rate))


class UpPool(unet.UpPool):
    """Makes `pool` steps of one; no shift, the model is not causal."""

    def __init__(self, d_input: int, d_output: int, pool: int) -> None:
        super().__init__(d_input, d_output, pool, shift=False)
        weight_norm(self.linear)

    def forward(self, x: Tensor, given: Given) -> Tensor:  # type: ignore[override]
        """(B, L, D) to (B, L pool, D')."""
        return super().forward(x)


class MelCondition(nn.Module):
    """Upsamples a mel spectrogram to samples, brings it to the rate of a block and projects it.

    Attributes:
        upsample: Transposed convolutions over bands and frames, each multiplies the frames.
        project: Mel bands to channels.
    """

    def __init__(self, config: DiffWaveConfig, d_model: int, rate: int) -> None:
        super().__init__()
        self.rate, self.pooled = rate, config.mel_alignment == "pooled"
        self.factors = config.mel_upsample
        self.upsample = nn.ModuleList(
            weight_norm(nn.ConvTranspose2d(1, 1, (3, 2 * s), stride=(1, s), padding=(1, s // 2))) for s in self.factors
        )
        self.project = weight_norm(nn.Linear(config.n_mels, d_model))

    def forward(self, given: Given, steps: int) -> Tensor:
        """Return what to add, (B, steps, D)."""
        assert given.mel is not None
        y, frame = given.mel[:, None], math.prod(self.factors)  # (B, 1, M, frames), samples of a frame
        for layer, factor in zip(self.upsample, self.factors, strict=True):
            y, count = self._masked(y, given, frame), y.shape[-1] * factor
            y, frame = F.leaky_relu(layer(y), 0.4), frame // factor
            y = y[..., :count] if self.pooled else y  # odd factors give one frame too many
        y = self._masked(y, given, 1)[:, 0]
        length = steps * self.rate if self.pooled else steps
        y = F.pad(y, (0, max(length - y.shape[-1], 0)))[..., :length]
        if self.pooled and self.rate > 1:
            y = F.avg_pool1d(y, self.rate)
        return self.project(y.mT)

    def _masked(self, y: Tensor, given: Given, frame: int) -> Tensor:
        """Return y with zeros in the frames behind a row's end; the last frame may reach beyond it."""
        if given.lengths is None or not self.pooled:
            return y
        hop = math.prod(self.factors)
        ends = -(-given.lengths // hop) * hop
        return y.masked_fill(~within(ends, y.shape[-1], frame)[:, None, None], 0)


class Block(nn.Module):
    """A residual block: the step, S4 in both directions, the mel, and a feed-forward layer.

    Args:
        config: That of the model.
        d_model: Width of the block.
        rate: Samples of each of its steps.
    """

    def __init__(self, config: DiffWaveConfig, d_model: int, rate: int) -> None:
        super().__init__()
        self.rate = rate
        self.norm1, self.norm2 = FrameNorm(), FrameNorm()
        self.fc_t = nn.Linear(config.step_embed_out, d_model)
        self.layer = DiffWaveS4(
            d_model,
            d_state=config.d_state,
            n_ssm=config.n_ssm,
            limit=None if config.kernel_length is None else config.kernel_length // rate,
            half_spectrum=config.s4_kernel == "half_spectrum",
        )
        self.mel = MelCondition(config, d_model, rate) if config.conditional else None
        inner = config.ff * d_model
        self.ff = nn.Sequential(
            weight_norm(nn.Linear(d_model, inner)), nn.GELU(), weight_norm(nn.Linear(inner, d_model))
        )

    def forward(self, x: Tensor, given: Given) -> Tensor:
        """(B, L, D) to the same."""
        y = self.norm1(x) + self.fc_t(given.step)[:, None]
        # The convolution is linear: steps that are zero reach no other.
        y = self.layer(given.masked(y, self.rate))
        if self.mel is not None:
            y = y + self.mel(given, x.shape[1])
        x = x + y
        return x + self.ff(self.norm2(x))
