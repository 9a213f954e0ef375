"""Laws of SimbaSeries: shapes, normalisation, columns apart or not, the untrained model, and files."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

import seqsuite
from seqsuite.errors import UserError
from seqsuite.models import load_model
from seqsuite.models.create import build_model
from seqvision.configs.series import SIZES, SimbaSeriesConfig, simba_series_debug
from seqvision.models.series import SimbaSeries

KINDS = {
    "columns apart": {},
    "columns together": {"independent": False},
    "variates": {"over": "variates", "both_ways": True},
    "last value": {"center": "last", "scale": False, "skip": "last"},
    "plain": {"center": "none", "scale": False, "skip": "none", "affine": True},
    "rows as tokens": {"patch": 1, "stride": 1, "mixer": "s4d", "mixer_options": {}},
    "patches that leave rows over": {"patch": 7, "stride": 5, "n_layer": 2},
}


def build(seed: int = 0, **changes: object) -> SimbaSeries:
    """Return a model whose head and skip say something, in float64."""
    torch.manual_seed(seed)
    config = dataclasses.replace(simba_series_debug(), **{"channels": 3, **changes})  # type: ignore[arg-type]
    model = build_model(config).double().eval()
    assert isinstance(model, SimbaSeries)
    torch.nn.init.normal_(model.head.weight, std=0.3)
    if model.skip is not None:
        torch.nn.init.normal_(model.skip.weight, std=0.1)
    return model


def windows(count: int = 4, seed: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 24, 3, generator=generator, dtype=torch.float64).cumsum(1)


@pytest.mark.parametrize("kind", KINDS)
def test_shapes_rows_and_gradients(kind: str) -> None:
    model, x = build(**KINDS[kind]), windows()
    y = model(x)
    assert y.shape == (4, 12, 3)
    torch.testing.assert_close(model.forward_head(model.forward_features(x), x), y)
    torch.testing.assert_close(model(x[2:3]), y[2:3])  # windows do not see each other
    y.square().mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name
    with pytest.raises(ValueError, match=r"\(B, 24, 3\)"):
        model(x[:, 1:])


def test_columns_apart_see_nothing_of_each_other_and_share_weights() -> None:
    model, x = build(), windows()
    torch.testing.assert_close(model(x[..., [2, 0, 1]]), model(x)[..., [2, 0, 1]])
    changed = x.clone()
    changed[..., 1] = 0
    torch.testing.assert_close(model(changed)[..., [0, 2]], model(x)[..., [0, 2]])


@pytest.mark.parametrize("kind", ["columns together", "variates"])
def test_columns_together_see_each_other(kind: str) -> None:
    model, x = build(**KINDS[kind]), windows()
    changed = x.clone()
    changed[..., 1] = windows(seed=2)[..., 1]
    assert (model(changed)[..., 0] - model(x)[..., 0]).abs().max() > 1e-6


@pytest.mark.parametrize("kind", ["columns apart", "columns together", "variates"])
def test_level_and_size_of_a_window_come_back_in_its_forecast(kind: str) -> None:
    """With mean and deviation taken out, a x + b forecasts a y + b, a column each (epsilon too small to matter)."""
    model, x = build(**KINDS[kind], norm_epsilon=1e-12), windows()
    size, level = torch.tensor([2.0, 0.5, 30.0]).double(), torch.tensor([-7.0, 100.0, 3.0]).double()
    torch.testing.assert_close(model(size * x + level), size * model(x) + level, rtol=1e-6, atol=1e-6)


def test_the_last_value_as_level() -> None:
    model, x = build(**KINDS["last value"]), windows()
    torch.testing.assert_close(model(x + 5), model(x) + 5)


@pytest.mark.parametrize(("center", "skip", "expected"), [("mean", "linear", "mean"), ("last", "last", "last")])
def test_an_untrained_model_says_what_its_skip_says(center: str, skip: str, expected: str) -> None:
    torch.manual_seed(0)
    model = build_model(dataclasses.replace(simba_series_debug(), channels=3, center=center, skip=skip)).double()  # type: ignore[arg-type]
    x = windows()
    known = x.mean(1, keepdim=True) if expected == "mean" else x[:, -1:]
    torch.testing.assert_close(model.eval()(x), known.expand(-1, 12, -1))


def test_a_constant_window_has_a_finite_forecast_and_gradient() -> None:
    model, x = build(), torch.full((2, 24, 3), 4.0, dtype=torch.float64, requires_grad=True)
    y = model(x)
    y.sum().backward()
    assert y.isfinite().all()
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_the_last_rows_are_always_seen() -> None:
    """Patches that do not fill the look-back leave its oldest rows out, never its newest."""
    model, x = build(patch=7, stride=5, skip="none", center="none", scale=False), windows()
    newest, oldest = x.clone(), x.clone()
    newest[:, -1] += 1
    oldest[:, :2] += 1  # 24 = 2 + 7 + 3 * 5
    assert (model(newest) - model(x)).abs().max() > 1e-6
    torch.testing.assert_close(model(oldest), model(x))


def test_blocks_run_again_in_the_backward_pass_give_the_same_gradients() -> None:
    model, x = build(n_layer=2), windows()
    found = []
    for again in (False, True):
        model.checkpoint_activations = again
        model.zero_grad()
        model(x).square().mean().backward()
        found.append([parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None])
    for first, second in zip(*found, strict=True):
        torch.testing.assert_close(first, second, rtol=0, atol=0)


@pytest.mark.parametrize("name", sorted(SIZES))
def test_sizes_are_listed_saved_and_loaded(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = seqsuite.create_model(name).eval()
    torch.nn.init.normal_(model.head.weight)
    x = torch.randn(2, model.config.look_back, model.config.channels)
    model.save_pretrained(tmp_path / name)
    again = load_model(tmp_path / name)
    assert (again.config, again.name) == (model.config, name)
    assert torch.equal(again(x), model(x))
    assert model.no_weight_decay() <= {path for path, _ in model.named_parameters()}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"patch": 25}, "a patch of 25 rows is longer than the look_back 24"),
        ({"d_model": 18}, "d_model 18 is no multiple of einfft_blocks 4"),
        ({"dropout": 1.0}, "dropout must be below 1"),
        ({"horizon": 0}, "horizon must be at least 1"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        SimbaSeriesConfig(**{**dataclasses.asdict(simba_series_debug()), **changes})
