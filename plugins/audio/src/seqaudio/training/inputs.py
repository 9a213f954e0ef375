"""What a training run stands on: the model's options, the files by use, windows of them.

All of it is opened and checked before anything is written, so that a mistake costs no run folder.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils.data import Dataset, Subset

from seqaudio.configs.diffwave import DiffWaveConfig
from seqaudio.configs.models import AudioConfig
from seqaudio.configs.train import AudioTrainConfig
from seqaudio.data import AudioFile, Splits, Windows, fingerprint, split_files
from seqaudio.data.splits import shared_file
from seqaudio.quantization import Quantizer
from seqaudio.sources import Source, open_source
from seqaudio.training.tasks import Drawn
from seqsuite.errors import UserError
from seqsuite.models import model_config
from seqsuite.training.run_folder import write_json

FILES = "files.json"
"""The file in a run folder that lists what was trained on, validated on and kept for the test."""

_VALIDATION_SEED = 1

Rows = Dataset[dict[str, Tensor]]
ModelKind = AudioConfig | DiffWaveConfig


@dataclass(frozen=True)
class Inputs:
    """What a run reads.

    Attributes:
        parts: The files by use.
        windows: The training windows themselves.
        train: Training rows by position.
        valid: Validation rows.
        skipped: Path and reason of each file left out.
        notes: What else is to be said.
    """

    parts: Splits
    windows: Windows
    train: Rows
    valid: Rows
    skipped: tuple[tuple[Path, str], ...]
    notes: tuple[str, ...]

    @property
    def fingerprints(self) -> dict[str, str]:
        """Digest of the files by use."""
        names = ("train", "valid", "test")
        return {f"{name} files": fingerprint(getattr(self.parts, name)) for name in names}

    def left_out(self) -> tuple[tuple[Path, str], ...]:
        """Return path and reason of each file that was left out, those that failed in training among them."""
        return tuple(dict([*self.skipped, *self.windows.too_short, *self.windows.skipped]).items())


def resolve_model(config: AudioTrainConfig) -> tuple[ModelKind, dict[str, Any]]:
    """Return the config of the run's model, and the options that make it.

    Raises:
        UserError: Unknown model, none of samples or of diffusion, or an option that is not for it.
    """
    known = model_config(config.model, **config.model_options)
    if not isinstance(known, AudioConfig | DiffWaveConfig):
        raise UserError(
            f"--model {config.model} is no model of samples or of diffusion; give for example sashimi_debug, tcn_debug "
            "or diffwave_sashimi_debug"
        )
    diffusion = isinstance(known, DiffWaveConfig)
    objective = "diffusion" if diffusion else "autoregressive"
    if config.objective not in ("auto", objective):
        raise UserError(f"--objective {config.objective} does not fit --model {config.model}, which is {objective}")
    if isinstance(known, AudioConfig) and known.head != "next_sample":
        raise UserError(f"--model {config.model} has the head {known.head!r}; to be trained here it needs next_sample")
    options = _with_flags(config, diffusion)
    settled = model_config(config.model, **options)
    assert isinstance(settled, AudioConfig | DiffWaveConfig)
    return settled, options


def _with_flags(config: AudioTrainConfig, diffusion: bool) -> dict[str, Any]:
    """Return the model's options with those that have a flag of their own."""
    quantization = "" if config.quantization == "model" else config.quantization
    if diffusion and (config.bits or quantization):
        raise UserError(f"--bits and --quantization are for quantised samples; --model {config.model} takes waveforms")
    if not diffusion and config.channels > 1:
        raise UserError(f"--channels {config.channels}: --model {config.model} takes one channel; files are mixed")
    given = {"sample_rate": config.sample_rate, "bits": config.bits, "quantization": quantization}
    if diffusion:
        given["audio_channels"] = config.channels
    options = dict(config.model_options)
    for name, value in given.items():
        if value and options.get(name, value) != value:
            raise UserError(f"--model_options.{name} is {options[name]}, and a flag of its own says {value}; give one")
        if value:
            options[name] = value
    return options


def open_inputs(config: AudioTrainConfig, kind: ModelKind) -> Inputs:
    """Find, check and split the sound, and lay windows over it.

    Raises:
        UserError: The sound, or an option that does not fit it; one line names it.
    """
    rate = kind.sample_rate
    channels = kind.audio_channels if isinstance(kind, DiffWaveConfig) else 1
    sources = {"train": _open(config, config.source, rate, channels)}
    sources |= {
        name: _open(config, place, rate, channels)
        for name, place in (("valid", config.valid), ("test", config.test))
        if place
    }
    parts = _split(config, sources)
    quantizer = None if isinstance(kind, DiffWaveConfig) else Quantizer(kind.bits, kind.quantization)
    options: dict[str, Any] = {"length": config.length, "rate": rate, "channels": channels, "quantizer": quantizer}
    options |= {"normalize": config.normalize, "on_error": config.on_error}
    train = Windows(parts.train, train=True, seed=config.seed, short=config.short, **options)
    held_out = Windows(parts.valid, train=False, **options)
    count = min(len(held_out), config.valid_windows)
    valid: Rows = Subset(held_out, [number * len(held_out) // count for number in range(count)])
    skipped = tuple(item for source in sources.values() for item in source.skipped)
    notes = tuple(note for source in sources.values() for note in source.notes)
    if quantizer is None:
        drawn = Drawn(train, config.seed), Drawn(valid, config.seed + _VALIDATION_SEED)
        return Inputs(parts, train, *drawn, skipped, notes)
    return Inputs(parts, train, train, valid, skipped, notes)


def _open(config: AudioTrainConfig, place: str, rate: int, channels: int) -> Source:
    return open_source(
        place,
        rate=rate,
        channels=channels,
        on_error=config.on_error,
        strict_rate=config.strict_rate,
        check=config.check,
    )


def _split(config: AudioTrainConfig, sources: dict[str, Source]) -> Splits:
    """Return the files by use: those of folders of their own, the others as shares of the source."""
    shares = {name: 0.0 if name in sources else getattr(config, f"{name}_fraction") for name in ("valid", "test")}
    parts = split_files(sources["train"].files, shares["valid"], shares["test"], config.seed)
    valid = sources["valid"].files if "valid" in sources else parts.valid
    test = sources["test"].files if "test" in sources else parts.test
    found = Splits(parts.train, valid, test)
    for name, files in (("--valid", valid), ("--test", test)):
        twice = shared_file(found.train, files)
        if twice is not None:
            raise UserError(f"{twice} is in {name} and would be trained on; keep held-out files out of the source")
    return found


def write_files(folder: Path, parts: Splits) -> None:
    """Write down which files a run used, and for what."""
    named = {name: [_described(file) for file in getattr(parts, name)] for name in ("train", "valid", "test")}
    write_json(folder / FILES, named)


def _described(file: AudioFile) -> dict[str, Any]:
    span = {"rate": file.rate, "channels": file.channels, "frames": file.frames, "first": file.first}
    return {"path": str(file.path.resolve()), **span}


def read_files(folder: Path) -> Splits | None:
    """Return the files that a run used; None where it does not say.

    Raises:
        UserError: The list is damaged.
    """
    path = folder / FILES
    if not path.is_file():
        return None
    try:
        named = json.loads(path.read_text(encoding="utf-8"))
        return Splits(*(tuple(_file(item) for item in named[name]) for name in ("train", "valid", "test")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged ({' '.join(str(error).split())})") from error


def _file(item: dict[str, Any]) -> AudioFile:
    return AudioFile(Path(item["path"]), item["rate"], item["channels"], item["frames"], first=item["first"])
