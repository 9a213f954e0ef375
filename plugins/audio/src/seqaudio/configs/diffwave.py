"""Config of DiffWave with a SaShiMi backbone, and its named sizes (torch-free).

Fields are named as in the papers (Kong et al. 2021, arXiv 2009.09761; Goel et al. 2022, arXiv 2202.09729); the
sizes carry the numbers of the published training configurations.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from seqsuite.errors import UserError
from seqsuite.mixers.options import check_range
from seqsuite.models.configs import ModelConfig, require_positive


@dataclass(frozen=True, kw_only=True)
class DiffWaveConfig(ModelConfig):
    """A denoiser of waveforms: a U-net of bidirectional S4 layers, told the diffusion step, with or without a mel.

    Args:
        d_model: Width D at the audio's own rate.
        n_layer: Blocks at each rate, on the way down, in the centre and on the way up.
        pool: By how much each step down divides the rate.
        expand: By how much it multiplies the width.
        ff: Inner width of the feed-forward layers, in units of their width.
        unet: Blocks on the way down too, and a skip from each to its mirror; else blocks in the centre and on the
            way up alone, and a skip around each rate.
        audio_channels: Channels of the audio.
        sample_rate: Samples a second.
        d_state: State size of S4, even.
        n_ssm: Different state matrices of an S4 layer, a divisor of every width; None: one a channel.
        kernel_length: S4 looks at most this many samples ahead and back, at lower rates at the same time span;
            None: as far as the input reaches. Published models look as far as the clips they were trained on.
        s4_kernel: "exact", or "half_spectrum" for files trained by the published code where neither its CUDA extension
            nor pykeops was installed: its sum over the state's modes then lacks their conjugates. Nothing in a file
            tells which it was. Needs a `kernel_length`.
        step_embed_in: Sines and cosines of the diffusion step; even.
        step_embed_mid: Width behind the first layer of the step's embedding.
        step_embed_out: Width behind its second layer.
        diffusion_steps: Steps T that it is trained with.
        beta_first: Variance of the noise added in the first of them.
        beta_last: And in the last.
        mel_upsample: Factors from a mel frame to a sample; their product is the hop. Empty: no mel.
        mel_alignment: Which mel a block at a lower rate sees. "pooled": the mean over the samples of each of its
            steps; "as_published": that of the beginning of the clip, as if at the full rate.
        n_mels: Mel bands.
        mel_fft: Samples of a spectrum.
        mel_window: Samples of its window.
        mel_fmin: Lower edge of the bands in hertz.
        mel_fmax: Upper edge in hertz.
    """

    model: ClassVar[str] = "seqaudio.models.diffwave:DiffWave"

    d_model: int
    n_layer: int
    pool: tuple[int, ...] = (4, 4)
    expand: int = 2
    ff: int = 2
    unet: bool = True
    audio_channels: int = 1
    sample_rate: int = 16000
    d_state: int = 64
    n_ssm: int | None = None
    kernel_length: int | None = None
    s4_kernel: Literal["exact", "half_spectrum"] = "exact"
    step_embed_in: int = 128
    step_embed_mid: int = 512
    step_embed_out: int = 512
    diffusion_steps: int = 200
    beta_first: float = 1e-4
    beta_last: float = 0.02
    mel_upsample: tuple[int, ...] = ()
    mel_alignment: Literal["pooled", "as_published"] = "pooled"
    n_mels: int = 80
    mel_fft: int = 1024
    mel_window: int = 1024
    mel_fmin: float = 0.0
    mel_fmax: float = 8000.0

    def __post_init__(self) -> None:
        owner = type(self).__name__
        require_positive(self, "d_model", "n_layer", "expand", "ff", "audio_channels", "sample_rate", "n_mels")
        require_positive(self, "step_embed_mid", "step_embed_out", "diffusion_steps", "mel_fft", "mel_window")
        check_range(owner, {f"pool[{i}]": factor for i, factor in enumerate(self.pool)}, least=1)
        check_range(owner, {f"mel_upsample[{i}]": factor for i, factor in enumerate(self.mel_upsample)}, least=1)
        check_range(owner, {"d_state": self.d_state, "step_embed_in": self.step_embed_in}, least=2)
        if self.step_embed_in % 2:
            raise UserError(f"{owner}: step_embed_in must be even (sines and cosines), not {self.step_embed_in}")
        for name in ("beta_first", "beta_last"):
            if not 0 < getattr(self, name) < 1:
                raise UserError(f"{owner}: {name} must lie between 0 and 1, not {getattr(self, name)}")
        if self.n_ssm is not None and (self.n_ssm < 1 or self.d_model % self.n_ssm):
            raise UserError(f"{owner}: n_ssm must divide d_model = {self.d_model}, not {self.n_ssm}")
        if self.kernel_length is not None and self.kernel_length < self.total_pool:
            raise UserError(
                f"{owner}: kernel_length must be at least the product of pool, {self.total_pool}, not "
                f"{self.kernel_length}"
            )
        if self.s4_kernel == "half_spectrum" and self.kernel_length is None:
            raise UserError(f"{owner}: s4_kernel='half_spectrum' needs a kernel_length, that of the training clips")
        if self.conditional:
            self._check_mel(owner)

    def _check_mel(self, owner: str) -> None:
        if self.mel_window > self.mel_fft:
            raise UserError(f"{owner}: mel_window must not exceed mel_fft = {self.mel_fft}, not {self.mel_window}")
        if not 0 <= self.mel_fmin < self.mel_fmax <= self.sample_rate / 2:
            raise UserError(
                f"{owner}: mel_fmin < mel_fmax must lie between 0 and half the sample rate, {self.sample_rate / 2:g}; "
                f"they are {self.mel_fmin:g} and {self.mel_fmax:g}"
            )

    @property
    def total_pool(self) -> int:
        """Samples of one step at the lowest rate; inputs are padded to a multiple."""
        return math.prod(self.pool)

    @property
    def conditional(self) -> bool:
        """Whether it needs a mel spectrogram."""
        return bool(self.mel_upsample)

    @property
    def hop(self) -> int:
        """Samples of a mel frame."""
        return math.prod(self.mel_upsample)


def diffwave_sashimi() -> DiffWaveConfig:
    """Unconditional speech of one second (SC09)."""
    return DiffWaveConfig(d_model=128, n_layer=6, kernel_length=16000)


def diffwave_sashimi_small() -> DiffWaveConfig:
    """The same at half the width."""
    return DiffWaveConfig(d_model=64, n_layer=6, kernel_length=16000)


def diffwave_sashimi_ljspeech() -> DiffWaveConfig:
    """From mel spectrograms of 22050 Hz speech, hop 256 (LJSpeech)."""
    return DiffWaveConfig(
        d_model=32,
        n_layer=6,
        sample_rate=22050,
        mel_upsample=(16, 16),
        kernel_length=16000,
        diffusion_steps=50,
        beta_last=0.05,
    )


def diffwave_sashimi_debug() -> DiffWaveConfig:
    """Trains on a CPU in seconds."""
    return DiffWaveConfig(
        d_model=8, n_layer=1, pool=(4,), d_state=8, step_embed_in=16, step_embed_mid=16, step_embed_out=16
    )


SIZES = ("diffwave_sashimi", "diffwave_sashimi_small", "diffwave_sashimi_ljspeech", "diffwave_sashimi_debug")
"""Names of the sizes."""
