"""Images of every source and mode become inputs by the stated policy; splits and random changes are exact."""

from __future__ import annotations

import gzip
import io
import json
import random
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from seqsuite.errors import UserError
from seqvision.configs.models import ImageModelConfig
from seqvision.configs.train import VisionTrainConfig
from seqvision.data import images_arrays
from seqvision.data.images import open_images
from seqvision.data.images_convert import converted, decode
from seqvision.data.images_sources import read_source
from seqvision.data.labelled import TrainingItems, stratified


def pictures(folder: Path, classes: dict[str, int], *, size: tuple[int, int] = (12, 10), mode: str = "RGB") -> Path:
    """Write random images of each class."""
    rng = np.random.default_rng(0)
    for name, count in classes.items():
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
            Image.fromarray(pixels).convert(mode).save(folder / name / f"{number}.png")
    return folder


def config(source: object, **options: object) -> VisionTrainConfig:
    return VisionTrainConfig(str(source), model="test_resnet", **options)  # type: ignore[arg-type]


# What an image of an odd mode becomes


def test_a_palette_is_looked_up():
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putdata([0, 1])
    assert np.asarray(converted(image, 3, "p")).tolist() == [[[10, 20, 30], [200, 100, 50]]]


def test_what_is_transparent_is_laid_over_white():
    image = Image.new("RGBA", (3, 1))
    image.putdata([(0, 0, 0, 0), (100, 0, 200, 255), (100, 0, 200, 51)])
    found = np.asarray(converted(image, 3, "a"))[0]
    assert found[0].tolist() == [255, 255, 255]
    assert found[1].tolist() == [100, 0, 200]
    over = np.array([100, 0, 200]) * 0.2 + 255 * 0.8
    assert np.abs(found[2] - over).max() <= 1


def test_sixteen_bits_keep_their_range(tmp_path):
    levels = np.array([[0, 257, 32768, 65535]], dtype=np.uint16)
    Image.fromarray(levels).save(tmp_path / "deep.png")
    assert np.asarray(decode(str(tmp_path / "deep.png"), 1, "deep")).tolist() == [[0, 1, 128, 255]]


def test_of_several_frames_the_first_is_taken_and_told(tmp_path):
    folder = pictures(tmp_path / "all", {"a": 6, "b": 6}, mode="L")
    black, white = (Image.new("L", (10, 12), level) for level in (0, 255))
    black.save(folder / "a" / "moving.gif", save_all=True, append_images=[white, white])
    data = open_images(config(folder, valid_fraction=0.0))
    assert "1 of 13: of several frames the first was taken" in data.notes
    assert data.channels == 1
    assert np.asarray(decode(str(folder / "a" / "moving.gif"), 1, "m")).max() == 0


def test_floats_are_refused():
    with pytest.raises(UserError, match=r"^f\.tif: holds floats"):
        converted(Image.new("F", (2, 2)), 1, "f.tif")


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGB", "RGBA", "CMYK", "1", "I;16", "YCbCr", "PA"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_mode_gives_the_channels_asked_for(mode, channels):
    image = converted(Image.new(mode, (4, 3)), channels, mode)
    assert (image.mode, image.size) == ({1: "L", 3: "RGB"}[channels], (4, 3))


def test_exif_turns_are_applied(tmp_path):
    image = Image.new("RGB", (6, 4))
    exif = image.getexif()
    exif[0x0112] = 6  # a quarter turn
    image.save(tmp_path / "turned.jpg", exif=exif)
    assert decode(str(tmp_path / "turned.jpg"), 3, "t").size == (4, 6)


def test_conversions_are_counted(tmp_path):
    pictures(tmp_path, {"a": 3, "b": 2})
    pictures(tmp_path / "more", {"x": 0})
    (tmp_path / "more" / "x").rmdir()
    (tmp_path / "more").rmdir()
    Image.new("P", (10, 12)).save(tmp_path / "a" / "p.png")
    Image.new("RGBA", (10, 12)).save(tmp_path / "b" / "t.png")
    notes = " ".join(open_images(config(tmp_path, img_size=32, test_fraction=0, valid_fraction=0)).notes)
    assert "1 of 7: palettes were looked up" in notes
    assert "1 of 7: transparency was laid over white" in notes


# Splits


def test_marked_splits_are_kept(tmp_path):
    for split, count in (("train", 4), ("val", 3), ("test", 2)):
        pictures(tmp_path / split, {"a": count, "b": count})
    data = open_images(config(tmp_path))
    assert [len(part) for part in (data.train, data.valid, data.test)] == [8, 6, 4]
    assert all("/val/" in name for name in data.valid.names)


def test_val_without_test_is_the_test(tmp_path):
    for split, count in (("train", 10), ("val", 3)):
        pictures(tmp_path / split, {"a": count, "b": count})
    data = open_images(config(tmp_path, valid_fraction=0.2))
    assert [len(part) for part in (data.train, data.valid, data.test)] == [16, 4, 6]
    assert all("/val/" in name for name in data.test.names)


def test_a_split_keeps_the_shares_of_the_classes():
    labels = np.repeat([0, 1, 2], [100, 50, 10])
    parts = stratified(labels, (0.1, 0.2), seed=3)
    assert [np.bincount(labels[part]).tolist() for part in parts] == [[10, 5, 1], [20, 10, 2], [70, 35, 7]]
    assert sorted(np.concatenate(parts).tolist()) == list(range(160))
    again = stratified(labels, (0.1, 0.2), seed=3)
    assert all(np.array_equal(one, other) for one, other in zip(parts, again, strict=True))
    other = stratified(labels, (0.1, 0.2), seed=4)
    assert not np.array_equal(parts[0], other[0])


def test_the_fingerprint_follows_content_and_split(tmp_path):
    pixels = np.zeros((20, 5, 5), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", x=pixels, y=np.arange(20) % 2)
    first = open_images(config(tmp_path / "a.npz")).fingerprint
    assert open_images(config(tmp_path / "a.npz")).fingerprint == first
    assert open_images(config(tmp_path / "a.npz", seed=1)).fingerprint != first
    pixels[0, 0, 0] = 1
    np.savez(tmp_path / "a.npz", x=pixels, y=np.arange(20) % 2)
    assert open_images(config(tmp_path / "a.npz")).fingerprint != first


# Arrays


def write_idx(path: Path, array: np.ndarray, *, zipped: bool) -> None:
    data = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()
    if zipped:
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(data))
    else:
        path.write_bytes(data)


@pytest.mark.parametrize("zipped", [False, True])
def test_idx_files(tmp_path, zipped):
    rng = np.random.default_rng(1)
    content = {}
    for name, count in (("train", 30), ("t10k", 10)):
        content[name] = rng.integers(0, 256, (count, 7, 5)), np.arange(count) % 3
        write_idx(tmp_path / f"{name}-images-idx3-ubyte", content[name][0], zipped=zipped)
        write_idx(tmp_path / f"{name}-labels-idx1-ubyte", content[name][1], zipped=zipped)
    found = read_source(tmp_path)
    assert found.classes == ("0", "1", "2")
    for name, split in (("train", "train"), ("t10k", "test")):
        part = found.parts[split]
        assert np.array_equal(part.labels, content[name][1])
        assert np.array_equal(np.asarray(part.store.read(4, 1)), content[name][0][4])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda data: data[:-3], r"train-images-idx3-ubyte: is damaged \(it promises \(4, 3, 3\) uint8 and holds 33"),
        (lambda data: b"\1" + data[1:], "is no idx file"),
        (lambda data: data[:6], "is damaged"),
        (lambda data: gzip.compress(data)[:-9], "is damaged or cannot be read"),
    ],
)
def test_damaged_idx_files(tmp_path, spoil, message):
    write_idx(tmp_path / "train-images-idx3-ubyte", np.zeros((4, 3, 3)), zipped=False)
    write_idx(tmp_path / "train-labels-idx1-ubyte", np.arange(4), zipped=False)
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(UserError, match=message):
        read_source(tmp_path)


def test_fashion_mnist_names_its_package(tmp_path, monkeypatch):
    monkeypatch.setattr(images_arrays, "FASHION_FOLDER", tmp_path / "nowhere")
    with pytest.raises(UserError, match="install Debian's package dataset-fashion-mnist"):
        read_source("fashion_mnist")


def test_fashion_mnist_is_read_where_debian_puts_it(tmp_path, monkeypatch):
    for name in ("train", "t10k"):
        write_idx(tmp_path / f"{name}-images-idx3-ubyte", np.zeros((10, 28, 28)), zipped=True)
        write_idx(tmp_path / f"{name}-labels-idx1-ubyte", np.arange(10), zipped=True)
    monkeypatch.setattr(images_arrays, "FASHION_FOLDER", tmp_path)
    found = read_source("fashion_mnist")
    assert found.classes[9] == "Ankle boot"
    assert set(found.parts) == {"train", "test"}


def test_npz_splits_and_names(tmp_path):
    x = np.arange(6 * 4 * 4, dtype=np.uint8).reshape(6, 4, 4)
    np.savez(tmp_path / "s.npz", x_train=x[:4], y_train=[0, 1, 0, 1], test_images=x[4:], test_labels=[[1], [0]],
             class_name=["no", "yes"])  # fmt: skip
    found = read_source(tmp_path / "s.npz")
    assert found.classes == ("no", "yes")
    assert found.parts["test"].labels.tolist() == [1, 0]
    assert np.array_equal(np.asarray(found.parts["test"].store.read(1, 1)), x[5])


def test_text_labels_are_sorted_into_classes(tmp_path):
    np.savez(tmp_path / "t.npz", images=np.zeros((3, 4, 4, 3)), labels=["dog", "cat", "dog"])
    found = read_source(tmp_path / "t.npz")
    assert (found.classes, found.parts["all"].labels.tolist()) == (("cat", "dog"), [1, 0, 1])


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        (np.array([0.0, 0.5, 1.0]), [0, 128, 255]),
        (np.array([0, 128, 255], dtype=np.int64), [0, 128, 255]),
        (np.array([0.0, 128.0, 255.0]), [0, 128, 255]),
        (np.array([0, 32768, 65535], dtype=np.uint16), [0, 128, 255]),
        (np.array([False, True, True]), [0, 255, 255]),
    ],
)
def test_levels_of_arrays(images, expected):
    assert images_arrays.eight_bit(images.reshape(1, 1, 3), "x").ravel().tolist() == expected


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros((4, 3, 3)), "y": [0, 1, 2, 7], "class_name": ["a", "b", "c"]}, "label 7 of row 3 of all is"),
        ({"x": np.zeros((4, 3, 3)), "y": [0, 1, -1, 0], "class_name": ["a", "b"]}, "label -1 of row 2 of all is out"),
        ({"x": np.zeros((4, 3, 3)), "y": [0, 1, 0, 1], "class_name": ["a", "b", "c"]}, "class 'c' has no image"),
        ({"x": np.zeros((4, 3, 3)), "y": [0, 0, 0, 0]}, "has one class only"),
        ({"x": np.zeros((4, 3, 3)), "y": [0, 1]}, "for 4 images"),
        ({"x": np.zeros((4, 3)), "y": [0, 1, 0, 1]}, r"must be \(n, height, width\)"),
        ({"x": np.zeros((4, 3, 3)), "y": [0.5, 1, 0, 1]}, "labels must be whole numbers or text"),
        ({"x": np.full((4, 3, 3), -3.5), "y": [0, 1, 0, 1]}, "levels go from -3.5 to -3.5"),
        ({"x": np.full((4, 3, 3), np.nan), "y": [0, 1, 0, 1]}, "image 0 holds numbers that are not finite"),
        ({"pixels": np.zeros((4, 3, 3))}, "has the keys pixels; "),
        ({"x": np.array([np.zeros((2, 2)), np.zeros((3, 3))], dtype=object), "y": [0, 1]}, "images of unequal sizes"),
        ({"x_train": np.zeros((2, 3, 3)), "y_train": [0, 1], "x_test": np.zeros((1, 4, 4)), "y_test": [0]},
         "different sizes"),
    ],
)  # fmt: skip
def test_arrays_that_do_not_fit(tmp_path, arrays, message):
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(UserError, match=message) as caught:
        open_images(config(tmp_path / "bad.npz"))
    assert "bad.npz" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_archive(tmp_path):
    (tmp_path / "a.npz").write_text("nothing of the kind")
    with pytest.raises(UserError, match=r"a\.npz: is no \.npz file"):
        read_source(tmp_path / "a.npz")


def test_arrays_with_more_channels_than_colours(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (8, 6, 6, 4), dtype=np.uint8)
    np.savez(tmp_path / "bands.npz", x=x, y=np.arange(8) % 2)
    data = open_images(config(tmp_path / "bands.npz", valid_fraction=0, test_fraction=0, norm="data"))
    assert (data.channels, data.size) == (4, (6, 6))
    raw = torch.from_numpy(x[3]).permute(2, 0, 1) / 255
    mean, std = (torch.tensor(value)[:, None, None] for value in (data.mean, data.std))
    assert torch.allclose(data.train.scoring(3) * std + mean, raw, atol=1e-5)
    assert data.train.training(3, 5).shape == (4, 6, 6)
    with pytest.raises(UserError, match="automatic augmentation needs 1 or 3 channels"):
        open_images(config(tmp_path / "bands.npz", aa="rand-m5"))


# Parquet


def encoded(colour: int, size: int = 6) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (size, size), (colour, colour, 0)).save(file, "PNG")
    return file.getvalue()


def write_parquet(path: Path, **columns: object) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    metadata = columns.pop("metadata", None)
    table = pa.table(columns)
    pq.write_table(table.replace_schema_metadata(metadata) if metadata else table, path)


@pytest.mark.parametrize("struct_", [False, True])
def test_parquet(tmp_path, struct_):
    content = [encoded(value) for value in (0, 50, 100, 150)]
    images = [{"bytes": data, "path": None} for data in content] if struct_ else content
    info = {"info": {"features": {"label": {"names": ["cat", "dog"]}}}}
    write_parquet(tmp_path / "p.parquet", image=images, label=[0, 1, 0, 1], split=["train", "train", "train", "test"],
                  metadata={"huggingface": json.dumps(info)})  # fmt: skip
    found = read_source(tmp_path / "p.parquet")
    assert found.classes == ("cat", "dog")
    assert {name: part.labels.tolist() for name, part in found.parts.items()} == {"train": [0, 1, 0], "test": [1]}
    assert found.parts["test"].store.read(0, 3).getpixel((0, 0)) == (150, 150, 0)


def test_a_folder_of_parquet_files_names_splits(tmp_path):
    write_parquet(tmp_path / "train-0-of-1.parquet", image=[encoded(1), encoded(2)], label=["a", "b"])
    write_parquet(tmp_path / "test-0-of-1.parquet", image=[encoded(3)], label=["b"])
    assert {name: len(part.labels) for name, part in read_source(tmp_path).parts.items()} == {"train": 2, "test": 1}


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"picture": [b""], "label": [0]}, "Unknown --image_column of .* 'image'"),
        ({"image": [encoded(1), b"junk"], "label": [0, 1]}, "row 1: is no image"),
        ({"image": [encoded(1), None], "label": [0, 1]}, "row 1: holds no image"),
        ({"image": [encoded(1), encoded(1)], "label": [0, None]}, "label: row 1 has no label"),
        ({"image": [encoded(1), encoded(1)], "label": [0.5, 1.0]}, "labels must be whole numbers or text"),
        ({"image": ["a", "b"], "label": [0, 1]}, "must hold encoded images"),
    ],
)
def test_parquet_that_does_not_fit(tmp_path, columns, message):
    write_parquet(tmp_path / "bad.parquet", **columns)
    with pytest.raises(UserError, match=message):
        read_source(tmp_path / "bad.parquet")


# Folders with faults


def test_a_class_without_images(tmp_path):
    pictures(tmp_path, {"a": 3, "b": 3})
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty: the class has no image"):
        read_source(tmp_path)


@pytest.mark.parametrize("content", [b"", b"no image at all", None])
def test_a_corrupt_image_is_named_or_skipped(tmp_path, content):
    pictures(tmp_path, {"a": 4, "b": 4})
    bad = tmp_path / "b" / "bad.png"
    whole = (tmp_path / "b" / "0.png").read_bytes()
    bad.write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(UserError, match=r"b/bad\.png: is (no image|damaged)") as caught:
        read_source(tmp_path)
    assert "\n" not in str(caught.value)
    found = read_source(tmp_path, skip=True)
    assert [name for name, _ in found.skipped] == [str(bad)]
    assert "--on_error" not in found.skipped[0][1]
    assert np.bincount(found.parts["all"].labels).tolist() == [4, 4]


def test_a_class_that_only_the_test_has(tmp_path):
    pictures(tmp_path / "train", {"a": 2, "b": 2})
    pictures(tmp_path / "test", {"a": 1, "c": 1})
    with pytest.raises(UserError, match=r"test/c: is a class that .*train does not have"):
        read_source(tmp_path)


def test_images_that_are_in_no_class(tmp_path):
    Image.new("L", (3, 3)).save(tmp_path / "loose.png")
    with pytest.raises(UserError, match="1 images that are in no class's folder"):
        read_source(tmp_path)


# Inputs


def test_mean_and_deviation_are_those_of_the_training_images(tmp_path):
    x = np.random.default_rng(2).integers(0, 200, (40, 9, 7, 3), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", x=x, y=np.arange(40) % 2)
    data = open_images(config(tmp_path / "a.npz", valid_fraction=0, test_fraction=0.5))
    rows = np.array([int(name.rsplit(" ", 1)[1]) for name in data.train.names])
    pixels = x[rows].reshape(-1, 3) / 255
    assert np.allclose(data.mean, pixels.mean(0), atol=1e-5)
    assert np.allclose(data.std, pixels.std(0), atol=1e-5)
    inputs = torch.stack([data.train.scoring(number) for number in range(len(rows))])
    assert torch.allclose(inputs.mean((0, 2, 3)), torch.zeros(3), atol=1e-4)


@pytest.mark.parametrize("augment", ["small", "timm"])
def test_a_random_input_is_a_function_of_its_seed_alone(augment):
    options = {"aa": "rand-m9-mstd0.5-inc1", "reprob": 0.9, "augment": augment}
    items = open_images(config("digits", **options)).train
    first = items.training(7, seed=123)
    items.training(8, seed=5)
    torch.rand(3), random.random(), np.random.rand()  # noqa: NPY002
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    assert torch.equal(items.training(7, seed=123), first)
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == random.getstate()
    assert np.array_equal(before[2], np.random.get_state()[1])  # noqa: NPY002
    assert not torch.equal(items.training(7, seed=124), first)


def test_positions_pass_over_every_image_once_an_epoch():
    data = TrainingItems(open_images(config("digits", augment="none")).train, seed=3)
    count = len(data.items)
    rows = [data.order.locate(position)[1] for position in range(2 * count)]
    assert sorted(rows[:count]) == sorted(rows[count:]) == list(range(count))
    assert rows[:count] != rows[count:]
    assert torch.equal(data[5]["inputs"], data.items.scoring(rows[5]))


def test_a_trained_model_decides_about_size_channels_and_classes(tmp_path):
    pictures(tmp_path, {"b": 3, "c": 3}, mode="L")
    fixed = ImageModelConfig(architecture="test_resnet", num_classes=3, in_chans=3, img_size=(20, 16),
                             classes=("a", "b", "c"), mean=(0.5,) * 3, std=(0.25,) * 3, crop_pct=1.0,
                             interpolation="bilinear", crop_mode="squash")  # fmt: skip
    data = open_images(config(tmp_path, test_fraction=0, valid_fraction=0), fixed)
    assert data.train.scoring(0).shape == (3, 20, 16)
    assert set(data.train.labels.tolist()) == {1, 2}
    for source in (tmp_path / "one.npz", tmp_path / "few.npz"):  # no set to train on, but one to measure on
        names = {"class_name": ["a", "b", "c"]} if source.stem == "few" else {}
        labels = [2, 2, 0] if names else ["c", "c", "c"]
        np.savez(source, x=np.zeros((3, 9, 9), np.uint8), y=labels, **names)
        data = open_images(config(source, test_fraction=0, valid_fraction=0), fixed)
        assert data.train.labels.tolist() == ([2, 2, 0] if names else [2, 2, 2])
        with pytest.raises(UserError, match=r"has one class only|has no image to train on"):
            open_images(config(source))
    (tmp_path / "c").rename(tmp_path / "d")
    (tmp_path / "one.npz").unlink()
    (tmp_path / "few.npz").unlink()
    with pytest.raises(UserError, match="the model does not know the class 'd'"):
        open_images(config(tmp_path), fixed)
