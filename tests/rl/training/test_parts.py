"""Losses, optimiser, schedule, scale and targets of a run; and that what it learns from is there to be learned."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

import seqsuite
from seqrl.configs.train import PolicyTrainConfig
from seqrl.data import open_episodes
from seqrl.training import train
from seqrl.training.building import return_scale, time_limit
from seqrl.training.evaluating import default_targets, environment_of
from seqrl.training.losses import action_losses, masked_mean, squared_errors
from seqrl.training.optim import make_policy_optimizer
from seqrl.training.run import split_episodes
from seqsuite.errors import UserError
from seqsuite.training.optim import lr_factor


def test_padding_takes_no_part_in_the_loss():
    generator = torch.Generator().manual_seed(0)
    predicted = torch.randn(3, 5, 2, generator=generator, requires_grad=True)
    actions = torch.randn(3, 5, 2, generator=generator)
    mask = torch.rand(3, 5, generator=generator) > 0.4
    loss = masked_mean(action_losses(predicted, actions), mask)
    expected = torch.nn.functional.mse_loss(predicted[mask], actions[mask])  # mean over valid steps and dimensions
    torch.testing.assert_close(loss, expected)
    (gradient,) = torch.autograd.grad(loss, predicted)
    assert not gradient[~mask].any()
    spoiled = torch.where(mask[..., None], predicted.detach(), torch.nan)
    torch.testing.assert_close(masked_mean(action_losses(spoiled, actions), mask), expected.detach())
    assert masked_mean(squared_errors(predicted, actions), torch.zeros_like(mask)) == 0


def test_choices_have_the_cross_entropy():
    generator = torch.Generator().manual_seed(1)
    logits, actions = torch.randn(3, 5, 4, generator=generator), torch.randint(4, (3, 5), generator=generator)
    mask = torch.rand(3, 5, generator=generator) > 0.4
    expected = torch.nn.functional.cross_entropy(logits[mask], actions[mask])
    torch.testing.assert_close(masked_mean(action_losses(logits, actions), mask), expected)


def decayed(model: Any, rule: Any) -> set[str]:
    config = PolicyTrainConfig("x", lr=1.0, weight_decay=0.5, betas=(0.1, 0.2))
    optimizer = make_policy_optimizer(model, config, rule)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = optimizer.param_groups
    assert sum(len(group["params"]) for group in groups) == len(names)
    assert all(group["betas"] == (0.1, 0.2) for group in groups)
    return {names[id(part)] for group in groups if group["weight_decay"] == 0.5 for part in group["params"]}


def test_weight_decay_is_on_everything_or_on_matrices():
    policy = seqsuite.create_model("decision_transformer_debug")
    assert decayed(policy, "all") == set(dict(policy.named_parameters()))
    tokens = seqsuite.create_model("trajectory_transformer_debug")
    found = decayed(tokens, "matrices")
    shapes = {name: part.ndim for name, part in tokens.named_parameters()}
    assert "head" in found
    assert {"position", "embedding.weight"}.isdisjoint(found)
    assert all(shapes[name] > 1 for name in found)
    assert {name for name, size in shapes.items() if size > 1} - found == {"position", "embedding.weight"}


def test_what_a_mixer_exempts_stays_exempt():
    policy = seqsuite.create_model("decision_transformer_debug", mixer="mamba")
    left = set(dict(policy.named_parameters())) - decayed(policy, "all")
    assert left == policy.no_weight_decay()
    assert left


def test_published_schedules():
    long = PolicyTrainConfig("x", steps=100_000).filled("windows", passes=1)
    assert lr_factor(0, long) == 1 / 10_000
    assert lr_factor(4_999, long) == 0.5
    assert [lr_factor(step, long) for step in (9_999, 50_000, 99_999)] == [1, 1, 1]
    short = PolicyTrainConfig("x", steps=200).filled("windows", passes=1)
    assert short.warmup_steps == 20
    tokens = PolicyTrainConfig("x", steps=1000).filled("trajectory", passes=70)
    assert tokens.warmup_steps == 70
    assert lr_factor(999, tokens) == pytest.approx(0.1)
    pixels = PolicyTrainConfig("x", steps=1000).filled("pixels", passes=1)
    assert (pixels.lr, pixels.weight_decay, pixels.betas, pixels.batch_size) == (6e-4, 0.1, (0.9, 0.95), 128)
    assert lr_factor(999, pixels) == pytest.approx(0.1)
    given = PolicyTrainConfig("x", lr=0.5, batch_size=3).filled("windows", passes=1)
    assert (given.lr, given.batch_size, given.min_lr) == (0.5, 3, 0.5)


def test_scale_limit_and_targets_follow_the_data(cartpole):
    episodes = open_episodes(cartpole, env_id="CartPole-v1")
    config = PolicyTrainConfig("x").filled("windows", passes=1)
    assert return_scale(config, episodes) == episodes.returns.max()
    discounted = dataclasses.replace(config, discount=0.5)
    assert return_scale(discounted, episodes) == pytest.approx(2.0, rel=1e-6)
    assert return_scale(dataclasses.replace(config, return_scale=7.0), episodes) == 7.0
    assert time_limit(episodes) == 500
    assert default_targets(episodes)[0] == episodes.returns.max()
    hopper = dataclasses.replace(episodes, env_id="Hopper-v5", env_spec="")
    assert return_scale(config, hopper) == 1000
    assert time_limit(hopper) == 1000
    assert default_targets(hopper) == (3600, 1800)
    assert environment_of(config, hopper) == ("Hopper-v5", {})
    with pytest.raises(UserError, match="does not say its environment"):
        environment_of(config, dataclasses.replace(episodes, env_id="", env_spec=""))


def test_the_environment_is_made_as_that_of_the_data(cartpole):
    episodes = open_episodes(cartpole, env_id="CartPole-v1")
    spec = '{"id": "seqrl/TMaze-v0", "kwargs": {"corridor_length": 7, "render_mode": null}, "max_episode_steps": 9}'
    maze = dataclasses.replace(episodes, env_id="seqrl/TMaze-v0", env_spec=spec)
    config = PolicyTrainConfig("x")
    assert environment_of(config, maze) == ("seqrl/TMaze-v0", {"corridor_length": 7})
    assert time_limit(maze) == 9


@pytest.mark.parametrize(("top", "valid"), [(1.0, 0.0), (1.0, 0.25), (0.4, 0.5)])
def test_episodes_are_split_once(cartpole, top, valid):
    episodes = open_episodes(cartpole)
    config = PolicyTrainConfig("x", top_fraction=top, valid_fraction=valid)
    split = split_episodes(episodes, config)
    assert not set(split.train) & set(split.valid)
    kept = np.concatenate((split.train, split.valid))
    assert episodes.lengths[kept].sum() <= top * episodes.steps
    assert len(split.valid) == round(valid * len(kept))
    again = split_episodes(episodes, config)
    assert np.array_equal(again.train, split.train)
    if valid:
        others = [split_episodes(episodes, dataclasses.replace(config, seed=seed)).valid for seed in range(6)]
        assert len({tuple(other) for other in others}) > 1


def test_validation_episodes_train_nothing(options, cartpole, tmp_path):
    """Other numbers in the validation episodes leave the weights as they are."""
    arrays = dict(np.load(cartpole))
    path = tmp_path / cartpole.name
    np.savez(path, **arrays)
    more = {"source": str(path), "valid_fraction": 0.25, "eval_env": "auto", "steps": 3}
    split = split_episodes(open_episodes(path), options(**more))
    first = train(options("first", **more))
    starts = np.append(np.flatnonzero(arrays["episode_starts"]), len(arrays["obs"]))
    for episode in split.valid:
        rows = slice(starts[episode], starts[episode + 1])
        arrays["actions"][rows] = 1 - arrays["actions"][rows]
    np.savez(path, **arrays)
    second = train(options("second", **more))
    weights = [torch.load(run.fit.checkpoint, weights_only=True)["state_dict"] for run in (first, second)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert first.fit.metrics["valid_loss"] != second.fit.metrics["valid_loss"]


def test_results_show_themselves(options):
    result = train(options(steps=2, eval_every=1, eval_episodes=2, targets=(60.0, 20.0)))
    rows = result.table()
    assert [row["weights"] for row in rows] == ["last", "last", "best (of all steps)"]
    assert {row["target"] for row in rows[:2]} == {60.0, 20.0}
    (axes,) = result.figure().axes
    assert len(axes.lines) == 3  # a curve for each target, and the best episode of the data
    assert result.to_dict()["best"]["return_mean"] == result.best.return_mean
    plain = train(options("plain", steps=2, eval_env="auto"))
    assert plain.best is None
    assert {row["what"] for row in plain.table()} >= {"steps", "train_loss", "valid_loss"}
    assert plain.figure().axes


def test_a_policy_learns_a_rule(options, cartpole, tmp_path):
    """The action is the sign of one observation: behaviour cloning finds it in a few steps, from windows and mask."""
    arrays = dict(np.load(cartpole))
    arrays["actions"] = (arrays["obs"][:, 2] > 0).astype(np.int64)
    path = tmp_path / "rule.npz"
    np.savez(path, **arrays)
    more = {"source": str(path), "model": "behavior_cloning_debug", "eval_env": "auto", "steps": 150}
    found = train(options(**more, lr=1e-2, warmup=5.0, batch_size=32, valid_fraction=0.25, validate_every=0))
    assert found.fit.metrics["valid_accuracy"] > 0.9
