"""The language model's views, and its published key names."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file

import seqsuite
from seqsuite.errors import UserError
from seqsuite.models.convert import config_from_published, from_published, load_published, to_published
from seqsuite.ops import Seq


def build(**options):
    torch.manual_seed(0)
    return seqsuite.create_model("mamba_lm_debug", **options).eval()


def tokens(length=12):
    return torch.randint(0, 16, (2, length), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("options", [{}, {"norm": "layer", "tie_embeddings": False}])
def test_prefill_and_steps_continue_each_other(options):
    model = build(**options).double()
    ids = tokens()
    whole = model(ids)
    first, state = model.prefill(ids[:, :5])
    second, state = model.prefill(ids[:, 5:8], state)
    rest = []
    for token in ids[:, 8:].unbind(1):
        logits, state = model.step(token, state)
        rest.append(logits)
    joined = torch.cat((first, second, torch.stack(rest, 1)), 1)
    torch.testing.assert_close(joined, whole, rtol=1e-10, atol=1e-12)


def test_steps_alone_from_the_start():
    model = build().double()
    state, out = model.init_state(2), []
    for token in tokens().unbind(1):
        logits, state = model.step(token, state)
        out.append(logits)
    torch.testing.assert_close(torch.stack(out, 1), model(tokens()), rtol=1e-10, atol=1e-12)


def test_padding_and_packing_are_invisible():
    model = build(pad_token_id=15).double()
    ids = tokens() % 15
    padded = torch.cat((ids, torch.full((2, 4), 15)), 1)
    torch.testing.assert_close(model(padded)[:, :12], model(ids))
    packed = model(ids, seq=Seq.from_cu_seqlens([[0, 5, 12]] * 2, 12))
    torch.testing.assert_close(packed[:, 5:], model(ids[:, 5:]))


def test_initial_step_sizes_survive_the_models_initialisation():
    model = build(mixer_options={"d_state": 4, "bias": True, "dt_min": 0.01, "dt_max": 0.02})
    mixer = model.backbone.layers[0].mixer
    steps = torch.nn.functional.softplus(mixer.dt_proj.bias)
    assert 0.0099 < steps.min()
    assert steps.max() < 0.0201
    assert not mixer.in_proj.bias.any()
    assert not mixer.out_proj.bias.any()


def test_published_mamba_130m_has_the_published_number_of_parameters():
    with torch.device("meta"):
        assert seqsuite.create_model("mamba_130m").num_parameters() == 129_135_360


@pytest.mark.parametrize(
    "options", [{}, {"tie_embeddings": False, "norm": "layer"}, {"mixer_options": {"bias": True, "conv_bias": False}}]
)
def test_published_names_round_trip(tmp_path, options):
    model = build(**options)
    config = model.config
    published = {name: tensor.clone() for name, tensor in to_published(model.state_dict(), config).items()}
    assert {"backbone.embedding.weight", "backbone.norm_f.weight", "lm_head.weight"} <= set(published)
    raw = {
        "d_model": config.d_model,
        "n_layer": config.n_layer,
        "vocab_size": config.vocab_size,
        "ssm_cfg": config.mixer_options,
        "rms_norm": config.norm == "rms",
        "tie_embeddings": config.tie_embeddings,
    }
    save_file(published, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(raw))
    assert torch.equal(load_published(tmp_path)(tokens()), model(tokens()))
    with pytest.raises(UserError, match=r"lacks backbone.norm_f.weight"):
        from_published({name: t for name, t in published.items() if name != "backbone.norm_f.weight"}, config)


def test_transformers_layout_is_the_same_model():
    model = build()
    state = to_published(model.state_dict(), model.config)
    state["backbone.embeddings.weight"] = state.pop("backbone.embedding.weight")
    raw = {"hidden_size": 32, "num_hidden_layers": 2, "vocab_size": 16, "state_size": 8, "time_step_rank": 2}
    again = from_published(state, config_from_published(raw))
    assert all(torch.equal(again[name], tensor) for name, tensor in model.state_dict().items())


def test_other_layers_are_refused():
    raw = {"d_model": 8, "n_layer": 1, "vocab_size": 16}
    with pytest.raises(UserError, match=r"'Mamba2'"):
        config_from_published(raw | {"ssm_cfg": {"layer": "Mamba2"}})
    with pytest.raises(UserError, match=r"attention or MLP"):
        config_from_published(raw | {"attn_layer_idx": [1]})


@pytest.mark.parametrize(
    ("ids", "error", "message"),
    [
        (torch.tensor([[3, 999]]), ValueError, "^input_ids must be token ids from 0 to 15, got 3 to 999$"),
        (torch.tensor([[-1, 3]]), ValueError, "^input_ids must be token ids from 0 to 15, got -1 to 3$"),
        (torch.zeros(2, 4), TypeError, "^input_ids must be integers, not torch.float32$"),
        (torch.tensor([1, 2]), ValueError, r"^input_ids must be \(B, L\), got \(2,\)$"),
    ],
)
def test_what_is_no_token_is_named(ids, error, message):
    model = build()
    for view in (model, model.prefill):
        with pytest.raises(error, match=message):
            view(ids)
    with pytest.raises(ValueError, match=r"^token must be \(B,\), got \(1, 1\)$"):
        model.step(torch.tensor([[1]]), model.init_state(1))


def test_a_state_of_another_stack_is_refused():
    model = build()
    state = model.init_state(1)
    for other in (state[:-1], (*state, state[0])):
        with pytest.raises(ValueError, match=rf"^state must have one part for each of the 2 blocks, got {len(other)}$"):
            model.prefill(torch.zeros(1, 3, dtype=torch.long), other)
        with pytest.raises(ValueError, match=r"^state must have one part for each of the 2 blocks"):
            model.step(torch.zeros(1, dtype=torch.long), other)
