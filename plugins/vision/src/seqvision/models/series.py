"""SimbaSeries: a series forecaster of Mamba and EinFFT blocks, a reconstruction of SiMBA's second half.

SiMBA's paper (Patro and Agneeswaran 2024, arXiv 2403.15360) reports long-horizon forecasts without saying how the
network takes a series in or puts one out, and no code was published. What stands here is our design in the manner of
its image model, after RevIN (Kim et al. 2022), PatchTST (Nie et al. 2023) and iTransformer (Liu et al. 2024):

    z = (x - center) / deviation                       of the look-back, a column each
    h = embed(tokens of z)                             patches of time, or whole columns
    h = h + mixer(norm(h));  h = h + einfft(norm(h))   n_layer times
    y = center + deviation * (skip(z) + head(norm(h)))

The head begins at zero, so that an untrained model says what its skip says.

    model = seqsuite.create_model("simba_series_small", channels=7)
    model(x)                                           # (B, L, C) to (B, H, C)
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from seqsuite.backbones.einfft import EinFFT
from seqsuite.backbones.norms import LayerNorm
from seqsuite.mixers.base import Mixer, at_least_float32
from seqsuite.mixers.bidirectional import Bidirectional
from seqsuite.mixers.create import build_mixers
from seqsuite.models.base import Model, settle_mixer
from seqvision.configs.series import SimbaSeriesConfig


class InstanceNorm(nn.Module):
    """Normalise each column of a window by its own look-back, reversibly (RevIN, Kim et al. 2022).

    Args:
        config: Says what is subtracted, divided by and learned.
    """

    def __init__(self, config: SimbaSeriesConfig) -> None:
        super().__init__()
        self.center, self.scale, self.eps = config.center, config.scale, config.norm_epsilon
        self.weight = nn.Parameter(torch.ones(config.channels)) if config.affine else None
        self.bias = nn.Parameter(torch.zeros(config.channels)) if config.affine else None

    def statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return what is subtracted and what divides, each (B, 1, C), of look-backs (B, L, C)."""
        work = at_least_float32(x)
        center = {"mean": work.mean(1, keepdim=True), "last": work[:, -1:], "none": torch.zeros_like(work[:, :1])}
        variance = work.var(1, keepdim=True, correction=0)
        deviation = (variance + self.eps).sqrt() if self.scale else torch.ones_like(variance)
        return center[self.center], deviation

    def forward(self, x: Tensor, statistics: tuple[Tensor, Tensor]) -> Tensor:
        """Normalise (B, L, C)."""
        z = (x - statistics[0]) / statistics[1]
        return z if self.weight is None or self.bias is None else z * self.weight + self.bias

    def inverse(self, z: Tensor, statistics: tuple[Tensor, Tensor]) -> Tensor:
        """Undo `forward` for (B, H, C)."""
        if self.weight is not None and self.bias is not None:
            # A learned scale near zero must not blow a forecast up.
            z = (z - self.bias) / (self.weight + self.eps**2)
        return z * statistics[1] + statistics[0]


class SeriesBlock(nn.Module):
    """Mix tokens, then channels, each on the normalised stream (B, P, D).

    Args:
        mixer: Of tokens.
        config: Width, EinFFT's options, dropout and epsilon.
    """

    def __init__(self, mixer: Mixer, config: SimbaSeriesConfig) -> None:
        super().__init__()
        self.norm1 = LayerNorm(config.d_model, config.norm_epsilon)
        self.norm2 = LayerNorm(config.d_model, config.norm_epsilon)
        self.mixer = mixer
        self.einfft = EinFFT(config.d_model, blocks=config.einfft_blocks, threshold=config.einfft_threshold)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Run the block."""
        x = x + self.dropout(self.mixer(self.norm1(x)))
        return x + self.dropout(self.einfft(self.norm2(x)))


class SimbaSeries(Model):
    """From the look-back (B, L, C) to the forecast (B, H, C); see the module.

    Attributes:
        checkpoint_activations: Keep each block's input only and run the block again in the backward pass.
    """

    config: SimbaSeriesConfig

    def __init__(self, config: SimbaSeriesConfig) -> None:
        config = settle_mixer(config)
        super().__init__(config)
        self.checkpoint_activations = False
        self.norm = InstanceNorm(config)
        self.embed = nn.Linear(config.token_inputs, config.d_model)
        # Columns have no order; only patches of time get a position.
        self.position = None
        if config.over == "time":
            self.position = nn.Parameter(0.02 * torch.randn(config.tokens, config.d_model))
            self.position._no_weight_decay = True  # type: ignore[attr-defined]
        self.blocks = nn.ModuleList(SeriesBlock(mixer, config) for mixer in _mixers(config))
        self.norm_f = LayerNorm(config.d_model, config.norm_epsilon)
        self.dropout = nn.Dropout(config.dropout)
        width = config.d_model * (config.tokens if config.over == "time" else 1)
        apart = config.over == "variates" or config.independent
        self.head = nn.Linear(width, config.horizon * (1 if apart else config.channels))
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.skip = nn.Linear(config.look_back, config.horizon) if config.skip == "linear" else None
        if self.skip is not None:  # the mean of the look-back: no row is worth more than another yet
            nn.init.constant_(self.skip.weight, 1 / config.look_back)
            nn.init.zeros_(self.skip.bias)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Mark the position of a copy: torch copies parameters without their attributes."""
        super().__setstate__(state)
        if self.position is not None:
            self.position._no_weight_decay = True  # type: ignore[attr-defined]

    def tokens(self, z: Tensor) -> Tensor:
        """Cut normalised look-backs (B, L, C) into the numbers of tokens: (B groups, tokens, token_inputs)."""
        config = self.config
        if config.over == "variates":
            return z.transpose(1, 2)
        first = config.look_back - config.patch - (config.tokens - 1) * config.stride
        patches = z[:, first:].unfold(1, config.patch, config.stride)  # (B, P, C, patch)
        if config.groups > 1 or config.channels == 1:
            return patches.transpose(1, 2).flatten(0, 1)
        return patches.flatten(2)

    def forward_features(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """Return the features (B groups, tokens, D) of look-backs (B, L, C).

        Raises:
            ValueError: They are not (B, L, C).
        """
        wanted = (self.config.look_back, self.config.channels)
        if x.ndim != 3 or tuple(x.shape[1:]) != wanted:
            raise ValueError(f"x must be (B, {wanted[0]}, {wanted[1]}), got {tuple(x.shape)}")
        return self._features(self.norm(x, self.norm.statistics(x)))

    def _features(self, z: Tensor) -> Tensor:
        h = self.embed(self.tokens(z).to(self.embed.weight.dtype))
        if self.position is not None:
            h = h + self.position
        for block in self.blocks:
            run: Any = block
            if self.checkpoint_activations and torch.is_grad_enabled():
                run = partial(checkpoint, block, use_reentrant=False)
            h = run(h)
        return self.norm_f(h)

    def forward_head(self, features: Tensor, x: Tensor) -> Tensor:  # type: ignore[override]
        """Return the forecast (B, H, C) from features and the look-backs (B, L, C) they are of."""
        config, statistics = self.config, self.norm.statistics(x)
        z = self.norm(x, statistics)
        flat = features if config.over == "variates" else features.flatten(1)
        out = self.head(self.dropout(flat)).to(z.dtype)
        if config.over == "variates" or config.groups > 1:
            y = out.reshape(len(x), config.channels, config.horizon).transpose(1, 2)
        else:
            y = out.reshape(len(x), config.horizon, config.channels)
        if self.skip is not None:
            y = y + self.skip(z.transpose(1, 2).to(self.skip.weight.dtype)).transpose(1, 2)
        elif config.skip == "last":
            y = y + z[:, -1:]
        return self.norm.inverse(y, statistics)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """Forecast.

        Args:
            x: (B, L, C) the last rows of each window, in the scaling of the training.

        Returns:
            (B, H, C), float32 at least.

        Raises:
            ValueError: `x` is not (B, L, C).
        """
        return self.forward_head(self.forward_features(x), x)


def _mixers(config: SimbaSeriesConfig) -> list[Mixer]:
    mixers: list[Mixer] = []
    for mixer in build_mixers(config.mixer, config.n_layer, config.d_model, config.mixer_options):
        mixers.append(Bidirectional(mixer) if config.both_ways and mixer.causal else mixer)
        mixers[-1].scale_output((2 * config.n_layer) ** -0.5)
    return mixers
