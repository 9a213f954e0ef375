"""The Regression Transformer: embeddings of numbers, both kinds of backbone, files, growing vocabularies."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
import torch.nn.functional as F

import seqsuite
from seqchem.configs.models import EXAMPLE_VOCABULARY, SIZES
from seqchem.models.regression_transformer import RegressionTransformer, xlnet_config
from seqsuite.errors import UnknownNameError, UserError
from seqsuite.models.xlnet import XLNetLM

MIXERS = ["mamba", "attention", "mamba2, attention"]
QED = "_7_-1_"


def build(**options):
    torch.manual_seed(0)
    return seqsuite.create_model("rt_debug", **{"dropout": 0.0, "initializer_range": 0.2} | options).eval()


def ids(*rows):
    return torch.tensor([[EXAMPLE_VOCABULARY.index(token) for token in row.split()] for row in rows])


TEXTS = ids(
    "[CLS] <qed> _0_0_ _._ _7_-1_ _2_-2_ | [C] [=C] [O] [SEP]",
    "[CLS] <qed> _0_0_ _._ [MASK] [MASK] | [N] [C] [SEP] [PAD]",
)


def test_digits_carry_their_values():
    model = build()
    plain = model.word_embedding(TEXTS)
    added = model.embed(TEXTS) - plain
    # 10 v / vmax, its negative, a third of both, ...
    expected = 7.0 / torch.arange(1, 65, 2).repeat_interleave(2) * torch.tensor([1.0, -1.0]).repeat(32)
    torch.testing.assert_close(added[0, 4], expected)
    torch.testing.assert_close(added[0, 5], expected * 0.2 / 7)
    others = [0, 1, 2, 3, 6, 7, 8, 9, 10]
    assert not added[0, others].any()
    assert not added[1].any()


def test_encodings_may_replace_channels_or_be_left_out():
    concat = build(encoding="int", encoding_format="concat", encoding_dim=8)
    change = concat.embed(TEXTS) - concat.word_embedding(TEXTS)
    assert not change[..., :56].any()
    assert change[..., 56:].any()
    none = build(encoding="none")
    assert none.encodings is None
    assert torch.equal(none.embed(TEXTS), none.word_embedding(TEXTS))


def test_encodings_are_no_weights():
    model = build()
    assert set(model.state_dict()) == {f"backbone.{name}" for name in model.backbone.state_dict()}
    model.double()
    assert model.embed(TEXTS).dtype == torch.float64


@pytest.mark.parametrize("mixer", ["xlnet", *MIXERS])
def test_positions_pick_from_all(mixer):
    model = build(mixer=mixer).double()
    places = torch.tensor([[4, 5, 4], [5, 8, 0]])
    logits = model(TEXTS)
    assert logits.shape == (2, 11, len(EXAMPLE_VOCABULARY))
    picked = logits.gather(1, places[..., None].expand(-1, -1, logits.shape[2]))
    torch.testing.assert_close(model(TEXTS, positions=places), picked, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("mixer", ["xlnet", *MIXERS])
def test_padding_is_invisible(mixer):
    model = build(mixer=mixer).double()
    longer = F.pad(TEXTS, (0, 5))
    torch.testing.assert_close(model(longer)[0, :11], model(TEXTS)[0], rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(model.features(longer)[0, :11], model.features(TEXTS)[0], rtol=1e-9, atol=1e-11)
    mask = (TEXTS != 0).float()
    torch.testing.assert_close(model(TEXTS, attention_mask=mask), model(TEXTS), rtol=1e-9, atol=1e-11)


def test_padding_is_that_of_the_vocabulary():
    moved = ("x", *EXAMPLE_VOCABULARY)  # the id 0 is a token like others
    model = build(vocabulary=moved).double()
    assert model.pad_token_id == 1
    changed = TEXTS + 1
    torch.testing.assert_close(model(F.pad(changed, (0, 3), value=1))[0, :11], model(changed)[0], rtol=1e-9, atol=1e-11)
    assert (model(F.pad(changed, (0, 3), value=0))[0, :11] - model(changed)[0]).abs().max() > 1e-3


def test_a_permutation_hides_tokens():
    model, places = build().double(), torch.tensor([[4], [4]])
    perm = torch.zeros(2, 11, 11)
    perm[:, :, 8] = 1  # nobody sees the ninth token
    changed = TEXTS.clone()
    changed[:, 8] = EXAMPLE_VOCABULARY.index("[S]")
    open_, hidden = (
        [model(text, perm_mask=mask, positions=places) for text in (TEXTS, changed)] for mask in (None, perm)
    )
    torch.testing.assert_close(*hidden, rtol=1e-10, atol=1e-12)
    assert (open_[0] - open_[1]).abs().max() > 1e-3


@pytest.mark.parametrize("mixer", MIXERS)
def test_other_mixers_take_no_permutation(mixer):
    with pytest.raises(UserError, match="takes no permutation; leave perm_mask out, or use mixer 'xlnet'"):
        build(mixer=mixer)(TEXTS, perm_mask=torch.zeros(2, 11, 11))


@pytest.mark.parametrize("mixer", ["xlnet", "mamba2, attention"])
def test_it_learns_a_masked_digit_from_its_molecule(mixer):
    model = build(mixer=mixer, initializer_range=0.02).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    random = torch.Generator().manual_seed(0)
    digits = torch.tensor([EXAMPLE_VOCABULARY.index(f"_{digit}_-1_") for digit in range(4)])
    atoms = torch.tensor([EXAMPLE_VOCABULARY.index(atom) for atom in ("[C]", "[N]", "[O]", "[F]")])
    losses = []
    for _ in range(60):
        kind = torch.randint(0, 4, (16,), generator=random)
        text = TEXTS[1].repeat(16, 1)
        text[:, 7] = atoms[kind]
        logits = model(text, positions=torch.full((16, 1), 4))
        loss = F.cross_entropy(logits[:, 0], digits[kind])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 < losses[0]


def test_every_parameter_of_the_two_streams_learns_but_those_of_segments():
    model = build().train()
    model(TEXTS, positions=torch.tensor([[4], [4]])).square().sum().backward()
    still = {name for name, parameter in model.named_parameters() if parameter.grad is None}
    assert all(name.endswith(("seg_embed", "r_s_bias")) for name in still)
    assert model.no_weight_decay() < {name for name, _ in model.named_parameters()}


@pytest.mark.parametrize("mixer", ["xlnet", "mamba"])
@pytest.mark.parametrize("vmax", [None, 2.0])
def test_a_grown_vocabulary_keeps_what_was_learned(mixer, vmax):
    model = build(mixer=mixer, vmax=vmax)
    grown = model.resize_vocabulary(["[C]", "[Si]", "_9_7_", "[Si]"])
    assert grown.config.vocabulary == (*EXAMPLE_VOCABULARY, "[Si]", "_9_7_")
    old = len(EXAMPLE_VOCABULARY)
    torch.testing.assert_close(grown(TEXTS)[..., :old], model(TEXTS))
    assert grown.word_embedding.weight[old:].std() > 0.1
    assert not grown.training
    grown(TEXTS).sum().backward()
    assert model.word_embedding.weight.grad is None


@pytest.mark.parametrize("mixer", ["xlnet", "mamba2, attention"])
def test_an_export_is_all_that_a_prediction_needs(mixer, tmp_path):
    formats = {"qed": {"minimum": 0.0, "maximum": 1.0, "decimals": 3, "integer_digits": 1, "signed": False,
                       "normalized": False}}  # fmt: skip
    model = build(mixer=mixer, number_formats=formats, metadata={"from": "a test"})
    model.save_pretrained(tmp_path / "saved")
    again = seqsuite.load_model(tmp_path / "saved")
    assert isinstance(again, RegressionTransformer)
    assert (again.config, again.name) == (model.config, "rt_debug")
    assert torch.equal(again(TEXTS), model(TEXTS))
    written = json.loads((tmp_path / "saved" / "config.json").read_text())
    assert not {field.name for field in dataclasses.fields(model.config)} - set(written)
    text = again.tokenizer.expression({"qed": 0.727}, "[C][O]")
    assert text == "<qed>0.727|[C][O]"
    assert QED in again.tokenizer.decode(again.tokenizer.encode(text))


def test_the_backbone_is_a_published_model():
    model = build()
    plain = XLNetLM(model.backbone.config).eval()
    plain.load_state_dict(model.backbone.state_dict(), strict=True)
    mapping = torch.eye(11).expand(2, -1, -1)
    out = plain(inputs_embeds=model.embed(TEXTS), attention_mask=(TEXTS != 0).float(), target_mapping=mapping)
    torch.testing.assert_close(out.logits, model(TEXTS))


def test_the_published_size_has_the_published_number_of_parameters():
    config = dataclasses.replace(SIZES["rt_small"](), vocabulary=(*EXAMPLE_VOCABULARY, *(f"x{i}" for i in range(399))))
    with torch.device("meta"):
        model = XLNetLM(xlnet_config(config))
    assert len(config.vocabulary) == 507
    assert model.num_parameters() == 27_508_219


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_head": 7}, "n_head must divide d_model, 64, not 7"),
        ({"dropout": 1.0}, "dropout must be below 1, not 1.0"),
        ({"vmax": 0.0}, "vmax must be above 0, not 0.0"),
        ({"encoding": "concat"}, "encoding must be one of 'float', 'int', 'none'"),
        ({"encoding_format": "concat", "encoding_dim": 7}, "encoding_dim must be even"),
        ({"encoding_format": "concat", "encoding_dim": 66}, "encoding_dim must be at most d_model, 64, not 66"),
        ({"vocabulary": ("[PAD]",)}, r"vocabulary lacks the token '\[UNK\]'"),
        ({"vocabulary": (*EXAMPLE_VOCABULARY, "[C]")}, r"vocabulary has the token '\[C\]' twice"),
        ({"mixer_options": {"d_state": 4}}, "mixer 'xlnet' has no mixer_options, got d_state"),
        ({"mixer": "mambo"}, "Did you mean 'mamba'"),
    ],
)
def test_values_that_do_not_fit_are_one_line(options, message):
    with pytest.raises(UserError, match=message) as caught:
        build(**options)
    assert "\n" not in str(caught.value)


def test_unknown_options_are_refused():
    with pytest.raises(UnknownNameError, match="no_such_option"):
        build(no_such_option=1)
