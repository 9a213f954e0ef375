"""Agents over windows: equal to the published loop written out, row by row, however long an episode runs."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete

import seqsuite
from seqrl.agents import Agent, make_agent
from seqrl.spaces import space_to_json
from seqsuite.errors import UserError
from seqsuite.models.base import Model

WIDTH, ACTIONS, CONTEXT, SCALE, LIMIT = 3, 2, 4, 10.0, 30
SEEN = Box(-np.inf, np.inf, (WIDTH,), np.float32)
DONE = Box(-1, 1, (ACTIONS,), np.float32)


def policy(name: str = "decision_transformer_debug", *, discrete: bool = False, **options: Any) -> Model:
    """A tiny policy with weights large enough for its inputs to matter."""
    torch.manual_seed(0)
    fields = {
        "observation_shape": (WIDTH,), "action_dim": ACTIONS, "discrete": discrete, "context": CONTEXT,
        "max_ep_len": LIMIT, "return_scale": SCALE, "state_mean": (0.5, -1.0, 2.0), "state_std": (2.0, 0.5, 1.0),
        "observation_space": space_to_json(SEEN),
        "action_space": space_to_json(Discrete(ACTIONS, start=3) if discrete else DONE),
    }  # fmt: skip
    model = seqsuite.create_model(name, **(fields | options))
    with torch.no_grad():
        for path, parameter in model.named_parameters():
            # A recurrence with larger weights would be chaotic, and rounding would grow without bound.
            if parameter.ndim > 1 and (".mixer." not in path or "mixer" not in options):
                parameter.mul_(3)
    return model.eval()


MODELS: dict[str, dict[str, Any]] = {
    "attention": {},
    "discrete": {"discrete": True},
    "mamba": {"mixer": "mamba"},
    "gru": {"mixer": "gru"},
    "window places": {"position": "window"},
    "no returns": {"condition_on_returns": False},
    "bc": {"name": "behavior_cloning_debug"},
    "rate": {"name": "rate_debug"},
    "rate without valve": {"name": "rate_debug", "valve": False, "discrete": True},
    "rate with cache": {"name": "rate_debug", "cached_segments": 1},
}


def rewards_and_observations(steps: int, rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    return generator.normal(size=(steps, rows)), generator.normal(size=(steps, rows, WIDTH)).astype(np.float32)


def played(agent: Agent, rewards: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """What an agent of one environment does, given what it sees and gains."""
    done = []
    for reward, observation in zip(rewards, seen, strict=True):
        done.append(agent.act(observation))
        agent.observe(reward)
    return np.array(done)


def published_loop(model: Model, rewards: np.ndarray, seen: np.ndarray, target: float, *, delayed: bool) -> np.ndarray:
    """The evaluation loop of the published code: growing histories, the last K of them padded on the left."""
    config = model.config
    mean, std = torch.tensor(config.state_mean), torch.tensor(config.state_std)
    states, actions = torch.zeros(0, WIDTH), torch.zeros(0, ACTIONS)
    returns, times = torch.tensor([target / SCALE]), torch.zeros(1, dtype=torch.int64)
    done = []
    for step, (reward, observation) in enumerate(zip(rewards, seen, strict=True)):
        states = torch.cat((states, torch.from_numpy(observation)[None]))
        actions = torch.cat((actions, torch.zeros(1, ACTIONS)))
        window = [x[-CONTEXT:] for x in ((states - mean) / std, actions, returns[:, None], times)]
        missing = CONTEXT - len(window[0])
        padded = [torch.cat((x.new_zeros(missing, *x.shape[1:]), x))[None] for x in window]
        mask = (torch.arange(CONTEXT) >= missing)[None]
        with torch.no_grad():
            action = model(*padded, mask=mask).actions[0, -1]
        actions[-1] = action
        done.append(action.numpy())
        gained = 0.0 if delayed else reward / SCALE
        returns = torch.cat((returns, returns[-1:] - gained))
        times = torch.cat((times, torch.tensor([min(step + 1, LIMIT - 1)])))
    return np.stack(done)


@pytest.mark.parametrize("delayed", [False, True])
@pytest.mark.parametrize("options", [{}, {"mixer": "mamba"}, {"name": "behavior_cloning_debug"}], ids=str)
def test_a_long_episode_is_that_of_the_published_loop(options: dict[str, Any], delayed: bool) -> None:
    model = policy(**options)
    rewards, seen = rewards_and_observations(90, 1)  # beyond the buffers' end, twice, and beyond max_ep_len
    agent = make_agent(model, delayed=delayed)
    agent.reset(25.0)
    found = played(agent, rewards[:, 0], seen[:, 0])
    wanted = published_loop(model, rewards[:, 0], seen[:, 0], 25.0, delayed=delayed)
    assert np.abs(found - wanted).max() < 1e-5
    assert wanted.std() > 0.05


@pytest.mark.parametrize("kind", ["attention", "rate", "rate with cache", "mamba"])
def test_what_is_done_is_what_one_forward_over_the_episode_says(kind: str) -> None:
    model = policy(**MODELS[kind])
    steps = CONTEXT * (5 if kind.startswith("rate") else 1) - 1
    rewards, seen = rewards_and_observations(steps, 1)
    agent = make_agent(model)
    agent.reset(25.0)
    done = played(agent, rewards[:, 0], seen[:, 0])
    left = (25.0 - np.concatenate(([0.0], rewards[:-1, 0].cumsum()))) / SCALE
    config = model.config
    states = (torch.from_numpy(seen[:, 0]) - torch.tensor(config.state_mean)) / torch.tensor(config.state_std)
    inputs = (states, torch.from_numpy(done), torch.tensor(left)[:, None].float(), torch.arange(steps))
    with torch.no_grad():
        predicted = model(*(x[None] for x in inputs))
    predicted = predicted[0] if kind.startswith("rate") else predicted
    assert np.abs(predicted.actions[0].numpy() - done).max() < 1e-5


def test_the_memory_reaches_beyond_the_context() -> None:
    rewards, seen = rewards_and_observations(4 * CONTEXT, 1)
    changed = seen.copy()
    changed[0] += 3
    differ = {}
    for kind, options in (("rate", {}), ("attention", {"context": 1})):
        agent = make_agent(policy(**MODELS[kind]), **options)
        done = []
        for observations in (seen, changed):
            agent.reset(25.0)
            done.append(played(agent, rewards[:, 0], observations[:, 0]))
        differ[kind] = np.abs(done[0] - done[1]).max(1) > 1e-6
    # A segment begins without a look at earlier steps: what differs there came through the memory.
    assert differ["rate"][::CONTEXT].all()
    assert differ["attention"].tolist() == [True] + [False] * (4 * CONTEXT - 1)


@pytest.mark.parametrize("kind", MODELS)
def test_rows_are_what_they_are_alone(kind: str) -> None:
    model = policy(**MODELS[kind])
    rows, steps = 3, 40
    restarts = {5: [1], 6: [0, 2], 17: [1], 30: [2]}
    rewards, seen = rewards_and_observations(steps, rows)
    targets = np.array([25.0, 10.0, -5.0])
    agent = make_agent(model)
    agent.reset(targets if agent.needs_target else None, num_envs=rows)
    together = []
    for step in range(steps):
        if step in restarts:
            agent.restart(restarts[step])
        together.append(agent.act(seen[step]))
        agent.observe(rewards[step])
    together_array = np.array(together)
    alone = make_agent(model)
    for row in range(rows):
        begun = [0, *(step for step, rows_then in restarts.items() if row in rows_then), steps]
        for start, stop in itertools.pairwise(begun):
            alone.reset(targets[row] if alone.needs_target else None)
            done = played(alone, rewards[start:stop, row], seen[start:stop, row])
            assert np.abs(done - together_array[start:stop, row]).max() < 1e-5


@pytest.mark.parametrize("kind", ["attention", "discrete", "rate", "bc"])
def test_rows_at_rest_change_nothing_for_the_others(kind: str) -> None:
    model = policy(**MODELS[kind])
    rewards, seen = rewards_and_observations(20, 3)
    found = []
    for resting in ([], [1]):
        agent = make_agent(model)
        agent.reset(25.0, num_envs=3)
        done = []
        for step in range(20):
            if step == 7:
                agent.rest(resting)
            if step == 15:
                agent.restart([1])
            done.append(agent.act(seen[step]))
            agent.observe(rewards[step])
        found.append(np.array(done))
    whole, rested = found
    assert np.abs(whole[:, [0, 2]] - rested[:, [0, 2]]).max() < 1e-5
    assert np.abs(whole[15:, 1] - rested[15:, 1]).max() < 1e-5


def test_all_rows_at_rest_still_get_an_action() -> None:
    agent = make_agent(policy())
    agent.reset(1.0, num_envs=2)
    agent.rest([0, 1])
    assert agent.act(np.zeros((2, WIDTH), np.float32)).shape == (2, ACTIONS)


def test_the_network_never_sees_more_than_its_context_and_buffers_do_not_grow() -> None:
    model = policy()
    lengths: list[int] = []
    model.register_forward_pre_hook(lambda module, given: lengths.append(given[0].shape[1]))
    agent: Any = make_agent(model)
    agent.reset(25.0)
    places = [buffer.data_ptr() for buffer in agent._buffers]
    rewards, seen = rewards_and_observations(100, 1)
    played(agent, rewards[:, 0], seen[:, 0])
    assert lengths == [min(step + 1, CONTEXT) for step in range(100)]
    assert [buffer.data_ptr() for buffer in agent._buffers] == places


def test_a_shorter_context_sees_less() -> None:
    model = policy()
    rewards, seen = rewards_and_observations(6, 1)
    agent = make_agent(model, context=1)
    agent.reset(25.0)
    done = played(agent, rewards[:, 0], seen[:, 0])
    config = model.config
    states = (torch.from_numpy(seen) - torch.tensor(config.state_mean)) / torch.tensor(config.state_std)
    left = torch.tensor((25.0 - np.concatenate(([0.0], rewards[:-1, 0].cumsum()))) / SCALE).float()
    with torch.no_grad():
        wanted = model(states, torch.zeros(6, 1, ACTIONS), left[:, None, None], torch.arange(6)[:, None]).actions
    assert np.abs(done - wanted[:, 0].numpy()).max() < 1e-5


def test_discrete_actions_are_the_likeliest_from_the_start_of_the_space() -> None:
    model = policy(discrete=True)
    rewards, seen = rewards_and_observations(30, 1)
    agent = make_agent(model)
    agent.reset(25.0)
    done = played(agent, rewards[:, 0], seen[:, 0])
    assert set(done) == {3, 4}
    agent.reset(25.0)
    assert isinstance(agent.act(seen[0, 0]), int)


def test_draws_follow_the_softmax_at_a_temperature() -> None:
    model = policy(discrete=True)
    count, temperature = 4000, 2.0
    seen = np.tile(np.array([[0.1, -1.2, 2.3]], np.float32), (count, 1))
    agent = make_agent(model, temperature=temperature)
    agent.reset(5.0, num_envs=count, seed=3)
    drawn = agent.act(seen) - 3
    state = (torch.from_numpy(seen[:1]) - torch.tensor(model.config.state_mean)) / torch.tensor(model.config.state_std)
    with torch.no_grad():
        logits = model(
            state[None], torch.zeros(1, 1, dtype=torch.int64), torch.tensor([[[0.5]]]), torch.zeros(1, 1).long()
        ).actions[0, 0]
    share = torch.softmax(logits / temperature, -1)[1].item()
    assert 0.05 < share < 0.95
    assert abs(drawn.mean() - share) < 4 * np.sqrt(share * (1 - share) / count)


def test_what_a_row_draws_comes_from_its_own_seed() -> None:
    model = policy(discrete=True)
    _, seen = rewards_and_observations(25, 1)

    def draws(seeds: list[int], row: int) -> list[int]:
        agent = make_agent(model, temperature=5.0)
        agent.reset(25.0, num_envs=len(seeds), seed=seeds)
        return [int(agent.act(np.repeat(step, len(seeds), 0))[row]) for step in seen]

    assert draws([11], 0) == draws([7, 8, 11], 2)
    assert draws([11], 0) != draws([12], 0)
    agent = make_agent(model, temperature=5.0)
    agent.reset(25.0, num_envs=1, seed=[4])
    for step in seen[:9]:
        agent.act(step)
    agent.restart([0], seed=[11])
    assert [int(agent.act(step)[0]) for step in seen] == draws([11], 0)


def test_several_objectives_fall_each_by_its_own_reward() -> None:
    model = policy(return_dim=2)
    told: list[torch.Tensor] = []
    model.register_forward_pre_hook(lambda module, given: told.append(given[2][0, -1].clone()))
    agent = make_agent(model)
    agent.reset([20.0, 5.0])
    for _ in range(3):
        agent.act(np.zeros(WIDTH, np.float32))
        agent.observe([1.0, -2.0])
    assert torch.allclose(torch.stack(told), torch.tensor([[2.0, 0.5], [1.9, 0.7], [1.8, 0.9]]))
    with pytest.raises(UserError, match="1 objectives; the policy knows 2"):
        agent.reset(20.0)
    agent.reset([20.0, 5.0])
    agent.act(np.zeros(WIDTH, np.float32))
    with pytest.raises(UserError, match="2 objectives and the reward 1"):
        agent.observe(1.0)


def test_pixels_go_to_the_network_as_they_are() -> None:
    space = Box(0, 255, (2, 36, 36), np.uint8)
    model = policy(
        observation_shape=(2, 36, 36), observation_space=space_to_json(space), state_mean=(), state_std=(),
        position="global", context=3, state_head=False,
    )  # fmt: skip
    told: list[torch.Tensor] = []
    model.register_forward_pre_hook(lambda module, given: told.append(given[0].clone()))
    agent = make_agent(model)
    agent.reset(1.0)
    pictures = np.random.default_rng(0).integers(0, 256, (5, 2, 36, 36), dtype=np.uint8)
    for picture in pictures:
        agent.act(picture)
    assert told[-1].dtype == torch.uint8
    assert torch.equal(told[-1][0], torch.from_numpy(pictures[-3:]))


def test_observations_of_parts_are_encoded() -> None:
    space = Dict({"a": Box(-1, 1, (2,), np.float32), "b": Discrete(2)})
    model = policy(observation_shape=(4,), observation_space=space_to_json(space), state_mean=(), state_std=())
    told: list[torch.Tensor] = []
    model.register_forward_pre_hook(lambda module, given: told.append(given[0].clone()))
    agent = make_agent(model)
    agent.reset(1.0)
    agent.act({"a": np.array([0.5, -0.5], np.float32), "b": 1})
    agent.reset(1.0, num_envs=2)
    agent.act({"a": np.array([[0.5, -0.5], [0, 0]], np.float32), "b": np.array([1, 0])})
    assert told[0][0, 0].tolist() == [0.5, -0.5, 0, 1]
    assert told[1][:, 0].tolist() == [[0.5, -0.5, 0, 1], [0, 0, 1, 0]]


def test_actions_are_clipped_only_where_asked() -> None:
    narrow = Box(-0.01, 0.01, (ACTIONS,), np.float32)
    rewards, seen = rewards_and_observations(5, 1)
    for clip in (False, True):
        agent = make_agent(policy(), action_space=narrow, clip=clip)
        agent.reset(25.0)
        assert (np.abs(played(agent, rewards[:, 0], seen[:, 0])).max() <= 0.01) == clip


def test_a_checkpoint_without_spaces_plays_in_those_of_its_shapes() -> None:
    agent = make_agent(policy(observation_space="", action_space=""))
    assert agent.observation_space.shape == (WIDTH,)
    assert agent.action_space == Box(-1, 1, (ACTIONS,), np.float32)


def test_mistakes_are_told_in_one_line() -> None:
    model = policy()
    agent = make_agent(model)
    with pytest.raises(UserError, match="begin one with reset"):
        agent.act(np.zeros(WIDTH))
    with pytest.raises(UserError, match=r"reset\(target_return"):
        agent.reset()
    agent.reset(1.0, num_envs=2)
    with pytest.raises(UserError, match="call act"):
        agent.observe([1.0, 1.0])
    agent.act(np.zeros((2, WIDTH), np.float32))
    with pytest.raises(UserError, match=r"reward has shape \(3,\); there are 2 environments"):
        agent.observe([1.0, 1.0, 1.0])
    with pytest.raises(UserError, match="num_envs is 0"):
        agent.reset(1.0, num_envs=0)
    with pytest.raises(UserError, match="3 seeds for 2"):
        agent.reset(1.0, num_envs=2, seed=[1, 2, 3])
    for options, match in (
        ({"contxt": 3}, "'contxt'.*Did you mean 'context'"),
        ({"context": 9}, "trained on 4 steps"),
        ({"temperature": 1.0}, "actions are continuous"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"observation_space": Box(-1, 1, (5,))}, r"observations of shape \(3,\)"),
        ({"action_space": Discrete(2)}, "2 continuous actions"),
    ):
        with pytest.raises(UserError, match=match):
            make_agent(model, **options)
    with pytest.raises(UserError, match="is no policy"):
        make_agent(seqsuite.create_model("mamba_lm_debug"))
    with pytest.raises(UserError, match="a memory is written at their end"):
        make_agent(policy("rate_debug"), context=2)


@pytest.mark.parametrize(
    ("num_envs", "given", "said"),
    [
        (None, np.zeros((2, WIDTH)), "one observation is"),
        (2, np.zeros(WIDTH), "2 observations are"),
        (2, np.zeros((3, WIDTH)), "2 observations are"),
        (None, np.array([0, np.nan, 0]), "not finite"),
        (2, np.full((2, WIDTH), np.inf), "not finite"),
    ],
)
def test_observations_that_are_none_of_its_environments(num_envs: int | None, given: np.ndarray, said: str) -> None:
    agent = make_agent(policy())
    agent.reset(1.0, num_envs=num_envs)
    with pytest.raises(UserError, match=said):
        agent.act(given)


def test_a_row_at_rest_may_show_anything() -> None:
    agent = make_agent(policy())
    agent.reset(1.0, num_envs=2)
    agent.rest([1])
    agent.act(np.array([[0.0] * WIDTH, [np.nan] * WIDTH]))
    agent.observe([1.0, np.nan])


def test_numbers_that_are_none() -> None:
    agent = make_agent(policy())
    for target in ("much", float("nan"), [1.0, float("inf")]):
        with pytest.raises(UserError, match="target_return"):
            agent.reset(target, num_envs=2)
    agent.reset(1.0, num_envs=2)
    with pytest.raises(UserError, match="rows are 0"):
        agent.restart([2])
    seen = make_agent(policy(observation_space=space_to_json(Discrete(WIDTH))))
    seen.reset(1.0)
    with pytest.raises(UserError, match="whole number"):
        seen.act(1.5)
