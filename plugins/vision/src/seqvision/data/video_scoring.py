"""Videos without labels, as a trained model wants them.

view = model_view(model.config)                 # how its training's evaluation saw clips
items, skipped = unlabelled_clips("holiday/", view)
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from seqsuite.errors import UserError
from seqvision.configs.models import ImageModelConfig
from seqvision.data.video_clips import Row, Stretch, find_videos, stored_frames
from seqvision.data.video_items import ClipItems
from seqvision.data.video_views import Changes, ClipView


def model_view(config: ImageModelConfig) -> ClipView:
    """Return how a trained model sees clips.

    Args:
        config: Of the model.

    Raises:
        UserError: It is no model of clips.
    """
    if len(config.img_size) != 3:
        raise UserError(f"{config.architecture} is a model of images, not of clips; train one with --task video")
    frames, height, width = config.img_size
    return ClipView.from_dict(
        {"frames": frames, **config.clip}, size=(height, width), mean=tuple(config.mean), std=tuple(config.std)
    )


def unlabelled_clips(
    source: str | Path, view: ClipView, *, skip: bool = False
) -> tuple[ClipItems, list[tuple[str, str]]]:
    """Return the videos of a source that has no labels, and names and reasons of those that were left out.

    Args:
        source: A video, an .npz with frames, or a folder of them.
        view: How clips are seen.
        skip: Decode each one at once, and leave out what cannot be read.

    Raises:
        UserError: There is none, or a header cannot be read; with `skip`, none can be read.
    """
    place = Path(os.path.expanduser(source))
    if not place.exists():
        raise UserError(f"{place}: there is no such file or folder")
    paths = find_videos(place) if place.is_dir() else [place]
    if not paths:
        raise UserError(f"{place}: there is no video in this folder")
    rows: list[Row] = []
    skipped: list[tuple[str, str]] = []
    for path in paths:
        try:
            found = _clips_of(path)
            if skip:
                items = _items(found, view)
                for index in range(len(items)):
                    items.views(index)
        except UserError as error:
            if not skip:
                raise
            skipped.append((str(path), str(error)))
            continue
        rows += found
    if not rows:
        raise UserError(f"{place}: none of its {len(paths)} videos can be read; the first: {skipped[0][1]}")
    return _items(rows, view), skipped


def _clips_of(path: Path) -> list[Row]:
    if path.suffix.lower() == ".npz":
        return [Row(clip, "", "", clip.name) for clip in stored_frames(path)]
    Stretch(path).check()
    return [Row(Stretch(path), "", "", str(path))]


def _items(rows: list[Row], view: ClipView) -> ClipItems:
    return ClipItems(rows, np.full(len(rows), -1), view, Changes())
