"""HyenaDNA: sizes, initial weights, padding, heads, and what does not fit."""

from __future__ import annotations

import math

import pytest
import torch

import seqsuite
from seqdna.models import HyenaDNA
from seqsuite.errors import UserError
from seqsuite.models import model_config
from seqsuite.ops import Seq


def build(**options):
    torch.manual_seed(0)
    return seqsuite.create_model("hyenadna_debug", **options).double().eval()


def tokens(length=40, batch=2):
    return torch.randint(7, 12, (batch, length), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("name", "millions", "length"),
    [
        ("hyenadna_tiny_1k", 0.44, 1024),
        ("hyenadna_tiny_1k_d256", 1.6, 1024),
        ("hyenadna_tiny_16k", 0.44, 16384),
        ("hyenadna_small_32k", 3.3, 32768),
        ("hyenadna_medium_160k", 6.6, 160000),
        ("hyenadna_medium_450k", 6.6, 450000),
        ("hyenadna_large_1m", 6.6, 1000000),
    ],
)
def test_sizes_have_the_published_numbers_of_parameters(name, millions, length):
    model = seqsuite.create_model(name)
    assert isinstance(model, HyenaDNA)
    assert round(model.num_parameters() / 1e6, 2 if millions < 1 else 1) == millions
    assert model.config.mixer_options == {"l_max": length + 2, "shift": 0.05}


def test_initial_weights_have_the_published_distributions():
    torch.manual_seed(0)
    model = seqsuite.create_model("hyenadna_tiny_1k", n_layer=8)
    small = 0.02 / math.sqrt(16)
    for name, parameter in model.named_parameters():
        if name.endswith("weight") and parameter.ndim == 2:
            expected = small if name.endswith(("out_proj.weight", "fc2.weight")) else 0.02
            # 16 standard errors of an estimate from that many draws.
            assert abs(parameter.std() / expected - 1) < 16 / math.sqrt(2 * parameter.numel()), name
        elif name.endswith("bias") and "short_filter" not in name:
            assert not parameter.any(), name
    skips = torch.cat([layer.mixer.D for layer in model.backbone.layers])
    assert abs(skips.std() - 1) < 0.1


def test_it_is_causal():
    model = build()
    words = model.embedding(tokens()).detach().requires_grad_()
    features = model.backbone(words)
    (gradient,) = torch.autograd.grad(features[:, 20].square().sum(), words)
    assert gradient[:, 20].abs().min() > 0
    assert gradient[:, 21:].abs().max() <= 1e-13 * gradient.abs().max()


@pytest.mark.parametrize("side", ["left", "right"])
def test_masked_padding_is_invisible_and_as_published_is_not(side):
    ids = tokens(30, batch=1)
    pad = torch.full((1, 11), 4)
    padded = torch.cat((pad, ids) if side == "left" else (ids, pad), 1)
    part = slice(11, 41) if side == "left" else slice(0, 30)
    model = build(padding="masked")
    torch.testing.assert_close(model(padded)[:, part], model(ids), rtol=1e-9, atol=1e-10)
    classifier = build(padding="masked", head="sequence_classification", num_classes=3)
    torch.testing.assert_close(classifier(padded), classifier(ids), rtol=1e-9, atol=1e-10)
    published = build(padding="as_published")
    same = torch.allclose(published(padded)[:, part], published(ids), rtol=1e-9, atol=1e-10)
    assert same == (side == "right")  # causal: what stands behind is not seen either way


def test_packed_sequences_are_the_sequences_alone():
    model = build()
    ids = tokens(50, batch=1)
    packed = model(ids, seq=Seq.from_cu_seqlens([[0, 19, 50]], 50))
    for begin, end in ((0, 19), (19, 50)):
        torch.testing.assert_close(packed[:, begin:end], model(ids[:, begin:end]), rtol=1e-9, atol=1e-10)


def test_the_output_projection_is_the_embedding_unless_untied():
    tied, untied = build(), build(tie_embeddings=False)
    assert tied.lm_head is None
    features = untied.forward_features(tokens())
    torch.testing.assert_close(untied(tokens()), features @ untied.lm_head.weight.T)
    torch.testing.assert_close(tied(tokens()), tied.forward_features(tokens()) @ tied.embedding.weight.T)
    assert untied.num_parameters() == tied.num_parameters() + 16 * 16


def test_a_classifier_can_average_over_both_strands():
    model = build(head="sequence_classification", conjoin_eval=True)
    ids = tokens()
    torch.testing.assert_close(model(model.complement[ids].flip(1)), model(ids))
    assert not torch.allclose(build(head="sequence_classification")(model.complement[ids].flip(1)), model(ids))


def test_the_embedding_is_dropped_in_training_only():
    model = build(embed_dropout=0.5, n_layer=1)
    seen = []
    model.backbone.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    for training in (True, False):
        model.train(training)(tokens(200))
    assert 0.4 < (seen[0] == 0).double().mean() < 0.6
    assert torch.equal(seen[1], model.embedding(tokens(200)))


def test_an_input_that_is_too_long_is_one_line():
    model = build(mixer_options={"l_max": 20})
    with pytest.raises(UserError, match=r"the input has 21 steps, the filter l_max=20"):
        model(tokens(21))


def test_another_mixer_takes_the_place_of_hyena():
    model = build(mixer="mamba", mixer_options={"d_state": 4})
    assert model(tokens()).shape == (2, 40, 16)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"head": "masked_lm"}, "HyenaDNAConfig: head"),
        ({"d_inner": 0}, "d_inner must be at least 1, not 0"),
        ({"embed_dropout": 1.0}, "embed_dropout must be below 1, not 1.0"),
        ({"resid_dropout": -0.1}, "resid_dropout must be at least 0, not -0.1"),
    ],
)
def test_what_does_not_fit_is_one_line(options, message):
    with pytest.raises(UserError, match=message):
        model_config("hyenadna_debug", **options)


def test_a_sweep_over_the_disk_is_forward():
    model = build()
    ids = tokens(200, batch=1)
    swept = model.sweep(ids.numpy(), chunk=64, scratch=lambda *shape: torch.full(shape, torch.nan, dtype=torch.float64))
    torch.testing.assert_close(swept, model.forward_features(ids).detach(), rtol=1e-9, atol=1e-10)
