"""The leave-one-out model: no position sees its own base, every position sees all others, both strands agree."""

from __future__ import annotations

import pytest
import torch

import seqsuite
from seqdna.models.strands import rc_features, rc_ids
from seqsuite.errors import UserError
from seqsuite.ops import Seq
from seqsuite.testing.models import MODEL_CLAUSES

PAD = 4
SIZES = [(1, 4), (2, 7), (3, 12), (4, 17)]


def build(dtype=torch.float64, *, depth=2, width=7, **options):
    """A model whose start state is not zero, so that a test would see it in the wrong place."""
    torch.manual_seed(depth * 100 + width)
    model = seqsuite.create_model(
        "leave_one_out_debug", n_layer=depth, d_model=width, mixer_options={"d_state": 4}, **options
    )
    with torch.no_grad():
        model.start.normal_()
        # At the published scale of 0.02 the embeddings of two letters differ too little to be a test.
        model.embedding.weight.normal_()
    return model.to(dtype).eval()


def ids_of(seed: int, rows: int = 2, length: int = 13) -> torch.Tensor:
    return torch.randint(7, 12, (rows, length), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("clause", MODEL_CLAUSES, ids=lambda clause: clause.__name__)
def test_model_contract(clause, tmp_path) -> None:
    clause("leave_one_out_debug", tmp_path)


@pytest.mark.parametrize(("depth", "width"), SIZES)
def test_a_position_sees_every_base_but_its_own(depth, width) -> None:
    """Changing base s moves the logits at every t but s; those at s stay the same, bit for bit."""
    model, ids = build(depth=depth, width=width), ids_of(0, rows=1)
    length = ids.shape[1]
    changed = ids.repeat(length, 1)
    places = torch.arange(length)
    changed[places, places] = torch.where(ids[0] == 7, 10, 7)
    with torch.no_grad():
        before, after = model(ids.repeat(length, 1)), model(changed)
    moved = (after - before).abs().amax(-1)  # (s, t)
    assert torch.equal(moved.diagonal(), torch.zeros(length, dtype=torch.float64))
    assert (moved + torch.eye(length) > 0).all()


@pytest.mark.parametrize(("depth", "width"), SIZES)
def test_the_gradient_of_a_position_is_zero_at_its_own_base(depth, width) -> None:
    model, ids = build(depth=depth, width=width), ids_of(1, rows=1, length=9)
    strands = torch.cat((ids, rc_ids(ids, model.complement)))
    embedded = model.embedding(strands).detach().requires_grad_()
    model.embedding.forward = lambda rows: embedded
    logits = model(ids)
    for t in range(9):
        (gradient,) = torch.autograd.grad(logits[0, t].sum(), embedded, retain_graph=True)
        given, other = gradient.abs().amax(-1)
        assert given[t] == 0
        assert other.flip(0)[t] == 0
        seen = given + other.flip(0)
        assert (seen[torch.arange(9) != t] > 0).all()


def row_by_row(x, weight, bias=None):
    """`F.linear` that gives a row the same bits wherever it stands in the batch, as a blocked product does not."""
    y = (x[..., None, :] * weight).sum(-1)
    return y if bias is None else y + bias


@pytest.mark.parametrize(("depth", "width"), [*SIZES, (2, 16), (3, 33)])
@pytest.mark.parametrize("length", [1, 2, 13, 40])
def test_both_strands_say_the_same_exactly(depth, width, length, monkeypatch) -> None:
    """Exactly, 0.0: the two strands go through the same operations, row for row."""
    monkeypatch.setattr(torch.nn.functional, "linear", row_by_row)
    model, ids = build(torch.float32, depth=depth, width=width), ids_of(2, rows=3, length=length)
    other = rc_ids(ids, model.complement)
    with torch.no_grad():
        assert torch.equal(model(other).flip(1)[..., model.complement], model(ids))
        assert torch.equal(rc_features(model.forward_features(other)), model.forward_features(ids))


@pytest.mark.parametrize(("depth", "width"), [*SIZES, (2, 16), (3, 33)])
@pytest.mark.parametrize("length", [1, 2, 13, 40])
def test_both_strands_say_the_same_to_rounding(depth, width, length, record_property) -> None:
    """With the products of the machine, which sum the rows of a tile's edge in another order than the others."""
    for dtype, most in ((torch.float64, 1e-12), (torch.float32, 1e-4)):
        model, ids = build(dtype, depth=depth, width=width), ids_of(2, rows=3, length=length)
        other = rc_ids(ids, model.complement)
        with torch.no_grad():
            difference = (model(other).flip(1)[..., model.complement] - model(ids)).abs().max().item()
            features, turned = model.forward_features(ids), model.forward_features(other)
        record_property(str(dtype), difference)
        assert difference <= most
        torch.testing.assert_close(model.pool(turned), model.pool(features), rtol=0, atol=most)


def test_classifiers_give_both_strands_the_same_and_see_every_base() -> None:
    model = build(head="sequence_classification", num_classes=3)
    ids = ids_of(3)
    torch.testing.assert_close(model(rc_ids(ids, model.complement)), model(ids), rtol=0, atol=1e-12)
    alone = ids[:1, :1]
    assert not torch.equal(model(alone), model(torch.where(alone == 7, 8, 7)))


@pytest.mark.parametrize(("left", "right"), [(4, 0), (0, 5), (3, 6)])
@pytest.mark.parametrize(("depth", "width"), SIZES)
def test_padding_changes_no_base(left, right, depth, width) -> None:
    model, ids = build(depth=depth, width=width), ids_of(4)
    padded = torch.full((2, left + 13 + right), PAD)
    padded[:, left : left + 13] = ids
    with torch.no_grad():
        torch.testing.assert_close(model(padded)[:, left : left + 13], model(ids), rtol=0, atol=1e-10)


def test_rows_of_different_lengths_share_a_batch() -> None:
    model = build()
    ids = torch.full((3, 13), PAD)
    rows = [ids_of(seed, rows=1, length=length) for seed, length in ((5, 13), (6, 4), (7, 1))]
    for place, row in enumerate(rows):
        ids[place, 13 - row.shape[1] :] = row[0]
    with torch.no_grad():
        together = model(ids)
        for place, row in enumerate(rows):
            torch.testing.assert_close(together[place, 13 - row.shape[1] :], model(row)[0], rtol=0, atol=1e-10)


def test_packed_documents_see_no_other_document() -> None:
    model, ids = build(depth=3), ids_of(8, rows=1, length=19)
    with torch.no_grad():
        packed = model(ids, seq=Seq.from_cu_seqlens([[0, 7, 8, 19]], 19))
        for part in (slice(0, 7), slice(7, 8), slice(8, 19)):
            torch.testing.assert_close(packed[:, part], model(ids[:, part]), rtol=0, atol=1e-10)


def test_a_mixer_that_sees_ahead_is_refused() -> None:
    from seqdna.models.leave_one_out import LeaveOneOut
    from seqsuite.mixers.mamba import Mamba

    config = build().config
    original = Mamba.causal
    try:
        Mamba.causal = False
        with pytest.raises(UserError, match="'mamba' is not causal"):
            LeaveOneOut(config)
    finally:
        Mamba.causal = original
