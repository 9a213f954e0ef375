"""Published key names in and out: every layout, strict, without pickle, and the half swap told apart."""

from __future__ import annotations

import json
import logging
import pickle

import pytest
import torch
from safetensors.torch import save_file

import seqsuite
from seqdna.convert import config_from_published, config_to_published, from_published, load_published, to_published
from seqsuite.errors import UserError

VARIANTS = [
    {},
    {"swap_halves": True},
    {"rcps": False},
    {"rcps": False, "bidirectional": False, "norm": "layer"},
    {"bidirectional_weight_tie": False, "bidirectional_strategy": "ew_multiply", "mixer_options": {"bias": True}},
    {"head": "sequence_classification", "num_classes": 3, "swap_halves": True},
]
EMBEDDING = "caduceus.backbone.embeddings.word_embeddings.embedding.weight"
TIED = "caduceus.backbone.layers.0.mixer.submodule.mamba_{}.in_proj.weight"


def build(**options):
    torch.manual_seed(0)
    return seqsuite.create_model("caduceus_ps_debug", padding="as_published", **options).eval()


def tokens():
    return torch.randint(7, 12, (2, 15), generator=torch.Generator().manual_seed(1))


def write(folder, model, *, prefix="", drop=(), config=None):
    """Write a model as the reference would; `drop` names tensors that its safetensors file lacks."""
    state = to_published(model.state_dict(), model.config)
    raw = config_to_published(model.config) | (config or {})
    if drop is not None:
        state = {prefix + name: tensor.clone() for name, tensor in state.items() if name not in drop}
    folder.mkdir(exist_ok=True)
    save_file(state, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(raw))
    return folder


@pytest.mark.parametrize("options", VARIANTS)
def test_maps_are_inverse_and_strict(options):
    model = build(**options)
    published = to_published(model.state_dict(), model.config)
    back = from_published(published, model.config)
    assert back.keys() == model.state_dict().keys()
    assert all(torch.equal(back[name], tensor) for name, tensor in model.state_dict().items())
    with pytest.raises(UserError, match=r"has unknown stranger"):
        from_published(published | {"stranger": torch.zeros(1)}, model.config)
    norm = next(name for name in published if name.endswith("norm_f.weight") or "norm_f.submodule.weight" in name)
    with pytest.raises(UserError, match=r"lacks caduceus.backbone.norm_f.weight"):
        from_published({name: tensor for name, tensor in published.items() if name != norm}, model.config)


@pytest.mark.parametrize("options", VARIANTS)
def test_config_comes_back(options):
    model = build(**options)
    raw = config_to_published(model.config)
    again = config_from_published(raw, to_published(model.state_dict(), model.config))
    assert again.full_complement_map == model.config.full_complement_map
    assert again.padded_vocab_size == model.config.padded_vocab_size
    kept = ("d_model", "n_layer", "norm", "rcps", "bidirectional", "bidirectional_strategy", "swap_halves", "head")
    for field in (*kept, "bidirectional_weight_tie", "mixer_options", "residual_in_fp32", "padding", "num_classes"):
        assert getattr(again, field) == getattr(model.config, field), field


def test_gradient_of_a_tied_tensor_reaches_the_first_name():
    model = build()
    leaves = {
        name: tensor.clone().requires_grad_(tensor.is_floating_point())
        for name, tensor in to_published(model.state_dict(), model.config).items()
    }
    out = torch.func.functional_call(model, from_published(leaves, model.config), (tokens(),))
    out.square().sum().backward()
    assert leaves[EMBEDDING].grad.abs().sum() > 0
    assert leaves["lm_head.lm_head.weight"].grad is None


@pytest.mark.parametrize("prefix", ["", "model."])
@pytest.mark.parametrize("swap_halves", [True, False])
def test_loaded_from_a_folder_it_is_the_same_function(tmp_path, caplog, swap_halves, prefix):
    model = build(swap_halves=swap_halves)
    drop = ("lm_head.lm_head.weight", TIED.format("rev"))
    folder = write(tmp_path / "published", model, prefix=prefix, drop=drop)
    with caplog.at_level(logging.WARNING):
        loaded = load_published(folder)
    assert torch.equal(loaded(tokens()), model(tokens()))
    assert f"swap_halves={swap_halves}, padding='as_published'" in caplog.text
    loaded.save_pretrained(tmp_path / "ours")
    assert torch.equal(seqsuite.load_model(tmp_path / "ours")(tokens()), model(tokens()))


def test_either_of_two_tied_tensors_is_enough(tmp_path):
    model = build()
    folder = write(tmp_path / "published", model, drop=(EMBEDDING, TIED.format("fwd")))
    assert torch.equal(load_published(folder)(tokens()), model(tokens()))


def test_tied_tensors_that_differ_are_refused():
    model = build()
    state = to_published(model.state_dict(), model.config)
    state["lm_head.lm_head.weight"] = state["lm_head.lm_head.weight"] + 1
    with pytest.raises(UserError, match=r"lm_head.weight and .*word_embeddings.weight differ, but its config ties"):
        from_published(state, model.config)


def test_turning_fusion_off_in_the_config_is_noticed(tmp_path):
    model = build(swap_halves=True)
    folder = write(tmp_path / "published", model, config={"fused_add_norm": False})
    with pytest.raises(UserError, match=r"fused_add_norm=False, but the tensors have the names of a fused model"):
        load_published(folder)
    assert torch.equal(load_published(folder, swap_halves=True)(tokens()), model(tokens()))
    assert not torch.allclose(load_published(folder, swap_halves=False)(tokens()), model(tokens()))


def test_complement_is_the_tables_values_in_their_order():
    raw = {"d_model": 8, "n_layer": 1, "vocab_size": 8, "rcps": True, "pad_token_id": -100}
    table = {"3": 6, "4": 5, "5": 4, "6": 3}
    identity = {str(token): token for token in (0, 1, 2, 7)}
    in_order = {key: (table | identity)[key] for key in sorted(table | identity)}
    config = config_from_published(raw | {"complement_map": in_order})
    assert config.full_complement_map == (0, 1, 2, 6, 5, 4, 3, 7)
    assert config.pad_token_id is None
    # Inserted in another order, the reference's buffer holds the values in that order; so do we, if they pair tokens.
    with pytest.raises(UserError, match=r"must exchange tokens in pairs .*not \(6, 5, 4, 3, 0, 1, 2, 7\)"):
        config_from_published(raw | {"complement_map": table | identity})
    falling = config_from_published(raw | {"complement_map": {str(token): token for token in range(7, -1, -1)}})
    assert falling.full_complement_map == tuple(range(7, -1, -1))
    buffer = {"lm_head.complement_map": torch.tensor([7, 6, 5, 4, 3, 2, 1, 0])}
    assert config_from_published(raw | {"complement_map": in_order}, buffer).full_complement_map == tuple(
        range(7, -1, -1)
    )
    with pytest.raises(UserError, match=r"neither its config nor its tensors give a complement_map"):
        config_from_published(raw)


def test_a_fresh_head_on_a_published_backbone(tmp_path):
    model = build()
    loaded = load_published(write(tmp_path / "published", model), head="sequence_classification", num_classes=5)
    assert loaded(tokens()).shape == (2, 5)
    assert torch.equal(loaded.forward_features(tokens()), model.forward_features(tokens()))


def test_checkpoint_files_are_read_as_tensors_or_not_at_all(tmp_path):
    model = build()
    state = {f"model.{name}": tensor for name, tensor in to_published(model.state_dict(), model.config).items()}
    raw = config_to_published(model.config)
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "weights.ckpt")
    assert torch.equal(load_published(tmp_path / "weights.ckpt", config=raw)(tokens()), model(tokens()))
    with pytest.raises(UserError, match=r"has no config.json; pass config="):
        load_published(tmp_path / "weights.ckpt")

    class Stranger:
        def __reduce__(self):
            return (open, (str(tmp_path / "executed"), "w"))

    (tmp_path / "weights.ckpt").write_bytes(pickle.dumps({"state_dict": state, "hyper": Stranger()}, protocol=2))
    with pytest.raises(UserError, match=r"is no file of tensors alone"):
        load_published(tmp_path / "weights.ckpt", config=raw)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "config.json").write_text("{"), "is not valid JSON"),
        (lambda folder: (folder / "config.json").write_text('{"model_type": "x"}'), "its config lacks 'd_model'"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"x" * 64), "is damaged or no safetensors"),
        (lambda folder: (folder / "model.safetensors").unlink(), "holds none of model.safetensors"),
    ],
)
def test_damaged_folders_are_one_line(tmp_path, spoil, message):
    folder = write(tmp_path / "published", build())
    spoil(folder)
    with pytest.raises(UserError, match=message) as caught:
        load_published(folder)
    assert "\n" not in str(caught.value)


def test_missing_folder_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"does not exist"):
        load_published(tmp_path / "nowhere")
