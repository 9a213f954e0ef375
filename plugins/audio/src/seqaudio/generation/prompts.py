"""Prompts from sound files, at the model's rate and in its channels; what cannot be continued is refused."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from seqaudio.data.files import probe
from seqaudio.data.reading import check_signal, read_audio
from seqsuite.errors import UserError

if TYPE_CHECKING:
    from seqaudio.api import AudioModel


def read_prompt(
    path: str | Path, model: AudioModel, *, seconds: float | None = None, mix: bool = False, flag: str = "--prompt"
) -> tuple[np.ndarray, list[str]]:
    """Read a prompt.

    Args:
        path: A sound file.
        model: Whose rate it gets.
        seconds: Read only so much from its start; None: all.
        mix: Mix its channels to one; without it a file of several is refused.
        flag: The option that named it, for messages.

    Returns:
        (frames,) float32, and a line for each thing that was done to it.

    Raises:
        UserError: It cannot be read, is silent, holds NaN, or has several channels.
    """
    file = probe(Path(path).expanduser())
    notes = []
    if file.channels > 1:
        if not mix:
            raise UserError(
                f"{flag} {file.path} has {file.channels} channels and the model takes 1; add --mix to average them"
            )
        notes.append(f"{file.path}: {file.channels} channels are averaged")
    if file.rate != model.sample_rate:
        notes.append(f"{file.path}: resampled from {file.rate} to {model.sample_rate} samples a second")
    samples = read_audio(file, rate=model.sample_rate, channels=1, seconds=seconds or None)[:, 0]
    odd = check_signal(samples, file.path)
    if samples.min() == samples.max():
        raise UserError(f"{flag} {odd[0] if odd else file.path}; give a file with sound in it")
    return samples, notes + list(odd)
