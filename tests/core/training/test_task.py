"""Optimizer groups, the schedule, metrics that are exact whatever the batches."""

from __future__ import annotations

import io
from pathlib import Path
from statistics import fmean
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from seqsuite.backbones import RMSNorm
from seqsuite.errors import UserError
from seqsuite.training import Scores, TrainConfig, seed_everything
from seqsuite.training.generators import capture, restore
from seqsuite.training.metrics import Clock, Totals, means
from seqsuite.training.optim import lr_factor, make_optimizer, parameter_groups
from seqsuite.training.progress import Progress, duration, quantity


class Parts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 4)
        self.linear = nn.Linear(4, 4)
        self.norm = nn.LayerNorm(4)
        self.head = nn.Linear(4, 5, bias=False)
        self.head.weight = self.embedding.weight
        self.A_log = nn.Parameter(torch.zeros(4, 2))
        self.A_log._no_weight_decay = True  # type: ignore[attr-defined]
        self.slow = nn.Parameter(torch.zeros(3, 3))
        self.slow._lr_scale = 0.1  # type: ignore[attr-defined]
        self.frozen = nn.Parameter(torch.zeros(3, 3), requires_grad=False)


def test_every_parameter_is_in_one_group_with_its_decay() -> None:
    model = Parts()
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = {
        group["name"]: ({names[id(parameter)] for parameter in group["params"]}, group["lr"], group["weight_decay"])
        for group in parameter_groups(model, lr=1.0, weight_decay=0.5)
    }
    assert groups == {
        "decay": ({"linear.weight"}, 1.0, 0.5),
        "decay_lr_x0.1": ({"slow"}, 0.1, 0.5),
        "no_decay": ({"embedding.weight", "linear.bias", "norm.weight", "norm.bias", "A_log"}, 1.0, 0.0),
    }


def test_the_published_rule_decays_all_but_biases_layer_norms_embeddings_and_marks() -> None:
    class More(Parts):
        def __init__(self) -> None:
            super().__init__()
            self.rms = RMSNorm(4)
            self.freq = nn.Parameter(torch.ones(3))

    model = More()
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = {
        group["name"]: {names[id(parameter)] for parameter in group["params"]}
        for group in parameter_groups(model, lr=1.0, weight_decay=0.5, rule="published")
    }
    assert groups == {
        "decay": {"linear.weight", "rms.weight", "freq"},
        "decay_lr_x0.1": {"slow"},
        "no_decay": {"embedding.weight", "linear.bias", "norm.weight", "norm.bias", "A_log"},
    }
    optimizer = make_optimizer(model, TrainConfig(decay="published"))
    assert [group["name"] for group in optimizer.param_groups] == list(groups)
    with pytest.raises(UserError, match=r"--decay.*'publishd'.*Did you mean 'published'"):
        TrainConfig(decay="publishd")  # type: ignore[arg-type]


def test_exempt_parameters_do_not_shrink() -> None:
    model = Parts()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(1.0)
    optimizer = make_optimizer(model, TrainConfig(lr=0.1, weight_decay=0.5))
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    # AdamW with a zero gradient is theta * (1 - lr * weight_decay).
    assert torch.allclose(model.linear.weight, torch.tensor(0.95))
    assert torch.allclose(model.slow, torch.tensor(0.995))
    for exempt in (model.embedding.weight, model.linear.bias, model.norm.weight, model.A_log, model.frozen):
        assert torch.equal(exempt, torch.ones_like(exempt))


@given(steps=st.integers(1, 500), warmup=st.one_of(st.floats(0, 0.9), st.integers(1, 40)), floor=st.floats(0, 1))
def test_schedule(steps: int, warmup: float, floor: float) -> None:
    config = TrainConfig(steps=steps, warmup=warmup, lr=2.0, min_lr=2.0 * floor)
    rates = [lr_factor(step, config) for step in range(steps)]
    warm = config.warmup_steps
    assert all(0 < rate <= 1 or rate == pytest.approx(floor) for rate in rates)
    assert rates[:warm] == sorted(rates[:warm])
    assert rates[warm:] == sorted(rates[warm:], reverse=True)
    if warm < steps:
        assert rates[warm] == 1
    if warm + 1 < steps:
        assert rates[-1] == pytest.approx(floor, abs=1e-12)
    middle = warm + (steps - 1 - warm) / 2
    if warm + 2 < steps and middle == int(middle):
        assert rates[int(middle)] == pytest.approx((1 + floor) / 2)


@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=6))
def test_means_do_not_depend_on_the_batches(sizes: list[int]) -> None:
    values = torch.arange(sum(sizes), dtype=torch.float64).square()
    totals = Totals()
    for part in values.split(sizes):
        totals.add(Scores(part.mean(), {"loss": (part.sum(), len(part))}, tokens=len(part)).outputs())
    assert means(totals.gather())["loss"] == pytest.approx(values.mean().item(), rel=1e-12)
    assert totals.gather()["tokens"][0] == len(values)


def test_carried_sums_go_on() -> None:
    whole, first, second = Totals(), Totals(), Totals()
    batches = [Scores(torch.tensor(0.0), {"loss": (torch.tensor(number * 3.0), 3)}).outputs() for number in range(4)]
    for number, batch in enumerate(batches):
        whole.add(batch)
        if number < 2:
            first.add(batch)
    second.carry(first.gather())
    for batch in batches[2:]:
        second.add(batch)
    assert second.gather() == whole.gather()


def test_validation_is_weighted_by_items(toy: Any, tmp_path: Path) -> None:
    """6 items in batches of 4 and 2: the mean over items, not over batches."""
    run = toy(tmp_path, steps=1)
    places = [run.valid_data[position]["index"].item() for position in range(6)]
    assert run.result.metrics["valid_place"] == pytest.approx(fmean(places))
    assert run.result.metrics["valid_place"] != pytest.approx((fmean(places[:4]) + fmean(places[4:])) / 2)


def test_generators_come_back() -> None:
    import random

    import numpy as np

    seed_everything(3)
    random.gauss(0, 1)  # leaves a second value in store
    np.random.standard_normal()  # noqa: NPY002

    def draw() -> tuple[float, ...]:
        return random.gauss(0, 1), np.random.standard_normal(), torch.rand(()).item()  # noqa: NPY002

    states = capture()
    first = draw()
    assert draw() != first
    restore(states)
    assert draw() == first


def test_clock_leaves_out_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    now = SimpleNamespace(time=0.0)
    monkeypatch.setattr("seqsuite.training.metrics.time.monotonic", lambda: now.time)
    clock = Clock(warm=1)
    now.time = 100.0
    clock.step(1e9)  # the first step does not count
    now.time += 2
    clock.step(50)
    clock.pause()
    now.time += 500
    clock.go()
    now.time += 3
    clock.step(50)
    clock.pause()
    now.time += 70
    assert clock.rate == pytest.approx(100 / 5)


@pytest.mark.parametrize("terminal", [False, True])
def test_a_terminal_that_was_closed_ends_no_run(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    class Screen(io.StringIO):
        closed_by_user = False

        def isatty(self) -> bool:
            return terminal

        def write(self, text: str) -> int:
            if self.closed_by_user:
                raise OSError(5, "Input/output error")
            return super().write(text)

    screen = Screen()
    monkeypatch.setattr("sys.stderr", screen)
    progress = Progress(10)
    progress.valid(1, {"loss": 1.0})
    assert "step 1/10" in screen.getvalue()
    screen.closed_by_user = True
    progress.train(2, {"loss": 1.0}, 5.0)
    progress.valid(2, {"loss": 1.0})
    progress.close()


@pytest.mark.parametrize(("seconds", "text"), [(5, "0:05"), (65.4, "1:05"), (3600, "1:00:00")])
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(("value", "text"), [(0, "0"), (950, "950"), (12345, "12.3k"), (4.56e6, "4.56M"), (2e9, "2G")])
def test_quantity(value: float, text: str) -> None:
    assert quantity(value) == text
