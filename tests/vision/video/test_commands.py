"""Train, evaluate and predict on videos through the command line; what is bad ends it with one line and code 2."""

from __future__ import annotations

import csv
import shutil

import numpy as np
import pytest
import torch

from seqsuite.errors import UserError
from seqvision.cli import main
from seqvision.data.video import read_clip
from seqvision.data.video_scoring import model_view
from seqvision.data.video_writing import write_video
from seqvision.evaluation import predict

from .conftest import moving
from .test_sources import bad_sources

TINY = ["--task", "video", "--model", "test_mamba_nd_3d", "--img_size", "16", "--frames", "4", "--frame_stride", "1"]
TINY += ["--model_options.depth", "2", "--steps", "2", "--batch_size", "2", "--accelerator", "cpu", "--threads", "1"]


def train(source, out, *more: str) -> int:
    return main(["train", str(source), *TINY, "--out", str(out), *more])


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Two classes of six videos."""
    folder = tmp_path_factory.mktemp("videos")
    for label in ("one", "two"):
        (folder / label).mkdir()
        for number in range(6):
            write_video(folder / label / f"{number}.mkv", moving(6, 16, 24, seed=number + 10 * (label == "two")))
    return folder


@pytest.fixture(scope="module")
def run(videos, tmp_path_factory):
    """A run of two steps with two stretches and three crops in evaluation."""
    out = tmp_path_factory.mktemp("runs") / "run"
    assert train(videos, out, "--views", "2", "--crops", "3") == 0
    return out


def refused(capsys, code: int) -> str:
    """Return the one line of a command that the user can mend."""
    said = capsys.readouterr().err.strip().splitlines()
    errors = [line for line in said if "Traceback" in line or 'File "' in line]
    assert (code, errors) == (2, [])
    return said[-1]


def test_evaluation_averages_the_views(run, videos, capsys):
    import seqvision

    assert main(["evaluate", str(run)]) == 0
    capsys.readouterr()
    loaded = seqvision.load(str(run))
    model = loaded.model.eval()
    view = model_view(model.config)
    assert (view.views, view.crops, view.sampling.frames) == (2, 3, 4)
    path = videos / "two" / "3.mkv"
    inputs = read_clip(path, view)
    assert inputs.shape == (6, 3, 4, 16, 16)
    with torch.no_grad():
        expected = model(inputs).softmax(-1).mean(0).numpy()
    for size in (1, 4, 6):
        np.testing.assert_allclose(predict(loaded, path, batch=size).probs[0], expected, atol=1e-6)


def test_a_model_keeps_how_it_sees_clips(run):
    import seqvision

    model = seqvision.load(str(run)).model
    view = model_view(model.config)
    assert (view.views, view.crops) == (2, 3)
    assert (view.mean, view.std) == (model.config.mean, model.config.std)
    assert view.size == (16, 16)


def test_a_model_of_images_takes_no_clips():
    import seqsuite

    with pytest.raises(UserError, match="is a model of images"):
        model_view(seqsuite.create_model("test_mamba_nd", num_classes=2).config)


def test_predict_on_a_folder_of_videos_and_on_one(run, videos, tmp_path, capsys):
    out = tmp_path / "said.csv"
    assert main(["predict", str(run), str(videos), "--out", str(out)]) == 0
    with out.open() as file:
        assert len(list(csv.DictReader(file))) == 12
    assert main(["predict", str(run), str(videos / "one" / "2.mkv"), "--out", str(tmp_path / "one.csv")]) == 0
    with (tmp_path / "one.csv").open() as file, out.open() as whole:
        (row,) = csv.DictReader(file)
        same = next(other for other in csv.DictReader(whole) if other[next(iter(row))].endswith("one/2.mkv"))
    assert list(row.values())[1:] == list(same.values())[1:]


def test_predict_on_a_real_video(run, real_data, tmp_path):
    out = tmp_path / "bunny.csv"
    assert main(["predict", str(run), str(real_data / "vision" / "bigbuckbunny.mp4"), "--out", str(out)]) == 0
    with out.open() as file:
        (row,) = csv.DictReader(file)
    assert "bigbuckbunny.mp4" in "".join(row.values())


def test_bad_sources_end_training_with_one_line(tmp_path, capsys):
    for name, (source, options, _) in bad_sources(tmp_path).items():
        flags = [word for key, value in options.items() for word in (f"--{key}", str(value))]
        line = refused(capsys, train(source, tmp_path / "run", *flags))
        assert str(source) in line or name in ("augmentation", "channels"), name
        assert not (tmp_path / "run").exists(), name


@pytest.mark.parametrize("workers", ["0", "2"])
def test_damaged_videos_end_training_with_one_line(videos, tmp_path, capsys, workers):
    shutil.copytree(videos, tmp_path / "all")
    for label in ("one", "two"):
        for number in range(6):
            (tmp_path / "all" / label / f"{number}.mkv").write_bytes(b"no video any more " * 50)
    line = refused(capsys, train(tmp_path / "all", tmp_path / "run", "--workers", workers))
    assert ".mkv: cannot be read as a video" in line


@pytest.mark.parametrize(("name", "content"), [("cut.mp4", b"rubbish" * 40), ("none.mp4", b""), ("gone.mp4", None)])
def test_bad_videos_end_a_prediction_with_one_line(run, tmp_path, capsys, name, content):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    line = refused(capsys, main(["predict", str(run), str(tmp_path / name), "--out", str(tmp_path / "said.csv")]))
    assert name in line
    assert not (tmp_path / "said.csv").exists()


def test_videos_that_cannot_be_read_are_skipped_and_listed(run, videos, tmp_path, capsys):
    shutil.copytree(videos / "one", tmp_path / "all")
    (tmp_path / "all" / "7.mkv").write_bytes(b"rubbish" * 40)
    np.save(tmp_path / "all" / "8.npy", np.zeros(3))
    (tmp_path / "all" / "8.npy").rename(tmp_path / "all" / "8.npz")
    whole = (tmp_path / "all" / "1.mkv").read_bytes()
    (tmp_path / "all" / "9.mkv").write_bytes(whole[: len(whole) // 3])  # its header is whole
    words = ["predict", str(run), str(tmp_path / "all"), "--out", str(tmp_path / "said.csv")]
    assert ".mkv" in refused(capsys, main(words))
    assert main([*words, "--on_error", "skip"]) == 0
    said = capsys.readouterr().err
    assert "7.mkv: cannot be read as a video" in said
    assert "8.npz: cannot be read as an .npz file" in said
    with (tmp_path / "said.csv").open() as file:
        names = {row["name"].rsplit("/", 1)[1] for row in csv.DictReader(file)}
    assert {f"{number}.mkv" for number in range(6)} <= names
    assert ("9.mkv" in names) == ("9.mkv:" not in said)
    (tmp_path / "bad").mkdir()
    shutil.move(tmp_path / "all" / "7.mkv", tmp_path / "bad")
    words[2] = str(tmp_path / "bad")
    line = refused(capsys, main([*words, "--on_error", "skip", "--overwrite"]))
    assert "none of its 1 videos can be read" in line


def test_a_model_of_images_becomes_one_of_clips(videos, tmp_path, capsys):
    """Four blocks of the image model begin four of six; patches are repeated over their two frames and halved."""
    from seqsuite.models.published import find_weights, read_weights

    images = tmp_path / "images.npz"
    np.savez(images, x=moving(24, 16, 16), y=np.arange(24) % 2)
    options = ["--model_options.depth", "4", "--model_options.merge_after", "[]", "--in_chans", "3"]
    words = ["--img_size", "16", "--steps", "2", "--batch_size", "2", "--accelerator", "cpu", "--threads", "1"]
    image_run = tmp_path / "image_run"
    assert main(["train", str(images), "--model", "test_mamba_nd", *options, *words, "--out", str(image_run)]) == 0
    more = ["--pretrained_from", str(image_run), "--model_options.depth", "6", "--lr", "1e-30"]
    assert train(videos, tmp_path / "clip_run", *more) == 0
    image, clip = (
        {name.removeprefix("net."): tensor for name, tensor in read_weights(find_weights(run / "model")).items()}
        for run in (image_run, tmp_path / "clip_run")
    )
    both = image["patch_embed.proj.weight"][:, :, None].expand(-1, -1, 2, -1, -1) / 2
    torch.testing.assert_close(clip["patch_embed.proj.weight"], both)
    names = [name for name in image if name.startswith("blocks.") and ".mixer." in name]
    assert len(names) >= 4 * 6
    for name in names:
        torch.testing.assert_close(clip[name], image[name])
