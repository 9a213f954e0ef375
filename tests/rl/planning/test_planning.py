"""The search: one result whatever the engine, whatever its neighbours, whichever way its values are computed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import seqsuite
from seqrl.data.discretizers import fit_discretizer
from seqrl.planning import (
    AttentionEngine,
    PlanContext,
    PlanOptions,
    RandomDraws,
    Replay,
    StateEngine,
    beam_plan,
    beam_search,
    estimate,
    filter_cdf,
    filter_top_k,
    make_engine,
)
from seqsuite.errors import UserError

PERIOD, BINS = 6, 12
DISCRETIZER = fit_discretizer(np.random.default_rng(0).normal(size=(300, PERIOD)), BINS)


@pytest.fixture(scope="module")
def model():
    return make()


def make(**options):
    torch.manual_seed(0)
    model = seqsuite.create_model("trajectory_transformer_debug", **options).eval().double()
    for parameter in model.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    return model


def prefix(rows, environments=1, seed=0):
    found = np.random.default_rng(seed).integers(0, BINS, (environments, rows * PERIOD + 3))
    return torch.from_numpy(found)


def options(**changes):
    return PlanOptions(**{"horizon": 4, "beam_width": 6, "n_expand": 2, "max_context": 5} | changes)


def generators(*seeds):
    return RandomDraws([np.random.default_rng(seed) for seed in seeds])


def plan(model, given, settings, engine="cached", draws=None):
    return beam_plan(model, DISCRETIZER, given, settings, draws=draws or generators(7), engine=engine)


CASES = {
    "nothing is cropped": (0, {}),
    "a context, nothing is cropped": (1, {"horizon": 3}),
    "cropping begins on the way": (2, {"horizon": 5}),
    "cropped from the start": (6, {"max_context": 3}),
    "the shortest window": (3, {"max_context": 2, "horizon": 5}),
    "observations are drawn": (2, {"k_obs": None, "cdf_obs": 0.2, "max_context": 3}),
    "rewards are drawn": (2, {"k_rew": None, "k_act": 4, "cdf_act": None, "max_context": 3}),
    "a percentile": (1, {"percentile": 0.6, "temperature": 0.7, "discount": 0.5}),
    "one beam": (1, {"beam_width": 1, "n_expand": 1, "max_context": 2}),
    "more draws": (1, {"beam_width": 3, "n_expand": 5, "max_context": 3}),
}


@pytest.mark.parametrize("case", list(CASES))
def test_cached_is_plain_token_for_token(model, case):
    rows, changes = CASES[case]
    settings, given = options(**changes), prefix(rows)
    draws = generators(3)
    plain = plan(model, given, settings, "plain", draws)
    replayed = plan(model, given, settings, "cached", Replay(draws.drawn))
    drawn = plan(model, given, settings, "cached", generators(3))
    for found in (replayed, drawn):
        assert torch.equal(found.tokens, plain.tokens)
        torch.testing.assert_close(torch.cat(found.kept_values), torch.cat(plain.kept_values), rtol=1e-9, atol=1e-9)
    assert plain.tokens.shape == (1, settings.horizon, PERIOD)
    assert torch.equal(plain.tokens[0, 0, :3], given[0, -3:])


@pytest.mark.parametrize("mixer", ["mamba", "lstm"])
@pytest.mark.parametrize("case", ["nothing is cropped", "cropping begins on the way", "cropped from the start"])
def test_states_of_recurrent_mixers_give_the_plain_plan(mixer, case):
    rows, changes = CASES[case]
    model, settings, given = make(mixer=mixer), options(**changes), prefix(rows)
    assert isinstance(make_engine(model), StateEngine)
    assert torch.equal(plan(model, given, settings).tokens, plan(model, given, settings, "plain").tokens)


@pytest.mark.parametrize("engine", ["cached", "sliding", "plain"])
@pytest.mark.parametrize("case", ["nothing is cropped", "cropping begins on the way", "observations are drawn"])
def test_plans_of_many_environments_are_those_of_each(model, engine, case):
    rows, changes = CASES[case]
    settings, given = options(**changes), prefix(rows, environments=3)
    together = plan(model, given, settings, engine, generators(1, 2, 3))
    for row in range(3):
        alone = plan(model, given[row : row + 1], settings, engine, generators(row + 1))
        assert torch.equal(together.tokens[row], alone.tokens[0])
        torch.testing.assert_close(together.values[row], alone.values[0], rtol=1e-9, atol=1e-9)


def test_a_sliding_window_is_exact_until_it_moves_and_then_is_not(model):
    for rows, same in ((0, True), (6, False)):
        exact, sliding = (plan(model, prefix(rows), options(max_context=4), engine) for engine in ("cached", "sliding"))
        # The first row is planned before anything moves.
        torch.testing.assert_close(sliding.kept_values[0], exact.kept_values[0])
        close = torch.allclose(sliding.kept_values[-1], exact.kept_values[-1], rtol=1e-9, atol=1e-9)
        assert close == same


@pytest.mark.parametrize("mixer", ["attention", "mamba"])
def test_a_sliding_window_reads_every_token_once(mixer, monkeypatch):
    model = make(mixer=mixer)
    counted = []
    name = "_read_window" if mixer == "attention" else "prefill"
    owner = AttentionEngine if mixer == "attention" else type(model)
    original = getattr(owner, name)
    monkeypatch.setattr(owner, name, lambda *args, **kw: counted.append(args) or original(*args, **kw))
    plan(model, prefix(6), options(max_context=3), "sliding")
    if mixer == "attention":
        assert len(counted) == 1
    else:
        assert all(args[1].shape[1] == 1 for args in counted[1:])


def test_one_beam_and_one_candidate_is_greedy_decoding(model):
    settings = options(beam_width=1, n_expand=1, k_act=1, cdf_act=None, horizon=3)
    found = plan(model, prefix(1), settings).tokens
    row = prefix(1)
    for _ in range(3 * PERIOD - 3):
        row = torch.cat((row, model(row)[:, -1:].argmax(-1)), 1)
    assert torch.equal(found.flatten(), row[0, -3 * PERIOD :])


def test_the_plan_is_worth_its_discounted_rewards_and_its_last_value(model):
    settings = options(discount=0.8)
    found = plan(model, prefix(0), settings)
    edges, row = torch.from_numpy(DISCRETIZER.edges), found.tokens[0].flatten()[None]
    logits = model(row[:, : 5 * PERIOD - 1])[0]
    total = 0.0
    for step in range(4):
        reward, value = (logits[step * PERIOD + place].softmax(-1) for place in (3, 4))
        total += 0.8**step * estimate(reward, edges[:, 4])
    total += 0.8**4 * estimate(value, edges[:, 5])
    torch.testing.assert_close(found.values[0], total)
    assert found.values[0] == found.kept_values[-1].max()


def test_earlier_rows_can_be_left_out(model):
    context = PlanContext(DISCRETIZER, observation_dim=3, action_dim=1, rows=2)
    steps = np.random.default_rng(4).normal(size=(3, 5))
    for step in steps:
        context.add(step[:3], step[3:4], step[4])
    present = np.array([0.1, -0.2, 0.3])
    whole = context.prefix(present)
    assert len(whole) == 2 * PERIOD + 3
    assert whole[PERIOD - 1] == whole[2 * PERIOD - 1] == BINS - 1
    assert np.array_equal(whole[: PERIOD - 1], DISCRETIZER.encode(steps[1]))
    assert np.array_equal(context.prefix(present, context=False), DISCRETIZER.encode(present))
    context.clear()
    assert len(context.prefix(present)) == 3


def test_likelihood_beams_are_the_best_of_all_sequences(model):
    start = prefix(1)
    tokens, logps = beam_search(model, start, 2, beam_width=(BINS + 1) ** 2)
    every = torch.cartesian_prod(*[torch.arange(BINS + 1)] * 2)
    rows = torch.cat((start.expand(len(every), -1), every), 1)
    nats = model(rows).log_softmax(-1)
    expected = sum(nats[:, place].gather(1, every[:, i : i + 1])[:, 0] for i, place in enumerate((-3, -2)))
    torch.testing.assert_close(logps[0], expected.sort(descending=True).values)
    assert torch.equal(tokens[0, 0], rows[expected.argmax()])


@pytest.mark.parametrize("window", [None, 14])
def test_likelihood_beams_do_not_depend_on_the_engine(model, window):
    start = prefix(1, environments=2)
    given = {"beam_width": 5, "top_k": 3, "temperature": 0.8, "window": window}
    cached = beam_search(model, start, 19, **given)
    plain = beam_search(model, start, 19, **given, engine="plain")
    assert torch.equal(cached[0], plain[0])
    torch.testing.assert_close(cached[1], plain[1], rtol=1e-9, atol=1e-9)


def test_filters_keep_what_they_say():
    logits = torch.randn(5, 9, generator=torch.Generator().manual_seed(0))
    kept = filter_top_k(logits, 3).isfinite()
    assert (kept.sum(-1) == 3).all()
    assert torch.equal(filter_top_k(logits, 20), logits)
    probabilities = logits.softmax(-1)
    for share in (0.2, 0.5, 0.9):
        stays = filter_cdf(logits, share) > -999
        assert stays.any(-1).all()
        gone = torch.where(stays, 0, probabilities)
        smallest = torch.where(stays, probabilities, 2).amin(-1)
        assert (smallest >= gone.amax(-1)).all()
        assert ((gone.sum(-1) < share) | ((~stays).sum(-1) == 1)).all()


def test_draws_follow_the_probabilities_and_never_take_what_was_filtered():
    logits = torch.tensor([0.0, 1.0, 2.0, -1.0]).expand(1, 40_000, 4)
    drawn = generators(0)(logits, top_k=3)
    share = torch.bincount(drawn[0], minlength=4) / 40_000
    expected = torch.tensor([0.0, 1.0, 2.0]).softmax(0)
    assert share[3] == 0
    torch.testing.assert_close(share[:3].double(), expected.double(), atol=0.01, rtol=0)


def test_a_replay_says_when_it_does_not_fit(model):
    draws = generators(3)
    plan(model, prefix(0), options(), draws=draws)
    with pytest.raises(ValueError, match="record ends after"):
        plan(model, prefix(0), options(), draws=Replay(draws.drawn[:-1]))
    with pytest.raises(ValueError, match=r"drew \(1, 12\) tokens, not \(1, 14\)"):
        plan(model, prefix(0), options(beam_width=7), draws=Replay(draws.drawn))
    with pytest.raises(ValueError, match="draws for 1 environments, asked for 2"):
        plan(model, prefix(0, environments=2), options(), draws=generators(1))


def test_a_percentile_is_the_edge_pair_in_front_of_its_bin():
    edges = torch.tensor([0.0, 1.0, 3.0, 6.0])
    weights = torch.tensor([[0.2, 0.5, 0.2, 0.1], [0.9, 0.1, 0.0, 0.0], [0.1, 0.1, 0.1, 0.7]])
    assert estimate(weights, edges, 0.6).tolist() == [0.5, 0.0, 0.0]
    assert estimate(weights, edges, 0.6, wrap=True).tolist() == [0.5, 3.0, 3.0]
    torch.testing.assert_close(estimate(weights, edges)[0], torch.tensor(0.1 + 1.0 + 0.9).double())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"horizon": 0}, "horizon must be at least 1"),
        ({"beam_width": 0}, "beam_width must be at least 1"),
        ({"k_act": 0}, "k_act must be at least 1"),
        ({"cdf_act": 1.0}, "cdf_act must lie between 0 and 1"),
        ({"percentile": "median"}, "percentile must be a number"),
        ({"percentile": 1.5}, "percentile must lie between 0 and 1"),
        ({"temperature": 0.0}, "temperature must be above 0"),
        ({"max_context": 1}, "max_context must be at least 2"),
    ],
)
def test_options_out_of_range_are_one_line(changes, message):
    with pytest.raises(UserError, match=message):
        options(**changes)


def test_what_does_not_fit_the_model_is_one_line(model):
    other = fit_discretizer(np.zeros((4, 5)), BINS)
    with pytest.raises(UserError, match="the model 12 of 6"):
        beam_plan(model, other, prefix(0), options(), draws=generators(0))
    with pytest.raises(UserError, match="whole rows and an observation"):
        plan(model, prefix(0)[:, :2], options())
    with pytest.raises(UserError, match="Unknown engine 'fast'"):
        plan(model, prefix(0), options(), "fast")
    with pytest.raises(UserError, match="plan with the engine 'plain'"):
        plan(make(mixer="hyena", mixer_options={"l_max": 29}), prefix(0), options())
    with pytest.raises(UserError, match="leaves nothing"):
        beam_search(model, prefix(0), 9, window=3)
