"""Reverse-complement equivariance, by property; and what breaks it, as controls."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import seqsuite
from seqdna.models.strands import RCLift, from_strands, rc_features, rc_ids, swap_strands, to_strands
from seqsuite.backbones import Bidirectional, RMSNorm
from seqsuite.errors import UserError
from seqsuite.mixers import create_mixer
from seqsuite.ops import Seq

EXACT = {"rtol": 0, "atol": 1e-12}


def ids_of(seed: int, rows: int = 2, length: int = 19) -> torch.Tensor:
    return torch.randint(7, 12, (rows, length), generator=torch.Generator().manual_seed(seed))


def build(dtype=torch.float64, **options):
    torch.manual_seed(0)
    return seqsuite.create_model("caduceus_ps_debug", **options).to(dtype).eval()


@settings(max_examples=12, deadline=None)
@given(
    width=st.sampled_from([2, 8, 17]),
    depth=st.integers(1, 4),
    swap=st.booleans(),
    tie=st.booleans(),
    strategy=st.sampled_from(["add", "ew_multiply"]),
    length=st.integers(1, 23),
    double=st.booleans(),
)
def test_ps_is_equivariant(width, depth, swap, tie, strategy, length, double):
    model = build(
        torch.float64 if double else torch.float32,
        d_model=width,
        n_layer=depth,
        swap_halves=swap,
        bidirectional_weight_tie=tie,
        bidirectional_strategy=strategy,
        mixer_options={"d_state": 4},
    )
    ids = ids_of(0, length=length)
    other = rc_ids(ids, model.complement)
    near = EXACT if double else {"rtol": 1e-5, "atol": 1e-6}
    with torch.no_grad():
        features, other_features = model.forward_features(ids), model.forward_features(other)
        torch.testing.assert_close(rc_features(other_features), features, **near)
        torch.testing.assert_close(model(other).flip(1)[..., model.complement], model(ids), **near)
        torch.testing.assert_close(model.pool(other_features), model.pool(features), **near)


@pytest.mark.parametrize("pooling", ["mean", "max", "first", "last"])
@pytest.mark.parametrize("options", [{"rcps": True, "swap_halves": True}, {"rcps": False, "conjoin_eval": True}])
def test_classifiers_give_both_strands_the_same(options, pooling):
    model = build(head="sequence_classification", num_classes=3, pooling=pooling, **options)
    ids = ids_of(1)
    torch.testing.assert_close(model(rc_ids(ids, model.complement)), model(ids), **EXACT)


@pytest.mark.parametrize("options", [{"rcps": True}, {"rcps": False, "conjoin_eval": True}])
def test_a_convolutional_head_gives_both_strands_the_same_and_leaves_padding_out(options):
    model = build(head="sequence_classification", classifier="conv", **options)
    ids = ids_of(2)
    other = model.complement[ids].flip(1)
    torch.testing.assert_close(model(other), model(ids), rtol=1e-9, atol=1e-9)
    padded = torch.cat((torch.full((len(ids), 9), model.config.pad_token_id), ids), 1)
    torch.testing.assert_close(model(padded), model(ids), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("classifier", ["linear", "conv"])
def test_a_strand_specific_classifier_tells_the_strands_apart_and_leaves_padding_out(classifier):
    model = build(head="sequence_classification", classifier=classifier, strand_specific=True, rcps=True, num_classes=3)
    ids = ids_of(2)
    assert not torch.allclose(model(rc_ids(ids, model.complement)), model(ids), atol=1e-4)
    padded = torch.cat((torch.full((len(ids), 9), model.config.pad_token_id), ids), 1)
    torch.testing.assert_close(model(padded), model(ids), rtol=1e-9, atol=1e-9)
    seq = model.padding_seq(padded)
    torch.testing.assert_close(model.forward_head(model.forward_features(padded), seq=seq), model(padded))
    with pytest.raises(UserError, match="strand_specific is for RC-equivariant models"):
        build(head="sequence_classification", strand_specific=True, rcps=False)


def test_conjoining_follows_the_mode():
    model = build(rcps=False, head="sequence_classification", conjoin_eval=True)
    ids = ids_of(1)
    other = rc_ids(ids, model.complement)
    model.train()
    alone = (model(ids) + model(other)) / 2
    assert not torch.allclose(model(ids), model(other))
    torch.testing.assert_close(model.eval()(ids), alone)


def test_ph_is_not_equivariant():
    model = build(rcps=False)
    ids = ids_of(2)
    difference = model(rc_ids(ids, model.complement)).flip(1)[..., model.complement] - model(ids)
    assert difference.abs().max() > 0.1 * model(ids).std()


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_swapping_halves_is_another_function_of_the_same_weights(depth):
    plain, swapped = build(n_layer=depth), build(n_layer=depth, swap_halves=True)
    swapped.load_state_dict(plain.state_dict())
    ids = ids_of(3)
    assert (plain(ids) - swapped(ids)).abs().max() > 0.1 * plain(ids).std()


def test_ps_and_ph_have_the_same_parameters():
    ps, ph = (build(rcps=rcps).state_dict() for rcps in (True, False))
    assert {name: t.shape for name, t in ps.items()} == {name: t.shape for name, t in ph.items()}


@pytest.mark.parametrize(("name", "count"), [("1k_d118", 470_702), ("1k_d256", 1_934_592)])
def test_published_sizes_have_the_published_number_of_parameters(name, count):
    assert seqsuite.create_model(f"caduceus_ps_{name}").num_parameters() == count
    assert seqsuite.create_model(f"caduceus_ph_{name}").num_parameters() == count


@pytest.mark.parametrize("left", [0, 3, 10])
@pytest.mark.parametrize("options", [{}, {"swap_halves": True}, {"rcps": False}])
def test_masked_padding_changes_nothing(options, left):
    model = build(torch.float32, **options)
    ids = ids_of(4, rows=1)
    padded = torch.full((1, 29), model.config.pad_token_id)
    padded[:, left : left + 19] = ids
    torch.testing.assert_close(model(padded)[:, left : left + 19], model(ids), rtol=1e-5, atol=1e-5)
    as_published = build(torch.float32, padding="as_published", **options)
    assert not torch.allclose(as_published(padded)[:, left : left + 19], model(ids), atol=1e-4)


@pytest.mark.parametrize("pooling", ["mean", "max", "first", "last"])
@pytest.mark.parametrize("rcps", [True, False])
def test_pooling_leaves_padding_out(pooling, rcps):
    model = build(head="sequence_classification", pooling=pooling, rcps=rcps)
    ids = ids_of(5, rows=1)
    padded = torch.full((1, 29), model.config.pad_token_id)
    padded[:, 10:] = ids
    torch.testing.assert_close(model(padded), model(ids), rtol=1e-9, atol=1e-9)
    seq = model.padding_seq(padded)
    torch.testing.assert_close(model.forward_head(model.forward_features(padded), seq=seq), model(padded))


def test_packed_documents_see_no_other_document():
    model = build()
    ids = ids_of(6, rows=1)
    packed = model.forward_features(ids, seq=Seq.from_cu_seqlens([[0, 7, 19]], 19))
    for part in (slice(0, 7), slice(7, 19)):
        torch.testing.assert_close(packed[:, part], model.forward_features(ids[:, part]), rtol=1e-9, atol=1e-11)


def test_strands_unfold_and_swap():
    x = torch.randn(3, 5, 8)
    rows = to_strands(x)
    assert rows.shape == (6, 5, 4)
    assert torch.equal(from_strands(rows), x)
    first, second = x.chunk(2, -1)
    assert torch.equal(from_strands(swap_strands(rows)), torch.cat((second, first), -1))


@pytest.mark.parametrize(
    "make",
    [
        lambda: create_mixer("mamba", 6, d_state=4),
        lambda: Bidirectional(create_mixer("mamba", 6, d_state=4), combine="concat"),
        lambda: RMSNorm(6),
        lambda: torch.nn.Linear(6, 6),
    ],
)
def test_any_lifted_module_is_equivariant(make):
    torch.manual_seed(0)
    lifted = RCLift(make()).double()
    x = torch.randn(2, 9, 12, dtype=torch.float64)
    torch.testing.assert_close(lifted(rc_features(x)), rc_features(lifted(x)), **EXACT)
    first, second = x.chunk(2, -1)
    literal = torch.cat((lifted.module(first), rc_features(lifted.module(rc_features(second)))), -1)
    torch.testing.assert_close(lifted(x), literal, **EXACT)
