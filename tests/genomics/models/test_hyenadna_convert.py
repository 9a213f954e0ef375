"""Published HyenaDNA key names in and out: both layouts, strict, and what their configs leave out."""

from __future__ import annotations

import json
import logging

import pytest
import torch
from safetensors.torch import save_file

import seqsuite
from seqdna.convert_hyenadna import (
    config_from_published,
    config_to_published,
    from_published,
    load_published,
    to_published,
)
from seqsuite.errors import UserError

FILTER = "backbone.layers.0.mixer.filter_fn"
WORDS = "backbone.embeddings.word_embeddings.weight"
VARIANTS = [
    {},
    {"tie_embeddings": False},
    {"mixer_options": {"l_max": 30, "order": 3, "num_inner_mlps": 1, "filter_width": 8}, "d_inner": 24},
    {"mixer_options": {"l_max": 30, "trainable_positions": True, "shift": 0.0}},
    {"head": "sequence_classification", "num_classes": 3},
    {"head": "sequence_classification", "num_classes": 3, "score_bias": False, "pooling": "last"},
]


def build(**options):
    torch.manual_seed(0)
    options = {"padding": "as_published", "mixer_options": {"l_max": 40, "filter_width": 8}} | options
    model = seqsuite.create_model("hyenadna_debug", **options).eval()
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return model


def tokens():
    return torch.randint(7, 12, (2, 29), generator=torch.Generator().manual_seed(1))


def raw_of(model, layout="original"):
    """The config.json of either layout; that of the -hf repositories written down here."""
    raw = config_to_published(model.config)
    if layout == "original":
        return raw
    layer = raw.pop("layer")
    renamed = {"order": "hyena_order", "w": "activation_freq", "l_max": "max_seq_len"}
    return raw | {renamed.get(name, name): value for name, value in layer.items() if name != "lr_pos_emb"}


def write(folder, state, raw):
    folder.mkdir()
    save_file({name: tensor.clone().contiguous() for name, tensor in state.items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(raw))
    return folder


@pytest.mark.parametrize("layout", ["original", "hf"])
@pytest.mark.parametrize("options", VARIANTS)
def test_maps_are_inverse_and_strict(options, layout):
    model = build(**options)
    published = to_published(model.state_dict(), model.config, layout=layout)
    back = from_published(published, model.config)
    assert back.keys() == model.state_dict().keys()
    assert all(torch.equal(back[name], tensor) for name, tensor in model.state_dict().items())
    with pytest.raises(UserError, match=r"has unknown stranger"):
        from_published(published | {"stranger": torch.zeros(1)}, model.config)
    lost = {name: tensor for name, tensor in published.items() if not name.endswith("ln_f.weight")}
    with pytest.raises(UserError, match=r"lacks backbone.ln_f.weight"):
        from_published(lost, model.config)


@pytest.mark.parametrize("layout", ["original", "hf"])
@pytest.mark.parametrize("options", VARIANTS)
def test_loaded_from_a_folder_it_is_the_same_function(tmp_path, options, layout):
    model = build(**options)
    published = to_published(model.state_dict(), model.config, layout=layout)
    loaded = load_published(write(tmp_path / "published", published, raw_of(model, layout)))
    assert torch.equal(loaded(tokens()), model(tokens()))
    loaded.save_pretrained(tmp_path / "ours")
    assert torch.equal(seqsuite.load_model(tmp_path / "ours")(tokens()), model(tokens()))


def test_names_are_those_of_the_published_code():
    model = build()
    original = to_published(model.state_dict(), model.config)
    assert original[f"{FILTER}.implicit_filter.5.freq"].shape == (1, 8)
    assert original[f"{FILTER}.pos_emb.z"].shape == (1, 40, 5)
    assert original[f"{FILTER}.pos_emb.t"].shape == (1, 40, 1)
    assert original[f"{FILTER}.modulation.deltas"].shape == (1, 1, 16)
    assert original["backbone.layers.1.mixer.short_filter.weight"].shape == (48, 1, 3)
    assert original["lm_head.weight"] is original[WORDS]
    other = to_published(model.state_dict(), model.config, layout="hf")
    assert {name.removeprefix("hyena.") for name in other} == set(original)
    assert "lm_head.weight" in other


def test_a_training_checkpoint_with_wrappers_and_counters_is_understood(tmp_path):
    model = build()
    state = {}
    for name, tensor in to_published(model.state_dict(), model.config).items():
        state["model." + name.replace(".mixer.", ".mixer.layer.").replace(".mlp.", ".mlp.layer.")] = tensor
    state["train_torchmetrics.num_tokens.count"] = torch.tensor(7)
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "weights.ckpt")
    loaded = load_published(tmp_path / "weights.ckpt", config=raw_of(model))
    assert torch.equal(loaded(tokens()), model(tokens()))


@pytest.mark.parametrize("absent", ["pos_emb", "modulation", "implicit_filter.3.freq", "lm_head"])
def test_what_follows_from_the_rest_may_be_missing(absent):
    model = build()
    published = to_published(model.state_dict(), model.config)
    left = {name: tensor for name, tensor in published.items() if absent not in name}
    assert len(left) < len(published)
    assert torch.equal(from_published(left, model.config)["embedding.weight"], model.embedding.weight)
    assert config_from_published(raw_of(model), left).mixer_options["l_max"] == 40


def test_trained_positions_are_noticed_by_their_values():
    model = build(mixer_options={"l_max": 40, "trainable_positions": True})
    published = to_published(model.state_dict(), model.config)
    config = config_from_published(raw_of(model, "hf"), published)  # this layout's config does not say
    assert config.mixer_options["trainable_positions"]
    assert torch.equal(
        from_published(published, config)["backbone.layers.0.mixer.filter.z"], published[f"{FILTER}.pos_emb.z"][0]
    )
    fixed = build()
    config = config_from_published(raw_of(fixed, "hf"), to_published(fixed.state_dict(), fixed.config))
    assert not config.mixer_options["trainable_positions"]


def test_length_comes_from_config_or_tensors_and_they_must_agree():
    model = build()
    published, raw = to_published(model.state_dict(), model.config), raw_of(model)
    del raw["layer"]["l_max"]
    assert config_from_published(raw, published).mixer_options["l_max"] == 40
    with pytest.raises(UserError, match=r"must give one length; they give nothing"):
        config_from_published(raw)
    raw["layer"]["l_max"] = 42
    with pytest.raises(UserError, match=r"must give one length; they give 40, 42"):
        config_from_published(raw, published)


def test_buffers_that_contradict_the_config_are_refused():
    model = build()
    published = to_published(model.state_dict(), model.config)
    for name in ("modulation.deltas", "pos_emb.t", "pos_emb.z"):
        with pytest.raises(UserError, match=f"{name} is not what its config gives"):
            from_published(published | {f"{FILTER}.{name}": published[f"{FILTER}.{name}"] * 1.1}, model.config)


def test_shift_is_the_published_one_and_can_be_overruled(tmp_path, caplog):
    model = build(mixer_options={"l_max": 40, "filter_width": 8, "shift": 0.0})
    raw = raw_of(model)
    del raw["layer"]["shift"]
    folder = write(tmp_path / "published", to_published(model.state_dict(), model.config), raw)
    with caplog.at_level(logging.WARNING):
        assert not torch.allclose(load_published(folder)(tokens()), model(tokens()))
    assert "shift=0.05, padding='as_published'" in caplog.text
    assert torch.equal(load_published(folder, shift=0.0)(tokens()), model(tokens()))


def test_local_order_has_no_effect_and_other_settings_are_refused():
    model = build()
    raw = raw_of(model)
    raw["layer"]["local_order"] = 3
    assert config_from_published(raw).mixer_options["order"] == 2
    with pytest.raises(UserError, match=r"the config's bidirectional has no counterpart"):
        config_from_published(raw | {"layer": raw["layer"] | {"bidirectional": True}})
    with pytest.raises(UserError, match=r"the config's use_bias=False has no counterpart"):
        config_from_published(raw | {"use_bias": False})


def test_tied_embeddings_are_told_by_config_and_tensors():
    model = build(tie_embeddings=False)
    published, raw = to_published(model.state_dict(), model.config), raw_of(model)
    assert not config_from_published(raw, published).tie_embeddings
    del raw["tie_word_embeddings"]
    assert not config_from_published(raw, published).tie_embeddings
    assert config_from_published(raw, published | {"lm_head.weight": published[WORDS]}).tie_embeddings
    with pytest.raises(UserError, match=r"lm_head.weight and .*word_embeddings.weight differ, but its config ties"):
        from_published(published, config_from_published(raw | {"tie_word_embeddings": True}, published))


def test_gradients_reach_the_published_names():
    model = build()
    leaves = {
        name: tensor.clone().requires_grad_() for name, tensor in to_published(model.state_dict(), model.config).items()
    }
    out = torch.func.functional_call(model, from_published(leaves, model.config), (tokens(),))
    out.square().sum().backward()
    assert leaves[WORDS].grad.abs().sum() > 0
    assert leaves[f"{FILTER}.implicit_filter.1.freq"].grad.abs().sum() > 0
    silent = ("implicit_filter.3.freq", "implicit_filter.5.freq", "pos_emb.z", "pos_emb.t", "modulation.deltas")
    assert all(leaves[f"{FILTER}.{name}"].grad is None for name in silent)
    assert leaves["lm_head.weight"].grad is None


@pytest.mark.parametrize("tie", [True, False])
def test_a_fresh_head_or_none_on_a_published_backbone(tmp_path, tie):
    model = build(tie_embeddings=tie)
    folder = write(tmp_path / "published", to_published(model.state_dict(), model.config), raw_of(model))
    loaded = load_published(folder, head="sequence_classification", num_classes=5)
    assert loaded(tokens()).shape == (2, 5)
    features = load_published(folder, head="none")(tokens())
    assert torch.equal(features, model.forward_features(tokens()))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "config.json").write_text('{"model_type": "x", "l_max": 40}'), "lacks 'd_model'"),
        (lambda folder: (folder / "config.json").unlink(), "has no config.json; pass config="),
        (lambda folder: (folder / "model.safetensors").unlink(), "holds none of model.safetensors"),
    ],
)
def test_damaged_folders_are_one_line(tmp_path, spoil, message):
    model = build()
    folder = write(tmp_path / "published", to_published(model.state_dict(), model.config), raw_of(model))
    spoil(folder)
    with pytest.raises(UserError, match=message) as caught:
        load_published(folder)
    assert "\n" not in str(caught.value)
