"""The commands on the terminal: train, evaluate, predict, export and import; bad input is one line and exit code 2."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image

import seqvision
import seqvision.configs.models
import seqvision.models.image_model
from seqvision.cli import main

FAST = ("--hflip", "0", "--threads", "1", "--model", "test_resnet")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of digits, trained for a few seconds."""
    folder = tmp_path_factory.mktemp("run") / "digits"
    flags = ("--epochs", "6", "--img_size", "32", "--lr", "3e-3", "--batch_size", "32", "--augment", "none")
    assert main(["train", "digits", *FAST, *flags, "--valid_fraction", "0", "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    """Images and labels."""
    from sklearn.datasets import load_digits

    found = load_digits()
    return np.round(found.images * (255 / 16)).astype(np.uint8), found.target


def pictures(folder: Path, digits: tuple[np.ndarray, np.ndarray], count: int = 4) -> Path:
    """Write the first images of each class."""
    images, labels = digits
    for label in range(10):
        (folder / str(label)).mkdir(parents=True)
        for number in np.flatnonzero(labels == label)[:count]:
            Image.fromarray(images[number]).save(folder / str(label) / f"{number}.png")
    return folder


def told(capsys: pytest.CaptureFixture[str]) -> str:
    """Return the one line on stderr."""
    err = capsys.readouterr().err.strip()
    assert "\n" not in err, err
    return err


def test_digits_are_learnt_in_seconds(run):
    summary = json.loads((run / "summary.json").read_text())
    # By chance 0.1; a linear classifier reaches 0.95.
    assert summary["test"]["top1"] > 0.85
    assert summary["test"]["count"] == 359
    assert sum(map(sum, summary["test"]["confusion"])) == 359
    report = (run / "report.html").read_text()
    assert "One row a class" in report
    assert "dealt out by class, seed 0" in report


def test_evaluate_measures_the_runs_own_test(run, tmp_path, capsys):
    out = tmp_path / "ev"
    assert main(["evaluate", str(run), "--out", str(out), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    summary = json.loads((run / "summary.json").read_text())["test"]
    for name in ("top1", "top5", "confusion", "count", "per_class"):
        assert result[name] == summary[name]
    rows = list(csv.DictReader((out / "predictions.csv").open()))
    assert np.mean([row["class"] == row["predicted"] for row in rows]) == pytest.approx(result["top1"])
    assert {path.name for path in out.iterdir()} == {
        "evaluation.json", "classes.csv", "predictions.csv", "confusion.png"}  # fmt: skip
    assert main(["evaluate", str(run), "--out", str(out)]) == 2
    assert "is not empty; add --overwrite" in told(capsys)


def test_evaluate_another_source(run, digits, tmp_path, capsys):
    folder = pictures(tmp_path / "some", digits)
    assert main(["evaluate", str(run), "--source", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["count"] == 40


def test_predict_a_folder(run, digits, tmp_path, capsys):
    folder, out = pictures(tmp_path / "some", digits), tmp_path / "p.csv"
    flags = ("--out", str(out), "--figure", str(tmp_path / "p.png"), "--top", "3")
    assert main(["predict", str(run), str(folder), *flags]) == 0
    rows = list(csv.DictReader(out.open()))
    assert list(rows[0]) == ["name", "top1", "p1", "top2", "p2", "top3", "p3"]
    right = np.mean([Path(row["name"]).parent.name == row["top1"] for row in rows])
    assert right > 0.8
    assert all(float(row["p1"]) >= float(row["p2"]) >= float(row["p3"]) for row in rows)
    assert Image.open(tmp_path / "p.png").size[0] > 300
    assert main(["predict", str(run), str(folder), "--out", str(out)]) == 2
    assert "p.csv exists; add --overwrite" in told(capsys)


def test_predict_one_image_and_arrays(run, digits, tmp_path):
    images, _ = digits
    Image.fromarray(images[3]).save(tmp_path / "3.png")
    np.savez(tmp_path / "x.npz", x=images[3:5])
    for source, out in (("3.png", "one.csv"), ("x.npz", "two.csv")):
        assert main(["predict", str(run), str(tmp_path / source), "--out", str(tmp_path / out)]) == 0
    one, two = (list(csv.DictReader((tmp_path / name).open())) for name in ("one.csv", "two.csv"))
    assert (len(one), len(two)) == (1, 2)
    assert one[0]["p1"] == two[0]["p1"]


def test_flattened_images_are_refused(run, digits, tmp_path, capsys):
    np.savez(tmp_path / "flat.npz", x=digits[0][:8].reshape(8, 64))
    assert main(["predict", str(run), str(tmp_path / "flat.npz"), "--out", str(tmp_path / "p.csv")]) == 2
    assert "must be (n, height, width)" in told(capsys)
    assert not (tmp_path / "p.csv").exists()


def test_names_in_other_scripts(digits, tmp_path, capsys):
    """They come out in tables and figures, and no warning of a missing letter is in the way."""
    folder = pictures(tmp_path / "all", digits)
    for label, name in enumerate(("猫", "собака;,", 'a "b"', "é", "🙂", "x", "y", "z", "v", "w")):
        (folder / str(label)).rename(folder / name)
    words = ("--steps", "1", "--img_size", "32", "--batch_size", "4", "--out", str(tmp_path / "run"))
    assert main(["train", str(folder), *FAST, *words]) == 0
    out = ["--out", str(tmp_path / "p.csv"), "--figure", str(tmp_path / "p.png"), "--top", "10"]
    assert main(["predict", str(tmp_path / "run"), str(folder), *out]) == 0
    assert main(["evaluate", str(tmp_path / "run"), "--out", str(tmp_path / "measured")]) == 0
    assert "Glyph" not in capsys.readouterr().err
    with (tmp_path / "p.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {rows[0][f"top{place}"] for place in range(1, 11)} == {path.name for path in folder.iterdir()}
    assert Image.open(tmp_path / "p.png").size[0] > 100


def test_export_is_read_by_timm_and_comes_back(run, digits, tmp_path):
    out = tmp_path / "timm"
    assert main(["export", str(run), "--out", str(out)]) == 0
    theirs = timm.create_model(f"local-dir:{out}", pretrained=True).eval()
    ours = seqvision.load(run)
    x = torch.randn(3, 1, 32, 32)
    assert torch.equal(theirs(x), ours.model(x))
    assert theirs.pretrained_cfg["label_names"] == list("0123456789")
    data = timm.data.resolve_model_data_config(theirs)
    assert tuple(data["mean"]) == ours.config.mean
    assert data["input_size"] == (1, 32, 32)
    assert main(["import", str(out), "--out", str(tmp_path / "back")]) == 0
    back = seqvision.load(tmp_path / "back")
    assert torch.equal(back.model(x), ours.model(x))
    assert (back.classes, back.config.mean, back.config.img_size) == (ours.classes, ours.config.mean, (32, 32))


@pytest.mark.parametrize(
    "wrong",
    [
        {"num_classes": "two"},
        {"pretrained_cfg": {"input_size": "wide"}},
        {"pretrained_cfg": ["mean"]},
        {"pretrained_cfg": {"mean": 0.5}},
        {"pretrained_cfg": {"crop_mode": "round"}},
        {"pretrained_cfg": {"crop_pct": "most"}},
        {"model_args": 3},
        {"label_names": 3},
    ],
)
def test_a_damaged_description_is_one_line(run, wrong, tmp_path, capsys):
    out = tmp_path / "timm"
    assert main(["export", str(run), "--out", str(out)]) == 0
    said = json.loads((out / "config.json").read_text())
    (out / "config.json").write_text(json.dumps({**said, **wrong}))
    capsys.readouterr()
    assert main(["import", str(out), "--out", str(tmp_path / "back")]) == 2
    told(capsys)
    assert not (tmp_path / "back").exists()


def test_a_model_of_clips_keeps_its_frames(tmp_path):
    """timm's own description of it leaves the frames out."""
    import seqvision.models

    assert "test_mamba_nd_3d" in seqvision.models.mamba_nd.CLIP_SIZES
    theirs = timm.create_model("test_mamba_nd_3d", num_classes=3).eval()
    timm.models.save_for_hf(theirs, tmp_path / "timm", safe_serialization=True)
    assert main(["import", str(tmp_path / "timm"), "--out", str(tmp_path / "ours")]) == 0
    torch.save(theirs.state_dict(), tmp_path / "weights.pth")
    words = ["--model", "test_mamba_nd_3d", "--out", str(tmp_path / "file")]
    assert main(["import", str(tmp_path / "weights.pth"), *words]) == 0
    x = torch.randn(2, 3, 4, 32, 32)
    for name in ("ours", "file"):
        ours = seqvision.load(tmp_path / name)
        assert ours.config.img_size == (4, 32, 32)
        assert torch.equal(ours.model(x), theirs(x))


@pytest.mark.parametrize("name", ["test_mamba_nd", "test_simba"])
def test_our_architectures_go_through_timms_layout(name, tmp_path):
    from seqsuite.models import create_model

    model = create_model(name, num_classes=3, in_chans=1, img_size=(32, 48), classes=("a", "b", "c")).eval()
    model.save_pretrained(tmp_path / "model")
    assert main(["export", str(tmp_path / "model"), "--out", str(tmp_path / "timm")]) == 0
    x = torch.randn(2, 1, 32, 48)
    theirs = timm.create_model(f"local-dir:{tmp_path / 'timm'}", pretrained=True).eval()
    assert torch.equal(theirs(x), model(x))
    assert main(["import", str(tmp_path / "timm"), "--out", str(tmp_path / "back")]) == 0
    assert torch.equal(seqvision.load(tmp_path / "back").model(x), model(x))


def test_a_file_of_weights_is_imported_with_its_number_of_classes(tmp_path, capsys):
    net = timm.create_model("test_vit", num_classes=6).eval()
    torch.save({"state_dict": net.state_dict(), "epoch": 1}, tmp_path / "w.pth")
    (tmp_path / "names.txt").write_text("\n".join("abcdef"))
    flags = ("--out", str(tmp_path / "m"), "--classes", str(tmp_path / "names.txt"))
    assert main(["import", str(tmp_path / "w.pth"), *flags]) == 2
    assert "give it with --model" in told(capsys)
    assert main(["import", str(tmp_path / "w.pth"), "--model", "test_vit", *flags]) == 0
    model = seqvision.load(tmp_path / "m")
    assert model.classes == tuple("abcdef")
    x = torch.randn(1, 3, 160, 160)
    assert torch.equal(model.model(x), net(x))


def test_weights_to_begin_from(run, tmp_path, capsys):
    out = tmp_path / "more"
    flags = ("--img_size", "32", "--steps", "1", "--lr", "0", "--warmup_lr", "0", "--weight_decay", "0",
             "--valid_fraction", "0", "--batch_size", "2")  # fmt: skip
    assert main(["train", "digits", *FAST, *flags, "--pretrained_from", str(run), "--out", str(out)]) == 0
    assert f"weights of {run}, with its head" in capsys.readouterr().err
    one, other = (dict(seqvision.load(folder).model.named_parameters()) for folder in (run, out))
    assert all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.parametrize("name", ["test_mamba_nd", "test_mamba_nd_3d", "test_resnet", "test_simba", "test_vit"])
def test_a_model_is_built_for_the_size_of_its_inputs(name, tmp_path):
    """Positions are a table of the data's own grid, and timm builds the same model from an export."""
    from seqsuite.models import load_model

    size = (2, 16, 24) if name.endswith("3d") else (32, 48)
    model = seqvision.models.image_model.ImageModel(
        seqvision.configs.models.ImageModelConfig(architecture=name, num_classes=3, img_size=size)
    ).eval()
    if "mamba" in name:
        grid = [length // patch for length, patch in zip(size, model.net.patch_embed.patch_size, strict=True)]
        assert list(model.net.pos_embed.shape) == [1, *grid, 32]
    model.save_pretrained(tmp_path / "model")
    x = torch.randn(2, 3, *size)
    assert torch.equal(load_model(tmp_path / "model").eval()(x), model(x))
    assert main(["export", str(tmp_path / "model"), "--out", str(tmp_path / "timm")]) == 0
    theirs = timm.create_model(f"local-dir:{tmp_path / 'timm'}", pretrained=True).eval()
    assert {key: value.shape for key, value in theirs.state_dict().items()} == {
        key: value.shape for key, value in model.net.state_dict().items()}  # fmt: skip
    assert torch.equal(theirs(x), model(x))


def test_an_import_keeps_the_table_of_positions_that_it_has(tmp_path):
    """timm built the model for one size and describes it for another: equal at both, resampled only if asked."""
    theirs = timm.create_model(
        "test_mamba_nd", num_classes=3, pretrained_cfg_overlay={"input_size": (3, 32, 32)}
    ).eval()
    timm.models.save_for_hf(theirs, tmp_path / "timm", safe_serialization=True)
    assert main(["import", str(tmp_path / "timm"), "--out", str(tmp_path / "ours")]) == 0
    ours = seqvision.load(tmp_path / "ours")
    assert ours.config.img_size == (32, 32)
    for side in (32, 64):
        x = torch.randn(2, 3, side, side)
        assert torch.equal(ours.model(x), theirs(x))
    words = ["--img_size", "32,32", "--out", str(tmp_path / "asked")]
    assert main(["import", str(tmp_path / "timm"), *words]) == 0
    asked = seqvision.load(tmp_path / "asked").model
    assert asked.net.pos_embed.shape[1:3] == (4, 4)
    x = torch.randn(2, 3, 32, 32)
    assert torch.equal(asked(x), theirs(x))


def test_weights_of_another_size_are_resampled(tmp_path, capsys):
    """A run's positions become those of the new run's grid, as the first run would resample them itself."""
    base = ["train", "digits", "--model", "test_mamba_nd", "--model_options.patch_size", "4", "--hflip", "0"]
    base += ["--steps", "1", "--batch_size", "2", "--valid_fraction", "0", "--threads", "1"]
    base += ["--lr", "0", "--warmup_lr", "0", "--weight_decay", "0"]
    assert main([*base, "--out", str(tmp_path / "a")]) == 0
    more = ["--img_size", "16", "--pretrained_from", str(tmp_path / "a"), "--out", str(tmp_path / "b")]
    assert main([*base, *more]) == 0
    assert "with its head" in capsys.readouterr().err
    first, second = (seqvision.load(tmp_path / name).model for name in "ab")
    assert (first.net.pos_embed.shape[1:3], second.net.pos_embed.shape[1:3]) == ((2, 2), (4, 4))
    x = torch.randn(2, 1, 16, 16)
    assert torch.equal(first(x), second(x))


def test_patches_that_are_filled_up_only_when_asked(tmp_path, capsys):
    words = ["train", "digits", "--model", "test_mamba_nd", "--model_options.patch_size", "3", "--hflip", "0"]
    words += ["--steps", "1", "--batch_size", "2", "--threads", "1", "--out", str(tmp_path / "run")]
    assert main([*words, "--model_options.pad_input", "false"]) == 2
    assert "patches of 3 x 3: 8 x 8 is no multiple" in told(capsys)
    assert main([*words, "--model_options.pad_input", "true"]) == 0
    assert seqvision.load(tmp_path / "run").model.net.pos_embed.shape[1:3] == (3, 3)


def test_workers_and_half_precision_train_the_same_run(tmp_path):
    """Whoever reads the images, the weights are the same; weights in bfloat16 are finite and are loaded again."""
    words = ["train", "digits", "--model", "test_mamba_nd", "--hflip", "0", "--steps", "4", "--batch_size", "4"]
    words += ["--threads", "1", "--valid_fraction", "0", "--mixup", "0.2"]
    more = {"plain": [], "workers": ["--workers", "2"], "half": ["--precision", "bf16-true"]}
    for name, flags in more.items():
        assert main([*words, *flags, "--out", str(tmp_path / name)]) == 0
    plain, workers, half = (seqvision.load(tmp_path / name).model.state_dict() for name in more)
    assert all(torch.equal(value, workers[key]) for key, value in plain.items())
    assert all(torch.isfinite(value).all() for value in half.values())
    assert all(torch.allclose(value.float(), plain[key], atol=0.02) for key, value in half.items())


def test_a_result_tells_inputs_a_second(tmp_path):
    from seqvision.configs.train import VisionTrainConfig
    from seqvision.training import train

    options = {"model": "test_resnet", "hflip": 0.0, "batch_size": 4, "threads": 1, "valid_fraction": 0.0}
    done = train(VisionTrainConfig("digits", steps=6, out=str(tmp_path / "run"), **options))
    assert done.table()["images per second"] == done.fit.tokens_per_second > 0
    assert done.to_dict()["images_per_second"] > 0
    assert not [name for name in done.table() if "token" in name]
    # After three steps the clock has just begun: there is no rate, and none is shown.
    short = train(VisionTrainConfig("digits", steps=3, out=str(tmp_path / "short"), **options))
    assert not [name for name in short.table() if "per second" in name]


# Bad input


def no_class(folder: Path) -> str:
    (folder / "empty").mkdir()
    return "empty: the class has no image"


def corrupt(folder: Path) -> str:
    (folder / "3" / "bad.png").write_bytes(b"\x89PNG no more")
    return "bad.png: is no image that can be read"


def truncated(folder: Path) -> str:
    path = next((folder / "3").iterdir())
    path.write_bytes(path.read_bytes()[:-30])
    return f"{path.name}: is damaged"


def floats(folder: Path) -> str:
    Image.new("F", (8, 8)).save(folder / "3" / "f.tif")
    return "f.tif: holds floats"


@pytest.mark.parametrize("spoil", [no_class, corrupt, truncated, floats], ids=lambda spoil: spoil.__name__)
def test_bad_folders(spoil, digits, tmp_path, capsys):
    folder = pictures(tmp_path / "some", digits)
    message = spoil(folder)
    assert main(["train", str(folder), *FAST, "--out", str(tmp_path / "run")]) == 2
    assert message in told(capsys)
    assert not (tmp_path / "run").exists()


def test_no_epochs_and_no_steps_are_no_run(tmp_path, capsys):
    assert main(["train", "digits", *FAST, "--epochs", "0", "--out", str(tmp_path / "run")]) == 2
    assert "--epochs is 0.0; it must be above 0 where --steps is 0" in told(capsys)


def test_a_class_of_one_image_is_named_with_its_source(digits, tmp_path, capsys):
    folder = pictures(tmp_path / "some", digits)
    for path in sorted((folder / "3").iterdir())[1:]:
        path.unlink()
    assert main(["train", str(folder), *FAST, "--out", str(tmp_path / "run")]) == 2
    assert f"{folder}: class '3' has 1 input, too few for 3 splits" in told(capsys)


def test_mixed_modes_are_converted_and_counted(digits, tmp_path, capsys):
    folder = pictures(tmp_path / "some", digits)
    images, _ = digits
    first = Image.fromarray(images[0])
    first.convert("P").save(folder / "0" / "palette.png")
    first.convert("RGBA").save(folder / "0" / "alpha.png")
    Image.fromarray(images[0].astype(np.uint16) * 257).save(folder / "0" / "deep.png")
    flags = ("--steps", "1", "--img_size", "32", "--batch_size", "4", "--out", str(tmp_path / "run"))
    assert main(["train", str(folder), *FAST, *flags]) == 0
    err = capsys.readouterr().err
    for said in ("palettes were looked up", "transparency was laid over white", "16-bit levels were divided by 257"):
        assert f"1 of 43: {said}" in err
        assert said in (tmp_path / "run" / "report.html").read_text()


def test_corrupt_images_are_skipped_and_listed(digits, tmp_path, capsys):
    folder = pictures(tmp_path / "some", digits)
    (folder / "3" / "bad.png").write_bytes(b"no")
    flags = ("--on_error", "skip", "--steps", "1", "--img_size", "32", "--batch_size", "4")
    assert main(["train", str(folder), *FAST, *flags, "--out", str(tmp_path / "run")]) == 0
    assert "skipped: " in capsys.readouterr().err
    assert "bad.png" in (tmp_path / "run" / "report.html").read_text()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("nowhere",), "nowhere: there is no such file or folder. Known: digits, fashion_mnist"),
        (("digit",), "Did you mean 'digits'"),
        (
            ("digits", "--model", "test_vit", "--img_size", "20"),
            "test_vit cuts inputs into patches of 16 x 16: 20 x 20",
        ),
        (("digits", "--model", "test_mamband"), "Unknown model 'test_mamband'. Did you mean"),
        (("digits", "--mixup", "0.2", "--batch_size", "5"), "must be even"),
        (("digits", "--interpolation", "bicubik"), "Unknown --interpolation 'bicubik'. Did you mean 'bicubic'"),
        (("digits", "--aa", "nonsense"), "--aa nonsense: timm does not take it"),
        (("digits", "--ema", "true", "--precision", "bf16-true"), "--ema needs weights in float32"),
        (("digits", "--hflip", "2"), "--hflip is 2.0; it must be between 0 and 1"),
        (("digits", "--test_fraction", "0.9999"), "too few for 3 splits|must be below 1 together"),
        (("digits", "--model", "dense_debug"), "dense_debug is no classifier .* see `seqvision segment-train`"),
        (("digits", "--model", "weather_debug"), "see `seqvision weather-train`"),
        (("digits", "--model", "simba_series_debug"), "see `seqvision forecast-train`"),
        (("digits", "--model", "test_mamba_nd_3d"), "--model test_mamba_nd_3d takes clips: give --task video"),
        (("digits", "--pretrained_from", "nowhere"), "nowhere: does not exist"),
        (("digits", "--ema_decay", "1"), "--ema_decay is 1.0; it must be above 0 and below 1"),
        (("digits", "--layer_decay", "1e9"), "--layer_decay is 1000000000.0; it must be between 0 and 1"),
        (
            ("digits", "--model", "test_mamba_nd", "--model_options.patch_size", "3"),
            "test_mamba_nd cuts inputs into patches of 3 x 3: 8 x 8 is no multiple; .*--model_options.pad_input true",
        ),
        (
            ("digits", "--model", "test_mamba_nd", "--img_size", "[20,24]"),
            "patches of 8 x 8: 20 x 24 is no multiple; change --img_size",
        ),
        (
            ("digits", "--model", "test_mamba_nd", "--model_options.embed_dm", "8"),
            "unexpected keyword argument 'embed_dm'. Did you mean 'embed_dim'",
        ),
        (("digits", "--model", "test_simba", "--model_options.depts", "1"), "'depts'. Did you mean 'depths'"),
        (("digits", "--model_options.drop_rte", "0.1"), "'drop_rte'. Did you mean 'drop_rate'"),
        (("digits", "--opt_options.epss", "1e-7"), "'epss'. Did you mean 'eps'"),
        (("digits", "--opt", "lamb", "--opt_options.trust_clp", "1"), "'trust_clp'. Did you mean 'trust_clip'"),
        (("digits", "--sched_options.cycle_limt", "3"), "no 'cycle_limt'. Did you mean 'cycle_limit'"),
        (("digits", "--lr", "nan"), "--lr: expected float"),
        (("digits", "--decay", "published"), "--decay has no effect here"),
    ],
)
def test_options_that_cannot_be(flags, message, tmp_path, capsys):
    import re

    defaults: tuple[Any, ...] = ("--model", "test_resnet") if "--model" not in flags else ()
    assert main(["train", *flags, *defaults, "--steps", "1", "--out", str(tmp_path / "run")]) == 2
    assert re.search(message, told(capsys))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("verb", "message"),
    [
        (("evaluate", "nowhere"), "nowhere: there is no such folder"),
        (("predict", "RUN", "nowhere.png"), "nowhere.png: there is no such file or folder"),
        (("predict", "RUN", "HERE"), "holds no image"),
        (("predict", "RUN", "HERE", "--out", "x.txt"), "x.txt must end in .csv"),
        (("evaluate", "RUN", "--split", "tets"), "--split is 'tets'"),
        (("evaluate", "RUN", "--split", "valid"), "has no image in the split 'valid'; it has train, test"),
        (("export", "nowhere", "--out", "x"), "nowhere: holds no model of SeqSuite"),
        (("import", "RUN", "--out", "OUT"), "is a model of SeqSuite already"),
        (("import", "nowhere.pth", "--model", "test_vit", "--out", "OUT"), "nowhere.pth: does not exist"),
    ],
)
def test_verbs_that_cannot_be(verb, message, run, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    places = {"RUN": str(run), "HERE": str(tmp_path / "here"), "OUT": str(tmp_path / "out")}
    assert main([places.get(word, word) for word in verb]) == 2
    assert message in told(capsys)
