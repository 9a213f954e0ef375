"""Published Decision Transformers: every name has its place, what does not fit is told, and the way to transformers."""

from __future__ import annotations

import pytest
import torch

from seqrl import convert
from seqrl.configs.models import DecisionTransformerConfig
from seqrl.convert_files import load_published
from seqrl.models.decision_transformer import DecisionTransformer
from seqsuite.errors import UserError
from seqsuite.models import create_model


def block_of_gpt2(prefix, width, inner):
    """Names and shapes as GPT-2 stores them: matrices are (in, out)."""
    shapes = {"attn.c_attn": (width, 3 * width), "attn.c_proj": (width, width)}
    shapes |= {"mlp.c_fc": (width, inner), "mlp.c_proj": (inner, width)}
    named = {f"{prefix}.{name}.weight": shape for name, shape in shapes.items()}
    named |= {f"{prefix}.{name}.bias": shape[1:] for name, shape in shapes.items()}
    return named | {f"{prefix}.{norm}.{end}": (width,) for norm in ("ln_1", "ln_2") for end in ("weight", "bias")}


def linear(name, out, into):
    return {f"{name}.weight": (out, into), f"{name}.bias": (out,)}


def drawn(shapes):
    random = torch.Generator().manual_seed(0)
    return {name: 0.3 * torch.randn(shape, generator=random) for name, shape in shapes.items()}


def gym_state(body, *, state=5, action=2, width=8, layers=2, steps=30):
    shapes = {"embed_timestep.weight": (steps, width), f"{body}.wte.weight": (1, width)}
    shapes |= linear("embed_return", width, 1) | linear("embed_state", width, state)
    shapes |= linear("embed_action", width, action) | linear("predict_state", state, width)
    shapes |= linear("predict_action.0", action, width) | linear("predict_return", 1, width)
    shapes |= {f"{norm}.{end}": (width,) for norm in ("embed_ln", f"{body}.ln_f") for end in ("weight", "bias")}
    for layer in range(layers):
        shapes |= block_of_gpt2(f"{body}.h.{layer}", width, 4 * width)
    if body == "encoder":
        shapes["encoder.wpe.weight"] = (1024, width)
    return drawn(shapes)


def atari_state(*, actions=4, width=8, layers=1, context=2, steps=20):
    shapes = {"pos_emb": (1, 3 * context + 1, width), "global_pos_emb": (1, steps, width)}
    shapes |= {"action_embeddings.0.weight": (actions, width), "head.weight": (actions, width)}
    shapes |= {"tok_emb.weight": (actions, width), **linear("ret_emb.0", width, 1)}
    for number, shape in {0: (32, 4, 8, 8), 2: (64, 32, 4, 4), 4: (64, 64, 3, 3), 7: (width, 3136)}.items():
        shapes |= {f"state_encoder.{number}.weight": shape, f"state_encoder.{number}.bias": shape[:1]}
    for layer in range(layers):
        own = f"blocks.{layer}"
        for part in ("query", "key", "value", "proj"):
            shapes |= linear(f"{own}.attn.{part}", width, width)
        shapes |= linear(f"{own}.mlp.0", 4 * width, width) | linear(f"{own}.mlp.2", width, 4 * width)
        shapes |= {f"{own}.{norm}.{end}": (width,) for norm in ("ln1", "ln2") for end in ("weight", "bias")}
        shapes[f"{own}.attn.mask"] = (1, 1, 7, 7)
    return drawn(shapes | {"ln_f.weight": (width,), "ln_f.bias": (width,)})


STATES = {"kzl": gym_state("transformer"), "hf": gym_state("encoder"), "kzl-atari": atari_state()}


@pytest.mark.parametrize("layout", STATES)
def test_every_tensor_has_its_place(layout):
    state = STATES[layout]
    assert convert.detect_layout(state) == layout
    config = convert.config_from_published(state, layout)
    mapped = convert.from_published(state, config, layout)
    model = DecisionTransformer(config)
    model.load_state_dict(mapped)
    unused = sum(
        tensor.numel() for name, tensor in state.items() if name.endswith(("wte.weight", "wpe.weight", "mask"))
    )
    unused += state["tok_emb.weight"].numel() if layout == "kzl-atari" else 0
    assert sum(tensor.numel() for tensor in mapped.values()) == sum(t.numel() for t in state.values()) - unused


def test_transformers_first_position_is_a_bias_of_the_norm():
    state = {name: tensor.requires_grad_() for name, tensor in gym_state("encoder").items()}
    config = convert.config_from_published(state, "hf")
    bias = convert.from_published(state, config, "hf")["tokens.norm.bias"]
    torch.testing.assert_close(bias, state["embed_ln.bias"] + state["encoder.wpe.weight"][0])
    wpe, own = torch.autograd.grad(bias.sum(), (state["encoder.wpe.weight"], state["embed_ln.bias"]))
    assert (wpe[0] == 1).all()
    assert not wpe[1:].any()
    assert (own == 1).all()


@pytest.mark.parametrize("layout", STATES)
def test_names_that_are_missing_or_left_over_are_told(layout):
    state = STATES[layout]
    config = convert.config_from_published(state, layout)
    needed = [name for name in state if not name.endswith(("wte.weight", "mask")) and name != "tok_emb.weight"]
    for name in needed:
        with pytest.raises(UserError, match=f"lacks {name}"):
            convert.from_published({key: value for key, value in state.items() if key != name}, config, layout)
    for name in ("encoder.h.0.attn.c_attn.bias2", "head.bias", "embed_ln.scale", "transformer.h.0.ln_3.weight"):
        with pytest.raises(UserError, match=f"has unknown {name}"):
            convert.from_published(state | {name: torch.zeros(1)}, config, layout)


@pytest.mark.parametrize(("layout", "body"), [("kzl", "transformer"), ("hf", "encoder")])
def test_causal_masks_are_passed_by_and_the_bias_that_ends_alike_is_not(layout, body):
    state = STATES[layout]
    config = convert.config_from_published(state, layout)
    buffers = {f"{body}.h.1.attn.bias": torch.ones(1, 1, 9, 9), f"{body}.h.1.attn.masked_bias": torch.tensor(-1e4)}
    expected = convert.from_published(state, config, layout)
    found = convert.from_published(state | buffers, config, layout)
    assert found.keys() == expected.keys()
    given = state[f"{body}.h.1.attn.c_attn.bias"]
    assert torch.equal(found["backbone.layers.1.mixer.in_proj.bias"], given)


def test_what_transformers_config_says_is_taken():
    raw = {"n_head": 4, "activation_function": "gelu_new", "action_tanh": False, "attn_pdrop": 0.3, "max_ep_len": 30}
    config = convert.config_from_published(STATES["hf"], "hf", raw | {"layer_norm_epsilon": 1e-6})
    assert (config.n_head, config.activation, config.action_tanh) == (4, "gelu_tanh", False)
    assert (config.attn_pdrop, config.norm_epsilon, config.max_ep_len, config.return_scale) == (0.3, 1e-6, 30, 1.0)
    for wrong in ({"activation_function": "mish"}, {"scale_attn_weights": False}):
        with pytest.raises(UserError, match=next(iter(wrong))):
            convert.config_from_published(STATES["hf"], "hf", wrong)
    with pytest.raises(UserError, match=r"lacks pos_emb; is its layout kzl-atari\?"):
        convert.config_from_published(STATES["hf"], "kzl-atari")


def test_the_atari_agent_without_returns_has_a_layer_for_them_that_is_passed_by():
    state = STATES["kzl-atari"]
    config = convert.config_from_published(state, "kzl-atari", n_head=2, condition_on_returns=False)
    model = DecisionTransformer(config)
    model.load_state_dict(convert.from_published(state, config, "kzl-atari"))
    assert not any("return" in name for name in model.state_dict())


def test_files_of_unknown_names_are_told():
    with pytest.raises(UserError, match="neither kzl's"):
        convert.detect_layout({"layer.weight": torch.zeros(1)})
    assert convert.detect_layout({"tok_emb.weight": torch.zeros(1), "pos_emb": torch.zeros(1)}) == "jannerm"


def test_the_way_to_transformers_and_back_is_lossless(make, window, tmp_path):
    model = make(activation="gelu_tanh").float()
    raw, tensors = convert.to_huggingface(model.state_dict(), model.config)
    # The names of transformers' model, as its published checkpoints have them.
    assert tensors.keys() == gym_state("encoder").keys()
    assert {name: raw[name] for name in ("state_dim", "act_dim", "hidden_size", "n_layer", "n_head", "max_ep_len")} == {
        "state_dim": 4, "act_dim": 2, "hidden_size": 16, "n_layer": 2, "n_head": 2, "max_ep_len": 50,
    }  # fmt: skip
    assert (raw["activation_function"], raw["model_type"]) == ("gelu_new", "decision_transformer")
    assert tensors["encoder.h.0.attn.c_attn.weight"].shape == (16, 48)
    config = convert.config_from_published(tensors, "hf", raw, context=5)
    back = convert.from_published(tensors, config, "hf")
    for name, tensor in model.state_dict().items():
        assert torch.equal(back[name], tensor), name
    assert config == model.config


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"mixer": "mamba"}, "mixer is 'mamba'"),
        ({"discrete": True}, "discrete is True"),
        ({"condition_on_returns": False}, "condition_on_returns is False"),
        ({"state_head": False}, "state_head is False"),
        ({"mixer_options": {"window": 4}}, "mixer_options is"),
        ({"position": "window"}, "position is 'window'"),
    ],
)
def test_models_that_transformers_has_not_are_refused(options, told):
    model = create_model("decision_transformer_debug", **options)
    with pytest.raises(UserError, match=told):
        convert.to_huggingface(model.state_dict(), model.config)
    with pytest.raises(UserError, match="it is a RATE"):
        convert.to_huggingface({}, create_model("rate_debug").config)


def test_files_of_every_kind_are_read(tmp_path):
    from safetensors.torch import save_file

    expected = convert.from_published(STATES["kzl"], convert.config_from_published(STATES["kzl"], "kzl"), "kzl")
    torch.save(STATES["kzl"], tmp_path / "a.pt")
    torch.save({"model_state_dict": STATES["kzl"], "step": 3}, tmp_path / "b.pt")
    save_file(STATES["kzl"], tmp_path / "c.safetensors")
    for name in ("a.pt", "b.pt", "c.safetensors"):
        model = load_published(tmp_path / name, n_head=2, context=7)
        assert (model.config.n_head, model.config.context, model.training) == (2, 7, False)
        for key, tensor in model.state_dict().items():
            assert torch.equal(tensor, expected[key])
    (tmp_path / "d.pt").write_bytes(b"not a file of tensors")
    for name, told in {"d.pt": "d.pt: is no file of tensors", "e.pt": "e.pt: does not exist"}.items():
        with pytest.raises(UserError, match=told):
            load_published(tmp_path / name)
    with pytest.raises(UserError, match=r"a.pt: .*lacks pos_emb"):
        load_published(tmp_path / "a.pt", layout="kzl-atari")


def test_sizes_of_the_atari_layout():
    config = convert.config_from_published(STATES["kzl-atari"], "kzl-atari", n_head=2)
    assert isinstance(config, DecisionTransformerConfig)
    assert (config.context, config.max_ep_len, config.frame, config.discrete) == (2, 20, (4, 84, 84), True)
