"""Denoising diffusion (Ho et al. 2020) as a process apart from any model, in the form of DiffWave (arXiv 2009.09761).

    process = Diffusion.linear(200, 1e-4, 0.02)
    process.loss(model, x0, generator=generator).mean.backward()
    x0 = process.sample(model, (4, 16000, 1), generator=generator)
    x0 = process.fast(FAST_BETAS["large"]).sample(model, (4, 16000, 1), generator=generator)

A model is any callable ``model(x_t, steps, **condition) -> predicted noise`` with `x_t` (B, ...) and `steps` (B,)
counted from 0. Coefficients are kept in float64 on the CPU, draws come from the generators that are given.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from seqsuite.errors import UserError
from seqsuite.objectives.losses import Loss

Denoiser = Callable[..., Tensor]
"""``model(x_t, steps, **condition)`` -> the noise in x_t, of its shape."""

Draws = torch.Generator | Sequence[torch.Generator]
"""One generator for a batch, or one for each row: then a row's draws do not depend on its batch."""

FAST_BETAS: dict[str, tuple[float, ...]] = {
    "base": (1e-4, 1e-3, 1e-2, 0.05, 0.2, 0.5),
    "large": (1e-4, 1e-3, 1e-2, 0.05, 0.2, 0.7),
}
"""DiffWave's inference schedules of six steps, for models trained with 50 ("base") and 200 steps ("large")."""


class Denoised(NamedTuple):
    """What one reverse step leaves behind.

    Attributes:
        step: The step just undone, T - 1 at first, 0 at last.
        x: (B, ...), one step less noisy; behind step 0 the sample.
    """

    step: int
    x: Tensor


def linear_betas(steps: int, first: float = 1e-4, last: float = 0.02) -> Tensor:
    """Return the noise added at each step, (T,) float64, evenly spaced from `first` to `last`.

    Raises:
        UserError: There is no step.
    """
    if steps < 1:
        raise UserError(f"Diffusion: needs at least 1 step, not {steps}")
    return torch.linspace(first, last, steps, dtype=torch.float64)


class Diffusion:
    """Noise is added in T steps, and a model that predicts it undoes them.

        q(x_t | x_0) = N(sqrt(alpha_bar_t) x_0, 1 - alpha_bar_t),   alpha_bar_t = prod of 1 - beta up to t
        x_{t-1} = (x_t - beta_t / sqrt(1 - alpha_bar_t) eps) / sqrt(1 - beta_t) + sigma_t z

    Args:
        betas: (T,) variances of the noise added at each step, each between 0 and 1.
        told: (T,) what the model is told the steps are; None: 0, 1, ... See `fast`.

    Attributes:
        betas: (T,) float64, as are the next three.
        alpha_bars: What remains of the signal's power after each step.
        sigmas: Standard deviation of the noise that a reverse step adds; none is added in step 0.
        told: What the model is told each step is; fractional in a fast schedule.

    Raises:
        UserError: A beta is not between 0 and 1, or there is none.
    """

    def __init__(self, betas: Sequence[float] | Tensor, *, told: Sequence[float] | Tensor | None = None) -> None:
        self.betas = torch.as_tensor(betas, dtype=torch.float64).detach().cpu()
        if self.betas.ndim != 1 or not len(self.betas):
            raise UserError(f"Diffusion: betas must be a list of numbers, not of shape {tuple(self.betas.shape)}")
        for step, beta in enumerate(self.betas.tolist()):
            if not 0 < beta < 1:  # NaN included
                raise UserError(f"Diffusion: beta of step {step} must lie between 0 and 1, not {beta:g}")
        self.alpha_bars = torch.cumprod(1 - self.betas, 0)
        before = torch.cat((self.alpha_bars.new_ones(1), self.alpha_bars[:-1]))
        variance = self.betas * (1 - before) / (1 - self.alpha_bars)
        variance[0] = self.betas[0]  # the posterior's is 0; the published schedule has this number, and never uses it
        self.sigmas = variance.sqrt()
        self._before = before
        self.told = torch.arange(self.steps) if told is None else torch.as_tensor(told).detach().cpu()
        if self.told.shape != self.betas.shape:
            raise UserError(f"Diffusion: told must have {self.steps} numbers, one a step; it has {len(self.told)}")

    @classmethod
    def linear(cls, steps: int, first: float = 1e-4, last: float = 0.02) -> Diffusion:
        """Return the process with evenly spaced betas; see `linear_betas`."""
        return cls(linear_betas(steps, first, last))

    @property
    def steps(self) -> int:
        """Number of steps T."""
        return len(self.betas)

    def fast(self, betas: Sequence[float] | Tensor) -> Diffusion:
        """Return a process of other steps for a model that was trained with this one (DiffWave, section 3).

        The model is told the fractional step at which this process has the same noise level, found by
        interpolating sqrt(alpha_bar) between neighbouring steps. Less noise than step 0 adds counts as step 0.

        Args:
            betas: The steps to take, as in `FAST_BETAS`.

        Raises:
            UserError: They end with more noise than the model was ever trained on.
        """
        other = Diffusion(betas)
        known, wanted = self.alpha_bars.sqrt(), other.alpha_bars.sqrt()
        if wanted[-1] < known[-1] * (1 - 1e-6):
            raise UserError(
                f"Diffusion: the fast schedule keeps {wanted[-1]:.3g} of the signal, less than the {known[-1]:.3g} "
                "that the model was trained with; lower its betas"
            )
        wanted = wanted.clamp(known[-1], known[0])
        # `known` falls: the interval that holds a level is the last whose left end is not below it.
        left = torch.searchsorted(-known, -wanted, right=True).sub(1).clamp(0, max(self.steps - 2, 0))
        right = (left + 1).clamp(max=self.steps - 1)
        gap = (known[left] - known[right]).clamp(min=torch.finfo(known.dtype).tiny)
        told = self.told.to(known.dtype)
        return Diffusion(other.betas, told=torch.lerp(told[left], told[right], (known[left] - wanted) / gap))

    def noised(self, x0: Tensor, steps: Tensor, noise: Tensor) -> Tensor:
        """Return x_t, (B, ...): `x0` after so many steps with this noise.

        Args:
            x0: (B, ...).
            steps: (B,) int64.
            noise: As `x0`.
        """
        # Rounded on the CPU: not every device has float64.
        tables = (values.sqrt().to(x0.dtype).to(x0.device) for values in (self.alpha_bars, 1 - self.alpha_bars))
        signal, spread = (table[steps].view(-1, *(1,) * (x0.ndim - 1)) for table in tables)
        return signal * x0 + spread * noise

    def _told(self, x: Tensor) -> Tensor:
        """Return what the model is told of all steps, on the device of x and in a precision that it has."""
        if not self.told.is_floating_point():
            return self.told.to(x.device)
        return self.told.to(torch.float64 if x.dtype == torch.float64 else torch.float32).to(x.device)

    def loss(
        self,
        model: Denoiser,
        x0: Tensor,
        *,
        generator: Draws | None = None,
        steps: Tensor | None = None,
        noise: Tensor | None = None,
        mask: Tensor | None = None,
        condition: Mapping[str, Any] | None = None,
    ) -> Loss:
        """Sum the squared error of the predicted noise, each row at a random step.

        Args:
            model: The denoiser.
            x0: (B, ...) data.
            generator: Draws what is not given; on any device.
            steps: (B,) int64 steps, in place of random ones.
            noise: As `x0`, in place of a random one.
            mask: As `x0` or broadcastable to it; where it is false nothing counts.
            condition: Further arguments of the model.

        Returns:
            Its `mean` is the mean squared error.

        Raises:
            ValueError: Something must be drawn and there is no generator, or the prediction has another shape.
        """
        if steps is None:
            steps = _uniform_steps(self.steps, x0, generator)
        noise = _normal(x0, generator) if noise is None else noise
        predicted = model(self.noised(x0, steps, noise), self._told(x0)[steps], **(condition or {}))
        if predicted.shape != x0.shape:
            raise ValueError(f"the model gives {tuple(predicted.shape)} for data {tuple(x0.shape)}")
        work = torch.float64 if x0.dtype == torch.float64 else torch.float32
        error = (predicted.to(work) - noise.to(work)).square()
        if mask is None:
            return Loss(error.sum(), torch.tensor(error.numel(), device=error.device))
        kept = mask.to(torch.bool).expand_as(error)
        return Loss(error.masked_fill(~kept, 0).sum(), kept.sum())

    def predict_x0(self, x: Tensor, step: int, noise: Tensor) -> Tensor:
        """Return the data that `x` at this step comes from, if this is its noise."""
        kept = self.alpha_bars[step].item()
        return (x - math.sqrt(1 - kept) * noise) / math.sqrt(kept)

    def _mean(self, x: Tensor, step: int, noise: Tensor, clip: float | None) -> Tensor:
        """Return the mean of x_{t-1}, with the predicted data held within +-clip."""
        beta, kept, before = (values[step].item() for values in (self.betas, self.alpha_bars, self._before))
        if clip is None:
            return (x - beta / math.sqrt(1 - kept) * noise) / math.sqrt(1 - beta)
        x0 = self.predict_x0(x, step, noise).clamp(-clip, clip)
        return (math.sqrt(before) * beta * x0 + math.sqrt(1 - beta) * (1 - before) * x) / (1 - kept)

    @torch.no_grad()
    def reverse(
        self,
        model: Denoiser,
        x: Tensor,
        *,
        generator: Draws | None = None,
        noises: Tensor | None = None,
        clip: float | None = None,
        condition: Mapping[str, Any] | None = None,
    ) -> Iterator[Denoised]:
        """Undo the steps one by one, from noise to a sample.

        Args:
            model: The denoiser.
            x: (B, ...) noise.
            generator: Draws the noise between steps.
            noises: (T, B, ...), in place of random ones: number t is added in step t, number 0 never.
            clip: Hold the predicted data within +-clip at every step; None: do not.
            condition: Further arguments of the model.

        Raises:
            UserError: `clip` is not positive, or `noises` do not fit.
        """
        if clip is not None and not clip > 0:
            raise UserError(f"Diffusion: clip must be positive, not {clip}")
        if noises is not None and noises.shape != (self.steps, *x.shape):
            raise UserError(
                f"Diffusion: noises must have the shape {(self.steps, *x.shape)}, one a step, not {tuple(noises.shape)}"
            )
        told = self._told(x)
        for step in reversed(range(self.steps)):
            eps = model(x, told[step].expand(len(x)), **(condition or {}))
            x = self._mean(x, step, eps, clip)
            if step:
                z = _normal(x, generator) if noises is None else noises[step].to(x)
                x = x + self.sigmas[step].item() * z
            yield Denoised(step, x)

    def sample(
        self,
        model: Denoiser,
        noise: Tensor | Sequence[int],
        *,
        generator: Draws | None = None,
        noises: Tensor | None = None,
        clip: float | None = None,
        condition: Mapping[str, Any] | None = None,
        progress: Callable[[int, int], None] | None = None,
        device: torch.device | str = "cpu",
    ) -> Tensor:
        """Draw samples (ancestral sampling).

        Args:
            model: The denoiser, in evaluation mode.
            noise: (B, ...) to begin with, or a shape: then it is drawn, in float32.
            generator: See `reverse`.
            noises: See `reverse`.
            clip: See `reverse`.
            condition: See `reverse`.
            progress: Called with (steps done, steps in all) after each.
            device: Where to begin if `noise` is a shape.

        Returns:
            (B, ...).
        """
        x = noise if isinstance(noise, Tensor) else _normal(torch.empty(*noise, device=device), generator)
        for done in self.reverse(model, x, generator=generator, noises=noises, clip=clip, condition=condition):
            x = done.x
            if progress is not None:
                progress(self.steps - done.step, self.steps)
        return x


def _generators(like: Tensor, generator: Draws | None) -> list[torch.Generator] | torch.Generator:
    """Return one generator, or as many as there are rows."""
    if generator is None:
        raise ValueError("a generator must be given: nothing is drawn from the global one")
    if isinstance(generator, torch.Generator):
        return generator
    if len(generator) != len(like):
        raise ValueError(f"{len(generator)} generators for {len(like)} rows")
    return list(generator)


def _normal(like: Tensor, generator: Draws | None) -> Tensor:
    """Return standard normal numbers of a tensor's shape, drawn on the generator's device."""
    source = _generators(like, generator)
    kind = torch.float64 if like.dtype == torch.float64 else torch.float32
    if isinstance(source, torch.Generator):
        return torch.randn(like.shape, generator=source, device=source.device, dtype=kind).to(like)
    rows = [torch.randn(like.shape[1:], generator=one, device=one.device, dtype=kind).to(like) for one in source]
    return torch.stack(rows)


def _uniform_steps(count: int, like: Tensor, generator: Draws | None) -> Tensor:
    """Return (B,) steps below `count`."""
    source = _generators(like, generator)
    if isinstance(source, torch.Generator):
        return torch.randint(count, like.shape[:1], generator=source, device=source.device).to(like.device)
    return torch.cat([torch.randint(count, (1,), generator=one, device=one.device).to(like.device) for one in source])
