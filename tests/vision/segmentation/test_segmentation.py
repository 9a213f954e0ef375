"""Scores against torchmetrics, sets of masks, training, resuming and segmenting, bad input."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image

from seqsuite.errors import UserError
from seqsuite.models import load_model
from seqvision.cli import main
from seqvision.configs.segment_train import SegmentTrainConfig
from seqvision.data.masks import open_masks, read_mask
from seqvision.segmentation.inputs import Masked, open_parts, resized_mask
from seqvision.segmentation.losses import enet_weights, soft_dice
from seqvision.segmentation.predict import write_mask
from seqvision.segmentation.results import palette
from seqvision.segmentation.scores import confusion, pixel_scores

from .conftest import squares


def refused(capsys, *arguments: object) -> str:
    """The one line on stderr of a command that ends with exit code 2."""
    assert main([str(argument) for argument in arguments]) == 2
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1, told
    return told[0]


@pytest.mark.parametrize("seed", range(4))
def test_scores_are_those_of_torchmetrics(seed) -> None:
    from torchmetrics.classification import MulticlassAccuracy, MulticlassJaccardIndex

    rng = np.random.default_rng(seed)
    truth, found = rng.integers(0, 5, (3, 20, 20)), rng.integers(0, 5, (3, 20, 20))
    truth[rng.random(truth.shape) < 0.2] = 255
    scores = pixel_scores(confusion(truth, found, 5, 255))
    pair = torch.from_numpy(found), torch.from_numpy(truth)
    kind = {"num_classes": 5, "ignore_index": 255}
    assert scores.miou == pytest.approx(MulticlassJaccardIndex(average="macro", **kind)(*pair).item(), rel=1e-5)
    each = MulticlassJaccardIndex(average="none", **kind)(*pair).numpy()
    np.testing.assert_allclose(scores.iou, each, rtol=1e-5)
    assert scores.accuracy == pytest.approx(MulticlassAccuracy(average="micro", **kind)(*pair).item(), rel=1e-5)


def test_a_class_that_does_not_occur_does_not_count() -> None:
    truth, found = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    scores = pixel_scores(confusion(truth, found, 3, 255))
    assert scores.iou[:2] == pytest.approx((1 / 2, 2 / 3))
    assert np.isnan(scores.iou[2])
    assert scores.miou == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert np.isnan(pixel_scores(np.zeros((2, 2), np.int64)).miou)


@pytest.mark.parametrize("seed", range(3))
def test_dice_is_what_counting_gives(seed) -> None:
    """Class by class over all pixels that count; a class that the masks lack, and pixels to ignore, take no part."""
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(rng.normal(0, 2, (2, 5, 4, 6)))
    mask = rng.integers(0, 4, (2, 4, 6))  # class 4 does not occur
    mask[rng.random(mask.shape) < 0.3] = 255
    losses = []
    exponents = np.exp(logits.numpy())
    chances = exponents / exponents.sum(1, keepdims=True)
    for kind in range(4):
        pairs = [(chances[b, kind, i, j], mask[b, i, j] == kind) for b, i, j in np.ndindex(mask.shape)
                 if mask[b, i, j] != 255]  # fmt: skip
        shared = sum(chance for chance, there in pairs if there)
        losses.append(1 - (2 * shared + 1) / (sum(chance + there for chance, there in pairs) + 1))
    found = soft_dice(logits, torch.from_numpy(mask), ignore=255)
    assert found.item() == pytest.approx(np.mean(losses))


def test_dice_of_right_and_of_wrong_masks() -> None:
    mask = torch.from_numpy(squares(4)[1]).long()
    right = 50.0 * torch.nn.functional.one_hot(mask, 3).permute(0, 3, 1, 2)
    assert soft_dice(right, mask, ignore=255) < 1e-6
    assert soft_dice(right.roll(1, dims=1), mask, ignore=255) > 0.98
    nothing = right.clone().requires_grad_()
    loss = soft_dice(nothing, torch.full_like(mask, 255), ignore=255)
    loss.backward()
    assert loss == 0
    assert torch.isfinite(nothing.grad).all()


def test_weights_of_classes_are_enets() -> None:
    weights = enet_weights(np.array([75, 25, 0]))
    expected = [1 / np.log(1.02 + share) for share in (0.75, 0.25, 0.0)]
    np.testing.assert_allclose(weights.numpy(), expected, rtol=1e-6)
    assert enet_weights(np.zeros(2, np.int64)).numpy() == pytest.approx([1 / np.log(1.02)] * 2)


def test_losses_change_what_is_learnt_and_not_what_is_told(archive, flags, tmp_path) -> None:
    """The first step's loss is the cross entropy of the same weights; the weights after it differ."""
    runs = {"plain": [], "dice": ["--dice", "1"], "enet": ["--class_weights", "enet"]}
    for name, more in runs.items():
        assert main(["segment-train", str(archive), *flags, *more, "--out", str(tmp_path / name)]) == 0
    told, weights = {}, {}
    for name in runs:
        told[name] = next(csv.DictReader((tmp_path / name / "metrics.csv").open()))["train_loss"]
        weights[name] = load_model(tmp_path / name / "model").state_dict()["head.4.weight"]
    assert told["plain"] == told["dice"] == told["enet"]
    assert not torch.allclose(weights["plain"], weights["dice"])
    assert not torch.allclose(weights["plain"], weights["enet"])


def test_a_mask_is_resized_as_pillow_does() -> None:
    mask = squares(1, size=20)[1][0]
    for size in ((20, 20), (7, 31), (40, 10)):
        expected = np.asarray(Image.fromarray(mask).resize(size[::-1], Image.Resampling.NEAREST))
        np.testing.assert_array_equal(resized_mask(mask, size), expected)


def test_folders_and_archives_give_what_was_written(folder, archive) -> None:
    found = open_masks(str(folder), classes=("ground", "red", "blue"))
    images, masks = squares(1, size=19, seed=3)
    picture, mask = found.parts["all"][3]
    np.testing.assert_array_equal(picture, images[0])
    np.testing.assert_array_equal(mask, masks[0])
    assert found.classes == ("ground", "red", "blue")
    apart = open_masks(str(folder / "images"), masks=str(folder / "masks"))
    assert len(apart.parts["all"]) == 10
    stored = open_masks(str(archive))
    assert {name: len(part) for name, part in stored.parts.items()} == {"train": 40, "valid": 8, "test": 12}
    np.testing.assert_array_equal(stored.parts["valid"][0][1], squares(60)[1][40])


def test_split_parts_share_no_image(folder) -> None:
    _, parts = open_parts(SegmentTrainConfig(str(folder), size=(16, 16), seed=3))
    rows = np.concatenate([part.rows for part in parts.values()])
    assert sorted(rows) == list(range(10))


def test_a_training_view_is_a_function_of_its_position(archive) -> None:
    """Whatever was read before; image and mask are cut alike: red pixels are the class 1."""
    config = SegmentTrainConfig(str(archive), size=(16, 16), crop=0.5, flip=True)
    _, parts = open_parts(config)
    first, second = (Masked(parts["train"], config, train=True) for _ in range(2))
    late = [first[position] for position in (90, 5, 41)]
    for position, row in zip((90, 5, 41), late, strict=True):
        again = second[position]
        assert torch.equal(row["image"], again["image"])
        assert torch.equal(row["mask"], again["mask"])
    views = [first[position] for position in range(80)]
    assert len({row["image"].numpy().tobytes() for row in views}) > 60
    for row in views:
        red = row["image"][0] - row["image"][2]
        assert red[row["mask"] == 1].numel() == 0 or red[row["mask"] == 1].mean() > 0.5
        assert red[row["mask"] == 0].numel() == 0 or red[row["mask"] == 0].abs().mean() < 0.15


def test_composed_pictures_are_functions_of_seed_and_index() -> None:
    """Parts differ in objects; a mask has one to two classes beside the background; other seeds, other pictures."""
    first, again = (open_masks("composed_digits", seed=1, size=32) for _ in range(2))
    other = open_masks("composed_digits", seed=2, size=32)
    assert first.fingerprint == again.fingerprint != other.fingerprint
    assert first.classes == ("background", *"0123456789")
    assert "Composed" in first.notes[0]
    objects = {name: {item.tobytes() for item in part.objects} for name, part in first.parts.items()}  # type: ignore
    assert not objects["train"] & objects["test"]
    for index in (0, 7, 100):
        picture, mask = first.parts["test"][index]
        np.testing.assert_array_equal(picture, again.parts["test"][index][0])
        np.testing.assert_array_equal(mask, again.parts["test"][index][1])
        assert not np.array_equal(picture, other.parts["test"][index][0])
        assert picture.shape == (32, 32, 3)
        labels = set(np.unique(mask))
        assert 2 <= len(labels) <= 3
        assert 0 in labels


def test_masks_are_written_as_class_numbers(tmp_path) -> None:
    for classes in (3, 300):
        mask = np.random.default_rng(0).integers(0, classes, (9, 13))
        write_mask(tmp_path / "m.png", mask, classes)
        np.testing.assert_array_equal(read_mask(tmp_path / "m.png"), mask)
    assert len(np.unique(palette(20), axis=0)) == 20


def test_squares_are_learned_and_segmented(archive, folder, flags, tmp_path, capsys) -> None:
    """Colour gives the class away: two hundred steps give a high mIoU, on files of other sizes too."""
    command = ["segment-train", str(archive), *flags, "--classes", "ground,red,blue", "--steps", "150"]
    assert main([*command, "--validate_every", "50", "--lr", "0.01"]) == 0
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["test"]["miou"] > 0.7 > 0.4 > summary["one_class_for_all"]["miou"]
    out = tmp_path / "out"
    capsys.readouterr()
    given = ["segment", str(tmp_path / "run"), str(folder / "images"), "--out", str(out)]
    assert main([*given, "--masks", str(folder / "masks"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["scores"]["miou"] > 0.6
    rows = list(csv.DictReader((out / "areas.csv").read_text(encoding="utf-8").splitlines()))
    assert [row["image"] for row in rows] == [f"p{number}.png" for number in range(10)]
    for number in range(10):
        mask = read_mask(out / f"p{number}.png")
        assert mask.shape == (16 + number, 16 + number)
        assert float(rows[number]["ground"]) == pytest.approx((mask == 0).mean(), abs=1e-6)
    assert (out / "overlay.png").stat().st_size > 1000
    assert "--overwrite" in refused(capsys, *given)
    assert "would be written over" in refused(
        capsys, "segment", tmp_path / "run", folder / "images", "--out", folder / "images", "--overwrite"
    )


def test_a_killed_run_resumes_to_the_same_bits(archive, flags, tmp_path) -> None:
    command = ["segment-train", str(archive), *flags, "--flip", "--crop", "0.6"]
    assert main(command) == 0
    whole = load_model(tmp_path / "run" / "model").state_dict()
    other = [*command, "--out", str(tmp_path / "cut")]
    assert main([*other, "--max_minutes", "1e-9"]) == 0
    assert main([*other, "--resume"]) == 0
    again = load_model(tmp_path / "cut" / "model").state_dict()
    assert all(torch.equal(whole[name], again[name]) for name in whole)


@pytest.mark.parametrize("options", [{}, {"dice": 1.0}, {"class_weights": "enet"}])
def test_ignored_pixels_change_nothing(tmp_path, archive, options) -> None:
    """What lies under the ignored label may be anything."""
    from seqvision.segmentation.task import Segmentation
    from seqvision.segmentation.train import make_model

    config = SegmentTrainConfig(str(archive), model="dense_vit_debug", size=(16, 16), **options)
    weights = torch.tensor([1.0, 2.0, 3.0]) if "class_weights" in options else None
    task = Segmentation(make_model(config, ("a", "b", "c")), config, weights=weights)
    image = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    mask = torch.randint(0, 3, (2, 16, 16), generator=torch.Generator().manual_seed(1))
    mask[0] = 255
    task.model.eval()
    both, one = (
        task.training_scores(batch)
        for batch in ({"image": image, "mask": mask}, {"image": image[1:], "mask": mask[1:]})
    )
    assert both.loss.item() == pytest.approx(one.loss.item(), rel=1e-5)
    assert torch.equal(both.extras["matrix"], one.extras["matrix"])
    nothing = task.training_scores({"image": image[:1], "mask": mask[:1]})
    assert nothing.loss.item() == 0


def _sizes(folder) -> None:
    Image.new("P", (5, 5)).save(folder / "masks" / "p3.png")


def _label(folder) -> None:
    Image.fromarray(np.full((19, 19), 7, np.uint8)).save(folder / "masks" / "p3.png")


def _colour(folder) -> None:
    Image.new("RGB", (19, 19)).save(folder / "masks" / "p3.png")


def _damaged(folder) -> None:
    (folder / "masks" / "p3.png").write_bytes(b"\x89PNG\r\n\x1a\nrest")


def _missing(folder) -> None:
    (folder / "masks" / "p3.png").unlink()


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (_sizes, "is 5x5 pixels, its image p3.png 19x19"),
        (_label, "has the label 7; the 3 classes end at 2"),
        (_colour, "is a colour image"),
        (_damaged, "p3.png"),
        (_missing, "has no mask"),
    ],
)
def test_bad_masks(folder, flags, capsys, spoil, why) -> None:
    spoil(folder)
    line = refused(capsys, "segment-train", folder, *flags, "--classes", "ground,red,blue")
    assert why in line
    assert "p3" in line


def test_padding_is_done_when_asked_for(archive, flags, tmp_path) -> None:
    """And the output has the size that was given."""
    padded = ["--size", "18,15", "--model_options.padding", "pad"]
    assert main(["segment-train", str(archive), *flags, *padded]) == 0
    model = load_model(tmp_path / "run" / "model")
    assert model(torch.zeros(1, 3, 18, 15)).shape == (1, 3, 18, 15)


def test_another_backbone_takes_its_own_options(archive, flags, tmp_path, capsys) -> None:
    """None of those that the size has for the backbone it is made with."""
    keep = [word for pair in zip(flags[::2], flags[1::2], strict=True) for word in pair if "backbone" not in pair[0]]
    other = ["--model", "dense_debug", "--model_options.backbone", "test_simba"]
    line = refused(capsys, "segment-train", archive, *keep, *other)
    assert "height 16 is not divisible by the patch of 32" in line
    assert main(["segment-train", str(archive), *keep, *other, "--model_options.level", "0"]) == 0
    config = load_model(tmp_path / "run" / "model").config
    assert (config.backbone, config.backbone_options) == ("test_simba", {})


@pytest.mark.parametrize("model", ["sashimi_debug", "hyenadna_debug", "test_resnet"])
def test_a_run_of_another_kind_is_refused(model, folder, tmp_path, capsys) -> None:
    from seqsuite.models import create_model
    from seqvision.configs.models import ImageModelConfig
    from seqvision.models.image_model import ImageModel

    made = ImageModel(ImageModelConfig(architecture=model)) if model == "test_resnet" else create_model(model)
    made.save_pretrained(tmp_path / "run" / "model")
    given = ["segment", tmp_path / "run", folder / "images", "--out", tmp_path / "o"]
    assert f"holds a {type(made).__name__}, which segments no images" in refused(capsys, *given)
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--model", "weather_vit_debug"), "weather_vit_debug"),
        (("--model_options.num_classes", 4), "num_classes"),
        (("--crop", 0), "--crop"),
        (("--size", "18,16"), "height 18 is not divisible by the patch of 4; choose --model_options.padding pad"),
        (("--model", "dense_debug", "--size", "16,18", "--model_options.backbone_options.depth", 3), "width 18"),
        (("--model_options.backbone", "test_vitt"), "Did you mean"),
        (("--model_options.backbone_options.dpth", 2), "'dpth'. Did you mean 'depth'"),
        (("--model_options.hed_width", 2), "Did you mean 'head_width'"),
        (("--dice", -1), "--dice is -1.0; it must be at least 0"),
        (("--class_weights", "ent"), "expected 'none', 'enet'"),
        (("--masks", "none"), "no such folder"),
    ],
)
def test_bad_options(folder, flags, capsys, options, why) -> None:
    assert why in refused(capsys, "segment-train", folder, *flags, *options)


@pytest.mark.parametrize(
    ("arrays", "why"),
    [
        ({"x": np.zeros((3, 8, 8), np.uint8)}, "no array 'mask'"),
        ({"x": np.zeros((3, 8, 8), np.float32), "mask": np.zeros((3, 8, 8), np.uint8)}, "uint8"),
        ({"x": np.zeros((3, 8, 8), np.uint8), "mask": np.zeros((3, 8, 9), np.uint8)}, r"\(3, 8, 9\)"),
        ({"x": np.zeros((3, 8, 8), np.uint8), "mask": np.full((3, 8, 8), 255, np.uint8)}, "bad.npz.*--ignore 255"),
        ({"x": np.zeros((3, 8, 8), np.uint8), "mask": np.full((3, 8, 8), 2, np.uint8)}, "bad.npz.* label 2 alone"),
    ],
)
def test_bad_archives(tmp_path, arrays, why) -> None:
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(UserError, match=why):
        open_masks(str(tmp_path / "bad.npz"))


def test_unknown_sources(tmp_path, capsys, flags) -> None:
    (tmp_path / "empty" / "images").mkdir(parents=True)
    (tmp_path / "empty" / "masks").mkdir()
    (tmp_path / "bad.npz").write_text("no archive")
    for source, why in (("none", "composed_digits"), (tmp_path / "empty", "no images"), (tmp_path / "bad.npz", "read")):
        assert why in refused(capsys, "segment-train", source, *flags)


@pytest.fixture
def trained(archive, flags, tmp_path):
    assert main(["segment-train", str(archive), *flags]) == 0
    return tmp_path / "run"


def test_true_masks_belong_to_images_of_their_stem(trained, folder, tmp_path, capsys) -> None:
    """Names with brackets are names; hidden files are no images; p2.b.png is no mask of p2.png."""
    for part in ("images", "masks"):
        (folder / part / "p1.png").rename(folder / part / "p[1].png")
    (folder / "images" / "._p5.png").write_bytes(b"no image")
    given = ["segment", trained, folder / "images", "--out", tmp_path / "out", "--masks", folder / "masks"]
    assert main([str(part) for part in given]) == 0
    capsys.readouterr()
    (folder / "masks" / "p2.png").rename(folder / "masks" / "p2.b.png")
    assert "p2.png: has no mask" in refused(capsys, *given, "--overwrite")


def test_a_true_mask_with_another_label_is_named(trained, folder, tmp_path, capsys) -> None:
    Image.fromarray(np.full((19, 19), 9, np.uint8)).save(folder / "masks" / "p3.png")
    told = refused(capsys, "segment", trained, folder / "images", "--out", tmp_path / "o", "--masks", folder / "masks")
    assert "p3.png: has the label 9; the model's 3 classes end at 2" in told


def test_a_late_fault_leaves_nothing_half_written(trained, folder, tmp_path, capsys) -> None:
    (folder / "images" / "z_last.png").write_bytes(b"no image")
    flags = ["--batch_size", 1, "--out", tmp_path / "o"]
    assert "z_last.png: is no image" in refused(capsys, "segment", trained, folder / "images", *flags)
    assert not (tmp_path / "o").exists()
    (tmp_path / "o").mkdir()
    (tmp_path / "o" / "mine.txt").write_text("stays")
    refused(capsys, "segment", trained, folder / "images", *flags)
    assert [path.name for path in (tmp_path / "o").iterdir()] == ["mine.txt"]


def test_a_run_without_a_model_yet_says_so(folder, tmp_path, capsys) -> None:
    (tmp_path / "half" / "checkpoints").mkdir(parents=True)
    told = refused(capsys, "segment", tmp_path / "half", folder / "images", "--out", tmp_path / "o")
    assert "half holds no model (its run is not complete; go on with --resume)" in told


def test_no_flag_is_advised_that_is_not_there(trained, folder, flags, tmp_path, capsys) -> None:
    (folder / "images" / "p3.png").write_bytes(b"no image")
    for told in (
        refused(capsys, "segment", trained, folder / "images", "--out", tmp_path / "o"),
        refused(capsys, "segment-train", folder, *flags, "--out", tmp_path / "other"),
    ):
        assert "p3.png: is no image" in told
        assert "--on_error" not in told


@pytest.mark.parametrize(
    ("source", "options", "why"),
    [
        ("set", ("--valid_fraction", 0.5, "--test_fraction", 0.5), "leave nothing to train on"),
        ("set", ("--classes", "a,b,b"), "--classes names 'b' twice"),
        ("composed_digits", ("--classes", "a,b"), "--classes: composed_digits names its classes itself"),
        ("composed_digits", ("--masks", "elsewhere"), "--masks elsewhere: composed_digits has its own masks"),
    ],
)
def test_options_that_would_count_for_nothing(folder, flags, capsys, source, options, why) -> None:
    assert why in refused(capsys, "segment-train", folder if source == "set" else source, *flags, *options)
