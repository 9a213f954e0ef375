"""XLNet: the laws of its two streams, its precisions, its files; the published numbers are in test_xlnet_published."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
import torch.nn.functional as F

import seqsuite
from seqsuite.backbones.two_stream import _Weights
from seqsuite.errors import UserError

LENGTH = 9


def build(**options):
    torch.manual_seed(0)
    # The published deviation leaves a small model nearly linear: a tenfold one tells attention patterns apart.
    return seqsuite.create_model("xlnet_lm_debug", **{"initializer_range": 0.2} | options).eval()


def tokens(rows=2, length=LENGTH, seed=1):
    return torch.randint(0, 48, (rows, length), generator=torch.Generator().manual_seed(seed))


def permutation(rows=2, length=LENGTH, seed=2):
    order = torch.rand(rows, length, generator=torch.Generator().manual_seed(seed)).argsort(1)
    return (order[:, :, None] <= order[:, None, :]).float()


def test_targets_are_the_same_as_a_mapping_and_as_positions():
    model, ids, perm = build().double(), tokens(), permutation()
    places = torch.tensor([[3, 0, 7], [8, 2, 1]])
    by_mapping = model(ids, perm_mask=perm, target_mapping=F.one_hot(places, LENGTH).float())
    by_position = model(ids, perm_mask=perm, target_positions=places)
    everywhere = model(ids, perm_mask=perm, target_positions=torch.arange(LENGTH).expand(2, -1))
    torch.testing.assert_close(by_position.logits, by_mapping.logits, rtol=1e-10, atol=1e-12)
    picked = everywhere.logits.gather(1, places[..., None].expand(-1, -1, 48))
    torch.testing.assert_close(by_position.logits, picked, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(by_position.content, everywhere.content, rtol=1e-10, atol=1e-12)


def test_a_position_may_be_asked_for_twice():
    model, ids = build().double(), tokens()
    once = model(ids, target_positions=torch.tensor([[4], [5]])).logits
    twice = model(ids, target_positions=torch.tensor([[4, 0, 4], [5, 5, 1]])).logits
    torch.testing.assert_close(twice[0, 2], once[0, 0], rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(twice[1, :2], once[1].expand(2, -1), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("places", [None, torch.tensor([[1, 6], [3, 3]])])
def test_leaving_the_content_stream_out_changes_no_prediction_and_no_gradient(places):
    model, ids, perm = build().double(), tokens(), permutation()
    targets = {"target_positions": torch.arange(LENGTH).expand(2, -1) if places is None else places}
    found = []
    for with_content in (True, False):
        out = model(ids, perm_mask=perm, with_content=with_content, **targets)
        loss = out.logits.logsumexp(2).sum()
        found.append((out.logits, *torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)))
        assert (out.content is None) == (not with_content)
    for one, other in zip(*found, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11)


def test_a_target_sees_what_its_permutation_lets_it_see_and_nothing_else():
    model, perm = build().double(), permutation()
    embedded = torch.randn(2, LENGTH, 32, dtype=torch.float64, requires_grad=True)
    out = model(inputs_embeds=embedded, perm_mask=perm, target_positions=torch.arange(LENGTH).expand(2, -1))
    for place in range(LENGTH):
        (grad,) = torch.autograd.grad(out.logits[:, place].square().sum(), embedded, retain_graph=True)
        seen = grad.abs().sum(2) > 0
        # Through the contents that it sees, a target sees what these may see: earlier ones, in a permutation.
        allowed = perm[:, place] == 0
        nobody = ~allowed.any(1, keepdim=True)  # the first of the order: all are hidden alike
        assert torch.equal(seen & ~nobody, allowed & ~nobody)


def test_content_rows_see_themselves():
    model = build().double()
    embedded = torch.randn(1, LENGTH, 32, dtype=torch.float64, requires_grad=True)
    out = model(inputs_embeds=embedded, perm_mask=torch.ones(1, LENGTH, LENGTH))
    (grad,) = torch.autograd.grad(out.content[:, 4].square().sum(), embedded)
    assert torch.equal(grad[0].abs().sum(1) > 0, torch.arange(LENGTH) == 4)


def test_padding_is_invisible():
    model, ids = build().double(), tokens()
    longer = F.pad(ids, (0, 3), value=5)
    mask = (torch.arange(LENGTH + 3) < LENGTH).expand(2, -1)
    places = torch.tensor([[1, 2], [0, 8]])
    short = model(ids, target_positions=places)
    padded = model(longer, attention_mask=mask.float(), target_positions=places)
    torch.testing.assert_close(padded.logits, short.logits, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(padded.content[:, :LENGTH], short.content, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(
        model.forward_features(longer, attention_mask=mask)[:, :LENGTH], short.content, rtol=1e-10, atol=1e-12
    )


def test_memories_continue_a_sequence_that_is_read_forwards():
    model, ids = build(attn_type="uni", mem_len=0).double(), tokens(length=12)
    whole = model(ids)
    first = model(ids[:, :5])
    second = model(ids[:, 5:8], mems=first.mems)
    third = model(ids[:, 8:], mems=second.mems)
    joined = torch.cat((first.content, second.content, third.content), 1)
    torch.testing.assert_close(joined, whole.content, rtol=1e-10, atol=1e-12)
    for ours, theirs in zip(third.mems, whole.mems, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)
        assert not ours.requires_grad


def test_memories_are_as_long_as_the_config_says():
    ids = tokens()
    assert build()(ids).mems is None
    assert [m.shape[1] for m in build(mem_len=4)(ids).mems] == [4, 4]
    assert [m.shape[1] for m in build(mem_len=6, reuse_len=5)(ids).mems] == [5, 5]


@pytest.mark.parametrize("places", [None, torch.tensor([[4, 0, 2], [1, 1, 3]])])
@pytest.mark.parametrize("memory", [0, 2])
def test_gradients_of_the_attention_weights(places, memory):
    generator = torch.Generator().manual_seed(0)
    length, rows = 5, 5 + (5 if places is None else 3)

    def draw(*shape):
        return torch.randn(*shape, dtype=torch.float64, generator=generator).requires_grad_()

    q, k = draw(2, 2, rows, 3), draw(2, 2, memory + length, 3)
    by_distance, segments = draw(2, 2, rows, memory + 2 * length), draw(2, 2, rows, memory + length)
    bias = torch.zeros(2, rows, memory + length, dtype=torch.float64)
    bias[:, :, 1] = -1e30
    given = (q, k, by_distance, segments, bias, length, places)
    assert torch.autograd.gradcheck(_Weights.apply, given)

    at = torch.arange(length).expand(2, -1)
    at = torch.cat((at, at if places is None else places), 1)
    columns = length - at[..., None] + torch.arange(memory + length)
    scores = q @ k.mT + by_distance.gather(3, columns.expand(2, -1, -1, -1)) + segments + bias
    torch.testing.assert_close(_Weights.apply(*given), scores.softmax(3), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_near_and_finite(dtype):
    model, ids, perm = build(initializer_range=0.05), tokens(), permutation()
    mask = torch.ones(2, LENGTH)
    mask[0, 6:] = 0
    given = {"attention_mask": mask, "perm_mask": perm, "target_positions": torch.tensor([[1, 3], [8, 0]])}
    exact = model(ids, **given).logits
    half = model.to(dtype)
    out = half(ids, **given)
    out.logits.float().sum().backward()
    assert out.logits.dtype == dtype
    assert all(p.grad.isfinite().all() for p in half.parameters() if p.grad is not None)
    torch.testing.assert_close(out.logits.float(), exact, rtol=0.05, atol=0.02)


def test_autocast_trains():
    model, ids = build(initializer_range=0.05), tokens()
    given = {"perm_mask": permutation(), "token_type_ids": (ids > 20).long(), "target_positions": ids[:, :2] % LENGTH}
    exact = model(ids, **given).logits
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(ids, **given).logits
    logits.float().square().sum().backward()
    torch.testing.assert_close(logits.float(), exact, rtol=0.05, atol=0.02)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_every_parameter_learns():
    model, ids = build().train(), tokens()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    given = {"token_type_ids": (torch.arange(LENGTH) > 4).long().expand(2, -1), "perm_mask": permutation()}
    losses = []
    for _ in range(20):
        out = model(ids, target_positions=torch.arange(LENGTH).expand(2, -1), **given)
        loss = F.cross_entropy(out.logits.flatten(0, 1), ids.flatten())
        optimizer.zero_grad()
        loss.backward()
        assert not [name for name, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    assert model.no_weight_decay() < {name for name, _ in model.named_parameters()}
    assert not {"transformer.word_embedding.weight", "transformer.layer.0.rel_attn.q"} & model.no_weight_decay()


def test_dropout_is_of_the_generator_and_of_training_only():
    model, ids = build(dropout=0.3), tokens()
    assert torch.equal(model(ids).logits, model(ids).logits)
    model.train()
    first, second = (torch.manual_seed(3) and model(ids).logits for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, model(ids).logits)


def test_export_keeps_the_tie_and_every_field(tmp_path):
    model = build(attn_type="uni", mem_len=3, clamp_len=4, activation="relu")
    model.save_pretrained(tmp_path / "saved")
    again = seqsuite.load_model(tmp_path / "saved")
    assert again.config == model.config
    assert again.lm_loss.weight is again.transformer.word_embedding.weight
    assert torch.equal(again(tokens()).logits, model(tokens()).logits)
    written = json.loads((tmp_path / "saved" / "config.json").read_text())
    assert not {field.name for field in dataclasses.fields(model.config)} - set(written)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_head": 5}, "n_head must divide d_model, 32, not 5"),
        ({"dropout": 1.0}, "dropout must be below 1, not 1.0"),
        ({"mem_len": -1}, "mem_len must be at least 0, not -1"),
        ({"attn_type": "both"}, "attn_type must be one of 'bi', 'uni'"),
    ],
)
def test_values_out_of_range_are_one_line(options, message):
    with pytest.raises(UserError, match=message):
        build(**options)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"attention_mask": torch.ones(2, 3)}, r"attention_mask must be \(2, 9\), got \(2, 3\)"),
        ({"target_positions": torch.zeros(3, 1).long()}, r"target_positions must be \(2, P\), got \(3, 1\)"),
        ({"target_positions": torch.tensor([[9], [0]])}, "target_positions must be from 0 to 8, got 0 to 9"),
        ({"mems": [torch.zeros(2, 1, 32)]}, "mems must be one of each of the 2 layers, got 1"),
        ({"inputs_embeds": torch.zeros(2, 9, 32)}, "give either input_ids or inputs_embeds"),
        (
            {"target_positions": torch.zeros(2, 1).long(), "target_mapping": torch.zeros(2, 1, 9)},
            "give target_mapping or target_positions, not both",
        ),
    ],
)
def test_shapes_that_do_not_fit_are_told(given, message):
    with pytest.raises(ValueError, match=message):
        build()(tokens(), **given)


def test_a_batch_may_ask_for_nothing():
    model, ids = build(), tokens()
    out = model(ids, target_positions=torch.zeros(2, 0, dtype=torch.long))
    assert out.logits.shape == (2, 0, 48)
    torch.testing.assert_close(out.content, model(ids).content)
    with pytest.raises(ValueError, match="there is no token: T is 0"):
        model(ids[:, :0])


def test_half_of_an_odd_batch_cannot_be_turned():
    with pytest.raises(ValueError, match="bi_data halves the batch: it must be even, not 3"):
        build(bi_data=True)(tokens(rows=3))
