"""Simple forecasters against statements of them that share no code."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from seqvision.baselines.series import choose_season, fit_ridge, last_value, score, seasonal_naive
from seqvision.baselines.series_networks import NETWORKS
from seqvision.data.series_windows import Windows

from .conftest import waves


@pytest.fixture
def parts() -> tuple[Windows, Windows, Windows]:
    values = waves(300, 3)
    rows = ((0, 180), (180, 240), (240, 300))
    return tuple(Windows(values, part, look_back=30, horizon=10) for part in rows)  # type: ignore[return-value]


def test_naive_forecasts_repeat() -> None:
    past = np.random.default_rng(0).standard_normal((4, 30, 2))
    found = last_value(5)(past)
    assert found.shape == (4, 5, 2)
    assert all(np.array_equal(found[:, step], past[:, -1]) for step in range(5))
    seasonal = seasonal_naive(50, 24)(past)
    for step in range(50):
        np.testing.assert_array_equal(seasonal[:, step], past[:, 30 - 24 + step % 24])
    with pytest.raises(ValueError, match="31"):
        seasonal_naive(5, 31)(past)


def test_a_season_is_recognised(parts: tuple[Windows, Windows, Windows]) -> None:
    assert choose_season(parts[1], (7, 24, 30)) == 24
    assert choose_season(parts[1], (168,)) is None


def test_ridge_is_that_of_scikit_learn(parts: tuple[Windows, Windows, Windows]) -> None:
    train, valid, test = parts
    past, future = train.arrays(range(len(train)))
    last = past[:, -1:].astype(float)
    x, y = ((part - last).transpose(0, 2, 1).reshape(-1, part.shape[1]) for part in (past, future))
    seen, _ = test.arrays(range(len(test)))
    ours = {}
    for penalty in (0.5, 50.0):
        reference = Ridge(alpha=penalty).fit(x, y)
        model = fit_ridge(train, valid, penalties=(penalty,))
        ours[penalty] = score(model.forecast, valid).mse
        turned = (seen - seen[:, -1:]).astype(float).transpose(0, 2, 1)
        expected = reference.predict(turned.reshape(-1, 30)).reshape(len(seen), 3, 10).transpose(0, 2, 1)
        np.testing.assert_allclose(model.forecast(seen), expected + seen[:, -1:], atol=1e-6)
    assert fit_ridge(train, valid, penalties=(0.5, 50.0)).penalty == min(ours, key=lambda penalty: ours[penalty])


def test_scores_are_means_over_everything(
    parts: tuple[Windows, Windows, Windows], monkeypatch: pytest.MonkeyPatch
) -> None:
    test = parts[2]
    past, future = test.arrays(range(len(test)))
    error = past[:, -1:].astype(float) - future
    monkeypatch.setattr("seqvision.baselines.series._AT_ONCE", 7 * 40 * 3)  # several pieces, the last one short
    found = score(last_value(10), test)
    assert found.mse == pytest.approx((error**2).mean(), rel=1e-12)
    assert found.mae == pytest.approx(np.abs(error).mean(), rel=1e-12)
    np.testing.assert_allclose(found.windows_mse, (error**2).mean((1, 2)), rtol=1e-12)
    np.testing.assert_allclose(found.columns_mse, (error**2).mean((0, 1)), rtol=1e-12)
    np.testing.assert_allclose(found.columns_mae, np.abs(error).mean((0, 1)), rtol=1e-12)
    np.testing.assert_allclose(found.steps_mse, (error**2).mean((0, 2)), rtol=1e-12)


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_linear_networks_are_linear_and_do_not_mix_columns(name: str) -> None:
    torch.manual_seed(0)
    model = NETWORKS[name](30, 10).double()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    x, y = torch.randn(2, 5, 30, 3, dtype=torch.float64)
    zero = model(torch.zeros_like(x))
    torch.testing.assert_close(model(2 * x - y) - zero, 2 * (model(x) - zero) - (model(y) - zero))
    torch.testing.assert_close(model(x[..., [2, 0, 1]]), model(x)[..., [2, 0, 1]])


def test_nlinear_follows_a_shift() -> None:
    torch.manual_seed(0)
    model, x = NETWORKS["NLinear"](30, 10).double(), torch.randn(5, 30, 3, dtype=torch.float64)
    torch.testing.assert_close(model(x + 7), model(x) + 7)


def test_dlinear_parts_add_up() -> None:
    """With the same weights for both parts it is one linear map of the look-back, whatever the average is."""
    torch.manual_seed(0)
    model, x = NETWORKS["DLinear"](30, 10).double(), torch.randn(5, 30, 3, dtype=torch.float64)
    torch.nn.init.normal_(model.trend.weight)
    model.rest.weight.data.copy_(model.trend.weight)
    expected = torch.einsum("blc,hl->bhc", x, model.trend.weight) + (model.trend.bias + model.rest.bias)[:, None]
    torch.testing.assert_close(model(x), expected)
