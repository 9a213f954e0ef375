"""RATE: segments and the memory between them, padding, cached states, and a cue remembered beyond a segment."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from seqrl.models.rate import MemoryRetentionValve
from seqsuite.errors import UserError
from seqsuite.models import create_model, load_model

NAME = "rate_debug"
OPTIONS = {
    "published": {},
    "no valve": {"valve": False, "position": "timestep"},
    "cached": {"cached_segments": 1},
    "mamba": {"mixer": "mamba", "valve_heads": 2},
    "mamba, state carried": {"mixer": "mamba", "cached_segments": 1},
    "mixed, cached": {"mixer": "mamba, attention", "n_layer": 2, "cached_segments": 2},
}


def assert_memories_agree(one, other):
    torch.testing.assert_close(one.tokens, other.tokens)
    assert (one.state is None) == (other.state is None)
    for a, b in zip(one.state or (), other.state or (), strict=True):
        for mine, theirs in zip(a, b, strict=True):
            torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("options", OPTIONS)
def test_segments_at_once_are_segments_one_after_the_other(make, window, options):
    model = make(NAME, **OPTIONS[options])
    given = window(model.config, steps=8)
    whole, behind = model(*given)
    parts, memory = [], None
    for start in (0, 3, 6):
        predicted, memory = model(*(x[:, start : start + 3] for x in given), memory=memory)
        parts.append(predicted)
    for name in ("states", "actions", "returns"):
        torch.testing.assert_close(torch.cat([getattr(part, name) for part in parts], 1), getattr(whole, name))
    assert_memories_agree(behind, memory)


@pytest.mark.parametrize("options", OPTIONS)
def test_padding_changes_neither_predictions_nor_memory(make, window, options):
    model = make(NAME, **OPTIONS[options])
    given = window(model.config, rows=4, steps=6)
    mask = torch.tensor([[1, 1, 1, 1, 0, 0], [1, 1, 1, 0, 0, 0], [1, 1, 0, 0, 0, 0], [1, 1, 1, 0, 0, 1]]).bool()
    junk = [x.masked_fill(~mask.view(4, 6, *[1] * (x.ndim - 2)), 3) for x in given]
    with torch.no_grad():
        padded, memory = model(*junk, mask=mask)
        for row, kept in enumerate(([0, 1, 2, 3], [0, 1, 2], [0, 1], [0, 1, 2, 5])):
            alone, behind = model(*(x[row : row + 1, kept] for x in given))
            torch.testing.assert_close(padded.actions[row : row + 1, kept], alone.actions)
            torch.testing.assert_close(memory.tokens[row : row + 1], behind.tokens)
        nothing = [x[:, :3] for x in given]
        _, same = model(*nothing, mask=torch.zeros(4, 3, dtype=torch.bool), memory=memory)
        assert_memories_agree(same, memory)


def test_an_agent_in_a_segment_sees_what_training_saw(make, window):
    model = make(NAME, cached_segments=1)
    given = window(model.config, rows=2, steps=6)
    whole, _ = model(*given)
    _, memory = model(*(x[:, :3] for x in given))
    for count in (1, 2, 3):
        now, _ = model(*(x[:, 3 : 3 + count] for x in given), memory=memory)
        torch.testing.assert_close(now.actions[:, -1], whole.actions[:, 2 + count])
        pad = [F.pad(x, (0, 0) * (x.ndim - 2) + (3 - count, 0)) for x in (x[:, 3 : 3 + count] for x in given)]
        mask = torch.arange(3).expand(2, -1) >= 3 - count
        now, _ = model(*pad, mask=mask, memory=memory)
        torch.testing.assert_close(now.actions[:, -1], whole.actions[:, 2 + count])


def test_nothing_is_seen_ahead_of_time(make, window):
    model = make(NAME, cached_segments=1)
    states, actions, *rest = window(model.config, steps=6)
    states.requires_grad_(), actions.requires_grad_()
    predicted, _ = model(states, actions, *rest)
    for t in (1, 2, 4):
        of_states, of_actions = torch.autograd.grad(predicted.actions[:, t].sum(), (states, actions), retain_graph=True)
        assert not of_states[:, t + 1 :].any()
        assert not of_actions[:, t:].any()
        assert of_states[:, t].any()


def test_gradients_flow_through_the_memory_and_not_through_the_cache(make, window):
    for options, flows in (({}, True), ({"cached_segments": 1}, True)):
        model = make(NAME, **options)
        states, *rest = window(model.config, steps=6)
        states.requires_grad_()
        predicted, _ = model(states, *rest)
        (gradient,) = torch.autograd.grad(predicted.actions[:, 4].sum(), states)
        assert bool(gradient[:, :3].any()) is flows
    model = make(NAME, cached_segments=1)
    states, *rest = window(model.config, steps=6)
    states.requires_grad_()
    _, memory = model(states[:, :3], *(x[:, :3] for x in rest))
    cut = memory._replace(tokens=memory.tokens.detach())
    predicted, _ = model(states[:, 3:], *(x[:, 3:] for x in rest), memory=cut)
    (gradient,) = torch.autograd.grad(predicted.actions.sum(), states)
    assert not gradient[:, :3].any()


def test_cached_states_reach_as_far_as_they_are_said_to(make, window):
    model = make(NAME, cached_segments=1)
    given = window(model.config, steps=12)
    memory = model(*(x[:, :3] for x in given))[1]
    other = model(*(x[:, :3] + (x.is_floating_point()) for x in given))[1]._replace(tokens=memory.tokens)
    # The window slides: the first steps of a segment see further back than its last ones.
    for start, seen in ((3, True), (6, True), (9, False)):
        part = [x[:, start : start + 3] for x in given]
        one, memory = model(*part, memory=memory)
        two, other = model(*part, memory=other)
        assert bool((one.actions != two.actions).any()) is seen
        other = other._replace(tokens=memory.tokens)


def test_rows_of_memories_are_chosen(make, window):
    for options in ({}, {"cached_segments": 1}):
        model = make(NAME, **options)
        one = model(*window(model.config))[1]
        fresh = model.init_memory(3)
        mixed = one.where(torch.tensor([True, False, True]), fresh)
        torch.testing.assert_close(mixed.tokens[[0, 2]], one.tokens[[0, 2]])
        torch.testing.assert_close(mixed.tokens[1], fresh.tokens[1])
        again, _ = model(*window(model.config, seed=5), memory=mixed)
        started, _ = model(*window(model.config, seed=5))
        torch.testing.assert_close(again.actions[1], started.actions[1])
        assert not torch.allclose(again.actions[0], started.actions[0])


def test_the_valve_is_cross_attention_with_the_old_memory_as_queries():
    torch.manual_seed(0)
    valve = MemoryRetentionValve(6, 2)
    old, new = torch.randn(2, 3, 6), torch.randn(2, 3, 6)
    torchs = torch.nn.MultiheadAttention(6, 2, batch_first=True)
    with torch.no_grad():
        torchs.in_proj_weight.copy_(torch.cat([part.weight for part in (valve.query, valve.key, valve.value)]))
        torchs.in_proj_bias.copy_(torch.cat([part.bias for part in (valve.query, valve.key, valve.value)]))
        torchs.out_proj.load_state_dict(valve.out.state_dict())
    torch.testing.assert_close(valve(old, new), torchs(old, new, new)[0])


def test_a_cue_is_remembered_over_segments_that_do_not_hold_it(tmp_path):
    torch.manual_seed(0)
    quiet = {"embd_pdrop": 0.0, "resid_pdrop": 0.0, "attn_pdrop": 0.0, "initializer_range": 0.1}
    model = create_model(NAME, discrete=True, observation_shape=(1,), state_head=False, return_head=False, **quiet)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    random = torch.Generator().manual_seed(0)

    def episodes(steps):
        cue = torch.randint(0, 2, (32,), generator=random)
        states = torch.zeros(32, steps, 1)
        states[:, 0, 0] = cue * 2.0 - 1
        rest = (torch.zeros(32, steps).long(), torch.zeros(32, steps, 1), torch.arange(steps).expand(32, -1))
        return cue, (states, *rest)

    for update in range(140):
        cue, given = episodes(3 * (1 + update % 4))
        loss = F.cross_entropy(model(*given)[0].actions[:, -1], cue)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    for steps in (12, 30):  # four segments as in training, and ten
        cue, given = episodes(steps)
        right = (model(*given)[0].actions[:, -1].argmax(-1) == cue).float().mean()
        assert right > 0.95, (steps, right)
    model.save_pretrained(tmp_path)
    assert torch.equal(load_model(tmp_path)(*given)[0].actions, model(*given)[0].actions)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"memory_tokens": 0}, "memory_tokens must be at least 1"),
        ({"valve_heads": 3}, "valve_heads must divide d_model, 16, not 3"),
        ({"cached_segments": -1}, "cached_segments must be at least 0"),
    ],
)
def test_options_out_of_range_are_one_line(options, message):
    with pytest.raises(UserError, match=message):
        create_model(NAME, **options)
