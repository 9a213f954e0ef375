"""Labelled sequences: what a reader found, and what the labels are decided to mean.

`Rows` are texts with their origin, so that every error names file and row. `decide` turns them into a
`LabelledSet`: classes, several yes/no labels, or numbers. Nothing here imports torch.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from seqdna.data.fasta import NUCLEOTIDES
from seqsuite.errors import UserError

Problem = Literal["classification", "multi_label", "regression"]
PROBLEMS = ("classification", "multi_label", "regression")
IGNORE = -100
"""A label along a sequence that counts for nothing (PyTorch's usual value, and BEND's)."""
MOST_CLASSES = 100
"""Whole numbers with more values than this could as well be measurements; the user decides."""

_STRANGE = re.compile(f"[^{NUCLEOTIDES.decode()}]")
_COMPLEMENT = str.maketrans("ACGTURYSWKMBDHVNacgturyswkmbdhvn", "TGCAAYRSWMKVHDBNtgcaayrswmkvhdbn")


@dataclass(frozen=True)
class Targets:
    """Labels of a format that says itself what they mean.

    Attributes:
        problem: What is asked.
        values: As `LabelledSet.targets`.
        classes: As `LabelledSet.classes`.
        bases_per_label: As `LabelledSet.bases_per_label`.
    """

    problem: Problem
    values: np.ndarray = field(repr=False)
    classes: tuple[str, ...]
    bases_per_label: int = 0


@dataclass(frozen=True)
class Rows:
    """What a reader found.

    Attributes:
        source: The file or folder, for messages.
        places: Where each row lies: "line 7", "record 'x'"; for messages and predictions.csv.
        sequences: The bases, as they were written.
        labels: One text for each label column, row by row; empty tuples where labels were not asked for.
        columns: Names of the label columns.
        splits: "train", "valid" or "test", or the name of a numbered part such as "part3", for each row; or None.
        targets: What the labels mean, where the format says it; `labels` and `columns` are then empty.
    """

    source: str
    places: tuple[str, ...] = field(repr=False)
    sequences: tuple[str, ...] = field(repr=False)
    labels: tuple[tuple[str, ...], ...] = field(repr=False)
    columns: tuple[str, ...]
    splits: tuple[str, ...] | None = field(default=None, repr=False)
    targets: Targets | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.sequences)

    def marked(self, split: str) -> Rows:
        """Return the rows as one split."""
        return replace(self, splits=(split,) * len(self))


def joined(parts: Sequence[Rows]) -> Rows:
    """Put the rows of several files one after the other; places then name their file too.

    Raises:
        UserError: The files have other label columns.
    """
    first = parts[0]
    if len(parts) == 1:
        return first
    for part in parts:
        if part.targets is not None:
            raise UserError(f"{part.source}: says itself which rows are for what; give it alone, as --data.")
        if len(part.columns) != len(first.columns):
            raise UserError(
                f"{part.source} has the label columns {', '.join(part.columns)}, {first.source} has "
                f"{', '.join(first.columns)}; give files with the same ones."
            )
    return Rows(
        source=first.source,
        places=tuple(f"{part.source}, {place}" for part in parts for place in part.places),
        sequences=tuple(text for part in parts for text in part.sequences),
        labels=tuple(label for part in parts for label in part.labels),
        columns=first.columns,
        splits=tuple(split for part in parts for split in (part.splits or ("train",) * len(part))),
    )


@dataclass(frozen=True)
class LabelledSet:
    """Sequences with targets.

    Attributes:
        source: Where they come from.
        problem: What is asked.
        places: Where each row lies in its file.
        sequences: The bases.
        targets: (n,) int64 classes, (n, K) float32 zeros and ones, or (n, K) float32 numbers. Of labels along the
            sequences, (n,) objects: (B,) int64 classes or (B, K) float32 zeros and ones of B bases or bins, `IGNORE`
            where nothing is known.
        classes: Names of the classes, of the labels, or of the numbers.
        splits: As `Rows.splits`.
        bases_per_label: Of labels along the sequences: how many bases one stands for; 0: one label a sequence.
    """

    source: str
    problem: Problem
    places: tuple[str, ...] = field(repr=False)
    sequences: tuple[str, ...] = field(repr=False)
    targets: np.ndarray = field(repr=False)
    classes: tuple[str, ...]
    splits: tuple[str, ...] | None = field(default=None, repr=False)
    bases_per_label: int = 0

    def __len__(self) -> int:
        return len(self.sequences)

    @property
    def outputs(self) -> int:
        """How many numbers a model must give for a sequence."""
        return len(self.classes)

    def place(self, row: int) -> str:
        """Return file and place of a row, for messages."""
        return _located(self.source, self.places[row])

    @property
    def equal_lengths(self) -> bool:
        """Whether all sequences are of one length."""
        return len({len(text) for text in self.sequences}) == 1

    def take(self, rows: Sequence[int] | np.ndarray) -> LabelledSet:
        """Return some of the rows, in the order given."""
        picked = [int(row) for row in rows]
        return LabelledSet(
            self.source,
            self.problem,
            tuple(self.places[row] for row in picked),
            tuple(self.sequences[row] for row in picked),
            self.targets[picked],
            self.classes,
            None if self.splits is None else tuple(self.splits[row] for row in picked),
            self.bases_per_label,
        )

    def judged(self) -> np.ndarray:
        """Return the targets that count: all, or those along all sequences one after the other, without `IGNORE`."""
        if not self.bases_per_label:
            return self.targets
        return np.concatenate([target[known(target)] for target in self.targets])


def known(target: np.ndarray) -> np.ndarray:
    """Return which labels of one sequence, (B,) or (B, K), are not `IGNORE`: (B,) boolean."""
    return target != IGNORE if target.ndim == 1 else (target != IGNORE).all(1)


def check_sequence(text: str, where: str) -> str:
    """Return a sequence without blanks around it.

    Raises:
        UserError: It is empty or holds what is no nucleotide code.
    """
    text = text.strip()
    if not text:
        raise UserError(f"{where}: the sequence is empty; fill it in or remove the row.")
    wrong = _STRANGE.search(text)
    if wrong:
        raise UserError(f"{where}: {wrong[0]!r} at position {wrong.start()} of the sequence is no nucleotide code.")
    return text


def reverse_complement(text: str) -> str:
    """Return the other strand, read 5' to 3'; ambiguity codes and case are kept."""
    return text.translate(_COMPLEMENT)[::-1]


def cropped(text: str, length: int) -> str:
    """Return the middle `length` bases of a longer sequence; 0 keeps all."""
    if not length or len(text) <= length:
        return text
    first = (len(text) - length) // 2
    return text[first : first + length]


def check_reach(
    reach: int | None, sequences: Sequence[str], where: Callable[[int], str], *, crop: int = 0, way: str
) -> None:
    """Refuse sequences that are longer than a model can read.

    Args:
        reach: Bases that it reads at most; None: any number.
        sequences: Several.
        where: Number of a sequence -> what to call it.
        crop: Longer ones are cut to this many bases first; 0 for none.
        way: What the user can do.

    Raises:
        UserError: One is too long; the first is named.
    """
    for number, text in enumerate(sequences if reach is not None else ()):
        length = min(len(text), crop or len(text))
        if length > (reach or 0):
            raise UserError(f"{where(number)}: has {length:,} bases, and this model reads at most {reach:,}; {way}")


def decide(rows: Rows, problem: str = "auto") -> LabelledSet:
    """Say what the labels mean.

    One column of words or whole numbers is a classification; one column with a fraction in it a regression;
    several columns are yes/no labels where they hold nothing but 0 and 1, numbers otherwise.

    Args:
        rows: What was read.
        problem: "auto", or what to take the labels for.

    Raises:
        UserError: A label is missing or does not fit the problem, all rows are of one class, or the choice is open.
    """
    if not len(rows):
        raise UserError(f"{rows.source}: there is no row of data.")
    if (given := rows.targets) is not None:
        if problem not in ("auto", given.problem):
            raise UserError(f"--problem {problem}: {rows.source} is a {given.problem.replace('_', '-')} problem.")
        return LabelledSet(
            rows.source, given.problem, rows.places, rows.sequences, given.values, given.classes, rows.splits,
            given.bases_per_label,
        )  # fmt: skip
    if not rows.columns:
        raise UserError(f"{rows.source}: there are no labels; name their column with --labels.")
    for place, labels in zip(rows.places, rows.labels, strict=True):
        for column, label in zip(rows.columns, labels, strict=True):
            if not label or label.lower() in ("nan", "na"):
                raise UserError(
                    f"{_where(rows, place)}: the label {column!r} is missing; fill it in or remove the row."
                )
    kind = _guess(rows) if problem == "auto" else problem
    if kind == "classification":
        targets, classes = _classes(rows)
    else:
        targets, classes = _numbers(rows, yes_or_no=kind == "multi_label"), rows.columns
    return LabelledSet(rows.source, kind, rows.places, rows.sequences, targets, classes, rows.splits)  # type: ignore[arg-type]


def _where(rows: Rows, place: str) -> str:
    return _located(rows.source, place)


def _located(source: str, place: str) -> str:
    return place if place.startswith(source) else f"{source}, {place}"


def _guess(rows: Rows) -> Problem:
    found = {label for labels in rows.labels for label in labels}
    if len(rows.columns) > 1:
        return "multi_label" if found <= {"0", "1", "0.0", "1.0"} else "regression"
    numbers = {label for label in found if _number(label) is not None}
    fractions = {label for label in numbers if not float(label).is_integer() or "." in label or "e" in label.lower()}
    if numbers < found:
        if fractions:
            _refuse_mixture(rows, numbers, min(fractions))
        return "classification"
    if fractions:
        return "regression"
    if len(found) > MOST_CLASSES:
        raise UserError(
            f"{rows.source}: the column {rows.columns[0]!r} holds {len(found)} different whole numbers; say "
            "--problem regression or --problem classification."
        )
    return "classification"


def _refuse_mixture(rows: Rows, numbers: set[str], fraction: str) -> None:
    """Refuse words among numbers with fractions, rather than take every number for a class of its own."""
    place, word = next((p, row[0]) for p, row in zip(rows.places, rows.labels, strict=True) if row[0] not in numbers)
    raise UserError(
        f"{_where(rows, place)}: the label {rows.columns[0]!r} is {word!r}, not a number as {fraction!r} is; mend it, "
        "or say --problem classification."
    )


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _classes(rows: Rows) -> tuple[np.ndarray, tuple[str, ...]]:
    if len(rows.columns) > 1:
        raise UserError(
            f"{rows.source}: a classification has one label column, not {', '.join(rows.columns)}; name one of them "
            "with --labels."
        )
    texts = [labels[0] for labels in rows.labels]
    found = set(texts)
    whole = all(re.fullmatch(r"[+-]?\d+", text) for text in found)
    classes = tuple(sorted(found, key=int) if whole else sorted(found))
    if len(classes) < 2:
        raise UserError(
            f"{rows.source}: all {len(rows)} rows have the label {classes[0]!r}; a classification needs two classes: "
            "add rows of another one, or name other labels with --labels."
        )
    numbers = {name: number for number, name in enumerate(classes)}
    return np.array([numbers[text] for text in texts], dtype=np.int64), classes


def _numbers(rows: Rows, *, yes_or_no: bool) -> np.ndarray:
    out = np.empty((len(rows), len(rows.columns)), dtype=np.float32)
    for row, (place, labels) in enumerate(zip(rows.places, rows.labels, strict=True)):
        for place_in_row, (column, label) in enumerate(zip(rows.columns, labels, strict=True)):
            value = _number(label)
            if value is None or (yes_or_no and value not in (0, 1)):
                wanted = "0 or 1" if yes_or_no else "a number"
                raise UserError(f"{_where(rows, place)}: the label {column!r} is {label!r}, not {wanted}.")
            out[row, place_in_row] = value
    for number, column in enumerate(rows.columns):
        if (out[:, number] == out[0, number]).all():
            raise UserError(f"{rows.source}: all {len(rows)} rows have the same value in the label column {column!r}.")
    return out


def class_counts(data: LabelledSet) -> dict[str, int]:
    """Return how many rows, or places along them, each class has, or has the label; empty for a regression."""
    if data.problem == "regression":
        return {}
    targets = data.judged()
    if data.problem == "multi_label":
        return {name: int(targets[:, k].sum()) for k, name in enumerate(data.classes)}
    counts = Counter(targets.tolist())
    return {name: counts.get(k, 0) for k, name in enumerate(data.classes)}
