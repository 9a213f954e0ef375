"""Published Mamba-ND checkpoints: read in every layout, written back, inflated from images to videos."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import seqvision.models  # noqa: F401  enters the names
from seqsuite.errors import UserError
from seqvision.models.mamba_nd import MambaND, checkpoint_filter_fn, inflate, to_published
from seqvision.models.mamba_nd_parts import resample_positions

CASES = Path(__file__).parents[2] / "parity" / "cases" / "mamba_nd"
SMALL = {"embed_dim": 12, "num_classes": 5, "mixer_options": {"d_state": 4}}


def build(seed: int = 0, **given) -> MambaND:
    torch.manual_seed(seed)
    model = MambaND(**({"img_size": 16, "patch_size": 4, "depth": 4} | SMALL | given)).eval()
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            nn.init.normal_(module.weight)
    if model.num_classes:
        nn.init.normal_(model.head.weight)
    return model


def video(seed: int = 1, **given) -> MambaND:
    args = {"img_size": (4, 16, 16), "patch_size": (2, 4, 4), "depth": 6, "final_norm": False, "fc_norm": False}
    return build(seed, **(args | given))


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("case", ["mamba2d_4x4_all_directions", "mamba2d_featmap"])
def test_published_names_and_back(case):
    published = load_file(CASES / case / "weights.safetensors")
    classes = 10 if "head.fc.weight" in published else 0
    width, options = len(published["backbone.ln1.weight"]), {"dt_rank": 2}
    model = MambaND(16, 4, num_classes=classes, embed_dim=width, depth=4, mixer_options=options, fc_norm=classes > 0)
    ours = checkpoint_filter_fn({"state_dict": published, "meta": {}}, model)
    model.load_state_dict(ours)
    assert same(checkpoint_filter_fn(ours, model), model.state_dict())  # our own names stay
    assert same(to_published(model.state_dict(), model), published)


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({}, {"backbone.patch_embed.projection.weight", "cls_head.fc_cls.weight", "backbone.pos_embed"}),
        ({"fc_norm": True}, {"patch_embed.projection.weight", "head.0.weight", "head.1.bias", "pos_embed"}),
    ],
)
def test_video_layouts(given, names):
    model, other = video(**given), video(2, **given)
    published = to_published(model.state_dict(), model)
    assert names <= published.keys()
    assert published[min(name for name in names if name.endswith("pos_embed"))].shape == (1, 32, 12)
    other.load_state_dict(checkpoint_filter_fn(published, other))
    assert same(other.state_dict(), model.state_dict())


def test_merging_belongs_to_the_block_before_it_there():
    model = build(merge_after=(1,))
    published = to_published(model.state_dict(), model)
    assert "backbone.layers.1.down_sample_layer.reduction.weight" in published
    assert same(checkpoint_filter_fn(published, model), model.state_dict())


def test_timm_loads_a_published_file(tmp_path):
    torch.manual_seed(0)
    source = timm.create_model("test_mamba_nd").eval()
    nn.init.normal_(source.head.weight)
    path = tmp_path / "published.pth"
    torch.save({"state_dict": to_published(source.state_dict(), source)}, path)
    given = {"pretrained": True, "pretrained_cfg_overlay": {"file": str(path)}}
    x = torch.randn(2, 3, 64, 64)
    assert torch.equal(timm.create_model("test_mamba_nd", **given).eval()(x), source(x))

    other = timm.create_model("test_mamba_nd", num_classes=3, img_size=(48, 80), **given).eval()
    assert other(x).shape == (2, 3)
    torch.testing.assert_close(other.pos_embed, resample_positions(source.pos_embed, (6, 10)))
    grey = timm.create_model("test_mamba_nd", in_chans=1, **given).eval()
    torch.testing.assert_close(grey(x[:, :1]), source(x[:, :1].expand(-1, 3, -1, -1)), atol=1e-4, rtol=1e-4)


def test_a_video_checkpoint_for_other_channels():
    model, grey = video(), video(2, in_chans=1)
    grey.load_state_dict(checkpoint_filter_fn(to_published(model.state_dict(), model), grey))
    x = torch.randn(1, 1, 4, 16, 16)
    torch.testing.assert_close(grey(x), model(x.expand(-1, 3, -1, -1, -1)), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("copy_time", [False, True])
def test_blocks_of_an_inflated_model(copy_time):
    image, target = build(depth=8), video(depth=12)
    kept = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    state = inflate(to_published(image.state_dict(), image), target, copy_time=copy_time)
    origin = [0, 1, 2, 3, 2, 3, 4, 5, 6, 7, 6, 7]
    for index, block in enumerate(origin):
        along_time = index % 6 >= 4
        for name, tensor in image.blocks[block].state_dict().items():
            there = f"blocks.{index}.{name}"
            assert torch.equal(state[there], kept[there] if along_time and not copy_time else tensor)
    target.load_state_dict(state)


def test_an_inflated_model_sees_still_frames_as_the_image_model_does():
    """Frames scanned on their own, before any block along time: every frame has the image's features."""
    image = build(img_size=(12, 20))
    target = video(img_size=(6, 12, 20), orders="hw_t", fc_norm=True)
    target.load_state_dict(checkpoint_filter_fn(to_published(image.state_dict(), image), target))
    x = torch.randn(2, 3, 12, 20)
    (frames,) = target.forward_intermediates(
        x[:, :, None].expand(-1, -1, 6, -1, -1), [3], output_fmt="NHWC", intermediates_only=True
    )
    (expected,) = image.forward_intermediates(x, [3], output_fmt="NHWC", intermediates_only=True)
    torch.testing.assert_close(frames, expected[:, None].expand(-1, 3, -1, -1, -1))
    assert torch.equal(target.head.weight, image.head.weight)


def test_positions_over_time():
    image, target = build(), video(img_size=(8, 24, 16))
    table = image.state_dict()["pos_embed"]
    frame = resample_positions(table, (6, 4))[0]
    weights = {
        "repeat": [1.0] * 4,
        "cosine": [math.cos(math.pi * t / 4) for t in range(4)],
        "single": [0.0, 0.0, 1.0, 0.0],
    }
    for way, expected in weights.items():
        state = inflate(image.state_dict(), target, positions=way)
        for t, weight in enumerate(expected):
            torch.testing.assert_close(state["pos_embed"][0, t], weight * frame)


def test_a_square_of_positions_finds_another_grid():
    image, larger = build(), build(1, img_size=24)
    state = checkpoint_filter_fn(to_published(image.state_dict(), image), larger)
    torch.testing.assert_close(state["pos_embed"], resample_positions(image.pos_embed, (6, 6)))
    still, wider = video(), video(2, img_size=(4, 24, 8))
    state = checkpoint_filter_fn(to_published(still.state_dict(), still), wider)
    torch.testing.assert_close(state["pos_embed"], resample_positions(still.pos_embed, (2, 6, 2)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: inflate(build(merge_after=(1,)).state_dict(), video()), "merges patches within"),
        (lambda: inflate(build(depth=8).state_dict(), video()), "six blocks for four"),
        (lambda: inflate(build(embed_dim=8).state_dict(), video()), "in the image model and"),
        (lambda: inflate(build().state_dict(), video(), positions="cosin"), "Did you mean 'cosine'"),
        (
            lambda: checkpoint_filter_fn(to_published((m := build(img_size=(12, 20))).state_dict(), m), build()),
            "15 positions are neither the model's grid",
        ),
    ],
)
def test_what_cannot_be_read_is_told(call, message):
    with pytest.raises(UserError, match=message):
        call()
