"""`evaluate`: measure a trained model on held-out sound; see the package."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seqaudio.baselines import AudioBaselines, Blocks, ReadClips, audio_baselines, mean_interval
from seqaudio.configs.evaluate import HELD_OUT
from seqaudio.data import AudioFile, Splits, split_files
from seqaudio.data.files import OnError
from seqaudio.data.splits import shared_file
from seqaudio.evaluation.denoising import DenoisingEvaluation, denoising_errors
from seqaudio.evaluation.likelihood import FileBits, file_codes, score_files
from seqaudio.evaluation.results import AudioEvaluation
from seqaudio.sources import Source, check_sound, format_notes, open_source
from seqsuite.errors import UserError

if TYPE_CHECKING:
    from seqaudio.api import AudioModel
    from seqaudio.baselines.clips import Clips
    from seqaudio.evaluation.generated import GeneratedScores

Progress = Callable[[str], None]

_KEPT_SAMPLES = 1 << 25
_LEAST_BLOCKS = 4
_VALID_FRACTION = 0.1


def evaluate(
    model: AudioModel,
    source: str | Path = HELD_OUT,
    *,
    train: str | Path = "",
    baselines: bool = True,
    on_error: OnError = "raise",
    strict_rate: bool = False,
    generated: str | Path = "",
    classifier: str | Path = "",
    progress: Progress | None = None,
    **options: Any,
) -> AudioEvaluation | DenoisingEvaluation:
    """Measure a trained model on held-out sound.

    Args:
        model: From `seqaudio.load`.
        source: Held-out sound: a folder, a file or a manifest; `HELD_OUT`: the test files of the model's run.
        train: Sound to fit the baselines on, a tenth of it to choose on; empty: the files of the model's run.
        baselines: Whether to fit and score the baselines; of models of the next sample.
        on_error: What a file that cannot be used does: ``"raise"`` an error, or ``"skip"`` it and list it.
        strict_rate: Refuse files of another rate or number of channels in place of converting them.
        generated: Generated clips to compare with the held-out ones; models of the next sample and of diffusion.
        classifier: The run folder of a classifier of clips, for `generated`.
        progress: Called with a line of text from time to time.
        options: Of `evaluate_files`.

    Raises:
        UserError: The sound, the model or an option; one line says what to do.
    """
    asked: dict[str, Any] = {"on_error": on_error, "strict_rate": strict_rate}
    _check_options(model, train=train, baselines=baselines, length=options.get("length", 0))
    held_out = _held_out(model, source, **asked)
    known = model.files()
    notes = held_out.notes
    if known is not None:
        twice = shared_file(known.train, held_out.files)
        if twice is not None:
            notes += (f"the model was trained on some of these files, {twice} among them: this is no held-out figure",)
    fitted = None
    if baselines and model.objective == "autoregressive":
        fitted = _to_fit_on(model, train, known, **asked)
        if fitted is None:
            notes += ("no baselines: the files of the training are not known here; give --train",)
        elif train and shared_file((*fitted.train, *fitted.valid), held_out.files) is not None:
            raise UserError(f"--train {train} holds files that are to be measured; keep them apart")
    # Opened before the measuring, which may take hours.
    judged = _open_generated(model, held_out.files, generated, classifier, **asked)
    result = evaluate_files(
        model, held_out.files, fitted, source=Path(source).name or str(source), progress=progress, **options
    )
    found = None if judged is None else judged()
    skipped = tuple((str(path), why) for path, why in held_out.skipped)
    return replace(result, notes=(*notes, *result.notes), skipped=skipped, generated=found)


def _held_out(model: AudioModel, source: str | Path, **options: Any) -> Source:
    if str(source) != HELD_OUT:
        return open_source(source, rate=model.sample_rate, channels=model.channels, **options)
    known = model.files()
    if known is None or not known.test:
        raise UserError(f"{model.folder or model.name} does not say which files are held out; name some sound")
    for file in known.test:
        check_sound(file)
    strict = options["strict_rate"]
    notes = format_notes(known.test, rate=model.sample_rate, channels=model.channels, strict=strict)
    return Source(known.test, (), notes)


def _to_fit_on(model: AudioModel, train: str | Path, known: Splits | None, **options: Any) -> Splits | None:
    """Return files to fit and to choose baselines on; None where there are none."""
    if str(train):
        found = open_source(train, rate=model.sample_rate, channels=model.channels, **options)
        return split_files(found.files, _VALID_FRACTION, 0.0)
    if known is None or not all(file.path.is_file() for file in (*known.train, *known.valid)):
        return None
    return known


def _check_options(model: AudioModel, *, train: str | Path, baselines: bool, length: int) -> None:
    """Refuse options that would be passed over."""
    if length and model.objective != "diffusion":
        raise UserError(f"--length is for diffusion models; {model.name} is measured on whole files")
    if str(train) and model.objective == "diffusion":
        raise UserError(f"--train is for baselines, which {model.name}, a diffusion model, has none of")
    if str(train) and not baselines:
        raise UserError("--train is for baselines, and --baselines false leaves them out")


def _open_generated(
    model: AudioModel, held_out: Sequence[AudioFile], generated: str | Path, classifier: str | Path, **options: Any
) -> Callable[[], GeneratedScores] | None:
    """Return what scores the generated clips; None where there are none."""
    if bool(str(generated)) != bool(str(classifier)):
        raise UserError("--generated and --classifier belong together: clips, and a run that tells their classes")
    if not str(classifier):
        return None
    from seqaudio.classification import load_classifier
    from seqaudio.evaluation.generated import check_counts, score_generated

    known = load_classifier(classifier, device=str(model.device))
    found = open_source(generated, rate=known.rate, **options)
    check_counts(held_out, found.files)
    return partial(score_generated, known, held_out, found.files, name=f"the classifier {Path(classifier).name}")


def evaluate_files(
    model: AudioModel,
    files: Sequence[AudioFile],
    fitted: Splits | None = None,
    *,
    source: str = "",
    block_seconds: float = 0.5,
    chunk: int = 8192,
    rows: int = 16,
    seed: int = 0,
    length: int = 0,
    progress: Progress | None = None,
) -> AudioEvaluation | DenoisingEvaluation:
    """Measure a trained model on files that are known to be readable.

    Args:
        model: The model.
        files: The files.
        fitted: Files to fit the baselines on, and to choose them on; None: no baselines.
        source: What to call the files.
        block_seconds: Length of the blocks of the bootstrap; less where the sound is shorter than four of them.
        chunk: Samples of a file that run at once.
        rows: Files, or windows, that run at once.
        seed: Of the bootstrap, and of the noise of diffusion models.
        length: Samples of a window of a diffusion model; 0: as in training.
        progress: Called with a line of text from time to time.

    Raises:
        UserError: A file, or too little sound for an interval.
    """
    tell = progress or (lambda line: None)
    if model.objective == "diffusion":
        return denoising_errors(model, files, source=source, length=length, rows=rows, seed=seed, progress=tell)
    total = sum(file.frames_at(model.sample_rate) for file in files)
    notes: tuple[str, ...] = ()
    block_length = max(1, int(block_seconds * model.sample_rate))
    if total < 2:
        raise UserError(f"{source or 'the sound'} is one sample long, too little for an interval; give more")
    if total < _LEAST_BLOCKS * block_length:
        # Told before the measuring: it may take hours, and would be lost for want of blocks.
        block_length = max(1, total // _LEAST_BLOCKS)
        block_seconds = (block_length + 0.5) / model.sample_rate
        notes = (f"so little sound has its interval from blocks of {block_seconds:.3g} s; it may be too narrow",)
    tell(f"measuring {total:,} samples of {len(files)} files")
    scores = score_files(
        model,
        files,
        block_length=block_length,
        chunk=chunk,
        rows=rows,
        progress=lambda done: tell(f"{done:,} of {total:,} samples"),
    )
    blocks = all_blocks(scores, block_length)
    found = None
    if fitted is not None:
        found = _baselines(model, files, fitted, block_seconds, seed, tell)
    assert model.quantizer is not None
    return AudioEvaluation(
        model=model.name,
        source=source,
        sample_rate=model.sample_rate,
        bits=model.quantizer.bits,
        quantization=model.quantizer.kind,
        interval=mean_interval(blocks, seed=seed),
        files=tuple(scores),
        baselines=found,
        differences={} if found is None else {name: found.difference(name, blocks, seed=seed) for name in found.blocks},
        notes=(*notes, *_remarks(model, found)),
    )


def all_blocks(scores: Sequence[FileBits], length: int) -> Blocks:
    """Join the blocks of files, in their order."""
    sizes = [np.minimum(length, score.samples - length * np.arange(len(score.block_sums))) for score in scores]
    return Blocks(np.concatenate([score.block_sums for score in scores]), np.concatenate(sizes).astype(np.int64))


def _baselines(
    model: AudioModel, files: Sequence[AudioFile], fitted: Splits, block_seconds: float, seed: int, tell: Progress
) -> AudioBaselines:
    quantizer = model.quantizer
    assert quantizer is not None  # only models over codes are measured in bits
    parts = fitted.train, fitted.valid or fitted.train, files
    return audio_baselines(
        *(_clips(model, part) for part in parts),
        quantizer=quantizer,
        rate=model.sample_rate,
        block_seconds=block_seconds,
        seed=seed,
        progress=lambda line: tell(f"baselines: {line}"),
    )


def _clips(model: AudioModel, files: Sequence[AudioFile]) -> Clips:
    """Return the codes of files: kept where they are few, else read anew on every pass."""
    if sum(file.frames_at(model.sample_rate) for file in files) <= _KEPT_SAMPLES:
        return [file_codes(model, file) for file in files]
    return ReadClips(files, lambda file: file_codes(model, file))


def _remarks(model: AudioModel, baselines: AudioBaselines | None) -> tuple[str, ...]:
    notes: tuple[str, ...] = ()
    if model.normalize != "none":
        notes += (
            f"each file is levelled as a whole ({model.normalize}), as the model was trained: its loudest sample is "
            "told in advance, to the model and to the baselines",
        )
    if baselines is not None and baselines.flac is not None and model.quantizer and model.quantizer.kind != "linear":
        notes += ("FLAC codes the mu-law codes; it compares with the model on linear samples only",)
    return notes
