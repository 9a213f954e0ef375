"""What a checkpoint is, measured: its flags, a checksum of its tensors, and the laws that it must obey.

    verify_checkpoint("models/sc09")        # a table in a notebook
    verify_checkpoint(...).passed

The input is always the same: a few partials with a little noise, under a fixed seed. Laws of the architecture (no
sample sees a later one, sample by sample gives what all at once gives, padding changes nothing) are checked; what
is a property of the weights is measured and told.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from seqaudio.checkpoints.reading import Checkpoint, read_checkpoint
from seqaudio.models.base import SampleModel
from seqaudio.models.diffwave import DiffWave
from seqaudio.quantization import Quantizer
from seqsuite.errors import UserError
from seqsuite.models.checks import LIMITS, Check, checksum, difference, fact_rows, not_finite
from seqsuite.reports import TableView

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SEED = 20240926
STEPS = 64
"""At most so many samples are made one by one."""


@dataclass(frozen=True)
class Verification(TableView):
    """What was found.

    Attributes:
        source: What was read.
        family: sashimi, diffwave_sashimi, or the class of a model of ours.
        layout: "seqsuite" or "published".
        parameters: Number of parameters, shared ones once.
        length: Samples of the fixed input.
        flags: What decides which function the weights are.
        notes: What was decided in reading it.
        checksum: SHA-256 over the sorted names and bytes of the tensors, under our names.
        checks: The measured numbers.
        curve: (length,) bits of each sample, or squared error of the noise in it; empty without such an output.
    """

    source: str
    family: str
    layout: str
    parameters: int
    length: int
    flags: dict[str, Any]
    notes: tuple[str, ...] = field(repr=False)
    checksum: str = field(repr=False)
    checks: tuple[Check, ...] = field(repr=False)
    curve: np.ndarray = field(repr=False)

    @property
    def passed(self) -> bool:
        """Whether no check failed."""
        return all(check.passed is not False for check in self.checks)

    def table(self) -> list[dict[str, Any]]:
        """Return one row a fact or check."""
        facts = {"family": self.family, "layout": self.layout, "parameters": f"{self.parameters:,}", **self.flags}
        return fact_rows(facts | {"tensors (sha256)": self.checksum}) + [check.row() for check in self.checks]

    def figure(self) -> Figure | None:
        """Draw the bits or errors along the fixed input; None without them."""
        from seqsuite.reports import line_figure

        if not len(self.curve):
            return None
        unit = "squared error" if self.family == "diffwave_sashimi" else "bits"
        return line_figure({unit: (range(len(self.curve)), list(self.curve))}, x="sample", y=unit)

    def to_dict(self) -> dict[str, Any]:
        """Return all of it but the curve, ready for JSON."""
        facts = ("source", "family", "layout", "parameters", "length", "flags", "notes", "checksum", "passed")
        return {name: getattr(self, name) for name in facts} | {"checks": [check.to_dict() for check in self.checks]}


def verify_checkpoint(source: str | Path, *, length: int = 1024, **options: Any) -> Verification:
    """Load a checkpoint, run a fixed input and measure what it is.

    Args:
        source: A folder, a run folder, a weights file or a hub id.
        length: Samples of the fixed input.
        options: See `read_checkpoint`.

    Raises:
        UserError: It cannot be read.
    """
    if length < 16:
        raise UserError(f"--length is {length}; it must be at least 16")
    return verify(read_checkpoint(source, **options), length=length)


def verify(checkpoint: Checkpoint, *, length: int = 1024) -> Verification:
    """Measure a checkpoint that is already in memory; see `verify_checkpoint`."""
    state = checkpoint.model.state_dict()
    checks = [Check("tensors not finite", not_finite(state.values()), 0, "values that are infinite or no number")]
    # Laws are looked at in float64, where rounding cannot hide a difference.
    network = copy.deepcopy(checkpoint.model).double()
    with torch.inference_mode():
        measure = _diffusion if isinstance(network, DiffWave) else _samples
        found, curve = measure(checkpoint, network, fixed_sound(length, checkpoint.config.sample_rate))
    return Verification(
        source=checkpoint.source,
        family=checkpoint.family,
        layout=checkpoint.layout,
        parameters=checkpoint.model.num_parameters(),
        length=length,
        flags=checkpoint.flags,
        notes=checkpoint.notes,
        checksum=checksum(state),
        checks=tuple(checks + found),
        curve=curve,
    )


def fixed_sound(length: int, rate: int) -> Tensor:
    """Return (length,) float64 samples within -1 and 1: partials of 110 Hz that fade, and a little noise."""
    seconds = torch.arange(length, dtype=torch.float64) / rate
    sound = sum(torch.sin(2 * math.pi * 110 * k * seconds) / k for k in (1, 2, 3, 5))
    noise = np.random.default_rng(SEED).standard_normal(length)
    return 0.4 * torch.exp(-2 * seconds) * torch.as_tensor(sound) + 0.01 * torch.from_numpy(noise)


def _samples(checkpoint: Checkpoint, network: Any, sound: Tensor) -> tuple[list[Check], np.ndarray]:
    """Measure a model of quantised samples."""
    model, config = checkpoint.model, checkpoint.config
    assert isinstance(model, SampleModel)
    quantizer = Quantizer(config.bits, config.quantization)
    codes = quantizer.encode(sound)[None]
    inputs = torch.cat((torch.full_like(codes[:, :1], quantizer.zero), codes[:, :-1]), 1)
    given = model(inputs)
    checks = [Check("outputs not finite", not_finite([given]), 0, "on the fixed input")]
    curve = np.empty(0)
    if config.head == "next_sample":
        logs = given[0].double().log_softmax(-1) / math.log(2)
        curve = -logs.gather(1, codes[0][:, None])[:, 0].numpy()
        about = f"bits a sample on fading partials; {config.bits} is no idea"
        checks.append(Check("mean bits", float(curve.mean()), None, about))
    if not model.causal or config.head == "classification":
        return checks, curve
    whole = network(inputs)
    return [*checks, _causality(network, inputs, whole), *_recurrence(network, inputs, whole)], curve


def _causality(network: Any, inputs: Tensor, whole: Tensor) -> Check:
    """Check that outputs in front of a changed input do not change."""
    place = inputs.shape[1] // 2
    changed = inputs.clone()
    changed[0, place] ^= 1
    about = "change of earlier outputs when an input changes"
    return Check("causality", difference(whole[:, :place], network(changed)[:, :place]), LIMITS[torch.float64], about)


def _recurrence(network: Any, inputs: Tensor, whole: Tensor) -> list[Check]:
    """Check that chunks with a carried state, and sample by sample, give what all at once gives."""
    half, limit = inputs.shape[1] // 2, LIMITS[torch.float64]
    first, state = network.prefill(inputs[:, :half])
    rest, _ = network.prefill(inputs[:, half:], state)
    chunks = difference(whole, torch.cat((first, rest), 1))
    count = min(STEPS, inputs.shape[1])
    state, steps = network.init_state(1), []
    for place in range(count):
        logits, state = network.step(inputs[:, place], state)
        steps.append(logits)
    one_by_one = difference(whole[:, :count], torch.stack(steps, 1))
    return [
        Check("chunks and the whole", chunks, limit, "difference of the outputs, in two chunks with carried state"),
        Check("step and parallel", one_by_one, limit, f"difference of the outputs, {count} samples one by one"),
    ]


def _diffusion(checkpoint: Checkpoint, network: Any, sound: Tensor) -> tuple[list[Check], np.ndarray]:
    """Measure a denoiser of waveforms."""
    model, config = checkpoint.model, checkpoint.config
    assert isinstance(model, DiffWave)
    x0 = sound[None, :, None].expand(1, len(sound), config.audio_channels)
    noise = torch.randn(x0.shape, generator=torch.Generator().manual_seed(SEED), dtype=x0.dtype)
    last = torch.tensor([config.diffusion_steps - 1])
    noisy = model.process().noised(x0, last, noise)
    mel = _mel(config, x0)
    given = model(noisy.float(), last, **{name: value.float() for name, value in mel.items()})
    error = (given.double() - noise).square().mean(-1)[0]
    about = "of the predicted noise at the last step: near 0 if well trained and rightly read, 1 is no idea"
    checks = [
        Check("outputs not finite", not_finite([given]), 0, "on the fixed input"),
        Check("mean squared error", float(error.mean()), None, about),
    ]
    whole = network(noisy, last, **mel)
    return [*checks, *_padding(config, network, noisy, last, mel, whole)], error.numpy()


def _mel(config: Any, x0: Tensor) -> dict[str, Tensor]:
    """Return the mel spectrogram that a conditional model is given."""
    if not config.conditional:
        return {}
    from seqaudio.features import log_mel

    return {"mel": log_mel(x0.mean(-1).float(), config).double()}


def _padding(
    config: Any, network: Any, noisy: Tensor, last: Tensor, mel: dict[str, Tensor], whole: Tensor
) -> list[Check]:
    """Check that what stands behind a row's length changes nothing in front of it."""
    if config.conditional:  # its frames belong to the sound without padding
        return []
    length, extra = noisy.shape[1], config.total_pool + 1
    padded = torch.cat((noisy, noisy[:, :extra]), 1)
    outputs = network(padded, last, lengths=torch.tensor([length]), **mel)[:, :length]
    about = "change of the outputs by sound behind a row's length"
    return [Check("padding effect", difference(whole, outputs), LIMITS[torch.float64], about)]
