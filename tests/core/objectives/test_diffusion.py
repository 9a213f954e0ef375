from __future__ import annotations

import itertools
import math

import pytest
import torch

from seqsuite.errors import UserError
from seqsuite.objectives.diffusion import FAST_BETAS, Diffusion, linear_betas


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def gaussian_denoiser(process, mean, variance):
    """The best prediction of the noise in data N(mean, variance), by Gaussian conditioning."""

    def model(x, steps):
        kept = process.alpha_bars[steps.long()].to(x).view(-1, *(1,) * (x.ndim - 1))
        return (1 - kept).sqrt() * (x - kept.sqrt() * mean) / (kept * variance + 1 - kept)

    return model


def zero(x, steps):
    return torch.zeros_like(x)


def test_the_exact_predictor_gives_the_data_back():
    # With many small steps ancestral sampling is exact; what 1000 steps leave is below the sampling error.
    process = Diffusion.linear(1000, 1e-4, 0.02)
    x = process.sample(gaussian_denoiser(process, 0.7, 0.25), (20000, 1), generator=generator())
    assert abs(x.mean() - 0.7) < 4 * 0.5 / math.sqrt(20000)
    assert abs(x.std() - 0.5) < 0.5 * (4 / math.sqrt(2 * 20000) + 0.01)


@pytest.mark.parametrize("betas", [[0.3], [1e-4, 0.05, 0.2, 0.5], linear_betas(50, 1e-4, 0.05).tolist()])
def test_of_a_single_point_sampling_is_exact_with_any_steps(betas):
    # The posterior variance that `sigmas` holds is that of data without variance.
    process = Diffusion(betas)
    x = process.sample(
        gaussian_denoiser(process, 0.7, 0.0), torch.zeros(5, 3, dtype=torch.float64), generator=generator()
    )
    torch.testing.assert_close(x, torch.full_like(x, 0.7))


def test_moments_of_the_sampler_follow_the_linear_recursion():
    process, mean, variance = Diffusion.linear(8, 1e-2, 0.3), -0.4, 0.3
    m, v = 0.0, 1.0
    for t in reversed(range(8)):
        beta, kept = process.betas[t].item(), process.alpha_bars[t].item()
        slope = math.sqrt(1 - kept) / (kept * variance + 1 - kept)
        shrink = beta / math.sqrt(1 - kept)
        a = (1 - shrink * slope) / math.sqrt(1 - beta)
        b = shrink * slope * math.sqrt(kept) * mean / math.sqrt(1 - beta)
        previous = process.alpha_bars[t - 1].item() if t else 1.0
        m, v = a * m + b, a * a * v + (beta * (1 - previous) / (1 - kept) if t else 0.0)
    x = process.sample(gaussian_denoiser(process, mean, variance), (40000,), generator=generator())
    assert abs(x.mean() - m) < 4 * math.sqrt(v / 40000)
    assert abs(x.var() / v - 1) < 4 * math.sqrt(2 / 40000)


def test_noised_data_have_the_moments_of_q():
    process = Diffusion.linear(20, 1e-2, 0.2)
    x0, steps = torch.full((3, 30000), 2.0), torch.tensor([0, 7, 19])
    noise = torch.randn(x0.shape, generator=generator())
    x = process.noised(x0, steps, noise)
    kept = torch.tensor([math.prod(1 - process.betas[: t + 1].numpy()) for t in steps])
    torch.testing.assert_close(x.mean(1), (2 * kept.sqrt()).float(), atol=0.03, rtol=0)
    torch.testing.assert_close(x.var(1), (1 - kept).float(), atol=0, rtol=0.04)


def test_step_by_step_noise_is_the_closed_form():
    process = Diffusion([0.1, 0.25, 0.4])
    signal, variance = 1.0, 0.0
    for step, beta in enumerate([0.1, 0.25, 0.4]):
        signal, variance = signal * math.sqrt(1 - beta), variance * (1 - beta) + beta
        torch.testing.assert_close(process.alpha_bars[step].item(), signal**2)
        torch.testing.assert_close(1 - process.alpha_bars[step].item(), variance)


def test_one_step_undoes_itself_with_the_true_noise():
    process = Diffusion([0.36])
    x0, noise = torch.randn(2, 4, 5, generator=generator(), dtype=torch.float64).unbind()
    x1 = process.noised(x0, torch.zeros(4, dtype=torch.long), noise)
    torch.testing.assert_close(process.sample(lambda x, steps: noise, x1), x0)
    torch.testing.assert_close(process.predict_x0(x1, 0, noise), x0)


def test_clipping_beyond_the_data_changes_nothing_and_within_holds_the_prediction():
    process = Diffusion.linear(12, 1e-3, 0.3)
    model = gaussian_denoiser(process, 0.2, 0.01)
    start = torch.randn(6, 3, generator=generator(), dtype=torch.float64)
    plain = process.sample(model, start, generator=generator(1))
    torch.testing.assert_close(process.sample(model, start, generator=generator(1), clip=100.0), plain)
    held = process.sample(lambda x, steps: -10 * x, start, generator=generator(1), clip=0.5)
    assert held.abs().max() <= 0.5
    assert process.sample(lambda x, steps: -10 * x, start, generator=generator(1)).abs().max() > 0.5


def test_loss_is_the_mean_squared_error_of_what_was_drawn():
    process, seen = Diffusion.linear(10), {}

    def model(x, steps):
        seen.update(x=x, steps=steps)
        return torch.full_like(x, 0.5)

    x0, noise = torch.randn(2, 3, 6, generator=generator()).unbind()
    steps = torch.tensor([0, 4, 9])
    loss = process.loss(model, x0, steps=steps, noise=noise)
    torch.testing.assert_close(loss.mean, torch.nn.functional.mse_loss(torch.full_like(noise, 0.5), noise))
    torch.testing.assert_close(seen["x"], process.noised(x0, steps, noise))
    assert torch.equal(seen["steps"], steps)


def test_masked_positions_do_not_count_in_the_loss_even_if_they_are_nan():
    process = Diffusion.linear(10)
    x0, noise = torch.randn(2, 2, 6, generator=generator()).unbind()
    mask = torch.arange(6) < torch.tensor([[6], [2]])
    expected = noise[mask].square().mean()
    poisoned = noise.masked_fill(~mask, math.nan)
    torch.testing.assert_close(
        process.loss(zero, x0, steps=torch.zeros(2).long(), noise=poisoned, mask=mask).mean, expected
    )


def test_losses_of_batches_pool_to_that_of_all():
    process = Diffusion.linear(10)
    x0, noise = torch.randn(2, 5, 4, generator=generator()).unbind()
    steps = torch.arange(5)
    parts = [process.loss(zero, x0[a:b], steps=steps[a:b], noise=noise[a:b]) for a, b in ((0, 2), (2, 5))]
    torch.testing.assert_close((parts[0] + parts[1]).mean, process.loss(zero, x0, steps=steps, noise=noise).mean)


def test_random_steps_cover_all_and_noise_is_standard():
    process, seen = Diffusion.linear(4), []

    def model(x, steps):
        seen.append(steps)
        return torch.zeros_like(x)

    loss = process.loss(model, torch.zeros(4000, 8), generator=generator())
    assert abs(loss.mean - 1) < 4 * math.sqrt(2 / 32000)
    assert torch.bincount(seen[0], minlength=4).min() > 4000 / 4 - 4 * math.sqrt(4000 * 3 / 16)
    assert seen[0].max() == 3


def test_seeds_decide_and_the_global_generator_is_left_alone():
    process = Diffusion.linear(6, 1e-2, 0.3)
    model = gaussian_denoiser(process, 0.0, 0.5)
    state = torch.get_rng_state()
    first, again, other = (process.sample(model, (2, 5), generator=generator(seed)) for seed in (1, 1, 2))
    losses = [process.loss(model, first, generator=generator(3)).total for _ in range(2)]
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert losses[0] == losses[1]
    assert torch.equal(state, torch.get_rng_state())


def test_with_a_generator_a_row_samples_do_not_depend_on_the_batch():
    process = Diffusion.linear(6, 1e-2, 0.3)
    model = gaussian_denoiser(process, 0.0, 0.5)
    both = process.sample(model, (2, 5), generator=[generator(1), generator(2)])
    alone = process.sample(model, (1, 5), generator=[generator(2)])
    assert torch.equal(both[1:], alone)


def test_given_noises_are_added_by_step_and_number_0_never():
    process = Diffusion([0.1, 0.2, 0.3])
    start, noises = torch.zeros(1, 2), torch.randn(3, 1, 2, generator=generator())
    x = start
    for t in (2, 1, 0):
        x = x / math.sqrt(1 - process.betas[t])
        x = x + process.sigmas[t].float() * noises[t] if t else x
    torch.testing.assert_close(process.sample(zero, start, noises=noises), x)
    noises[0] = math.nan
    assert process.sample(zero, start, noises=noises).isfinite().all()


def test_reverse_yields_every_step_and_progress_counts_them():
    process, told = Diffusion.linear(5), []
    steps = [(done.step, done.x.clone()) for done in process.reverse(zero, torch.ones(1, 3), generator=generator())]
    x = process.sample(zero, torch.ones(1, 3), generator=generator(), progress=lambda done, of: told.append((done, of)))
    assert [step for step, _ in steps] == [4, 3, 2, 1, 0]
    assert torch.equal(steps[-1][1], x)
    assert told == [(k, 5) for k in range(1, 6)]


def test_sampling_keeps_no_graph_and_condition_reaches_the_model():
    weight = torch.ones(1, requires_grad=True)
    x = Diffusion.linear(3).sample(
        lambda x, steps, *, bias: weight * x + bias, torch.ones(1, 2), generator=generator(), condition={"bias": 1.0}
    )
    assert not x.requires_grad


def test_the_published_schedule():
    process = Diffusion.linear(200, 1e-4, 0.02)
    assert process.betas[0].item() == 1e-4
    assert process.betas[-1].item() == pytest.approx(0.02)
    torch.testing.assert_close(process.betas.diff(), torch.full((199,), (0.02 - 1e-4) / 199, dtype=torch.float64))
    assert process.sigmas[0].item() == pytest.approx(math.sqrt(1e-4))


@pytest.mark.parametrize(("steps", "last", "fast"), [(200, 0.02, "large"), (50, 0.05, "base"), (200, 0.02, "base")])
def test_fast_steps_have_the_noise_level_that_the_model_is_told(steps, last, fast):
    process = Diffusion.linear(steps, 1e-4, last)
    other = process.fast(FAST_BETAS[fast])
    assert other.steps == 6
    levels = process.alpha_bars.sqrt()
    for told, kept in zip(other.told.tolist(), other.alpha_bars.sqrt().tolist(), strict=True):
        low = min(int(told), steps - 2)
        assert torch.lerp(levels[low], levels[low + 1], torch.tensor(told - low).double()).item() == pytest.approx(kept)
    assert all(a < b for a, b in itertools.pairwise(other.told.tolist()))
    assert other.told[0] == pytest.approx(0, abs=1e-6)


def test_a_fast_schedule_of_all_steps_is_the_process_itself():
    process = Diffusion.linear(30)
    torch.testing.assert_close(process.fast(process.betas).told, torch.arange(30).double())
    single = Diffusion([0.2]).fast([0.2])
    assert single.told.tolist() == [0]
    assert Diffusion.linear(30).fast([1e-6]).told.tolist() == [0]  # less noise than any step adds


def test_a_fast_process_samples_what_the_slow_one_does():
    process = Diffusion.linear(200, 1e-4, 0.02)

    def model(x, steps):  # the exact predictor at fractional steps: its level interpolated
        levels, at = process.alpha_bars.sqrt().to(x), steps.double()
        low = at.long().clamp(max=198)
        kept = torch.lerp(levels[low], levels[low + 1], (at - low).to(x)).square()[:, None]
        return (1 - kept).sqrt() * (x - kept.sqrt() * 0.6) / (kept * 0.0 + 1 - kept)

    x = process.fast(FAST_BETAS["large"]).sample(model, torch.zeros(4, 2, dtype=torch.float64), generator=generator())
    torch.testing.assert_close(x, torch.full_like(x, 0.6))


@pytest.mark.parametrize("betas", [[], [0.1, 0.0], [1.0], [0.1, -0.2], [math.nan], [math.inf], [[0.1]]])
def test_bad_betas_are_refused(betas):
    with pytest.raises(UserError, match="beta"):
        Diffusion(betas)


def test_bad_input_is_refused_in_one_line():
    process = Diffusion.linear(4)
    for call in (
        lambda: Diffusion.linear(0),
        lambda: Diffusion([0.1, 0.2], told=[0.0]),
        lambda: process.fast([0.5, 0.5, 0.5]),
        lambda: process.sample(zero, torch.ones(1, 2), generator=generator(), clip=0.0),
        lambda: process.sample(zero, torch.ones(1, 2), noises=torch.ones(3, 1, 2)),
    ):
        with pytest.raises(UserError) as told:
            call()
        assert "\n" not in str(told.value)
    with pytest.raises(ValueError, match="generator"):
        process.sample(zero, (1, 2))
    with pytest.raises(ValueError, match="2 generators for 1 rows"):
        process.sample(zero, (1, 2), generator=[generator(), generator()])
    with pytest.raises(ValueError, match="gives"):
        process.loss(lambda x, steps: x[:1], torch.ones(2, 3), generator=generator())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_draws_are_the_same_numbers_in_every_precision(dtype):
    process = Diffusion.linear(5)
    x = process.sample(zero, torch.zeros(2, 3, dtype=dtype), generator=generator())
    assert x.dtype == dtype
    if dtype != torch.float64:
        wide = process.sample(zero, torch.zeros(2, 3), generator=generator())
        torch.testing.assert_close(x.float(), wide, atol=2e-2, rtol=2e-2)
