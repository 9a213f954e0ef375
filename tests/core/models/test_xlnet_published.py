"""XLNet beside transformers' XLNetLMHeadModel, which reads the same state dict: numbers, memories, gradients, files."""

from __future__ import annotations

import dataclasses

import pytest
import torch
import torch.nn.functional as F

from seqsuite.errors import UserError
from seqsuite.models.configs import XLNetConfig
from seqsuite.models.xlnet import XLNetLM
from seqsuite.models.xlnet_convert import config_from_published, config_to_published, from_published, load_published

transformers = pytest.importorskip("transformers")

LENGTH, ROWS, VOCABULARY = 8, 2, 30


def pair(**options):
    """Ours and theirs with the same weights, none of them at its initial value."""
    torch.manual_seed(0)
    fields = {"n_token": VOCABULARY, "d_model": 16, "n_layer": 2, "n_head": 2, "d_inner": 24} | options
    config = XLNetConfig(**fields)
    ours = XLNetLM(config).eval()
    with torch.no_grad():
        for name, parameter in ours.named_parameters():
            parameter.add_(torch.randn_like(parameter) * (0.1 if "norm" in name or parameter.ndim == 1 else 0.3))
    theirs = transformers.XLNetLMHeadModel(transformers.XLNetConfig(**config_to_published(config))).eval()
    theirs.load_state_dict(ours.state_dict(), strict=True)
    return ours, theirs


def random_inputs(seed=0):
    random = torch.Generator().manual_seed(seed)
    order = torch.rand(ROWS, LENGTH, generator=random).argsort(1)
    mask = torch.ones(ROWS, LENGTH)
    mask[0, -2:] = 0
    return {
        "input_ids": torch.randint(0, VOCABULARY, (ROWS, LENGTH), generator=random),
        "attention_mask": mask,
        "perm_mask": (order[:, :, None] <= order[:, None, :]).float(),
        "token_type_ids": torch.randint(0, 2, (ROWS, LENGTH), generator=random),
    }


def compare(ours, theirs, given, mems=None):
    """Logits, memories and the gradient of every parameter."""
    turned = {} if mems is None else {"mems": [m.transpose(0, 1).contiguous() for m in mems], "use_mems": True}
    mine = ours(**given, mems=mems)
    reference = theirs(**given, **turned)
    torch.testing.assert_close(mine.logits, reference.logits, rtol=1e-4, atol=2e-5)
    if mine.mems is not None:
        for one, other in zip(mine.mems, reference.mems, strict=True):
            torch.testing.assert_close(one, other.transpose(0, 1), rtol=1e-4, atol=2e-5)
    target = torch.randn(mine.logits.shape, generator=torch.Generator().manual_seed(5))
    losses = [(logits * target).sum() for logits in (mine.logits, reference.logits)]
    expected = dict(theirs.named_parameters())
    names = [name for name, _ in ours.named_parameters()]
    grads = torch.autograd.grad(losses[0], [p for _, p in ours.named_parameters()], allow_unused=True)
    wanted = torch.autograd.grad(losses[1], [expected[name] for name in names], allow_unused=True)
    for name, one, other in zip(names, grads, wanted, strict=True):
        assert (one is None) == (other is None), name
        if one is not None:
            scale = float(other.abs().max())
            torch.testing.assert_close(one, other, rtol=1e-4, atol=2e-5 * max(scale, 1.0), msg=lambda m, n=name: n + m)
    return mine


MAPPINGS = {
    "none": None,
    "identity": torch.eye(LENGTH).expand(ROWS, -1, -1),
    "few": F.one_hot(torch.tensor([[5, 0, 3], [1, 7, 2]]), LENGTH).float(),
    "twice the same": F.one_hot(torch.tensor([[5, 5, 3], [1, 7, 2]]), LENGTH).float(),
    "an empty row": F.one_hot(torch.tensor([[5, 1], [1, 7]]), LENGTH).float() * torch.tensor([1.0, 0.0])[:, None],
    "not one-hot": torch.rand(ROWS, 3, LENGTH, generator=torch.Generator().manual_seed(0)),
}


@pytest.mark.parametrize("mapping", MAPPINGS)
def test_streams_masks_and_segments(mapping):
    ours, theirs = pair()
    given = random_inputs()
    if MAPPINGS[mapping] is not None:
        given["target_mapping"] = MAPPINGS[mapping]
    compare(ours, theirs, given)


@pytest.mark.parametrize(
    "options",
    [
        {"activation": "gelu_tanh"},
        {"activation": "relu", "n_head": 4, "d_inner": 8, "layer_norm_eps": 1e-3},
        {"activation": "silu", "d_model": 30, "n_head": 3, "n_layer": 3},
        {"clamp_len": 3},
        {"bi_data": True, "clamp_len": 5},
        {"mem_len": 3},
        {"mem_len": 5, "reuse_len": 4},
        {"mem_len": 0},
    ],
    ids=str,
)
def test_options_of_the_config(options):
    ours, theirs = pair(**options)
    given = random_inputs(1)
    mapping = {"target_mapping": MAPPINGS["few"]}
    out = compare(ours, theirs, given | mapping)
    if out.mems is not None:
        compare(ours, theirs, given | mapping, mems=out.mems)
        compare(ours, theirs, {"input_ids": given["input_ids"]}, mems=out.mems)
    compare(ours, theirs, {"input_ids": given["input_ids"]})


@pytest.mark.parametrize("same_length", [False, True])
def test_one_direction(same_length):
    # With a data mask their model cannot take more than one row here. A target that sees nothing at all is left out:
    # its gradient goes to every token alike, and theirs reads the distances of tokens ahead from other rows.
    ours, theirs = pair(attn_type="uni", same_length=same_length, mem_len=LENGTH)
    ids = random_inputs()["input_ids"]
    out = compare(ours, theirs, {"input_ids": ids})
    compare(ours, theirs, {"input_ids": ids, "target_mapping": MAPPINGS["identity"]}, mems=out.mems)
    one = {name: tensor[:1] for name, tensor in random_inputs().items() if name != "perm_mask"}
    compare(ours, theirs, one | {"target_mapping": MAPPINGS["few"][:1]})


def test_embeddings_in_place_of_ids():
    ours, theirs = pair()
    given = random_inputs()
    ids = given.pop("input_ids")
    embedded = ours.transformer.word_embedding(ids).detach()
    compare(ours, theirs, given | {"inputs_embeds": embedded, "target_mapping": MAPPINGS["few"]})


def test_rows_that_see_nothing_have_the_published_gradient():
    ours, theirs = pair()
    given = random_inputs() | {"perm_mask": torch.ones(ROWS, LENGTH, LENGTH), "target_mapping": MAPPINGS["identity"]}
    compare(ours, theirs, given)


def test_state_dicts_go_both_ways():
    ours, theirs = pair()
    assert set(ours.state_dict()) == set(theirs.state_dict())
    again = XLNetLM(ours.config)
    again.load_state_dict(theirs.state_dict(), strict=True)
    assert again.lm_loss.weight is again.transformer.word_embedding.weight
    ids = random_inputs()["input_ids"]
    assert torch.equal(again.eval()(ids).logits, ours(ids).logits)


def test_a_published_folder_loads(tmp_path):
    ours, theirs = pair(activation="gelu_tanh", clamp_len=7)
    theirs.save_pretrained(tmp_path)  # stores the tied matrix once
    again = load_published(tmp_path)
    assert again.config == dataclasses.replace(ours.config, dropout=again.config.dropout)
    ids = random_inputs()["input_ids"]
    assert torch.equal(again(ids).logits, ours(ids).logits)


def test_the_meaning_of_gelu_is_asked_for():
    raw = config_to_published(XLNetConfig(n_token=5, d_model=8, n_layer=1, n_head=2, d_inner=8))
    assert raw["ff_activation"] == "gelu"
    assert config_from_published(raw).activation == "gelu"
    assert config_from_published(raw, gelu="gelu_tanh").activation == "gelu_tanh"
    assert config_from_published(raw | {"ff_activation": "gelu_new"}).activation == "gelu_tanh"


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"vocab_size": None}, "the config lacks vocab_size"),
        ({"d_head": 3}, "d_head 3 times n_head 2 is not d_model 8"),
        ({"ff_activation": "mish"}, "ff_activation 'mish' is not known"),
    ],
)
def test_a_config_that_does_not_fit_is_one_line(raw, message):
    good = config_to_published(XLNetConfig(n_token=5, d_model=8, n_layer=1, n_head=2, d_inner=8))
    given = {name: value for name, value in (good | raw).items() if value is not None}
    with pytest.raises(UserError, match=message):
        config_from_published(given)


def test_a_head_that_is_not_tied_is_refused():
    ours, _ = pair()
    state = dict(ours.state_dict()) | {"lm_loss.weight": torch.zeros(VOCABULARY, 16)}
    with pytest.raises(UserError, match=r"lm_loss.weight and transformer.word_embedding.weight differ"):
        from_published(state, ours.config)
    with pytest.raises(UserError, match="is this an XLNet language model"):
        from_published({"lm_loss.bias": torch.zeros(3)}, ours.config)
