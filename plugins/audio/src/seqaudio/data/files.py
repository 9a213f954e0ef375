"""Sound files: what is in a folder or a manifest, and what each file says about itself.

    found = find_audio("recordings/", on_error="skip")
    found.files[0]      # AudioFile(path=..., rate=44100, channels=2, frames=441000)
    found.skipped       # ((path, why), ...)

Only headers are read. Decoding is libsndfile's (wav, flac, ogg, opus, mp3, aiff, au, caf, ...).
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from seqsuite.errors import UserError, unknown_name

OnError = Literal["raise", "skip"]
SOUND = frozenset(".wav .wave .flac .ogg .oga .opus .mp3 .aif .aiff .aifc .au .snd .caf .w64 .rf64".split())
"""Endings of files that a folder is searched for."""
OTHER_CODECS = frozenset(".m4a .m4b .aac .mp4 .wma .webm .mka .amr .ape .wv .ac3 .dts .ra .tta .dsf .g722".split())
"""Endings of sound that libsndfile cannot decode; such a file in a folder is an error, not overlooked."""
_LONGEST = 1 << 48
_MP3_SEARCHED = 1 << 16


@dataclass(frozen=True)
class AudioFile:
    """A sound file, or a stretch of one.

    Attributes:
        path: The file.
        rate: Samples a second of each channel, as stored.
        channels: Number of channels.
        frames: Samples of each channel in the file or stretch.
        first: Where the stretch starts in the file, in stored samples.
        label: Its label in a manifest.
    """

    path: Path
    rate: int
    channels: int
    frames: int
    first: int = 0
    label: str | None = None

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.frames / self.rate

    def frames_at(self, rate: int) -> int:
        """Return the number of samples of each channel after resampling to `rate`."""
        return -(-self.frames * rate // self.rate)


@dataclass(frozen=True)
class Found:
    """What `find_audio` found.

    Attributes:
        files: The readable files in natural order, or in the manifest's.
        skipped: Path and reason of each file left out.
    """

    files: tuple[AudioFile, ...]
    skipped: tuple[tuple[Path, str], ...] = ()


def find_audio(source: str | Path, *, on_error: OnError = "raise", label_column: str | None = None) -> Found:
    """Find sound files and read their headers.

    Args:
        source: A folder (searched with all folders below it, links followed, names that start with a dot left out),
            one file, or a manifest: .csv, .tsv or .jsonl with a `file` or `path` column, relative to the manifest.
        on_error: What an unreadable file does: ``"raise"`` an error, or ``"skip"`` it and list it.
        label_column: The manifest's column of labels; None takes `label` if there is one.

    Raises:
        UserError: The source is missing, holds no sound, or a file cannot be read; one line names it.
    """
    if on_error not in ("raise", "skip"):
        raise unknown_name("on_error", on_error, ["raise", "skip"])
    place = Path(os.path.expanduser(source))
    if place.suffix.lower() in (".csv", ".tsv", ".jsonl") and not place.is_dir():
        from seqaudio.data.manifest import manifest_files

        return _gather(place, manifest_files(place, label_column), on_error)
    if label_column is not None:
        raise UserError(f"{place}: labels are read from a manifest (.csv, .tsv, .jsonl), and this is none")
    if place.is_dir():
        return _gather(place, ((path, None, "") for path in _walk(place, on_error)), on_error)
    return _gather(place, [(place, None, "")], "raise")


def _gather(source: Path, wanted: Iterable[tuple[Path, str | None, str]], on_error: OnError) -> Found:
    """Probe (path, label, where it is written) one after another; the last is empty but in a manifest."""
    files: list[AudioFile] = []
    skipped: list[tuple[Path, str]] = []
    seen: dict[Path, str] = {}
    for path, label, where in wanted:
        try:
            real = path.resolve()
            if where and real in seen:
                raise UserError(f"{path} is listed already ({seen[real]}); list each file once")
            seen[real] = where
            files.append(probe(path, label=label))
        except UserError as error:
            line = f"{where}: {error}" if where else str(error)
            if on_error == "raise":
                raise UserError(line) from None
            skipped.append((path, line))
    if not files and skipped:
        raise UserError(f"{source}: none of its {len(skipped)} sound files can be read; the first: {skipped[0][1]}")
    if not files:
        raise UserError(f"{source}: there is no sound file in it; looked for {', '.join(sorted(SOUND))}")
    return Found(tuple(files), tuple(skipped))


def _walk(folder: Path, on_error: OnError) -> Iterator[Path]:
    """Yield the sound files below a folder in natural order, each folder once even where links make a circle."""

    def refuse(error: OSError) -> None:
        if on_error == "raise":
            raise UserError(f"{error.filename}: the folder cannot be read ({error.strerror})") from None

    paths, entered = [], {folder.resolve()}
    for top, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        kept = []
        for name in sorted(folders):
            target = (Path(top) / name).resolve()
            if not name.startswith(".") and target not in entered:
                entered.add(target)
                kept.append(name)
        folders[:] = kept
        paths += [Path(top) / name for name in names if not name.startswith(".")]
    endings = SOUND | OTHER_CODECS
    yield from sorted((path for path in paths if path.suffix.lower() in endings), key=natural_key)


def natural_key(path: Path) -> tuple[object, ...]:
    """Return a sort key by which ``a2.wav`` comes before ``a10.wav``."""
    words = (re.split(r"(\d+)", part.casefold()) for part in path.parts)
    # Text and numbers alternate, so the same places of two keys always compare.
    return (*(tuple(int(w) if w.isdecimal() else w for w in found) for found in words), str(path))


def probe(path: str | Path, *, label: str | None = None) -> AudioFile:
    """Read a file's header.

    Raises:
        UserError: It is missing, empty, not readable, no sound, in a codec that is not decoded here, or has no length.
    """
    import soundfile

    place = Path(path)
    head = _head(place)
    if place.suffix.lower() in OTHER_CODECS or head[4:8] == b"ftyp":
        raise UserError(f"{place}: this codec is not decoded here; {_convert(place)}")
    if place.suffix.lower() == ".mp3" and not _may_be_mp3(place):
        raise UserError(f"{place}: this is no mp3 file; {_convert(place)}")
    try:
        info = soundfile.info(native(place))
    except soundfile.LibsndfileError as error:
        why = (error.error_string or "").strip().rstrip(".")
        raise UserError(f"{place}: no readable sound file ({why}); if it plays elsewhere, {_convert(place)}") from None
    if info.frames <= 0:
        raise UserError(f"{place}: there is no sound in it (0 samples); remove it")
    if info.frames >= _LONGEST:
        raise UserError(f"{place}: its header does not say how long it is; {_convert(place)}")
    return AudioFile(place, info.samplerate, info.channels, info.frames, label=label)


def _head(path: Path) -> bytes:
    """Return the first bytes of a file that must not be empty."""
    try:
        with path.open("rb") as handle:
            head = handle.read(64)
    except FileNotFoundError:
        what = "this link leads nowhere; remove it" if path.is_symlink() else "there is no such file"
        raise UserError(f"{path}: {what}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None
    if not head:
        raise UserError(f"{path}: the file is empty (0 bytes); remove it")
    return head


def native(path: Path) -> str | bytes:
    """Return a path as libsndfile takes it: names that are no UTF-8 go through as they are."""
    return os.fsencode(path) if os.name == "posix" else os.fspath(path)


def _may_be_mp3(path: Path) -> bool:
    """Tell whether a frame or a tag begins near the start; about anything else the decoder prints to the terminal."""
    with path.open("rb") as handle:
        start = handle.read(_MP3_SEARCHED)
    return start.startswith(b"ID3") or re.search(b"\xff[\xe0-\xff]", start) is not None


def _convert(path: Path) -> str:
    return f"convert it: ffmpeg -i {shlex.quote(path.name)} {shlex.quote(path.stem + '.converted.flac')}, and remove it"


def fingerprint(files: Iterable[AudioFile]) -> str:
    """Return a digest of names, lengths and labels, by which a resumed run knows its data; no sound is read."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(
            repr((file.path.name, file.rate, file.channels, file.frames, file.first, file.label)).encode(
                "utf-8", "surrogateescape"
            )
        )
    return digest.hexdigest()
