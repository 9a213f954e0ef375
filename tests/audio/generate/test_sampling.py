"""The law of the draws, in torch and in machine code; the order of clips; the watch on them."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest
import torch

from seqaudio.generation.building import load_library
from seqaudio.generation.monitor import Monitor
from seqaudio.generation.native import _Draw
from seqaudio.generation.ranking import rank
from seqaudio.generation.sampling import Draws, Streams, clip_seeds, draw
from seqsuite.errors import UserError

RATE = 8000
LOGITS = np.log(np.array([0.05, 0.4, 0.1, 0.3, 0.15]))


def kept_law(draws: Draws) -> np.ndarray:
    """The probabilities by the definition, one code after another."""
    p = np.exp(LOGITS)
    order = sorted(range(len(p)), key=lambda i: -p[i])
    order = order[: draws.top_k or len(p)]
    mass, kept, reached = sum(p[i] for i in order), [], 0.0
    for i in order:
        kept.append(i)
        reached += p[i] / mass
        if reached >= draws.top_p:
            break
    weights = np.array([p[i] ** (1 / draws.temperature) if i in kept else 0.0 for i in range(len(p))])
    return weights / weights.sum()


def native_codes(uniforms: np.ndarray, draws: Draws) -> tuple[np.ndarray, np.ndarray]:
    logits = np.ascontiguousarray(LOGITS, dtype=np.float32)
    setting, score, library = _Draw(draws.temperature, draws.top_p, draws.top_k), ctypes.c_float(), load_library()
    codes, scores = [], []
    for uniform in uniforms:
        codes.append(
            library.seqaudio_draw(logits.ctypes.data, len(logits), ctypes.byref(setting), uniform, ctypes.byref(score))
        )
        scores.append(score.value)
    return np.array(codes), np.array(scores)


def torch_codes(uniforms: np.ndarray, draws: Draws) -> tuple[np.ndarray, np.ndarray]:
    logits = torch.from_numpy(LOGITS).float().expand(len(uniforms), -1)
    codes, scores = draw(logits, torch.from_numpy(uniforms), draws)
    return codes.numpy(), scores.numpy()


@pytest.mark.parametrize("codes_of", [native_codes, torch_codes])
@pytest.mark.parametrize(
    "draws",
    [
        Draws(),
        Draws(temperature=0.5),
        Draws(top_k=2),
        Draws(top_p=0.65),
        Draws(top_p=0.72),
        Draws(temperature=2.0, top_k=3, top_p=0.8),
        Draws(top_p=1e-6),
    ],
    ids=str,
)
def test_codes_follow_the_law(codes_of, draws):
    """Uniform numbers on a grid: each code comes up as often as its probability says, to a grid step or two."""
    grid = (np.arange(20000) + 0.5) / 20000
    codes, scores = codes_of(grid, draws)
    counts = np.bincount(codes, minlength=5) / len(grid)
    np.testing.assert_allclose(counts, kept_law(draws), atol=2e-4)
    np.testing.assert_allclose(scores, LOGITS[codes], atol=1e-5)  # neither tempered nor truncated


@pytest.mark.parametrize("codes_of", [native_codes, torch_codes])
def test_temperature_zero_takes_the_likeliest(codes_of):
    assert set(codes_of(np.linspace(0, 0.999, 50), Draws(temperature=0.0))[0]) == {1}


@pytest.mark.parametrize("codes_of", [native_codes, torch_codes])
def test_the_ends_of_the_numbers_give_codes_that_remain(codes_of):
    codes, _ = codes_of(np.array([0.0, np.nextafter(1.0, 0.0)]), Draws(top_k=3))
    assert codes.tolist() == [1, 4]


@pytest.mark.parametrize("options", [{"temperature": -1}, {"temperature": float("nan")}, {"top_k": -1}, {"top_p": 0}])
def test_draws_out_of_range_are_refused(options):
    with pytest.raises(UserError, match=next(iter(options))):
        Draws(**options)


def test_a_clips_numbers_are_its_own():
    seeds = clip_seeds(5, 4)
    assert seeds[:2] == clip_seeds(5, 2)
    assert len(set(seeds)) == 4
    together, alone = Streams(seeds), Streams(seeds[2:3])
    both = torch.cat((together.take(3), together.take(5)))
    assert torch.equal(both[:, 2:3], torch.cat((alone.take(3), alone.take(5))))


def test_rank_orders_and_rejects_as_in_the_paper():
    scores = [-3.0, -1.0, -2.0, -10.0, -5.0, -4.0, -6.0, -7.0, -8.0, -9.0] * 2
    ranked = rank(scores, 0.4, 0.05)
    assert [scores[i] for i, _ in ranked] == sorted(scores, reverse=True)
    assert [state for _, state in ranked] == ["rejected: likely"] + ["kept"] * 11 + ["rejected: unlikely"] * 8
    assert [state for _, state in rank(scores)] == ["kept"] * 20
    with pytest.raises(UserError, match="below 1 together"):
        rank(scores, 0.6, 0.5)


def quiet(seconds: float, rows: int = 3) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.05, (rows, round(seconds * RATE))).astype(np.float32)


def noticed(samples: np.ndarray, piece: int) -> list:
    monitor, found = Monitor(RATE), []
    for at in range(0, samples.shape[1], piece):
        found += monitor.watch(samples[:, at : at + piece])
    return found


@pytest.mark.parametrize("piece", [80, 800, 20000])
@pytest.mark.parametrize(
    ("what", "sound"),
    [
        ("clipped", lambda n: np.sign(np.sin(np.arange(n) * 0.3))),
        ("stuck", lambda n: np.full(n, 0.3)),
        ("too loud", lambda n: 0.9 * np.sign(np.sin(np.arange(n) * 0.3))),
        ("NaN", lambda n: np.full(n, np.nan)),
    ],
)
def test_monitor_names_row_and_second(what, sound, piece):
    samples = quiet(2.0)
    samples[1, 8000:] = sound(8000)
    (fault,) = noticed(samples, piece)
    assert what in fault.why
    assert fault.row == 1
    assert 1.0 < fault.seconds <= 1.0 + 0.25 + max(0.0625, piece / RATE if piece < 2000 else 0.0625) + 1e-6


def test_monitor_leaves_sound_alone():
    time = np.arange(2 * RATE) / RATE
    sine = 0.8 * np.sin(2 * np.pi * 100 * time)
    click = np.where(np.arange(2 * RATE) % 2000 < 20, 1.0, 0.0)  # full scale now and then
    rows = np.stack([sine, np.zeros_like(sine), click, quiet(2.0)[0]]).astype(np.float32)
    assert noticed(rows, 800) == []
