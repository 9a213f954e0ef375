"""Caduceus-PS is RC-equivariant at every depth, width and setting of the half-swap: the full grid.

`test_equivariance.py` draws from the options at random; here each combination has its turn. With matrix
products that treat every row alike the difference is exactly 0.0 in float32; with those of the machine, which
may sum the rows at the edge of a tile in another order, it is at most 1e-12 in float64, and noted in float32.
"""

from __future__ import annotations

import pytest
import torch

import seqsuite
from seqdna.models.strands import rc_features, rc_ids

DEPTHS = (1, 2, 3, 4)
WIDTHS = (1, 2, 3, 7, 16, 17, 31, 48)


def row_by_row(x, weight, bias=None):
    """`F.linear` that gives a row the same bits wherever it stands in the batch."""
    y = (x[..., None, :] * weight).sum(-1)
    return y if bias is None else y + bias


@pytest.fixture
def alike(monkeypatch):
    """Turns the products of the machine into those of `row_by_row`."""
    return lambda: monkeypatch.setattr(torch.nn.functional, "linear", row_by_row)


def build(dtype: torch.dtype, depth: int, width: int, **options) -> torch.nn.Module:
    torch.manual_seed(depth * 1000 + width)
    model = seqsuite.create_model(
        "caduceus_ps_debug", n_layer=depth, d_model=width, mixer_options={"d_state": 4}, **options
    )
    with torch.no_grad():
        model.embedding.weight.normal_()
    return model.to(dtype).eval()


def differences(model: torch.nn.Module, ids: torch.Tensor) -> dict[str, float]:
    """Return the largest difference between what a sequence gives and what its reverse complement gives."""
    other = rc_ids(ids, model.complement)
    with torch.no_grad():
        features, turned = model.forward_features(ids), model.forward_features(other)
        logits, back = model(ids), model(other).flip(1)[..., model.complement]
        pooled, pooled_back = model.pool(features), model.pool(turned)
    pairs = {
        "features": (rc_features(turned), features), "logits": (back, logits), "pooled": (pooled_back, pooled)
    }  # fmt: skip
    return {name: (a - b).abs().max().item() for name, (a, b) in pairs.items()}


def ids_of(length: int, rows: int = 2) -> torch.Tensor:
    return torch.randint(7, 12, (rows, length), generator=torch.Generator().manual_seed(length))


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("swap_halves", [False, True])
def test_every_depth_width_and_half_swap(depth, width, swap_halves, alike, record_property) -> None:
    ids = ids_of(19)
    double, single = (build(dtype, depth, width, swap_halves=swap_halves) for dtype in (torch.float64, torch.float32))
    found = differences(double, ids)
    assert max(found.values()) <= 1e-12, found
    found = differences(single, ids)
    record_property("float32", found)
    assert max(found.values()) < 1e-4
    alike()
    found = differences(single, ids)
    assert found["features"] == 0.0
    assert found["logits"] == 0.0  # the pooled mean adds positions in another order


@pytest.mark.parametrize("length", [1, 2, 3, 64, 129])
@pytest.mark.parametrize("swap_halves", [False, True])
@pytest.mark.parametrize("tie", [False, True])
@pytest.mark.parametrize("strategy", ["add", "ew_multiply"])
@pytest.mark.parametrize("norm", ["rms", "layer"])
def test_every_length_and_way_to_combine(length, swap_halves, tie, strategy, norm, alike) -> None:
    options = {"bidirectional_weight_tie": tie, "bidirectional_strategy": strategy, "norm": norm}
    found = differences(build(torch.float64, 3, 7, swap_halves=swap_halves, **options), ids_of(length))
    assert max(found.values()) <= 1e-12, found
    alike()
    found = differences(build(torch.float32, 3, 7, swap_halves=swap_halves, **options), ids_of(length))
    assert max(found["features"], found["logits"]) == 0.0, found


@pytest.mark.parametrize("swap_halves", [False, True])
def test_one_way_models_too(swap_halves, alike) -> None:
    options = {"swap_halves": swap_halves, "bidirectional": False}
    assert max(differences(build(torch.float64, 2, 7, **options), ids_of(19)).values()) <= 1e-12
    alike()
    found = differences(build(torch.float32, 2, 7, **options), ids_of(19))
    assert max(found["features"], found["logits"]) == 0.0


def test_padding_on_the_other_side_is_the_image() -> None:
    """The reverse complement of a left-padded row is padded on the right; what it says of the bases is the same."""
    model = build(torch.float64, 3, 7, swap_halves=True)
    ids = torch.cat((torch.full((2, 5), 4), ids_of(14)), dim=1)
    assert differences(model, ids)["logits"] <= 1e-12


def test_controls_differ() -> None:
    """What the properties would look like if they did not hold."""
    model = build(torch.float64, 2, 7, rcps=False)
    ids = ids_of(19)
    other = rc_ids(ids, model.complement)
    with torch.no_grad():
        assert (model(other).flip(1)[..., model.complement] - model(ids)).abs().max() > 1e-2
