"""Restoration of degraded audio over band-split spectra, after Apollo (Li and Luo 2024, arXiv 2409.08514).

    X = STFT(x)                                     complex, split into K bands of equal width
    shape_k = X_k / |X_k|,  gain_k = log |X_k|      content and level of a band in a frame
    h_k = project_k(shape_k, gain_k)                then blocks: mix along time, mix across bands
    Y_k = (1 + mask_k) X_k + |X| exp(scale_k) new_k
    y = iSTFT(Y)

The paper mixes bands by attention and time by convolutions, predicts the spectrum outright and trains with a
GAN; here the mixers are the core's, a mask and an additive part correct the input, and an untrained model returns
its input to rounding. Silence stays silence: the additive part is relative to the frame's level |X|. Leading axes
are independent rows: channels never mix. Any length from one sample on; nothing is trained with a discriminator.

    model = seqsuite.create_model("restoration_debug")
    restored = model(degraded)                      # (..., L) to (..., L)
"""

from __future__ import annotations

import dataclasses
import math
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from seqaudio.configs.restoration import RestorationConfig
from seqsuite.backbones.norms import RMSNorm
from seqsuite.mixers.base import Mixer, at_least_float32
from seqsuite.mixers.bidirectional import Bidirectional
from seqsuite.mixers.create import build_mixers, settled_mixer
from seqsuite.models.base import Model

_FLOOR = 1e-4
"""Level of a band, or of a frame, that counts as silence: the spectrum of 16-bit rounding is as strong."""
_HIGHEST_SCALE = 3.0
_FIRST_SCALE = -3.0


class BandLinear(nn.Module):
    """A linear layer for each band: (R, K, T, inputs) to (R, K, T, outputs).

    Args:
        bands: K.
        inputs: Width of the input.
        outputs: Width of the output.
    """

    def __init__(self, bands: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(bands, inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(bands, 1, outputs))
        nn.init.uniform_(self.weight, -(inputs**-0.5), inputs**-0.5)
        self._mark()

    def _mark(self) -> None:
        # A bias of three axes looks like a matrix to the optimiser's rule.
        self.bias._no_weight_decay = True  # type: ignore[attr-defined]

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Mark the bias of a copy: torch copies parameters without their attributes."""
        super().__setstate__(state)
        self._mark()

    def forward(self, x: Tensor) -> Tensor:
        """Map every band by its own matrix."""
        return torch.einsum("rkti,kio->rkto", x, self.weight) + self.bias


class BandBlock(nn.Module):
    """Mix along time, then across bands, each on the normalised stream (R, K, T, D).

    Args:
        time: Mixer of (R K, T, D).
        band: Mixer of (R T, K, D).
        d_model: D.
        epsilon: Of the norms.
    """

    def __init__(self, time: Mixer, band: Mixer, d_model: int, epsilon: float) -> None:
        super().__init__()
        self.time_norm, self.band_norm = RMSNorm(d_model, epsilon), RMSNorm(d_model, epsilon)
        self.time, self.band = time, band

    def forward(self, x: Tensor) -> Tensor:
        """Run the block."""
        along_time = self.time(self.time_norm(x).flatten(0, 1)).unflatten(0, x.shape[:2])
        x = x + along_time
        across = self.band_norm(x).transpose(1, 2)  # (R, T, K, D)
        return x + self.band(across.flatten(0, 1)).unflatten(0, across.shape[:2]).transpose(1, 2)


class RestorationModel(Model):
    """From degraded to restored waveforms of the same shape; see the module.

    Attributes:
        checkpoint_activations: Keep each block's input only and run the block again in the backward pass.
    """

    config: RestorationConfig

    def __init__(self, config: RestorationConfig) -> None:
        time = settled_mixer(config.mixer, config.mixer_options)
        band = settled_mixer(config.band_mixer, config.band_mixer_options)
        config = dataclasses.replace(
            config, mixer=time[0], mixer_options=time[1], band_mixer=band[0], band_mixer_options=band[1]
        )
        super().__init__(config)
        self.checkpoint_activations = False
        bands, width, bins = config.bands, config.d_model, config.band_bins
        self.project = BandLinear(bands, 2 * bins + 1, width)
        mixers = zip(_both_ways(config, *time), _both_ways(config, *band), strict=True)
        self.blocks = nn.ModuleList(BandBlock(*pair, width, config.norm_epsilon) for pair in mixers)
        self.norm_f = RMSNorm(width, config.norm_epsilon)
        self.head_in = BandLinear(bands, width, config.head_width)
        self.head_out = BandLinear(bands, config.head_width, 4 * bins + 1)
        nn.init.zeros_(self.head_out.weight)

    def spectrum(self, samples: Tensor) -> Tensor:
        """Return the complex spectra (R, bins, T) of samples (R, L): T is ceil(L / hop) + 1."""
        config, length = self.config, samples.shape[-1]
        work = at_least_float32(samples)
        # A frame centred behind the last sample: every sample then lies in full overlap.
        padded = F.pad(work, (0, -length % config.hop))
        taper = torch.hann_window(config.window, dtype=work.dtype, device=work.device)
        return torch.stft(
            padded, config.window, config.hop, window=taper, center=True, pad_mode="constant", return_complex=True
        )

    def waveform(self, spectrum: Tensor, length: int) -> Tensor:
        """Return the samples (R, length) whose spectra these are: the inverse of `spectrum`."""
        config = self.config
        taper = torch.hann_window(config.window, dtype=spectrum.real.dtype, device=spectrum.device)
        whole = config.hop * (spectrum.shape[-1] - 1)
        return torch.istft(spectrum, config.window, config.hop, window=taper, center=True, length=whole)[:, :length]

    def bands_of(self, spectrum: Tensor) -> Tensor:
        """Split spectra (R, bins, T) into (R, K, T, band bins, 2), real and imaginary; zeros fill the last band."""
        config = self.config
        padded = F.pad(torch.view_as_real(spectrum), (0, 0, 0, 0, 0, config.bands * config.band_bins - config.bins))
        return padded.unflatten(1, (config.bands, config.band_bins)).transpose(2, 3)

    def joined(self, bands: Tensor) -> Tensor:
        """Join (R, K, T, band bins, 2) to spectra (R, bins, T): the inverse of `bands_of`."""
        return torch.view_as_complex(bands.transpose(2, 3).flatten(1, 2)[:, : self.config.bins].contiguous())

    def forward_features(self, bands: Tensor) -> Tensor:  # type: ignore[override]
        """Return the normalised features (R, K, T, D) of the bands (R, K, T, band bins, 2)."""
        gain = bands.square().sum((-1, -2)).add(_FLOOR**2).sqrt()[..., None]  # (R, K, T, 1)
        shape = bands.flatten(-2) / gain * math.sqrt(bands.shape[-2])
        x = self.project(torch.cat((shape, gain.log()), -1).to(self.project.weight.dtype))
        for block in self.blocks:
            run: Any = block
            if self.checkpoint_activations and torch.is_grad_enabled():
                run = partial(checkpoint, block, use_reentrant=False)
            x = run(x)
        return self.norm_f(x)

    def forward_head(self, features: Tensor, bands: Tensor) -> Tensor:  # type: ignore[override]
        """Return the restored bands (R, K, T, band bins, 2)."""
        out = self.head_out(F.gelu(self.head_in(features))).to(bands.dtype)
        size = bands.shape[-2]
        mask, new, scale = out.split((2 * size, 2 * size, 1), -1)
        mask, new = mask.unflatten(-1, (size, 2)), new.unflatten(-1, (size, 2))
        kept = torch.view_as_complex(bands.contiguous()) * torch.view_as_complex((mask + _one(mask)).contiguous())
        # The root mean square of the frame's frequencies; its gradient at silence must be finite.
        power = bands.square().sum((1, 3, 4), keepdim=True) / self.config.bins
        level = torch.where(power > 0, power.clamp_min(torch.finfo(power.dtype).tiny).sqrt(), 0)
        strength = (scale + _FIRST_SCALE).clamp_max(_HIGHEST_SCALE).exp()[..., None]
        return torch.view_as_real(kept) + level * strength * new

    def forward(self, samples: Tensor) -> Tensor:  # type: ignore[override]
        """Restore waveforms.

        Args:
            samples: (..., L) at `config.sample_rate`; leading axes are independent rows.

        Returns:
            (..., L), float32 at least.
        """
        rows = samples.reshape(-1, samples.shape[-1])
        spectrum = self.spectrum(rows)
        bands = self.bands_of(spectrum)
        restored = self.forward_head(self.forward_features(bands), bands)
        return self.waveform(self.joined(restored), rows.shape[-1]).reshape(samples.shape)


def _one(mask: Tensor) -> Tensor:
    """Return the number one as (real, imaginary)."""
    return torch.tensor((1.0, 0.0), dtype=mask.dtype, device=mask.device)


def _both_ways(config: RestorationConfig, name: str, options: dict[str, Any]) -> list[Mixer]:
    """Build a mixer a block; one that is causal runs in both directions."""
    mixers: list[Mixer] = []
    for mixer in build_mixers(name, config.n_layer, config.d_model, options):
        mixers.append(Bidirectional(mixer) if mixer.causal else mixer)
        mixers[-1].scale_output((2 * config.n_layer) ** -0.5)
    return mixers
