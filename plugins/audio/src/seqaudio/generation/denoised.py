"""Sound from a diffusion model: noise that becomes a clip in as many steps as the schedule has.

samples = denoise(model, frames=16000, seeds=[1, 2], schedule="fast")       # (2, 16000, 1)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from seqaudio.generation.sampling import Streams
from seqaudio.models.diffwave import DiffWave
from seqsuite.errors import UserError
from seqsuite.objectives.diffusion import FAST_BETAS, Diffusion

_FAST = {50: "base", 200: "large"}


def sampling_process(model: DiffWave, schedule: str = "full", betas: Sequence[float] = ()) -> Diffusion:
    """Return the steps to take.

    Args:
        model: Says how it was trained.
        schedule: "full", or "fast": six steps, known for models trained with 50 or 200.
        betas: Other steps, in their place.

    Raises:
        UserError: No fast schedule is known for the model, or the steps do not fit it.
    """
    process = model.process()
    if betas:
        return process.fast(betas)
    if schedule == "full":
        return process
    if process.steps not in _FAST:
        known = " and ".join(map(str, _FAST))
        raise UserError(
            f"no fast schedule is known for a model trained with {process.steps} steps, only for {known}; give --betas"
        )
    return process.fast(FAST_BETAS[_FAST[process.steps]])


def denoise(
    model: DiffWave,
    frames: int,
    seeds: Sequence[int],
    process: Diffusion,
    *,
    mel: torch.Tensor | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """Draw clips (B, frames, channels) float32.

    Args:
        model: In evaluation mode.
        frames: Samples of each.
        seeds: One a clip: it does not depend on the others.
        process: See `sampling_process`.
        mel: (1, M, mel frames) for all clips, of a conditional model.
        progress: Called with (steps done, steps in all).

    Raises:
        UserError: The mel does not fit, or the model gives NaN.
    """
    device = next(model.parameters()).device
    condition = {} if mel is None else {"mel": mel.to(device).expand(len(seeds), -1, -1)}
    samples = process.sample(
        model,
        (len(seeds), frames, model.config.audio_channels),
        generator=Streams(seeds).generators,
        condition=condition,
        progress=progress,
        device=device,
    )
    found: np.ndarray = samples.float().cpu().numpy()
    wrong = ~np.isfinite(found).all(axis=(1, 2))
    if wrong.any():
        raise UserError(f"clip {int(np.flatnonzero(wrong)[0]) + 1}: the model gives NaN; its weights are damaged")
    return found
