"""What a model sees: crops that stay in one place, views, normalisation, chance from a seed alone."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from seqsuite.data.order import item_rng
from seqsuite.errors import UserError
from seqvision.data.video_clips import Frames, Stretch
from seqvision.data.video_pictures import Colours, Crop, PadCrop, RandomCrop, resized, with_channels
from seqvision.data.video_sampling import Sampling
from seqvision.data.video_views import Changes, ClipView

from .conftest import moving

MEAN, STD = (0.1, 0.2, 0.3), (0.5, 0.25, 2.0)


def view(**options) -> ClipView:
    return ClipView(**{"sampling": Sampling(4, 2), "size": (16, 16), "mean": MEAN, "std": STD, **options})


def test_one_view_is_the_middle_normalised():
    frames = moving(20, 16, 16)
    seen = view().one(Frames(frames))
    # 20 frames hold a clip of 7; the middle one begins at 13 / 2, rounded up.
    expected = (torch.from_numpy(frames[[7, 9, 11, 13]]).permute(3, 0, 1, 2) / 255.0).float()
    expected = (expected - torch.tensor(MEAN).view(3, 1, 1, 1)) / torch.tensor(STD).view(3, 1, 1, 1)
    torch.testing.assert_close(seen, expected)
    assert seen.is_contiguous()


def test_all_views_are_stretches_times_crops():
    frames = moving(20, 16, 40)
    wide = view(views=2, crops=3)
    seen = wide.all(Frames(frames))
    assert seen.shape == (6, 3, 4, 16, 16)
    plain = view(mean=(0.0,) * 3, std=(1 / 255,) * 3, views=2, crops=3).all(Frames(frames))
    for number, (start, left) in enumerate((s, x) for s in (0, 13) for x in (0, 12, 24)):
        cut = frames[start : start + 8 : 2, :, left : left + 16]
        np.testing.assert_allclose(plain[number].permute(1, 2, 3, 0).numpy(), cut, atol=1e-3)


def test_a_file_and_its_frames_give_the_same_views(lossless, frames):
    many = view(views=3, crops=2, size=(24, 24))
    torch.testing.assert_close(many.all(Stretch(lossless / "clip.mp4")), many.all(Frames(frames)), rtol=0, atol=0)
    changed = many.changed(Stretch(lossless / "open.mkv"), Changes(hflip=0.5, jitter=0.4), seed=5)
    torch.testing.assert_close(changed, many.changed(Frames(frames), Changes(hflip=0.5, jitter=0.4), seed=5))


def test_a_stretch_of_a_file_is_the_slice(lossless, frames):
    part = Stretch(lossless / "clip.mkv", start=0.4, seconds=0.8)
    inner = view(size=(48, 64))
    torch.testing.assert_close(inner.one(part), inner.one(Frames(frames[10:30])), rtol=0, atol=0)
    with pytest.raises(UserError, match=r"clip\.mkv: there is no frame from 9 s"):
        inner.one(dataclasses.replace(part, start=9.0))


@pytest.mark.parametrize("crop", ["random", "pad", "none"])
def test_what_is_drawn_depends_on_the_seed_alone(crop):
    clip, changes = Frames(moving(30, 24, 32)), Changes(crop, hflip=0.5, vflip=0.5, jitter=0.4)
    first = [view().changed(clip, changes, seed=seed) for seed in range(6)]
    again = [view().changed(clip, changes, seed=seed) for seed in reversed(range(6))][::-1]
    for one, other in zip(first, again, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    assert len({one.sum().item() for one in first}) == 6


@pytest.mark.parametrize("crop", ["random", "pad", "none"])
def test_every_frame_of_a_clip_is_changed_in_the_same_way(crop):
    still = Frames(np.repeat(moving(1, 24, 32), 30, axis=0))
    for seed in range(8):
        seen = view().changed(still, Changes(crop, hflip=0.5, vflip=0.5, jitter=0.4), seed=seed)
        torch.testing.assert_close(seen, seen[:, :1].expand_as(seen), rtol=0, atol=0)


def test_nothing_is_mirrored_unless_asked():
    """A ramp from left to right stays one, whatever the crop; with a chance of 1 it is the other way round."""
    ramp = Frames(np.broadcast_to(np.linspace(0, 255, 64).astype(np.uint8)[:, None], (9, 48, 64, 3)).copy())
    for seed in range(20):
        assert (view().changed(ramp, Changes(), seed=seed).diff(dim=-1) >= 0).all()
        assert (view().changed(ramp, Changes(hflip=1.0), seed=seed).diff(dim=-1) <= 0).all()


def test_random_crops_keep_to_area_and_shape():
    shares, ratios = [], []
    for seed in range(300):
        crop = RandomCrop.draw(item_rng(seed), (16, 16), scale=(0.3, 0.9), ratio=(0.8, 1.25))
        left, top, right, bottom = crop.box(60, 80)
        assert 0 <= left < right <= 80 + 1e-9
        assert 0 <= top < bottom <= 60 + 1e-9
        shares.append((right - left) * (bottom - top) / 4800)
        ratios.append((right - left) / (bottom - top))
    assert min(shares) >= 0.3 - 1e-9
    assert max(shares) <= 0.9 + 1e-9
    assert max(shares) - min(shares) > 0.4
    assert 0.8 - 1e-9 <= min(ratios) < 0.85
    assert 1.15 < max(ratios) <= 1.25 + 1e-9


def test_a_frame_that_no_shape_fits_is_cut_as_large_as_may_be():
    crop = RandomCrop.draw(item_rng(0), (8, 8), scale=(1.0, 1.0), ratio=(0.75, 1.3333))
    left, top, right, bottom = crop.box(10, 400)
    assert (bottom - top, right - left) == pytest.approx((10, 13.333))


def test_a_crop_of_a_share_is_the_middle():
    frame = moving(1, 40, 60)[0]
    np.testing.assert_array_equal(Crop((20, 20), share=0.5)(frame), frame[10:30, 20:40])
    np.testing.assert_array_equal(Crop((40, 40), place=1.0)(frame), frame[:, 20:])
    tall = np.ascontiguousarray(frame.transpose(1, 0, 2))
    np.testing.assert_array_equal(Crop((40, 40), place=0.0)(tall), tall[:40])


@pytest.mark.parametrize("shift", [(0, 0), (2, -1), (-3, 2)])
def test_a_shift_moves_and_fills_with_zeros(shift):
    frame = moving(1, 12, 12)[0]
    seen = PadCrop(Crop((12, 12)), shift)(frame)
    padded = np.pad(frame, ((4, 4), (4, 4), (0, 0)))
    np.testing.assert_array_equal(seen, padded[4 - shift[0] : 16 - shift[0], 4 - shift[1] : 16 - shift[1]])


def test_resizing_is_antialiased():
    """Stripes of one pixel become grey when they are made four times smaller, not black or white."""
    stripes = np.zeros((32, 32, 1), np.uint8)
    stripes[:, ::2] = 255
    assert np.abs(resized(stripes, (0, 0, 32, 32), (8, 8))[:, 1:-1].astype(int) - 127).max() <= 8


def test_colours():
    frame = moving(1)[0]
    np.testing.assert_array_equal(Colours()(frame), frame)
    grey = Colours((1.0, 1.0, 0.0))(frame)
    assert np.ptp(grey, axis=2).max() <= 1
    flat = Colours((1.0, 0.0, 1.0))(frame[..., :1])
    assert np.ptp(flat) == 0
    np.testing.assert_allclose(Colours((0.5, 1.0, 1.0))(frame), frame / 2, atol=1.01)
    np.testing.assert_array_equal(with_channels(frame[..., :1], 3)[..., 2], frame[..., 0])
    np.testing.assert_allclose(with_channels(frame, 1)[..., 0], frame @ np.array([0.299, 0.587, 0.114]), atol=0.51)


def test_a_view_comes_back_from_what_a_model_keeps():
    said = view(sampling=Sampling(8, 3, 12.5, "sparse", "loop"), views=4, crops=3, share=0.9)
    again = ClipView.from_dict(said.to_dict(), size=said.size, mean=MEAN, std=STD)
    assert again == said


@pytest.mark.parametrize(
    ("options", "say"), [({"channels": 4}, "--in_chans is 4"), ({"views": 0}, "--views is 0"), ({"crops": 0}, "crops")]
)
def test_options_that_make_no_sense(options, say):
    with pytest.raises(UserError, match=say):
        view(**options)
