"""DiffWave with a SaShiMi backbone: predicts the noise in a waveform (Goel et al. 2022, arXiv 2202.09729, section 4.3).

    model = seqsuite.create_model("diffwave_sashimi")
    eps = model(x, steps)                                    # (B, L, C) noisy audio, (B,) diffusion steps
    audio = model.process().sample(model, (4, 16000, 1), generator=generator)

A block adds the embedded step behind its first norm, mixes in both directions with S4, adds the mel where there
is one, and ends with a feed-forward layer. Pooling changes the rate without a shift: nothing here is causal. Any
length goes: rows are padded to a multiple of the pooling, and padding changes no sample of a row. Modules are
named as in the published implementation (albertfgu/diffwave-sashimi).
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from seqaudio.configs.diffwave import DiffWaveConfig
from seqaudio.models.diffwave_layers import Block, DownPool, FrameNorm, Given, UpPool, step_features
from seqsuite.errors import UserError
from seqsuite.models.base import Model
from seqsuite.objectives.diffusion import Diffusion


class Part(NamedTuple):
    """A layer of the backbone.

    Attributes:
        path: Its name in the model, ``d_layers.0``.
        kind: What it is.
        width: Width D of its output; of a `DownPool` that of its input.
        rate: Samples of a step at that width.
        pool: The factor of a pooling layer.
    """

    path: str
    kind: Literal["block", "down", "up"]
    width: int
    rate: int
    pool: int = 1


def parts(config: DiffWaveConfig) -> list[Part]:
    """Return the layers of the backbone, in the order in which they run."""
    tiers, width, rate = [], config.d_model, 1
    for factor in config.pool:
        tiers.append((width, rate, factor))
        width, rate = width * config.expand, rate * factor
    down: list[Part] = []
    up: list[Part] = []
    for size, samples, factor in tiers:
        blocks = config.n_layer if config.unet else 0
        down += [Part(f"d_layers.{len(down) + i}", "block", size, samples) for i in range(blocks)]
        down.append(Part(f"d_layers.{len(down)}", "down", size, samples, factor))
    centre = [Part(f"c_layers.{i}", "block", width, rate) for i in range(config.n_layer)]
    for size, samples, factor in reversed(tiers):
        up.append(Part(f"u_layers.{len(up)}", "up", size, samples, factor))
        up += [Part(f"u_layers.{len(up) + i}", "block", size, samples) for i in range(config.n_layer)]
    return down + centre + up


def _build(config: DiffWaveConfig, part: Part) -> nn.Module:
    if part.kind == "block":
        return Block(config, part.width, part.rate)
    if part.kind == "down":
        return DownPool(part.width, part.width * config.expand, part.pool, part.rate)
    return UpPool(part.width * config.expand, part.width, part.pool)


class DiffWave(Model):
    """Predicts the noise in audio, (B, L, C) and (B,) steps to (B, L, C). At first it predicts 0.

    Args:
        config: See `DiffWaveConfig`.
    """

    config: DiffWaveConfig

    def __init__(self, config: DiffWaveConfig) -> None:
        super().__init__(config)
        self.init_conv = weight_norm(nn.Linear(config.audio_channels, config.d_model))
        self.fc_t1 = nn.Linear(config.step_embed_in, config.step_embed_mid)
        self.fc_t2 = nn.Linear(config.step_embed_mid, config.step_embed_out)
        layers: dict[str, list[nn.Module]] = {"d_layers": [], "c_layers": [], "u_layers": []}
        for part in parts(config):
            layers[part.path.split(".")[0]].append(_build(config, part))
        self.d_layers, self.c_layers, self.u_layers = (nn.ModuleList(made) for made in layers.values())
        self.norm = FrameNorm()
        self.final = weight_norm(nn.Linear(config.d_model, config.d_model))
        self.head = nn.Linear(config.d_model, config.audio_channels)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def process(self) -> Diffusion:
        """Return the diffusion that the model is trained with."""
        return Diffusion.linear(self.config.diffusion_steps, self.config.beta_first, self.config.beta_last)

    def forward(  # type: ignore[override]
        self, x: Tensor, steps: Tensor, *, mel: Tensor | None = None, lengths: Tensor | None = None
    ) -> Tensor:
        """Predict the noise.

        Args:
            x: (B, L, C) noisy audio, at any length L.
            steps: (B,) diffusion steps from 0, whole, or fractional in fast schedules.
            mel: (B, M, frames) log mel spectrogram (`seqaudio.features.log_mel`) of a conditional model.
            lengths: (B,) samples of each row; what comes behind changes none of them, unless the mel is aligned
                "as_published". None: L.

        Returns:
            (B, L, C); behind a row's length it has no meaning.

        Raises:
            UserError: Shapes do not fit the config, or a mel is missing or not wanted.
        """
        return self.forward_head(self.forward_features(x, steps, mel=mel, lengths=lengths))

    def forward_features(  # type: ignore[override]
        self, x: Tensor, steps: Tensor, *, mel: Tensor | None = None, lengths: Tensor | None = None
    ) -> Tensor:
        """Return the features (B, L, D) in front of the head; see `forward`."""
        self._check(x, steps, mel, lengths)
        length = x.shape[1]
        extra = -length % self.config.total_pool
        if extra and lengths is None:
            lengths = torch.full((len(x),), length, device=x.device)
        given = Given(self.embed_steps(steps), lengths, self._cut(mel, length))
        h = given.masked(F.pad(x, (0, 0, 0, extra)), 1).to(self.init_conv.bias.dtype)
        h = F.relu(self.init_conv(h))
        skips = []
        for layer in self.d_layers:
            skips.append(h)
            h = layer(h, given)
        skips.append(h)
        for layer in self.c_layers:
            h = layer(h, given)
        h = h + skips.pop()
        for layer in self.u_layers:
            h = layer(h, given)
            if self.config.unet or isinstance(layer, UpPool):
                h = h + skips.pop()
        return F.relu(self.final(self.norm(h)))[:, :length]

    def forward_head(self, features: Tensor, **_: Any) -> Tensor:
        """Return the predicted noise (B, L, C) of features (B, L, D)."""
        return self.head(features)

    def embed_steps(self, steps: Tensor) -> Tensor:
        """Return the embedding (B, E) of diffusion steps (B,)."""
        kind = torch.float64 if self.fc_t1.weight.dtype == torch.float64 else torch.float32
        sines = step_features(steps, self.config.step_embed_in, dtype=kind)
        return F.silu(self.fc_t2(F.silu(self.fc_t1(sines.to(self.fc_t1.weight.dtype)))))

    def _cut(self, mel: Tensor | None, length: int) -> Tensor | None:
        """Return the frames that hold the samples; the published alignment sees all that are given."""
        if mel is None:
            return None
        mel = mel.to(self.init_conv.bias.dtype)
        return mel[..., : -(-length // self.config.hop)] if self.config.mel_alignment == "pooled" else mel

    def _check(self, x: Tensor, steps: Tensor, mel: Tensor | None, lengths: Tensor | None) -> None:
        channels, bands = self.config.audio_channels, self.config.n_mels
        if x.ndim != 3 or x.shape[2] != channels or not x.shape[1]:
            raise UserError(f"DiffWave: x must be (B, L, {channels}) with L above 0, not {tuple(x.shape)}")
        if steps.shape != x.shape[:1]:
            raise UserError(f"DiffWave: steps must be ({len(x)},), one a row, not {tuple(steps.shape)}")
        if lengths is not None and lengths.shape != x.shape[:1]:
            raise UserError(f"DiffWave: lengths must be ({len(x)},), one a row, not {tuple(lengths.shape)}")
        if not self.config.conditional:
            if mel is not None:
                raise UserError("DiffWave: a mel is given, but the model has no mel_upsample: it is unconditional")
            return
        if mel is None:
            raise UserError("DiffWave: the model is conditional: give mel=, see seqaudio.features.log_mel")
        frames = -(-x.shape[1] // self.config.hop)
        if mel.ndim != 3 or mel.shape[:2] != (len(x), bands) or mel.shape[2] < frames:
            raise UserError(
                f"DiffWave: mel must be ({len(x)}, {bands}, frames) with {frames} frames at least for {x.shape[1]} "
                f"samples at hop {self.config.hop}, not {tuple(mel.shape)}"
            )
