"""Made-up pictures of squares with their masks, and the plugin's rows of this area."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seqvision.configs.dense import SIZES


def squares(count: int, size: int = 16, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Grey noise with a red or a blue square: (n, H, W, 3) uint8 and masks (n, H, W) of 0, 1 (red), 2 (blue)."""
    rng = np.random.default_rng(seed)
    images = rng.integers(60, 120, (count, size, size, 1)).repeat(3, -1).astype(np.uint8)
    masks = np.zeros((count, size, size), np.uint8)
    for number in range(count):
        top, left = rng.integers(0, size // 2, 2)
        kind = int(rng.integers(2))
        place = np.s_[number, top : top + size // 2, left : left + size // 2]
        images[place] = (220, 20, 20) if kind == 0 else (20, 20, 220)
        masks[place] = kind + 1
    return images, masks


@pytest.fixture(autouse=True)
def announced(monkeypatch) -> None:
    """Let the plugin list this area's models and commands, whatever else it lists."""
    from seqvision.plugin import plugin

    for name in SIZES:
        monkeypatch.setitem(plugin.models, name, f"seqvision.configs.dense:{name}")
    monkeypatch.setitem(plugin.commands, "segment", "seqvision.cli.segment:segment")
    monkeypatch.setitem(plugin.commands, "segment-train", "seqvision.cli.segment_train:segment_train")


@pytest.fixture
def archive(tmp_path) -> Path:
    """Sixty pictures with their split."""
    images, masks = squares(60)
    split = np.array(["train"] * 40 + ["valid"] * 8 + ["test"] * 12)
    np.savez(tmp_path / "squares.npz", x=images, mask=masks, split=split)
    return tmp_path / "squares.npz"


@pytest.fixture
def folder(tmp_path) -> Path:
    """Ten pictures of unequal sizes as files, masks with a palette."""
    for name in ("images", "masks"):
        (tmp_path / "set" / name).mkdir(parents=True)
    for number in range(10):
        images, masks = squares(1, size=16 + number, seed=number)
        Image.fromarray(images[0]).save(tmp_path / "set" / "images" / f"p{number}.png")
        mask = Image.fromarray(masks[0])
        mask.putpalette([0, 0, 0, 255, 0, 0, 0, 0, 255])
        mask.save(tmp_path / "set" / "masks" / f"p{number}.png")
    return tmp_path / "set"


@pytest.fixture
def flags(tmp_path) -> list[str]:
    """A short run of a tiny transformer; the source goes in front."""
    options = {
        **{"model": "dense_vit_debug", "size": "16,16", "steps": 4, "batch_size": 4, "log_every": 1},
        **{"validate_every": 2, "checkpoint_every": 2, "threads": 1, "out": tmp_path / "run"},
        **{"model_options.backbone_options.patch_size": 4, "model_options.backbone_options.depth": 1},
    }
    return [part for name, value in options.items() for part in (f"--{name}", str(value))]
