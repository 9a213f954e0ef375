"""Behaviour cloning: the MLP of the last K states, at every step of a window."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from seqsuite.errors import UserError
from seqsuite.models import create_model, load_model

NAME = "behavior_cloning_debug"


def test_each_step_is_the_mlp_of_the_last_states(make, window):
    model = make(NAME, n_layer=2)
    states = window(model.config, steps=7)[0]
    weights = dict(model.named_parameters())
    predicted = model(states).actions
    assert predicted.shape == (3, 7, 2)
    for t in range(7):
        past = torch.cat((states.new_zeros(3, 4, 4), states), 1)[:, t : t + 5].reshape(3, 20)
        x = F.linear(past, weights["hidden.0.weight"], weights["hidden.0.bias"]).relu()
        x = F.linear(x, weights["hidden.3.weight"], weights["hidden.3.bias"]).relu()
        expected = F.linear(x, weights["action.weight"], weights["action.bias"]).tanh()
        torch.testing.assert_close(predicted[:, t], expected)


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_is_as_if_there_were_nothing(make, window, side):
    model = make(NAME)
    states = window(model.config)[0]
    part = slice(3, None) if side == "left" else slice(0, 2)
    mask = torch.zeros(3, 5, dtype=torch.bool)
    mask[:, part] = True
    junk = states.masked_fill(~mask[..., None], torch.nan)
    torch.testing.assert_close(model(junk, mask=mask).actions[:, part], model(states[:, part]).actions)


def test_only_states_are_read(make, window):
    model = make(NAME, discrete=True, action_dim=3)
    states, actions, returns, timesteps = window(model.config)
    one = model(states, actions, returns, timesteps)
    assert one[::2] == (None, None)
    assert torch.equal(one.actions, model(states, 1 - actions, returns + 1, timesteps + 1).actions)
    assert one.actions.shape == (3, 5, 3)
    assert not model.needs_target


def test_pixels_learn_and_survive_their_export(window, tmp_path):
    torch.manual_seed(0)
    model = create_model(NAME, observation_shape=(36, 36, 1), discrete=True, action_dim=2, dropout=0.0)
    states, actions, *_ = window(model.config, rows=4)
    states = states // 2 + (100 * actions[..., None, None, None]).byte()  # a brighter picture asks for action 1
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(30):
        loss = F.cross_entropy(model(states).actions.flatten(0, 1), actions.flatten())
        optimizer.zero_grad()
        loss.backward()
        assert all(parameter.grad is not None for parameter in model.parameters())
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    model.eval().save_pretrained(tmp_path)
    assert torch.equal(load_model(tmp_path)(states).actions, model(states).actions)


@pytest.mark.parametrize(
    ("options", "message"), [({"dropout": 1.5}, "dropout must be below 1"), ({"n_layer": 0}, "n_layer")]
)
def test_options_out_of_range_are_one_line(options, message):
    with pytest.raises(UserError, match=message):
        create_model(NAME, **options)
