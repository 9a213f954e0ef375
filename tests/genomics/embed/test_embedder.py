"""What a vector is: which layer, which strands, how it is pooled."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

import seqsuite
from seqdna.api import GenomeModel
from seqdna.models.strands import rc_ids
from seqdna.tokenizers import NucleotideTokenizer
from seqsuite.errors import UserError

TOKENIZER = NucleotideTokenizer()
NAMES = ["caduceus_ps_debug", "caduceus_ph_debug", "mamba_dna_debug", "leave_one_out_debug", "hyenadna_debug"]
TEXTS = {"a": "ACGGTTGACCATAAGC", "b": "TTGCA", "c": "ACGTACGTTAGCACGTACGTTAGCA"}


def reverse_complement(text: str) -> str:
    return text.translate(str.maketrans("ACGT", "TGCA"))[::-1]


def make(name: str, **options) -> GenomeModel:
    torch.manual_seed(0)
    model = seqsuite.create_model(name, **options).double()
    with torch.no_grad():  # away from the initial values, at which half of a fresh model does next to nothing
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return GenomeModel(model, TOKENIZER)


@pytest.fixture(params=NAMES)
def model(request) -> GenomeModel:
    return make(request.param)


@pytest.mark.parametrize("pool", ["mean", "max", "first", "last", "centre"])
@pytest.mark.parametrize("layer", [-1, 0, 1])
def test_equivariant_models_do_not_know_the_strand(pool, layer) -> None:
    turned = {name: reverse_complement(text) for name, text in TEXTS.items()}
    for name in ("caduceus_ps_debug", "leave_one_out_debug"):
        model = make(name)
        here, there = (model.embed(texts, pool=pool, layer=layer).vectors for texts in (TEXTS, turned))
        np.testing.assert_allclose(here, there, atol=1e-6)
        assert np.ptp(here, axis=0).max() > 1e-3  # and do know the sequence


@pytest.mark.parametrize("pool", ["mean", "max", "first", "last", "centre"])
def test_averaging_makes_any_model_blind_to_the_strand(model, pool) -> None:
    turned = {name: reverse_complement(text) for name, text in TEXTS.items()}
    here, there = (model.embed(texts, pool=pool, strands="both").vectors for texts in (TEXTS, turned))
    np.testing.assert_allclose(here, there, atol=1e-6)
    if not model.model.config.both_strands:
        plain = model.embed(TEXTS, pool=pool).vectors
        assert np.abs(plain - model.embed(turned, pool=pool).vectors).max() > 1e-3


@pytest.mark.parametrize("layer", [-1, 0])
def test_every_base_of_the_other_strand_is_that_base(model, layer) -> None:
    """Averaged, base t of a sequence has the vector of base L - 1 - t of its reverse complement."""
    text = TEXTS["c"]
    options = {"pool": "none", "strands": "both", "layer": layer}
    (here,), (there,) = (model.embed(one, **options).vectors for one in (text, reverse_complement(text)))
    assert here.shape == (len(text), model.model.config.d_model)
    np.testing.assert_allclose(here, there[::-1], atol=1e-6)


@pytest.mark.parametrize("name", ["caduceus_ps_debug", "leave_one_out_debug"])
def test_lanes_lie_side_by_side_in_one_order_of_channels(name) -> None:
    model = make(name)
    text, width = TEXTS["c"], model.model.config.d_model
    (here,), (there,) = (model.embed(one, pool="none").vectors for one in (text, reverse_complement(text)))
    assert here.shape == (len(text), 2 * width)
    np.testing.assert_allclose(here[:, :width], there[::-1, width:], atol=1e-6)
    np.testing.assert_allclose(here[:, width:], there[::-1, :width], atol=1e-6)
    (mean,) = model.embed(text, pool="none", strands="both").vectors
    np.testing.assert_allclose(mean, (here[:, :width] + here[:, width:]) / 2, atol=1e-6)


def test_layers_are_the_stream_behind_each_block(model) -> None:
    """Against the blocks run by hand; the normalised last one is what the heads see."""
    net, ids = model.model, torch.from_numpy(TOKENIZER.encode(TEXTS["c"]).astype(np.int64))[None]
    both = net.config.both_strands
    rows = torch.cat((ids, rc_ids(ids, net.complement))) if both else ids
    with torch.no_grad():
        hidden, residual, streams = net.embedding(rows), None, []
        for block in net.backbone.layers:
            hidden, residual = block(hidden, residual)
            streams.append(hidden + residual)
    for layer, stream in enumerate(streams):
        (got,) = model.embed(TEXTS["c"], layer=layer, pool="none").vectors
        if both:
            stream = torch.cat((stream[:1], stream[1:].flip(1)), dim=-1)
        np.testing.assert_allclose(got, stream[0], atol=1e-5)
    if net.config.head != "leave_one_out":
        (end,) = model.embed(TEXTS["c"], pool="none").vectors
        normed = net.backbone.norm_f(streams[-1]).detach()
        normed = torch.cat((normed[:1], normed[1:].flip(1)), dim=-1) if both else normed
        np.testing.assert_allclose(end, normed[0], atol=1e-5)


@pytest.mark.parametrize(
    ("pool", "by_hand"),
    [
        ("mean", lambda rows: rows.mean(0)),
        ("max", lambda rows: rows.max(0)),
        ("first", lambda rows: rows[0]),
        ("last", lambda rows: rows[-1]),
        ("centre", lambda rows: (rows[(len(rows) - 1) // 2] + rows[len(rows) // 2]) / 2),
    ],
)
def test_pooling_is_what_it_says(pool, by_hand) -> None:
    for name in ("caduceus_ph_debug", "mamba_dna_debug"):
        model = make(name)
        every = model.embed(TEXTS, pool="none").vectors
        np.testing.assert_allclose(
            model.embed(TEXTS, pool=pool).vectors, [by_hand(rows) for rows in every], rtol=1e-5, atol=1e-6
        )


@pytest.mark.parametrize("padding", ["masked", "as_published"])
@pytest.mark.parametrize("pool", ["mean", "none"])
def test_company_changes_nothing(padding, pool) -> None:
    """Also not where the model reads padding like any token: such batches are not padded."""
    model = make("caduceus_ph_debug", padding=padding)
    together = model.embed(TEXTS, pool=pool).vectors
    for vector, text in zip(together, TEXTS.values(), strict=True):
        np.testing.assert_allclose(vector, model.embed(text, pool=pool).vectors[0], atol=1e-6)


def test_right_padding_too() -> None:
    model = make("caduceus_ph_debug")
    right = GenomeModel(model.model, dataclasses.replace(TOKENIZER, padding_side="right"))
    for here, there in zip(
        model.embed(TEXTS, pool="none").vectors, right.embed(TEXTS, pool="none").vectors, strict=True
    ):
        np.testing.assert_allclose(here, there, atol=1e-6)


def test_tiles_are_the_tiles_sequences(model) -> None:
    text = TEXTS["c"]
    tiles = model.embed({"x": text}, window=10, step=6)
    assert (tiles.starts, tiles.ends) == ((0, 6, 12, 15), (10, 16, 22, 25))
    alone = [model.embed(text[a:b]).vectors[0] for a, b in zip(tiles.starts, tiles.ends, strict=True)]
    np.testing.assert_allclose(tiles.vectors, alone, atol=1e-6)


def test_a_causal_models_tiles_agree_where_context_is_the_same() -> None:
    model = make("mamba_dna_debug")
    (whole,) = model.embed(TEXTS["c"], pool="none").vectors
    (tiled,) = model.embed(TEXTS["c"], pool="none", window=20, step=5).vectors
    assert whole.shape == tiled.shape
    np.testing.assert_allclose(whole[:12], tiled[:12], atol=1e-6)  # the first tile keeps 12: the overlap is 5..20
    assert np.abs(whole[13:] - tiled[13:]).max() > 1e-6


def test_the_order_is_the_input_s() -> None:
    model = make("caduceus_ph_debug")
    many = {f"s{i}": "ACGTTGCA"[: 1 + i * 5 % 8] for i in range(20)}
    result = model.embed(many, batch_tokens=12)
    assert result.names == tuple(many)
    assert result.lengths == tuple(map(len, many.values()))
    for name, vector in zip(result.names, result.vectors, strict=True):
        np.testing.assert_allclose(vector, model.embed(many[name]).vectors[0], atol=1e-6)


@pytest.mark.parametrize("layer", [-2, 2, 7])
def test_no_such_layer(layer) -> None:
    with pytest.raises(UserError, match=f"--layer {layer}: this model has the blocks 0 to 1"):
        make("caduceus_ph_debug").embed("ACGT", layer=layer)


def test_farther_than_the_model_reads() -> None:
    model = make("hyenadna_debug")
    reach = model.model.config.mixer_options["l_max"]
    with pytest.raises(UserError, match=f"reads at most {reach:,}; add --window {reach}"):
        model.embed({"far": "A" * (reach + 1)})
    assert len(model.embed("A" * (reach + 1), window=reach)) == 2


@pytest.mark.parametrize(("option", "value"), [("pool", "meen"), ("strands", "bothe")])
def test_unknown_names(option, value) -> None:
    with pytest.raises(UserError, match="Did you mean"):
        make("caduceus_ph_debug").embed("ACGT", **{option: value})


def test_training_mode_is_put_back() -> None:
    model = make("caduceus_ph_debug")
    model.model.train()
    model.embed("ACGT", layer=0)
    assert model.model.training
    assert not model.model.backbone.layers[0]._forward_hooks
