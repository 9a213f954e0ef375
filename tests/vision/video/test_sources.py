"""Labelled clips from folders, manifests and arrays; splits; what is refused, in one line."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from seqsuite.data.loaders import PositionBatches, make_loader
from seqsuite.errors import UserError
from seqvision.configs.train import VisionTrainConfig
from seqvision.data.labelled import TrainingItems
from seqvision.data.motion import MotionSet, textures
from seqvision.data.video import MOTION_SIZES, open_clips, read_clip
from seqvision.data.video_writing import write_video

from .conftest import moving


def write_clips(path, clips, labels):
    np.savez(path, frames=np.stack(clips), label=np.array(labels), fps=25.0)
    return path


def config(source, **options) -> VisionTrainConfig:
    small = {"task": "video", "model": "test_mamba_nd_3d", "img_size": 16, "frames": 4, "frame_stride": 1}
    return VisionTrainConfig(str(source), **{**small, **options})


def manifest(path, rows: list[str], header: str = "file,label,split,start,seconds"):
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def test_a_folder_of_classes(classes):
    data = open_clips(config(classes, valid_fraction=0.2, test_fraction=0.2))
    assert (data.classes, data.size, data.channels, data.unit) == (("one", "two"), (4, 16, 16), 3, "clip")
    parts = [data.train, data.valid, data.test]
    assert [len(part) for part in parts] == [8, 2, 2]
    assert len({name for part in parts for name in part.names}) == 12
    for part in parts:
        assert np.bincount(part.labels).tolist() == [len(part) // 2] * 2
        assert all(f"/{data.classes[label]}/" in name for label, name in zip(part.labels, part.names, strict=True))
    assert data.train.training(0, seed=1).shape == (3, 4, 16, 16)
    assert data.clip == {**data.clip, "frames": 4, "stride": 1, "kind": "dense", "short": "hold", "views": 1}


def test_folders_of_splits(classes, tmp_path):
    for split in ("train", "val", "test"):
        shutil.copytree(classes, tmp_path / "all" / split)
    data = open_clips(config(tmp_path / "all"))
    assert [len(part) for part in (data.train, data.valid, data.test)] == [12, 12, 12]
    assert all("/val/" in name for name in data.valid.names)


def test_a_manifest_with_stretches(tmp_path):
    frames = moving(30, 16, 16)
    write_video(tmp_path / "a.mkv", frames)
    rows = ["a.mkv,up,train,0,0.4", "a.mkv,down,train,0.4,0.4", "a.mkv,up,test,0.8,"]
    data = open_clips(config(manifest(tmp_path / "clips.csv", rows), valid_fraction=0, norm="model"))
    assert (len(data.train), data.valid, len(data.test)) == (2, None, 1)
    assert data.train.labels.tolist() == [1, 0]
    values = (data.train.scoring(1) * torch.tensor(data.std).view(3, 1, 1, 1)) + torch.tensor(data.mean).view(
        3, 1, 1, 1
    )
    np.testing.assert_allclose(values.permute(1, 2, 3, 0).numpy() * 255, frames[13:17], atol=1e-3)


def test_stretches_of_one_file_stay_on_one_side(tmp_path):
    rows = []
    for number in range(12):
        write_video(tmp_path / f"{number}.mkv", moving(8, 16, 16, seed=number))
        label = "up" if number % 2 else "down"
        rows += [f"{number}.mkv,{label},{start},0.08" for start in (0, 0.08, 0.16)]
    source = manifest(tmp_path / "clips.csv", rows, "file,label,start,seconds")
    for seed in range(4):
        data = open_clips(config(source, seed=seed, valid_fraction=0.2, test_fraction=0.3))
        files = [{name.split("[")[0] for name in part.names} for part in (data.train, data.valid, data.test)]
        assert sum(map(len, files)) == len(set.union(*files)) == 12
        assert all(
            len(part) == 3 * len(names) for part, names in zip((data.train, data.valid, data.test), files, strict=True)
        )


@pytest.mark.parametrize("axes", [3, 4])
def test_arrays(tmp_path, axes):
    clips = [moving(6, 16, 16, seed=number) for number in range(8)]
    clips = [clip[..., 0] for clip in clips] if axes == 3 else clips
    data = open_clips(config(write_clips(tmp_path / "a.npz", clips, ["a", "b"] * 4), valid_fraction=0, img_size=0))
    assert (data.classes, data.size, data.channels) == (("a", "b"), (4, 16, 16), 1 if axes == 3 else 3)
    row = int(data.train.names[0].split("[")[1][:-1])
    seen = data.train.scoring(0) * torch.tensor(data.std).view(-1, 1, 1, 1) + torch.tensor(data.mean).view(-1, 1, 1, 1)
    np.testing.assert_allclose(
        seen.permute(1, 2, 3, 0).numpy() * 255, clips[row][1:5].reshape(4, 16, 16, -1), atol=1e-3
    )


def test_motion_as_files_is_motion_in_memory(tmp_path):
    found = MotionSet(textures("digits").train, seed=0, first=0, count=20, frames=4, size=16)
    clips = [found.frames(index) for index in range(20)]
    labels = [found.classes[label] for label in found.labels]
    for number, (clip, label) in enumerate(zip(clips, labels, strict=True)):
        (tmp_path / "mp4" / label).mkdir(parents=True, exist_ok=True)
        path = tmp_path / "mp4" / label / f"{number}.mp4"
        write_video(path, clip, codec="libx264rgb", options={"qp": "0"})
    options = {"in_chans": 1, "norm": "model", "valid_fraction": 0, "test_fraction": 0}
    files = open_clips(config(tmp_path / "mp4", **options)).train
    arrays = open_clips(config(write_clips(tmp_path / "a.npz", clips, labels), **options)).train
    order = {name.split("[")[1][:-1]: row for row, name in enumerate(arrays.names)}
    for row, name in enumerate(files.names):
        other = order[name.rsplit("/", 1)[1].removesuffix(".mp4")]
        assert labels[int(name.rsplit("/", 1)[1].removesuffix(".mp4"))] == name.split("/")[-2]
        torch.testing.assert_close(files.scoring(row), arrays.scoring(other), rtol=0, atol=0)
        torch.testing.assert_close(files.training(row, 3), arrays.training(other, 3), rtol=0, atol=0)


def test_the_named_motion_set():
    data = open_clips(config("motion_digits", img_size=0))
    assert [len(part) for part in (data.train, data.valid, data.test)] == list(MOTION_SIZES.values())
    assert (len(data.classes), data.size, data.channels) == (10, (4, 32, 32), 1)
    assert "synthetic" in data.notes[0]
    assert "digits" in data.notes[0]
    assert data.train.changes.crop == "none"
    assert data.train.changes.hflip == 0


def test_mean_and_deviation_are_those_of_the_training_clips(classes):
    data = open_clips(config(classes))
    values = torch.stack([data.train.scoring(index) for index in range(len(data.train))]).transpose(0, 1).flatten(1)
    torch.testing.assert_close(values.mean(1), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(values.std(1), torch.ones(3), atol=1e-3, rtol=0)


def _batches(items, workers: int, start: int = 0) -> list[torch.Tensor]:
    batches = PositionBatches(steps=4, batch_size=3, start=start)
    return [batch["inputs"] for batch in make_loader(TrainingItems(items, seed=1), batches, workers=workers)]


def test_neither_workers_nor_a_later_start_change_what_is_read(classes):
    items = open_clips(config(classes, augment="timm")).train
    alone = _batches(items, 0)
    for one, other in zip(alone, _batches(items, 2), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    for one, other in zip(alone[2:], _batches(items, 0, start=2), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_the_fingerprint_knows_content_labels_and_splits_but_not_the_place(classes, tmp_path):
    first = open_clips(config(classes)).fingerprint
    shutil.copytree(classes, tmp_path / "elsewhere")
    assert open_clips(config(tmp_path / "elsewhere")).fingerprint == first
    assert open_clips(config(classes, seed=1)).fingerprint != first
    assert open_clips(config(classes, frames=3)).fingerprint != first
    write_video(tmp_path / "elsewhere" / "one" / "0.mkv", moving(7, 16, 24))
    assert open_clips(config(tmp_path / "elsewhere")).fingerprint != first


def test_unreadable_files_are_skipped_and_listed_where_asked(classes):
    (classes / "one" / "bad.mp4").write_text("no video")
    with pytest.raises(UserError, match=r"bad\.mp4"):
        open_clips(config(classes))
    data = open_clips(config(classes, on_error="skip"))
    assert [name for name, _ in data.skipped] == [str(classes / "one" / "bad.mp4")]
    assert sum(len(part) for part in (data.train, data.valid, data.test)) == 12


def test_labels_of_a_trained_model_keep_their_numbers(classes):
    data = open_clips(config(classes), classes=("two", "one", "three"))
    assert all(
        f"/{data.classes[label]}/" in name for label, name in zip(data.test.labels, data.test.names, strict=True)
    )
    with pytest.raises(UserError, match="the model knows no 'one'"):
        open_clips(config(classes), classes=("two", "three"))


def test_reading_one_file(classes):
    data = open_clips(config(classes, views=2, crops=3))
    path = data.test.names[0]
    torch.testing.assert_close(read_clip(path, data.test.view), data.test.views(0), rtol=0, atol=0)


def bad_sources(tmp_path):
    """Name -> (source, options, what the line says)."""
    write_video(tmp_path / "a.mkv", moving(3, 16, 16))
    (tmp_path / "flat").mkdir()
    shutil.copy(tmp_path / "a.mkv", tmp_path / "flat")
    for label in ("one", "two"):
        (tmp_path / "empty" / label).mkdir(parents=True)
        (tmp_path / "short" / label).mkdir(parents=True)
        for number in range(4):
            shutil.copy(tmp_path / "a.mkv", tmp_path / "short" / label / f"{number}.mkv")
    shutil.copy(tmp_path / "a.mkv", tmp_path / "empty" / "one")
    np.savez(tmp_path / "nothing.npz", x=np.zeros(3))
    np.savez(tmp_path / "float.npz", frames=np.zeros((2, 4, 8, 8)), label=["a", "b"])
    np.savez(tmp_path / "labels.npz", frames=np.zeros((2, 4, 8, 8), np.uint8), label=["a"])
    np.savez(tmp_path / "none.npz", frames=np.zeros((2, 4, 8, 8), np.uint8))
    (tmp_path / "broken.npz").write_bytes(b"PK no archive")
    rows = {
        "unknown": ["a.mkv,up,train,,", "a.mkv,down,train,0.04,", "a.mkv,upp,test,0.08,"],
        "split": ["a.mkv,up,trian,,", "a.mkv,down,train,0.04,"],
        "number": ["a.mkv,up,train,soon,", "a.mkv,down,train,,"],
        "twice": ["a.mkv,up,train,,", "a.mkv,down,train,,"],
        "gone": ["b.mkv,up,train,,", "a.mkv,down,train,,"],
        "single": ["a.mkv,up,train,,"],
        "cells": ["a.mkv,up"],
        "blank": ["a.mkv,,train,,"],
        "rowless": [],
    }
    for name, lines in rows.items():
        manifest(tmp_path / f"{name}.csv", lines)
    manifest(tmp_path / "header.csv", ["a.mkv,up"], "file,lable")
    return {
        "missing": (tmp_path / "gone", {}, "no such file or folder"),
        "flat": (tmp_path / "flat", {}, "no folder in it"),
        "empty class": (tmp_path / "empty", {}, "two: no video in the folder of this class"),
        "too short": (tmp_path / "short", {"short": "error"}, r"\.mkv: has 3 frames, and a clip needs 4"),
        "images": (tmp_path / "a.mkv", {}, "a folder of class folders"),
        "no frames": (tmp_path / "nothing.npz", {}, "no array 'frames'"),
        "floats": (tmp_path / "float.npz", {}, "must be uint8"),
        "labels": (tmp_path / "labels.npz", {}, "there are 2 clips"),
        "no labels": (tmp_path / "none.npz", {}, "no array 'label'"),
        "no archive": (tmp_path / "broken.npz", {}, r"broken\.npz: cannot be read"),
        "unknown label": (tmp_path / "unknown.csv", {"valid_fraction": 0}, "line 4: no training clip has 'upp'.*'up'"),
        "unknown split": (tmp_path / "split.csv", {}, "line 2.*'trian'.*'train'"),
        "start": (tmp_path / "number.csv", {}, "line 2: start is 'soon'"),
        "twice": (tmp_path / "twice.csv", {}, "line 3: the same clip is listed already"),
        "file": (tmp_path / "gone.csv", {}, r"line 2: .*b\.mkv: there is no such file"),
        "one class": (tmp_path / "single.csv", {}, "two classes or more"),
        "cells": (tmp_path / "cells.csv", {}, "line 2: 2 cells, but 5 columns"),
        "blank": (tmp_path / "blank.csv", {}, "line 2: the column 'label' is empty"),
        "rowless": (tmp_path / "rowless.csv", {}, "lists no clip"),
        "header": (tmp_path / "header.csv", {}, "no column 'label'.*'lable'"),
        "augmentation": (tmp_path / "short", {"aa": "rand-m9"}, "--aa"),
        "channels": (tmp_path / "short", {"in_chans": 4}, "--in_chans is 4"),
    }


def test_bad_sources_are_one_line(tmp_path):
    for name, (source, options, say) in bad_sources(tmp_path).items():
        with pytest.raises(UserError, match=say) as caught:
            open_clips(config(source, **options))
        assert "\n" not in str(caught.value), name


def test_a_video_that_breaks_later_is_named_when_it_is_read(classes):
    data = open_clips(config(classes, valid_fraction=0, test_fraction=0))
    path = Path(data.train.names[0])
    path.write_bytes(b"no video any more" * 100)
    for read in (data.train.scoring, data.train.views, lambda index: data.train.training(index, 0)):
        with pytest.raises(UserError, match="cannot be read as a video") as caught:
            read(0)
        assert str(path) in str(caught.value)
