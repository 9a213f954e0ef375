"""The planning agent: what it does alone and beside others, with old plans, and in real environments."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete

import seqsuite
from seqrl.agents import make_agent
from seqrl.agents.planned import PlannedAgent
from seqrl.data.discretizers import fit_discretizer
from seqrl.environments import make_environment
from seqrl.planning import PlanContext, RandomDraws, beam_plan
from seqrl.planning.decisions import decide, play
from seqrl.spaces import space_to_json
from seqsuite.errors import UserError

SMALL = {"horizon": 3, "beam_width": 4, "max_context": 3}
SEEN, DONE = Box(-2, 2, (3,), np.float32), Box(-1, 1, (1,), np.float32)


def make(**options):
    torch.manual_seed(0)
    discretizer = fit_discretizer(np.random.default_rng(0).normal(size=(300, 6)), 12).to_dict()
    spaces = {"observation_space": space_to_json(SEEN), "action_space": space_to_json(DONE)}
    model = seqsuite.create_model("trajectory_transformer_debug", **{"discretizer": discretizer} | spaces | options)
    for parameter in model.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    return model


def episode(agent, row, steps=5):
    """Actions of one environment whose observations depend on the step and the row only."""
    observations = np.random.default_rng(row).normal(size=(steps, 3)).astype(np.float32)
    rewards = np.random.default_rng(row + 50).normal(size=steps)
    agent.reset(seed=[row])
    actions = []
    for observation, reward in zip(observations, rewards, strict=True):
        actions.append(agent.act(observation))
        agent.observe(reward)
    return observations, rewards, np.array(actions)


def test_an_action_is_the_first_one_of_the_plan_after_what_happened():
    model = make()
    agent = make_agent(model, plan=SMALL)
    observations, rewards, actions = episode(agent, 3)
    assert isinstance(agent, PlannedAgent)
    generator = np.random.default_rng(3)
    context = PlanContext(agent.discretizer, observation_dim=3, action_dim=1, rows=3)
    for observation, reward, action in zip(observations, rewards, actions, strict=True):
        prefix = torch.from_numpy(context.prefix(observation))[None]
        plan = beam_plan(model, agent.discretizer, prefix, agent.options, draws=RandomDraws([generator]))
        np.testing.assert_allclose(action, plan.rows(agent.discretizer)[0, 0, 3:4], rtol=1e-6)
        context.add(observation, action, reward)


def test_environments_side_by_side_do_not_see_each_other():
    alone = [episode(make_agent(make(), plan=SMALL), row) for row in (1, 2)]
    agent = make_agent(make(), plan=SMALL)
    agent.reset(num_envs=2, seed=[5, 2])
    agent.act(np.stack([alone[0][0][0], alone[1][0][0]]))
    agent.observe([9.0, alone[1][1][0]])
    agent.restart([0], seed=[1])  # a shorter context than its neighbour's from here on
    for step in range(4):
        actions = agent.act(np.stack([alone[0][0][step], alone[1][0][step + 1]]))
        agent.observe([alone[0][1][step], alone[1][1][step + 1]])
        np.testing.assert_array_equal(actions[0], alone[0][2][step])
        np.testing.assert_array_equal(actions[1], alone[1][2][step + 1])


def test_a_row_at_rest_is_not_planned_for():
    agent = make_agent(make(), plan=SMALL)
    agent.reset(num_envs=2)
    agent.rest([1])
    agent.act(np.zeros((2, 3), np.float32))
    agent.observe([0.0, 0.0])
    assert np.isfinite(agent.plan_values[0])
    assert np.isnan(agent.plan_values[1])


def test_old_plans_are_followed_between_new_ones():
    agent = make_agent(make(), plan=SMALL, plan_freq=2)
    agent.reset()
    first = agent.act(np.ones(3, np.float32))
    plan = agent.plans[0].copy()
    agent.observe(0.0)
    second = agent.act(np.ones(3, np.float32))
    np.testing.assert_allclose([first, second], plan[:2, 3:4], rtol=1e-6)
    assert np.isnan(agent.plans[0, -1]).all()
    agent.observe(0.0)
    agent.act(np.ones(3, np.float32))
    assert np.isfinite(agent.plans).all()


def test_discrete_actions_are_whole_numbers_of_the_space():
    discrete = make(action_space=space_to_json(Discrete(3, start=4)))
    agent = make_agent(discrete, plan=SMALL)
    agent.reset()
    action = agent.act(np.zeros(3, np.float32))
    assert action in agent.action_space


def test_actions_are_clipped_where_asked_for():
    model = make()
    wide = dict(model.config.discretizer)
    edges = np.array(wide["edges"])
    edges[:, 3] = np.linspace(5, 9, 13)
    wide["edges"] = edges.tolist()
    model = make(discretizer=wide)
    actions = []
    for clip in (False, True):
        agent = make_agent(model, plan=SMALL, clip=clip)
        agent.reset()
        actions.append(float(agent.act(np.zeros(3, np.float32))[0]))
    assert actions[0] > 5
    assert actions[1] == 1


def test_decisions_in_an_environment_are_listed():
    environment = make_environment("Pendulum-v1")
    box = {"observation_space": environment.observation_space, "action_space": environment.action_space}
    agent = PlannedAgent(make(), **box, plan=SMALL, clip=True)
    found = play(agent, environment, 3, seed=2)
    assert len(found.table()) == 3
    assert all(row["reward"] <= 0 and row["seconds"] > 0 for row in found.table())
    one = decide(agent, environment.reset(seed=2)[0], seed=2)
    np.testing.assert_array_equal(one.decisions[0].action, found.decisions[0].action)
    assert len(one.table()) == 3  # the steps of its plan
    with pytest.raises(UserError, match="steps is 0"):
        play(agent, environment, 0)


@pytest.mark.parametrize(
    ("options", "model_options", "message"),
    [
        ({"plan": {"horizon": 0}}, {}, "horizon must be at least 1"),
        ({"plan": {"horizn": 2}}, {}, "Did you mean 'horizon'"),
        ({"plan_freq": 4, "plan": SMALL}, {}, "between 1 and the horizon, 3"),
        ({}, {"discretizer": {}}, "knows no discretizer"),
        ({"action_space": Box(-1, 1, (2,))}, {}, "the model plans 1"),
        ({"horizn": 2}, {}, "'horizn'"),
    ],
)
def test_what_does_not_fit_is_one_line(options, model_options, message):
    with pytest.raises(UserError, match=message):
        make_agent(make(**model_options), **options)


def test_an_observation_of_another_width_is_told():
    agent = PlannedAgent(make(), observation_space=Box(-1, 1, (4,)), plan=SMALL)
    agent.reset()
    with pytest.raises(UserError, match="4 numbers, the model sees 3"):
        agent.act(np.zeros(4, np.float32))
