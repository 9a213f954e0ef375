"""The masked language model over any mixer: it looks both ways, whatever the mixer; padding stays invisible."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

import seqsuite
from seqsuite.errors import UserError
from seqsuite.ops import Seq

MIXERS = ["mamba", "attention", "lion", "bidirectional_mamba", "s4d", "gru", "hyena", "mamba2, attention"]


def build(mixer="mamba", **options):
    torch.manual_seed(0)
    return seqsuite.create_model("mixer_mlm_debug", mixer=mixer, **options).eval().double()


def tokens(length=10):
    return torch.randint(0, 15, (2, length), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("mixer", MIXERS)
def test_every_position_sees_both_sides(mixer):
    model = build(mixer)
    embedded = torch.randn(1, 7, 32, dtype=torch.float64, requires_grad=True)
    logits = model(inputs_embeds=embedded)
    assert logits.shape == (1, 7, 16)
    (grad,) = torch.autograd.grad(logits[:, 3].square().sum(), embedded)
    assert (grad.abs().sum(2) > 0).all()


@pytest.mark.parametrize("mixer", ["mamba", "attention", "lion", "mamba2, attention"])
def test_padding_is_invisible(mixer):
    model, ids = build(mixer, pad_token_id=15), tokens()
    padded = F.pad(ids, (0, 4), value=15)
    torch.testing.assert_close(model(padded)[:, :10], model(ids), rtol=1e-9, atol=1e-11)
    seq = Seq.from_mask(padded != 15)
    embedded = model.embedding(padded)
    torch.testing.assert_close(model(inputs_embeds=embedded, seq=seq)[:, :10], model(ids), rtol=1e-9, atol=1e-11)


def test_attention_looks_both_ways_by_itself_and_may_be_asked_not_to():
    assert build("attention").config.mixer_options == {"causal": False}
    assert build("mamba, attention").config.mixer_options == {"attention": {"causal": False}}
    paired = build("attention", mixer_options={"causal": True})
    assert type(paired.backbone.layers[0].mixer).__name__ == "Bidirectional"


@pytest.mark.parametrize("options", [{"combine": "concat"}, {"combine": "multiply", "tie": "all"}, {"d_inner": None}])
def test_it_learns_to_fill_in_what_the_right_side_says(options):
    model = build("mamba", d_model=16, dropout=0.0, **options).float().train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    random = torch.Generator().manual_seed(0)
    losses = []
    for _ in range(60):
        ids = torch.randint(1, 9, (16, 6), generator=random)
        shown = ids.clone()
        shown[:, 2], ids[:, 5] = 0, ids[:, 2]  # the answer stands at the end
        shown[:, 5] = ids[:, 5]
        loss = F.cross_entropy(model(shown)[:, 2], ids[:, 2])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("d_inner", [None, 24])
def test_dropout_is_of_training_only(d_inner):
    model, ids = build(dropout=0.5, d_inner=d_inner), tokens()
    assert torch.equal(model(ids), model(ids))
    model.train()
    assert not torch.equal(model(ids), model(ids))


def test_ids_or_embeddings():
    model = build()
    for given in ({}, {"input_ids": tokens(), "inputs_embeds": torch.zeros(2, 10, 32)}):
        with pytest.raises(ValueError, match="give either input_ids or inputs_embeds"):
            model(**given)
    with pytest.raises(ValueError, match="token ids from 0 to 15, got 99 to 99"):
        model(torch.full((1, 2), 99))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mixer": "mambo"}, "Did you mean 'mamba'"),
        ({"dropout": 1}, "dropout must be below 1, not 1.0"),
        ({"d_inner": 0}, "d_inner must be at least 1, not 0"),
        ({"mixer": "lstm", "tie": "projections"}, "tie"),
    ],
)
def test_values_that_do_not_fit_are_one_line(options, message):
    with pytest.raises(UserError, match=message) as caught:
        build(**options)
    assert "\n" not in str(caught.value)
