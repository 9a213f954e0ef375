"""Per-pixel models: sizes, backbones, the head's equivariance, wrapping longitudes, export."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from seqsuite import create_model
from seqsuite.errors import UserError
from seqsuite.models import load_model
from seqvision.configs.dense import chosen, dense_debug, weather_debug
from seqvision.models.dense import DenseModel, NaiveHead

TINY = {"patch_size": 4, "depth": 1}
BACKBONES = {
    "vit": {"backbone": "test_vit", "backbone_options": TINY},
    "rectangular patches": {"backbone": "test_vit", "backbone_options": {"patch_size": [2, 8], "depth": 1}},
    "convnext": {"backbone": "test_convnext", "backbone_options": {}},
    "convnext, first level": {"backbone": "test_convnext", "backbone_options": {}, "level": 0},
    "resnet, second level": {"backbone": "test_resnet", "backbone_options": {}, "level": 2},
    "mamba_nd": {},
    "mamba_nd, merged": {"backbone_options": {"patch_size": 4}},
    "simba": {"backbone": "test_simba", "backbone_options": {}},
}


def made(**changes) -> DenseModel:
    torch.manual_seed(0)
    model = create_model("dense_debug", **{"backbone_options": {}, **changes} if "backbone" in changes else changes)
    assert isinstance(model, DenseModel)
    return model.eval()


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("size", [(32, 32), (33, 50)])
@pytest.mark.parametrize("options", BACKBONES.values(), ids=BACKBONES)
def test_any_size_from_any_backbone(options, size) -> None:
    """Every pixel gets its outputs, every parameter a gradient, and an export is the same function."""
    model = made(size=size, in_chans=2, num_classes=3, **options).train()
    out = model(noise(2, 2, *size))
    assert out.shape == (2, 3, *size)
    out.square().mean().backward()
    silent = [name for name, value in model.named_parameters() if value.grad is None or not value.grad.isfinite().all()]
    assert not silent
    torch.testing.assert_close(
        model.eval().forward_head(model.forward_features(noise(2, 2, *size))), model(noise(2, 2, *size))
    )


def test_export_round_trips(tmp_path) -> None:
    names = ("sky", "sea", "land")
    model = made(size=(20, 12), num_classes=3, class_names=names, mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.1))
    model.save_pretrained(tmp_path / "m")
    again = load_model(tmp_path / "m")
    assert again.config == model.config
    assert torch.equal(again(noise(1, 3, 20, 12)), model(noise(1, 3, 20, 12)))


def test_mean_and_deviation_are_those_of_the_input() -> None:
    plain, scaled = made(size=(16, 16)), made(size=(16, 16), mean=(1.0, 2.0, 3.0), std=(2.0, 4.0, 8.0))
    x = noise(1, 3, 16, 16)
    shifted = x * torch.tensor([2.0, 4.0, 8.0]).view(3, 1, 1) + torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1)
    torch.testing.assert_close(scaled(shifted), plain(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("norm", ["layer", "batch"])
def test_the_head_sees_one_place_at_a_time(norm) -> None:
    """Permuting the places of the features permutes its outputs."""
    torch.manual_seed(0)
    head = NaiveHead(8, 16, 3, norm=norm).eval()
    features = noise(2, 8, 5, 7)
    order = torch.randperm(35, generator=torch.Generator().manual_seed(2))

    def permuted(x: torch.Tensor) -> torch.Tensor:
        return x.flatten(2)[..., order].view_as(x)

    torch.testing.assert_close(head(permuted(features)), permuted(head(features)))


def test_a_head_that_starts_at_zero_gives_zeros() -> None:
    assert torch.count_nonzero(made(size=(16, 16), zero_head=True)(noise(1, 3, 16, 16))) == 0


def test_longitudes_wrap() -> None:
    """Turning the globe by whole patches turns the output, where the margin covers what a network sees."""
    options = {"backbone": "test_convnext", "level": 0, "size": (16, 64), "wrap": True, "margin": 8}
    model = made(**options)
    x = noise(1, 3, 16, 64)
    for columns in (4, 28, 60):
        torch.testing.assert_close(model(x.roll(columns, -1)), model(x).roll(columns, -1), rtol=1e-4, atol=1e-4)
    flat = made(**{**options, "wrap": False, "margin": 0})
    assert (flat(x.roll(28, -1)) - flat(x).roll(28, -1)).abs().max() > 1e-2


def test_what_is_added_around_the_globe_is_its_other_side() -> None:
    model = made(size=(7, 10), wrap=True, margin=1)
    x = torch.arange(70.0).view(1, 1, 7, 10).expand(1, 3, 7, 10)
    wide = model.padded(x)
    assert wide.shape[-2:] == (8, 20)
    torch.testing.assert_close(wide[0, 0, 0], torch.tensor([6.0, 7, 8, 9, *range(10), *range(6)]))
    torch.testing.assert_close(wide[0, 0, 7], wide[0, 0, 6])


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"size": (18, 16), "padding": "refuse"}, "height 18 is not divisible by the patch of 4"),
        ({"size": (16, 18), "padding": "refuse"}, "width 18"),
        ({"backbone": "test_vitt"}, "Did you mean 'test_vit'"),
        ({"backbone": "test_vit", "backbone_options": {"colour": 1}}, "colour"),
        ({"level": 9}, "levels 0 to"),
        ({"size": (16, 16), "wrap": True, "margin": 5}, "margin 5"),
        ({"class_names": ("a",)}, "class_names"),
        ({"std": (1.0, 0.0, 1.0)}, "std"),
        ({"head_drop": 1.0}, "head_drop"),
    ],
)
def test_bad_options_are_one_line(options, why) -> None:
    with pytest.raises(UserError, match=why) as told:
        made(**options)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("size", [dense_debug, weather_debug])
def test_only_another_backbone_drops_the_options_of_a_sizes_own(size) -> None:
    known = size()
    assert chosen(known, {"backbone": "resnet10t"}) == {"backbone": "resnet10t", "backbone_options": {}}
    given = {"backbone": "resnet10t", "backbone_options": {"stem_width": 8}}
    assert chosen(known, given) == given
    for kept in ({"backbone": known.backbone}, {"head_width": 4}, {}):
        assert chosen(known, kept) == kept


def test_another_input_is_refused() -> None:
    with pytest.raises(UserError, match=r"takes \(batch, 3, 16, 16\), not \(1, 3, 16, 20\)"):
        made(size=(16, 16))(noise(1, 3, 16, 20))


def test_activations_are_checkpointed_to_the_same_gradients() -> None:
    model = made(backbone="test_vit", backbone_options=TINY, size=(16, 16)).train()
    found = []
    for on in (False, True):
        model.checkpoint_activations = on
        model.zero_grad()
        model(noise(1, 3, 16, 16)).square().mean().backward()
        found.append([value.grad.clone() for value in model.parameters()])
    for first, second in zip(*found, strict=True):
        torch.testing.assert_close(first, second)


@pytest.mark.parametrize("name", ["seqvision.segmentation", "seqvision.weather", "seqvision.configs.dense"])
def test_importing_a_package_loads_no_torch(name) -> None:
    code = f"import sys, {name}; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
