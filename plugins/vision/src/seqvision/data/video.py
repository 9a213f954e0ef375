"""Labelled clips of video for training, evaluation and prediction.

    data = open_clips(config)                    # `seqvision train SOURCE --task video`
    data.train.training(0, seed=7)               # (C, T, H, W) float32
    data.test.views(0)                           # (V, C, T, H, W): stretches and crops to average over
    read_clip("video.mp4", view)                 # the same of one file

Sources are folders, manifests and arrays (see `seqvision.data.video_sources`), and `motion`: synthetic motion of real
textures (see `seqvision.data.motion`).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from seqsuite.errors import UserError, unknown_name
from seqvision.data.labelled import Labelled, stratified
from seqvision.data.motion import MotionClip, MotionSet, textures
from seqvision.data.video_clips import Frames, Row, Stretch
from seqvision.data.video_items import ClipItems
from seqvision.data.video_sampling import Sampling
from seqvision.data.video_sources import MOTION, Skipped, clip_rows
from seqvision.data.video_views import Changes, ClipView

if TYPE_CHECKING:
    from seqvision.configs.train import VisionTrainConfig

MOTION_SIZES = {"train": 8000, "valid": 1000, "test": 2000}
_MOTION_FRAMES = 16
_MOTION_SEED = 0
_MEASURED = 64
"""Training clips whose mean and deviation stand for all."""
_SMALL = 64


def open_clips(config: VisionTrainConfig, *, classes: Sequence[str] = (), view: ClipView | None = None) -> Labelled:
    """Read which clips a source has and how they are split; frames are decoded when they are asked for.

    Args:
        config: What `seqvision train` was told.
        classes: Names in the order of a trained model; none: those of the source.
        view: How a trained model sees clips; None: as the config says.

    Raises:
        UserError: The source, a row or a file; fewer than two classes; a label that no training clip has, or that is
            not among `classes`; an option that has no meaning for clips.
    """
    _refuse(config)
    rows, skipped, note = _rows(config)
    known = tuple(classes) or tuple(sorted({row.label for row in rows}, key=_natural))
    if len(known) < 2:
        raise UserError(f"{config.source}: all {len(rows)} clips have the label {known[0]!r}; give two classes or more")
    for row in rows:
        if row.label not in known:
            raise unknown_name(f"label in {row.where}: the model knows no", row.label, known)
    labels = np.array([known.index(row.label) for row in rows], dtype=np.int64)
    parts = _split(rows, labels, config, known)
    _demand_trained(rows, labels, parts["train"])
    sampling = view.sampling if view else _sampling(config)
    _demand_long_enough(rows, sampling)
    seen = view or _view(config, rows, parts["train"], sampling)
    changes = _changes(config, seen)

    def items(part: np.ndarray) -> ClipItems | None:
        return ClipItems([rows[number] for number in part], labels[part], seen, changes) if len(part) else None

    return Labelled(
        train=items(parts["train"]),
        valid=items(parts["valid"]),
        test=items(parts["test"]),
        classes=known,
        size=(seen.sampling.frames, *seen.size),
        channels=seen.channels,
        mean=seen.mean,
        std=seen.std,
        fingerprint=_fingerprint(rows, labels, parts, seen),
        unit="clip",
        interpolation="bicubic",
        crop_pct=seen.share,
        clip=seen.to_dict(),
        source=str(config.source),
        notes=note,
        skipped=skipped,
    )


def read_clip(path: str | Path, view: ClipView) -> Tensor:
    """Return the inputs of one video file, or of an .npz with frames (T, H, W[, C]): (V, C, T, H, W) float32.

    Args:
        path: The file.
        view: How a model sees it.

    Raises:
        UserError: It cannot be read, or is too short; the line names it.
    """
    clip = Stretch(Path(os.path.expanduser(path)))
    row = Row(clip, "", "", str(clip.path))
    return ClipItems([row], np.array([-1]), view, Changes()).views(0)


def _refuse(config: VisionTrainConfig) -> None:
    """Refuse options that have no meaning for clips, rather than drop them."""
    for name in ("aa", "reprob"):
        if getattr(config, name):
            raise UserError(f"--{name} is made for single images; leave it out with --task video")


def _rows(config: VisionTrainConfig) -> tuple[list[Row], Skipped, tuple[str, ...]]:
    """Return the clips of a source, what was left out, and lines for the report."""
    if config.source not in MOTION:
        rows, skipped = clip_rows(config.source, on_error=config.on_error)
        return rows, skipped, ()
    found = textures(MOTION[config.source])
    rows, first = [], 0
    for split, count in MOTION_SIZES.items():
        pictures = found.test if split == "test" else found.train
        made = MotionSet(pictures, seed=_MOTION_SEED, first=first, count=count, frames=_MOTION_FRAMES)
        clips = [MotionClip(made, index) for index in range(count)]
        rows += [Row(clip, made.classes[made.labels[clip.index]], split, clip.name) for clip in clips]
        first += count
    return rows, (), (f"synthetic motion of real textures ({found.name}); the test moves textures that training lacks",)


def _split(
    rows: Sequence[Row], labels: np.ndarray, config: VisionTrainConfig, classes: Sequence[str]
) -> dict[str, np.ndarray]:
    """Return the rows of train, valid and test: as the source marks them, the rest dealt out by whole files."""
    marked = np.array([row.split for row in rows])
    parts = {name: np.flatnonzero(marked == name) for name in ("valid", "test")}
    left = np.flatnonzero(~np.isin(marked, ("valid", "test")))
    shares = [
        0.0 if len(parts[name]) else share
        for name, share in (("valid", config.valid_fraction), ("test", config.test_fraction))
    ]
    if not len(left) or not any(shares):
        return {"train": left, **parts}
    # Two stretches of one file look alike: on both sides of a split, they would be remembered.
    groups: dict[object, list[int]] = {}
    for number in left.tolist():
        clip = rows[number].clip
        groups.setdefault(clip.path.resolve() if isinstance(clip, Stretch) else number, []).append(number)
    members = list(groups.values())
    dealt = stratified(labels[[group[0] for group in members]], shares, config.seed, classes=classes)
    chosen = [np.array(sorted(row for group in part for row in members[group]), dtype=np.int64) for part in dealt]
    for name, share, part in zip(("valid", "test"), shares, chosen[:2], strict=True):
        parts[name] = part if share else parts[name]
    return {"train": chosen[2], **parts}


def _demand_trained(rows: Sequence[Row], labels: np.ndarray, train: np.ndarray) -> None:
    """Refuse labels that no clip is there to learn from, where there are clips to learn from."""
    if not len(train):
        return
    unseen = np.flatnonzero(~np.isin(labels, labels[train]))
    if len(unseen):
        row = rows[int(unseen[0])]
        known = {rows[number].label for number in train.tolist()}
        raise unknown_name(f"label in {row.where}: no training clip has", row.label, known)


def _demand_long_enough(rows: Sequence[Row], sampling: Sampling) -> None:
    """Refuse short videos before training begins, where they are not to be held or looped."""
    if sampling.short != "error":
        return
    for row in rows:
        count = len(row.clip.grid(sampling.frame_rate))
        if count < sampling.span:
            raise UserError(
                f"{row.clip.name}: has {count} frames, and a clip needs {sampling.span}; leave it out, or take "
                "--short hold, fewer --frames or a smaller --frame_stride"
            )


def _sampling(config: VisionTrainConfig) -> Sampling:
    return Sampling(config.frames, config.frame_stride, config.frame_rate, config.sampling, config.short)


def _view(config: VisionTrainConfig, rows: Sequence[Row], train: np.ndarray, sampling: Sampling) -> ClipView:
    """Return how clips are seen: sizes and numbers from the config, the clips or the model."""
    from seqvision.models.image_model import data_config

    says = data_config(config.model)
    shapes = {_stored(row) for row in rows}
    known = None not in shapes
    channels = config.in_chans or (1 if known and all(shape[2] == 1 for shape in shapes if shape) else 3)
    native = next(iter(shapes))
    size = (config.img_size,) * 2 if isinstance(config.img_size, int) else config.img_size
    if not all(size):
        small = native is not None and len({shape and shape[:2] for shape in shapes}) == 1 and max(native[:2]) <= _SMALL
        size = native[:2] if small and native is not None else tuple(says["input_size"][-2:])
    plain = ClipView(sampling, (size[0], size[1]), channels, (0.0,) * channels, (1.0,) * channels)
    mean, std = (
        _measured([rows[number] for number in train.tolist()], plain)
        if config.norm == "data" or (config.norm == "auto" and not config.pretrained_from)
        else tuple(_channels(says[name], channels) for name in ("mean", "std"))
    )
    return ClipView(
        sampling, plain.size, channels, mean, std, config.crop_pct or 1.0, views=config.views, crops=config.crops
    )


def _stored(row: Row) -> tuple[int, int, int] | None:
    """Return (H, W, C) of frames that are in memory; files are not decoded for it."""
    if isinstance(row.clip, MotionClip):
        return row.clip.set.size, row.clip.set.size, 1
    if isinstance(row.clip, Frames):
        shape = row.clip.frames.shape
        return shape[1], shape[2], shape[3] if len(shape) == 4 else 1
    return None


def _measured(rows: Sequence[Row], view: ClipView) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and deviation of each channel over some clips that lie evenly over all.

    Raises:
        UserError: There is no clip, or one cannot be read.
    """
    if not rows:
        raise UserError("there is no training clip to measure mean and deviation of; use --norm model")
    chosen = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _MEASURED)).astype(int))
    items = ClipItems([rows[number] for number in chosen], np.full(len(chosen), -1), view, Changes())
    clips = [items.scoring(number).flatten(1).double() for number in range(len(items))]
    mean = torch.stack([clip.mean(1) for clip in clips]).mean(0)
    square = torch.stack([clip.square().mean(1) for clip in clips]).mean(0)
    # A constant channel has no deviation to divide by.
    std = (square - mean.square()).clamp(min=1e-6).sqrt()
    return tuple(mean.tolist()), tuple(std.tolist())


def _channels(values: Sequence[float], channels: int) -> tuple[float, ...]:
    return tuple(values) if len(values) == channels else (sum(values) / len(values),) * channels


def _changes(config: VisionTrainConfig, view: ClipView) -> Changes:
    """Return what training changes; synthetic motion is random as it is."""
    augment = config.augment
    if augment == "auto":
        augment = "none" if config.source in MOTION else "small" if max(view.size) <= _SMALL else "timm"
    crop = {"timm": "random", "small": "pad", "none": "none"}[augment]
    # A mirror image of a motion is another motion, so that only who asks for it gets it.
    across = config.hflip or 0.0
    jitter = config.color_jitter if augment == "timm" else 0.0
    return Changes(crop, config.scale, config.ratio, config.pad, across, config.vflip, jitter)


def _fingerprint(rows: Sequence[Row], labels: np.ndarray, parts: dict[str, np.ndarray], view: ClipView) -> str:
    """Return a digest of clips, labels, splits and how they are seen; folders may move, files may not change."""
    digest = hashlib.sha256(repr(view).encode())
    for name, part in sorted(parts.items()):
        digest.update(repr((name, part.tolist())).encode())
    for row, label in zip(rows, labels.tolist(), strict=True):
        digest.update(repr((row.clip.facts(), row.label, label)).encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _natural(name: str) -> tuple[bool, int, str]:
    """Order names that are all digits by their number, in front of the others."""
    return (False, int(name), name) if name.isdecimal() else (True, 0, name)
