"""T-Maze: what is observed, what is rewarded, and that nothing but the cue tells where to turn."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from seqrl.environments import TMAZE, make_environment
from seqsuite.errors import UserError

RIGHT, UP, LEFT, DOWN = range(4)


def walk(actions: list[int], **options: object) -> tuple[np.ndarray, list[float], bool, bool]:
    cue = options.pop("cue", 1)
    environment = make_environment(TMAZE, **options)
    seen, rewards = [environment.reset(seed=3, options={"cue": cue})[0]], []
    ended = cut = False
    for action in actions:
        observation, reward, ended, cut, _ = environment.step(action)
        seen.append(observation)
        rewards.append(reward)
    return np.stack(seen), rewards, ended, cut


def test_gymnasium_accepts_it() -> None:
    check_env(make_environment(TMAZE, render_mode="rgb_array").unwrapped)


@pytest.mark.parametrize("cue", [1, -1])
@pytest.mark.parametrize("turn", [UP, DOWN])
def test_the_cue_is_shown_once_and_decides_the_reward(cue: int, turn: int) -> None:
    seen, rewards, ended, cut = walk([RIGHT] * 5 + [turn], corridor_length=5, cue=cue)
    assert seen[:, 1].tolist() == [cue, 0, 0, 0, 0, 0, 0]
    assert seen[:, 2].tolist() == [0, 0, 0, 0, 0, 1, 0]
    assert seen[:, 0].tolist() == [0] * 6 + [1 if turn == UP else -1]
    assert rewards == [0] * 5 + [float((turn == UP) == (cue == 1))]
    assert (ended, cut) == (True, False)


def test_the_wrong_turn_may_cost() -> None:
    assert walk([RIGHT, DOWN], corridor_length=1, cue=1, wrong_reward=-1.0)[1] == [0, -1]


def test_walls_hold_and_time_runs_out() -> None:
    seen, rewards, ended, cut = walk([LEFT, UP, DOWN, RIGHT, UP], corridor_length=3)
    assert seen[:, 0].tolist() == [0] * 6
    assert seen[:, 2].tolist() == [0] * 6
    assert rewards == [0] * 5
    assert (ended, cut) == (False, True)  # corridor_length + 2 steps


def test_a_longer_hint() -> None:
    assert walk([RIGHT] * 4, corridor_length=9, hint_steps=3, cue=-1)[0][:, 1].tolist() == [-1, -1, -1, 0, 0]


def test_without_the_cue_both_mazes_look_alike() -> None:
    up, down = (walk([RIGHT] * 6, corridor_length=6, cue=cue)[0] for cue in (1, -1))
    np.testing.assert_array_equal(up[1:], down[1:])
    assert not np.array_equal(up[0], down[0])


def test_both_cues_are_drawn_equally_often() -> None:
    environment = make_environment(TMAZE)
    ups = sum(environment.reset(seed=seed)[0][1] == 1 for seed in range(400))
    assert abs(ups - 200) < 4 * 10  # four deviations


def test_the_picture_shows_agent_and_goal() -> None:
    environment = make_environment(TMAZE, corridor_length=4, render_mode="rgb_array")
    environment.reset(seed=0, options={"cue": 1})
    picture = environment.render()
    cell = picture.shape[0] // 3
    assert picture.shape == (3 * cell, 5 * cell, 3)
    cells = picture[::cell, ::cell].astype(int)
    assert cells[1, 0].argmax() == 0  # red agent at the start
    assert cells[0, 4].argmax() == 1  # green goal, up
    environment.step(RIGHT)
    assert environment.render()[cell, cell].argmax() == 0


@pytest.mark.parametrize("options", [{"episode_length": 0}, {"hint_steps": 0}, {"corridor_length": 2.5}])
def test_numbers_that_mean_nothing(options: dict[str, float]) -> None:
    with pytest.raises(UserError, match=next(iter(options))):
        make_environment(TMAZE, **options)
