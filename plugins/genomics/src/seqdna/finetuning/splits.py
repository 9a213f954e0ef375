"""Which rows train, validate and test, for each of the runs that were asked for.

    for plan in plan_runs(data, folds=5, seeds=1, valid_fraction=0.1, test_fraction=0.2, seed=0): ...

Rows that the data assigns stay where they are. What is missing is drawn, stratified by class and seeded: the
test rows once for all runs, the validation rows for each run. With folds, each fold is held out once: as the
test set where there is none, for validation otherwise (what is published as "5-fold" on fixed test sets).
Numbered parts are held out in turn.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from seqdna.finetuning.labelled import LabelledSet, reverse_complement
from seqdna.finetuning.tables import PART
from seqsuite.data.order import item_rng, item_seed
from seqsuite.errors import UserError


@dataclass(frozen=True)
class Plan:
    """One run.

    Attributes:
        name: Of its folder.
        seed: Of its weights and order.
        train: Rows to train on.
        valid: Rows that choose the best weights.
        test: Rows to measure on.
    """

    name: str
    seed: int
    train: np.ndarray = field(repr=False)
    valid: np.ndarray = field(repr=False)
    test: np.ndarray = field(repr=False)


def plan_runs(
    data: LabelledSet,
    *,
    folds: int = 1,
    seeds: int = 1,
    valid_fraction: float = 0.1,
    test_fraction: float = 0.2,
    seed: int = 0,
    limit: int = 0,
    parts: int = 0,
) -> list[Plan]:
    """Plan the runs: folds x seeds, or numbered parts x seeds.

    Args:
        data: All rows.
        folds: Number of folds; 1 for none.
        seeds: Number of seeds: `seed`, `seed + 1` and so on.
        valid_fraction: Share of the training rows to draw for validation, where none are given.
        test_fraction: Share of all rows to draw for the test, where none are given and nothing is folded.
        seed: The first seed.
        limit: Most rows of each part; 0 for all.
        parts: Where the data number their parts: how many of them to hold out, one a run; 0 for each.

    Raises:
        UserError: There are too few rows of a class, or a split is empty.
    """
    if data.splits is not None and any(PART.fullmatch(word) for word in data.splits):
        return _plan_parts(data, folds=folds, seeds=range(seed, seed + seeds), limit=limit, parts=parts)
    marks = np.array(data.splits if data.splits is not None else ("train",) * len(data))
    train, valid, test = (np.flatnonzero(marks == name) for name in ("train", "valid", "test"))
    if not len(train):
        raise UserError(f"{data.source}: no row is for training; the split column says train nowhere.")
    _check_classes(data, train)
    plans = []
    for run_seed in range(seed, seed + seeds):
        for name, three in _foldings(data, (train, valid, test), folds, valid_fraction, test_fraction, seed, run_seed):
            # The test rows are the same in all seeds, as many as there are of them.
            seeds_of_parts = (run_seed, run_seed, seed)
            limited = [_limited(part, limit, seeds_of_parts[number], number) for number, part in enumerate(three)]
            plans.append(Plan(f"seed_{run_seed}{name}", run_seed, *limited))
    for plan in plans:
        _check(data, plan)
    return plans


Parts = tuple[np.ndarray, np.ndarray, np.ndarray]


def _plan_parts(data: LabelledSet, *, folds: int, seeds: range, limit: int, parts: int) -> list[Plan]:
    """Hold out each numbered part once as the test set; the next one, in a circle, validates, as in BEND."""
    words = np.array(data.splits)
    numbers = {word: match for word in set(data.splits or ()) if (match := PART.fullmatch(word))}
    strange = sorted(set(data.splits or ()) - set(numbers))
    if strange:
        raise UserError(
            f"{data.source}: the splits are numbered parts such as 'part1', and {strange[0]!r} too; mend it."
        )
    if folds > 1:
        raise UserError(f"{data.source}: its rows are in numbered parts, each held out once; leave out --folds.")
    order = sorted(numbers, key=lambda word: int(numbers[word][1]))
    if len(order) < 3:
        raise UserError(f"{data.source}: has {len(order)} numbered parts; it takes three to train, validate and test.")
    plans = []
    for run_seed in seeds:
        for number, held in enumerate(order[: parts or None]):
            valid = words == order[(number + 1) % len(order)]
            three = (np.flatnonzero(where) for where in (~valid & (words != held), valid, words == held))
            limited = [_limited(rows, limit, run_seed, which) for which, rows in enumerate(three)]
            plans.append(Plan(f"seed_{run_seed}_fold_{number}", run_seed, *limited))
    for plan in plans:
        _check(data, plan)
    return plans


def _foldings(
    data: LabelledSet, parts: Parts, folds: int, valid_fraction: float, test_fraction: float, seed: int, run_seed: int
) -> Iterator[tuple[str, Parts]]:
    train, valid, test = parts
    if folds == 1:
        if not len(test):
            train, test = draw(data, train, test_fraction, seed, "--test_fraction")
        if not len(valid):
            train, valid = draw(data, train, valid_fraction, run_seed, "--valid_fraction")
        yield "", (train, valid, test)
        return
    pool = np.sort(np.concatenate((train, valid)))
    for number, held in enumerate(_folds(data, pool, folds, run_seed)):
        rest = np.setdiff1d(pool, held)
        if len(test):
            yield f"_fold_{number}", (rest, held, test)
        else:
            remaining, drawn = draw(data, rest, valid_fraction, run_seed, "--valid_fraction")
            yield f"_fold_{number}", (remaining, drawn, held)


def draw(data: LabelledSet, rows: np.ndarray, fraction: float, seed: int, flag: str) -> tuple[np.ndarray, np.ndarray]:
    """Divide rows into those that stay and those that are drawn, stratified by class.

    Raises:
        UserError: There are too few rows, of a class or at all.
    """
    from sklearn.model_selection import train_test_split

    strata = data.targets[rows] if _by_class(data) else None
    drawn = int(np.ceil(fraction * len(rows)))
    needed = 1
    if strata is not None:
        present, counts = np.unique(strata, return_counts=True)
        needed = len(present)
        if counts.min() < 2:
            name = data.classes[present[counts.argmin()]]
            raise UserError(
                f"{data.source}: the class {name!r} has one row only; it takes two to draw from ({flag}). Add rows, "
                "or assign them in a split column."
            )
    if drawn < needed or len(rows) - drawn < needed:
        raise UserError(
            f"{data.source}: {flag} {fraction} of {len(rows)} rows leaves {min(drawn, len(rows) - drawn)} rows on one "
            f"side; it must be at least {needed}. Change {flag}, or give more rows."
        )
    kept, taken = train_test_split(rows, test_size=drawn, random_state=_state(seed), stratify=strata)
    return np.sort(kept), np.sort(taken)


def _folds(data: LabelledSet, rows: np.ndarray, folds: int, seed: int) -> Iterator[np.ndarray]:
    from sklearn.model_selection import KFold, StratifiedKFold

    if _by_class(data):
        classes, counts = np.unique(data.targets[rows], return_counts=True)
        if counts.min() < folds:
            name = data.classes[classes[counts.argmin()]]
            raise UserError(f"{data.source}: the class {name!r} has {counts.min()} rows, fewer than --folds {folds}.")
        maker = StratifiedKFold(folds, shuffle=True, random_state=_state(seed)).split(rows, data.targets[rows])
    else:
        if len(rows) < folds:
            raise UserError(f"{data.source}: there are {len(rows)} rows, fewer than --folds {folds}.")
        maker = KFold(folds, shuffle=True, random_state=_state(seed)).split(rows)
    for _, held in maker:
        yield rows[held]


def _state(seed: int) -> int:
    """Return a seed that NumPy's old generators take."""
    return item_seed(seed) % 2**32


def _limited(rows: np.ndarray, limit: int, seed: int, part: int) -> np.ndarray:
    if not limit or len(rows) <= limit:
        return rows
    return np.sort(item_rng(seed, part).permutation(rows)[:limit])


def _check_classes(data: LabelledSet, train: np.ndarray) -> None:
    """Refuse a class that only validation or test rows have: no model could learn it."""
    if not _by_class(data):
        return
    strange = np.flatnonzero(~np.isin(data.targets, data.targets[train]))
    if len(strange):
        name = data.classes[int(data.targets[strange[0]])]
        raise UserError(
            f"{data.place(strange[0])}: no training row has the label {name!r}; mend the label, give training rows of "
            "this class, or remove the row."
        )


def _by_class(data: LabelledSet) -> bool:
    """Whether each row is of one class."""
    return data.problem == "classification" and not data.bases_per_label


def _check(data: LabelledSet, plan: Plan) -> None:
    if data.problem != "classification":
        return
    found = np.unique(data.take(plan.train).judged())
    if len(found) < 2:
        name = data.classes[int(found[0])]
        raise UserError(f"{data.source}: all training rows are of the class {name!r}; a classification needs two.")


def shared_sequences(data: LabelledSet, plan: Plan) -> float:
    """Return the share of test sequences that are in the training or validation rows too, on either strand."""
    known = {_canonical(data.sequences[row]) for row in np.concatenate((plan.train, plan.valid))}
    return float(np.mean([_canonical(data.sequences[row]) in known for row in plan.test]))


def _canonical(text: str) -> str:
    upper = text.upper().replace("U", "T")
    return min(upper, reverse_complement(upper))
