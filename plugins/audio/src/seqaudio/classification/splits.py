"""Which clips train, validate and test, for each run."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from seqaudio.classification.clips import LabelledClips
from seqaudio.configs.classify import ClassifyConfig
from seqaudio.data import AudioFile
from seqaudio.data.splits import shared_file
from seqsuite.data.order import item_rng
from seqsuite.errors import UserError

_TEST, _VALID = 1, 2


@dataclass(frozen=True)
class Plan:
    """One run.

    Attributes:
        name: Of its folder.
        seed: Of its random numbers.
        train: Numbers of clips.
        valid: Likewise; may be empty.
        test: Likewise.
        held_out: The value of the column that is held out, if one is.
    """

    name: str
    seed: int
    train: np.ndarray = field(repr=False)
    valid: np.ndarray = field(repr=False)
    test: np.ndarray = field(repr=False)
    held_out: str = ""


def plan_runs(data: LabelledClips, config: ClassifyConfig) -> list[Plan]:
    """Return the runs that the options ask for.

    The source's own split counts, where it marks clips; else the test clips are drawn, a share of each class.

    Raises:
        UserError: A part is empty, a class is not in the training clips, or the column to hold out is missing.
    """
    if config.hold_out:
        return _held_out(data, config)
    marks = np.array(data.splits)
    if (marks != "").any() and (marks == "").any():
        row = data.clips.names[int(np.flatnonzero(marks == "")[0])]
        raise UserError(f"{data.source}: {row} has no split, and others have; mark all clips or none")
    everyone = np.arange(len(data))
    test = np.flatnonzero(marks == "test")
    if not len(test):
        test = _draw(data, everyone[marks != "valid"], config.test_fraction, config.seed, _TEST)
    valid = np.flatnonzero(marks == "valid")
    rest = np.setdiff1d(everyone, np.concatenate((test, valid)))
    plans = []
    for seed in range(config.seed, config.seed + config.seeds):
        chosen = valid if len(valid) else _draw(data, rest, config.valid_fraction, config.seed, _VALID)
        plans.append(_checked(data, Plan(f"seed_{seed}", seed, np.setdiff1d(rest, chosen), chosen, test)))
    return plans


def _held_out(data: LabelledClips, config: ClassifyConfig) -> list[Plan]:
    column = np.array(data.column(config.hold_out))
    values = sorted(set(column.tolist()))
    if len(values) < 2:
        raise UserError(
            f"{data.source}: {config.hold_out} is {values[0]!r} for all clips; there is nothing to hold out"
        )
    plans = []
    for number, value in enumerate(values):
        test, rest = np.flatnonzero(column == value), np.flatnonzero(column != value)
        valid = _draw(data, rest, config.valid_fraction, config.seed, _VALID)
        name = f"fold_{number}"
        plans.append(_checked(data, Plan(name, config.seed, np.setdiff1d(rest, valid), valid, test, held_out=value)))
    return plans


def _draw(data: LabelledClips, rows: np.ndarray, share: float, seed: int, key: int) -> np.ndarray:
    """Return a share of the rows of each class, one at least if the share is above 0 and two are there."""
    if not share:
        return rows[:0]
    rng = item_rng(seed, key)
    chosen = []
    for label in range(len(data.classes)):
        mine = rng.permutation(rows[data.labels[rows] == label])
        count = min(max(round(share * len(mine)), 1), len(mine) - 1)
        chosen.append(mine[: max(count, 0)])
    return np.sort(np.concatenate(chosen))


def _checked(data: LabelledClips, plan: Plan) -> Plan:
    for name in ("train", "test"):
        if not len(getattr(plan, name)):
            raise UserError(f"{data.source}: no clip is left for {name}; give more clips or mark them")
    missing = set(range(len(data.classes))) - set(data.labels[plan.train].tolist())
    if missing:
        without = f" without {plan.held_out!r}" if plan.held_out else ""
        raise UserError(f"{data.source}: no training clip{without} has the label {data.classes[min(missing)]!r}")
    train, valid, test = (_sounds(data, getattr(plan, name)) for name in ("train", "valid", "test"))
    twice = shared_file(train, (*valid, *test)) or shared_file(valid, test)
    if twice is not None:
        raise UserError(
            f"{data.source}: clips of {twice} overlap and would be in two of train, valid and test; give the clips of "
            "a recording the same value in a column split"
        )
    return plan


def _sounds(data: LabelledClips, rows: np.ndarray) -> list[AudioFile]:
    sounds = (data.clips.stretches[row].sound for row in rows)
    return [sound for sound in sounds if isinstance(sound, AudioFile)]
