"""What generating gives: clips with their likelihoods, to look at, to listen to and to write."""

from __future__ import annotations

import base64
import csv
import io
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seqaudio.writing import SampleKind, write_wav
from seqsuite.errors import UserError
from seqsuite.reports import TableView

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LIKELIHOODS, FIGURE = "likelihoods", "clips.png"
"""Files beside the clips: .csv and .json, and the figure."""

SHOWN = 4
"""Clips in a figure."""

PLAYED = 8
"""Clips that a notebook plays."""

_WAV = re.compile(r"clip_\d+\.wav")


@dataclass(frozen=True)
class Clip:
    """One clip.

    Attributes:
        number: In the order in which clips were drawn, from 1.
        seed: Of its draws.
        samples: (frames, channels) float32, new sound only.
        codes: (frames,) int64, what was drawn; None of a diffusion model.
        log_likelihood: Of all new samples, natural, under the model's own distribution; None of a diffusion model.
        bits_per_sample: The same as code length a sample.
        state: "kept", why it is rejected, or what went wrong with it.
        file: Where it was written; None: it was not.
    """

    number: int
    seed: int
    samples: np.ndarray = field(repr=False)
    codes: np.ndarray | None = field(repr=False)
    log_likelihood: float | None
    bits_per_sample: float | None
    state: str = "kept"
    file: Path | None = None

    @property
    def kept(self) -> bool:
        """Whether it belongs to the result."""
        return self.state == "kept"


@dataclass(frozen=True)
class Generated(TableView):
    """Clips, the likeliest first, of a diffusion model as drawn.

    Attributes:
        clips: All that were drawn.
        rate: Samples a second.
        prompt: (P, channels) float32 that every clip continues; P may be 0.
        settings: What was asked for.
        path: How the model ran: "native", "eager", "model" or "diffusion".
        seconds: Wall time of the drawing.
        notes: Lines about what was done to the prompt, and the like.
        interrupted: It was stopped early: clips are short or missing.
    """

    clips: tuple[Clip, ...]
    rate: int
    prompt: np.ndarray = field(repr=False)
    settings: Mapping[str, Any]
    path: str
    seconds: float
    notes: tuple[str, ...] = ()
    interrupted: bool = False

    def __len__(self) -> int:
        return len(self.kept)

    @property
    def kept(self) -> tuple[Clip, ...]:
        """The clips that are not rejected."""
        return tuple(clip for clip in self.clips if clip.kept)

    @property
    def samples_per_second(self) -> float:
        """New samples of all clips in a second of wall time."""
        return sum(len(clip.samples) for clip in self.clips) / max(self.seconds, 1e-9)

    @property
    def real_time_factor(self) -> float:
        """Seconds of new sound, of all clips, in a second of wall time."""
        return self.samples_per_second / self.rate

    def sound(self, clip: Clip) -> np.ndarray:
        """Return the prompt and what follows it, (frames, channels)."""
        return np.concatenate((self.prompt, clip.samples))

    def table(self) -> list[dict[str, Any]]:
        """Return one row a clip."""
        return [
            {
                "clip": clip.number,
                "file": "" if clip.file is None else clip.file.name,
                "seconds": f"{len(clip.samples) / self.rate:.2f}",
                "log-likelihood": _number(clip.log_likelihood, ".1f"),
                "bits per sample": _number(clip.bits_per_sample, ".3f"),
                "state": clip.state,
            }
            for clip in self.clips
        ]

    def figure(self) -> Figure | None:
        """Draw waveform and mel spectrogram of the first clips; None where there is none."""
        from seqaudio.generation.pictures import draw_clips

        shown = {f"clip {clip.number}": self.sound(clip)[:, 0] for clip in self.kept[:SHOWN]}
        return draw_clips(shown, self.rate, start=len(self.prompt) / self.rate) if shown else None

    def _repr_html_(self) -> str:
        players = "".join(
            f"<p>clip {clip.number}<br><audio controls src='{self._embedded(clip)}'></audio></p>"
            for clip in self.kept[:PLAYED]
        )
        return super()._repr_html_() + players

    def _embedded(self, clip: Clip) -> str:
        """Return a clip as an address that holds all of it."""
        import soundfile

        made = io.BytesIO()
        soundfile.write(made, np.clip(self.sound(clip), -1, 1), self.rate, format="WAV", subtype="PCM_16")
        return f"data:audio/wav;base64,{base64.b64encode(made.getvalue()).decode('ascii')}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "settings": dict(self.settings),
            "rate": self.rate,
            "path": self.path,
            "seconds": self.seconds,
            "samples_per_second": self.samples_per_second,
            "real_time_factor": self.real_time_factor,
            "interrupted": self.interrupted,
            "notes": list(self.notes),
            "clips": [
                {
                    "clip": clip.number,
                    "file": None if clip.file is None else clip.file.name,
                    "seed": clip.seed,
                    "frames": len(clip.samples),
                    "log_likelihood": clip.log_likelihood,
                    "bits_per_sample": clip.bits_per_sample,
                    "state": clip.state,
                }
                for clip in self.clips
            ],
        }

    def save(
        self,
        folder: str | Path,
        *,
        overwrite: bool = False,
        keep_prompt: bool = True,
        sample_format: SampleKind = "int16",
    ) -> Generated:
        """Write the kept clips, likelihoods.csv, likelihoods.json and clips.png; return the result with its files.

        Args:
            folder: Made if it does not exist.
            overwrite: Replace clips that an earlier call left there; other files stay.
            keep_prompt: Write the prompt in front of each clip.
            sample_format: See `write_wav`.

        Raises:
            UserError: The folder is not empty, or cannot be written.
        """
        place = Path(folder).expanduser()
        check_folder(place, overwrite)
        clips, notes = [], list(self.notes)
        written: set[str] = set()
        for clip in self.clips:
            if clip.kept:
                target = place / f"clip_{len(written) + 1:03d}.wav"
                sound = self.sound(clip) if keep_prompt else clip.samples
                done = write_wav(target, sound, self.rate, kind=sample_format, overwrite=overwrite)
                written.add(target.name)
                notes += [done.note()] if done.clipped else []
                clip = replace(clip, file=target)
            clips.append(clip)
        result = replace(self, clips=tuple(clips), notes=tuple(notes))
        place.mkdir(parents=True, exist_ok=True)
        for old in place.iterdir():
            if _WAV.fullmatch(old.name) and old.name not in written:
                old.unlink()
        result._write_lists(place)
        return result

    def _write_lists(self, place: Path) -> None:
        told = self.to_dict()
        _put(place / f"{LIKELIHOODS}.json", (json.dumps(told, indent=2, default=str) + "\n").encode())
        lines = io.StringIO()
        writer = csv.DictWriter(lines, list(told["clips"][0]) if told["clips"] else ["clip"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(told["clips"])
        _put(place / f"{LIKELIHOODS}.csv", lines.getvalue().encode())
        figure = self.figure()
        if figure is None:
            (place / FIGURE).unlink(missing_ok=True)
        else:
            drawn = io.BytesIO()
            figure.savefig(drawn, format="png", dpi=100)
            _put(place / FIGURE, drawn.getvalue())


def check_folder(folder: Path, overwrite: bool) -> None:
    """Refuse an output folder that holds something already, or is none.

    Raises:
        UserError: It says what to do.
    """
    try:
        if folder.is_dir() and any(folder.iterdir()) and not overwrite:
            raise UserError(f"{folder} is not empty; add --overwrite to replace its clips, or choose another --out")
    except OSError as error:
        raise UserError(f"{folder}: cannot be read ({error.strerror})") from None
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; --out is a folder")


def bits(log_likelihood: float, frames: int) -> float:
    """Return the code length a sample."""
    return -log_likelihood / (frames * float(np.log(2)))


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _put(path: Path, content: bytes) -> None:
    """Write a file aside and put it in place."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        aside.write_bytes(content)
        os.replace(aside, path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from None
    finally:
        aside.unlink(missing_ok=True)
