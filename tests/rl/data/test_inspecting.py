"""The summary of a set, against plain numpy."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from seqrl.data import inspect_episodes
from seqrl.data.inspecting import suggested_targets


def test_numbers(make):
    episodes = make()
    found = inspect_episodes(episodes)
    returns = np.array([episodes.rewards[a:b].sum() for a, b in ((0, 4), (4, 5), (5, 11))])
    assert (found.episodes, found.steps, found.terminated, found.truncated) == (3, 11, 2, 1)
    assert found.returns["p50"] == pytest.approx(np.median(returns))
    assert found.returns["std"] == pytest.approx(returns.std())
    assert (found.lengths["min"], found.lengths["max"], found.lengths["mean"]) == (1, 6, pytest.approx(11 / 3))
    assert found.score["mean"] == pytest.approx(np.mean((returns + 1.5) / 21.75))
    assert sum(found.histogram["counts"]) == 3
    assert found.histogram["edges"][0] == pytest.approx(returns.min())
    assert found.targets["max"] == pytest.approx(returns.max())
    assert json.loads(json.dumps(found.to_dict()))["returns"] == found.returns


def test_targets_lie_beyond_the_best():
    assert suggested_targets([0.0, 10.0])["1.2 max"] == 12.0
    assert suggested_targets([-300.0, -100.0])["1.2 max"] == -80.0
    assert suggested_targets(np.arange(11.0))["p90"] == 9.0


@pytest.mark.parametrize("constant", [0.0, 500.0])
def test_equal_returns_make_one_bar(make, constant):
    episodes = make()
    rewards = np.zeros(11)
    rewards[[0, 4, 5]] = constant
    found = inspect_episodes(replace(episodes, rewards=rewards, reference=None))
    assert found.histogram["counts"] == [3]
    assert (found.reference, found.score) == ({}, {})
    assert found.comparable.startswith("no: ")
    found.figure()


def test_notebook_and_report(make, tmp_path):
    episodes = make(notes=("something <odd>",))
    shown = episodes._repr_html_()
    assert "image/svg" in shown
    assert "something &lt;odd&gt;" in shown
    path = inspect_episodes(episodes).report().write(tmp_path / "report.html")
    assert "targets to try" in path.read_text()
