"""Decision Transformer: what a step may see, padding, the tokens, the heads, the published initial weights."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from seqrl.models.encoders import PixelEncoder
from seqsuite.errors import UnknownNameError, UserError
from seqsuite.models import create_model, load_model

MIXERS = ["attention", "mamba", "mamba2", "hyena", "s4d", "gla", "mamba, attention"]
SHAPES = {
    "published": {},
    "discrete": {"discrete": True, "action_dim": 3},
    "places": {"position": "window", "return_dim": 2},
    "atari": {"position": "global", "token_norm": False, "token_tanh": True, "discrete": True, "state_head": False},
    "pixels": {"observation_shape": (2, 36, 40), "state_head": False, "position": "none"},
    "naive": {"condition_on_returns": False, "position": "global"},
}
LAYOUTS = {
    "left": torch.tensor([[0, 0, 0, 1, 1], [1, 1, 1, 1, 1], [0, 0, 0, 0, 1]]),
    "right": torch.tensor([[1, 1, 0, 0, 0], [1, 1, 1, 1, 1], [1, 1, 1, 1, 0]]),
    "gaps": torch.tensor([[0, 1, 0, 1, 1], [1, 0, 0, 0, 1], [1, 1, 1, 0, 1]]),
}


def poisoned(given, mask, value):
    """The window with other content at padding."""
    out = []
    for x in given:
        junk = torch.full_like(x, value) if x.is_floating_point() else torch.full_like(x, 1)
        out.append(torch.where(mask.bool().view(*mask.shape, *[1] * (x.ndim - 2)), x, junk))
    return out


def there(predicted):
    return [part for part in predicted if part is not None]


@pytest.mark.parametrize("side", LAYOUTS)
@pytest.mark.parametrize("mixer", MIXERS)
def test_real_steps_depend_on_no_padding_whatever_the_mixer(make, window, mixer, side):
    model = make(mixer=mixer)
    given, mask = window(model.config), LAYOUTS[side]
    keep = mask.bool()
    with torch.no_grad():
        first = model(*poisoned(given, mask, -10.0), mask=mask)
        second = model(*poisoned(given, mask, 1e8), mask=keep)
        for one, other in zip(first, second, strict=True):
            assert torch.equal(one[keep], other[keep])
        for row in range(3):
            alone = model(*(x[row : row + 1, keep[row]] for x in given))
            for one, other in zip(first, alone, strict=True):
                torch.testing.assert_close(one[row, keep[row]], other[0], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("shape", SHAPES)
def test_padding_changes_nothing_whatever_the_tokens(make, window, shape):
    model = make(**SHAPES[shape])
    given, mask = window(model.config), LAYOUTS["left"]
    with torch.no_grad():
        padded = there(model(*poisoned(given, mask, 7.0), mask=mask))
        alone = there(model(*(x[:1, 3:] for x in given)))
        for one, other in zip(padded, alone, strict=True):
            torch.testing.assert_close(one[:1, 3:], other, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("mixer", MIXERS)
def test_an_action_sees_its_state_and_return_and_nothing_later(make, window, mixer):
    model = make(mixer=mixer)
    given = window(model.config)
    leaves = [x.requires_grad_() for x in given[:3]]
    t = 2
    predicted = model(*given)
    states, actions, returns = torch.autograd.grad(predicted.actions[:, t].sum(), leaves, retain_graph=True)
    for gradient, last in ((states, t), (actions, t - 1), (returns, t)):
        assert (gradient[:, : last + 1].abs().amax((0, 2)) > 0).all()
        # Convolutions by FFT may leave rounding there.
        assert gradient[:, last + 1 :].abs().max() < 1e-12
    for part in (predicted.states, predicted.returns):
        _, own, _ = torch.autograd.grad(part[:, t].sum(), leaves, retain_graph=True)
        assert own[:, t].abs().max() > 0
        assert own[:, t + 1 :].abs().max() < 1e-12


def test_it_is_the_published_formula(make, window):
    model = make()
    config = model.config
    states, actions, returns, timesteps = window(config)
    weights = dict(model.named_parameters())

    def layer(name, x):
        return F.linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"])

    def norm(name, x):
        return F.layer_norm(x, (16,), weights[f"{name}.weight"], weights[f"{name}.bias"], 1e-5)

    time = weights["tokens.embed_timestep.weight"][timesteps]
    triples = [layer("tokens.embed_return", returns), layer("tokens.embed_state", states)]
    triples.append(layer("tokens.embed_action", actions))
    x = torch.stack([part + time for part in triples], 2).reshape(3, 15, 16)
    x = norm("tokens.norm", x)
    for index in range(2):
        block = f"backbone.layers.{index}"
        q, k, v = layer(f"{block}.mixer.in_proj", norm(f"{block}.norm1", x)).view(3, 15, 3, 2, 8).unbind(2)
        scores = torch.einsum("blhd,bshd->bhls", q, k) / 8**0.5
        scores = scores.masked_fill(~torch.ones(15, 15, dtype=torch.bool).tril(), -torch.inf).softmax(-1)
        x = x + layer(f"{block}.mixer.out_proj", torch.einsum("bhls,bshd->blhd", scores, v).reshape(3, 15, 16))
        x = x + layer(f"{block}.mlp.fc2", layer(f"{block}.mlp.fc1", norm(f"{block}.norm2", x)).relu())
    x = norm("backbone.norm_f", x).view(3, 5, 3, 16)
    predicted = model(states, actions, returns, timesteps)
    torch.testing.assert_close(predicted.actions, layer("heads.action", x[:, :, 1]).tanh())
    torch.testing.assert_close(predicted.states, layer("heads.state", x[:, :, 2]))
    torch.testing.assert_close(predicted.returns, layer("heads.return_to_go", x[:, :, 2]))


@pytest.mark.parametrize("shape", SHAPES)
def test_every_parameter_learns(window, shape):
    torch.manual_seed(0)
    model = create_model("decision_transformer_debug", **SHAPES[shape])
    given = window(model.config)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(6):
        predicted = there(model(*given))
        loss = sum((part - index).square().mean() for index, part in enumerate(predicted, 1))
        optimizer.zero_grad()
        loss.backward()
        for path, parameter in model.named_parameters():
            assert parameter.grad is not None, path
            assert parameter.grad.isfinite().all(), path
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("shape", SHAPES)
def test_it_survives_its_export(make, window, shape, tmp_path):
    model = make(**SHAPES[shape], env_id="Toy-v0", state_std=(), return_scale=3.0).float()
    given = [x.float() if x.is_floating_point() else x for x in window(model.config)]
    model.save_pretrained(tmp_path)
    again = load_model(tmp_path)
    assert again.config == model.config
    with torch.no_grad():
        for one, other in zip(there(model(*given)), there(again(*given)), strict=True):
            assert torch.equal(one, other)


def test_shapes_of_what_is_predicted(make, window):
    model = make(return_dim=2, observation_shape=(6,), action_dim=3)
    predicted = model(*window(model.config, steps=4))
    assert [part.shape for part in predicted] == [(3, 4, 6), (3, 4, 3), (3, 4, 2)]
    assert predicted.actions.abs().max() <= 1
    heads = make(state_head=False, return_head=False)
    assert heads(*window(heads.config))[::2] == (None, None)
    loud = make(action_tanh=False)
    with torch.no_grad():
        loud.heads.action.bias.fill_(9.0)
    assert loud(*window(loud.config)).actions.max() > 2


def test_without_returns_they_are_not_read(make, window):
    model = make(condition_on_returns=False)
    states, actions, returns, timesteps = window(model.config)
    one, other = (model(states, actions, given, timesteps) for given in (returns, returns + 5))
    assert torch.equal(one.actions, other.actions)
    assert one.returns is None
    assert (model.needs_target, make().needs_target) == (False, True)


def test_time_steps_beyond_the_last_count_as_the_last(make, window):
    model = make()
    states, actions, returns, timesteps = window(model.config)
    last = torch.full_like(timesteps, model.config.max_ep_len - 1)
    assert torch.equal(
        model(states, actions, returns, last + 900).actions, model(states, actions, returns, last).actions
    )
    assert not torch.equal(
        model(states, actions, returns, last - 1).actions, model(states, actions, returns, last).actions
    )


def test_a_window_longer_than_its_places_is_refused(make, window):
    model = make(position="window")
    with pytest.raises(ValueError, match="at most 5 steps"):
        model(*window(model.config, steps=6))
    assert make()(*window(make().config, steps=9)).actions.shape[1] == 9


def test_dropouts_are_on_tokens_branches_and_attention(make, window):
    for name in ("embd_pdrop", "resid_pdrop", "attn_pdrop"):
        off = {"embd_pdrop": 0.0, "resid_pdrop": 0.0, "attn_pdrop": 0.0}
        still = make(**off)
        model = make(**off | {name: 0.5})
        given = window(model.config)
        assert torch.equal(model(*given).actions, still(*given).actions)
        assert torch.equal(still.train()(*given).actions, still.eval()(*given).actions)
        model.train()
        torch.manual_seed(1)
        drawn = model(*given).actions
        assert not torch.allclose(drawn, still(*given).actions)
        torch.manual_seed(1)
        assert torch.equal(model(*given).actions, drawn)


def test_initial_weights_are_those_of_the_published_code():
    torch.manual_seed(0)
    model = create_model("decision_transformer", max_ep_len=500)
    for block in model.backbone.layers:
        for layer in (block.mixer.in_proj, block.mixer.out_proj, block.mlp.fc1, block.mlp.fc2):
            assert layer.weight.std().item() == pytest.approx(0.02, rel=0.03)
            assert not layer.bias.any()
    assert model.tokens.embed_timestep.weight.std().item() == pytest.approx(1, rel=0.03)
    bound = 11**-0.5  # torch's own of a linear layer: uniform
    assert model.tokens.embed_state.weight.abs().max().item() == pytest.approx(bound, rel=0.02)
    assert model.tokens.embed_state.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.05)
    atari = create_model("decision_transformer_atari", n_layer=1)
    assert atari.tokens.embed_action.weight.std().item() == pytest.approx(0.02, rel=0.15)
    assert atari.heads.action.bias is None
    assert not atari.tokens.embed_place.any()
    assert not atari.tokens.embed_start.any()


def test_parameters_of_the_published_size():
    # transformers' model of Hopper has 131 k more of unused positions, and an unused token.
    assert create_model("decision_transformer").num_parameters() == 727_567


def test_pixels_by_either_order_of_axes_and_by_their_scale():
    torch.manual_seed(0)
    frames = torch.randint(0, 256, (2, 3, 3, 36, 44)).byte()
    first = create_model("decision_transformer_debug", observation_shape=(3, 36, 44), state_head=False).eval()
    last = create_model("decision_transformer_debug", observation_shape=(36, 44, 3), state_head=False).eval()
    last.load_state_dict(first.state_dict())
    rest = (torch.randn(2, 3, 2), torch.randn(2, 3, 1), torch.arange(3).expand(2, 3))
    expected = first(frames, *rest).actions
    torch.testing.assert_close(last(frames.movedim(2, -1), *rest).actions, expected)
    torch.testing.assert_close(first(frames.float() / 255, *rest).actions, expected)
    encoder = PixelEncoder((4, 84, 84), 8)
    assert encoder.linear.in_features == 3136
    assert encoder(torch.zeros(2, 5, 4, 84, 84)).shape == (2, 5, 8)


def test_own_options_of_the_attention_stand_above_the_defaults():
    model = create_model("decision_transformer_debug", mixer_options={"num_heads": 4, "window": 6})
    mixer = model.backbone.layers[0].mixer
    assert (mixer.num_heads, mixer.window, mixer.position, mixer.dropout) == (4, 6, "nope", 0.1)
    mixed = create_model(
        "decision_transformer_debug", mixer="mamba, attention", mixer_options={"mamba": {"d_state": 3}}
    )
    assert [type(block.mixer).__name__ for block in mixed.backbone.layers] == ["Mamba", "Attention"]
    assert (mixed.backbone.layers[0].mixer.d_state, mixed.backbone.layers[1].mixer.num_heads) == (3, 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mixer": "attention", "mixer_options": {"causal": False}}, "'attention' sees later steps"),
        ({"mixer": "bidirectional_mamba"}, "'bidirectional_mamba' sees later steps"),
        ({"observation_shape": (3, 4)}, "observation_shape must be"),
        ({"observation_shape": (3, 20, 50)}, "pixels must be at least 36 x 36"),
        ({"observation_shape": (3, 40, 50)}, "state_head predicts vectors"),
        ({"state_mean": (1.0,), "state_std": (1.0,)}, "1 means of states for observations of shape"),
        ({"attn_pdrop": 1.0}, "attn_pdrop must be below 1"),
        ({"return_dim": 0}, "return_dim must be at least 1"),
        ({"d_inner": 0}, "d_inner must be at least 1"),
        ({"n_head": 5}, "num_heads must divide d_model, 16, not 5"),
    ],
)
def test_options_that_do_not_fit_are_one_line(options, message):
    with pytest.raises(UserError, match=message) as caught:
        create_model("decision_transformer_debug", **options)
    assert "\n" not in str(caught.value)


def test_an_unknown_option_is_answered_with_a_near_one():
    with pytest.raises(UnknownNameError, match="n_layer"):
        create_model("decision_transformer_debug", n_layers=2)
