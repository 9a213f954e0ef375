"""Dividing a table into parts: at random, by scaffold, by identity of proteins, or as the file says.

Rows of the same sequence always lie in the same part. By scaffold, as the field does it (Wu et al. 2018): the largest
groups of molecules with one Bemis-Murcko scaffold go to training, the rest to validation and test; "scaffold_balanced"
shuffles the groups by a seed instead, those above half a held-out part staying in training. By identity, proteins of
one cluster (`seqchem.proteins.identity`) go together; of several chains with dots between them the first is compared.
"""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from seqchem.data.tables import MoleculeTable, refused_rows
from seqsuite.data.order import item_rng
from seqsuite.errors import UserError, unknown_name
from seqsuite.reports.csv_files import write_csv

Split = Literal["random", "scaffold", "scaffold_balanced", "identity", "given"]
KINDS: tuple[Split, ...] = ("random", "scaffold", "scaffold_balanced", "identity", "given")
PARTS = ("train", "valid", "test")
LEFT_OUT = "left out"
_NAMES = {"train": "train", "training": "train", "valid": "valid", "val": "valid", "validation": "valid",
          "dev": "valid", "test": "test", "testing": "test"}  # fmt: skip
_SPLIT = 7


def split_table(
    table: MoleculeTable,
    kind: Split = "random",
    sizes: Sequence[float] = (0.8, 0.1, 0.1),
    seed: int = 0,
    *,
    identity: float = 0.4,
) -> dict[str, np.ndarray]:
    """Divide the rows of a table.

    Args:
        table: Its usable rows are divided; the others are in no part.
        kind: random, scaffold, scaffold_balanced, identity (of proteins) or given (the split column).
        sizes: Shares of train, valid and test; they need not add up to 1.
        seed: Of random, scaffold_balanced and identity.
        identity: Proteins of at least this share of equal amino acids go together.

    Returns:
        Part -> sorted indices of rows. Of a given split, rows of a part that is trained on whose sequence is held out
        as well are in none: "left out" has them.

    Raises:
        UserError: The kind does not fit the table, or the part to train on would be empty.
    """
    if kind not in KINDS:
        raise unknown_name("--split", kind, KINDS)
    usable = table.ok
    if kind == "given":
        return given_parts(table, usable)
    shares = _shares(sizes)
    groups = _groups(table, usable, kind, identity)
    order = _by_size(groups) if kind == "scaffold" else _shuffled(groups, seed)
    if kind == "scaffold_balanced":
        order = _balanced(order, shares, len(usable))
    parts = _fill(order, shares, len(usable))
    if not len(parts["train"]):
        raise UserError(f"{table.path}: {len(usable)} rows leave none to train on with --split {kind}")
    return parts


def given_parts(table: MoleculeTable, usable: np.ndarray) -> dict[str, np.ndarray]:
    """Return the parts that the split column names; training rows whose sequence is held out are left out.

    Args:
        table: The table.
        usable: Indices of its rows that count.

    Raises:
        UserError: There is no split column, it names something else, or nothing to train on.
    """
    if table.split is None:
        raise UserError(f"{table.path} has no split column; name one with --split_column, or choose another --split")
    found: dict[str, list[int]] = {part: [] for part in PARTS}
    for index in usable:
        cell = table.split[index].lower()
        if cell not in _NAMES:
            raise UserError(
                f"{table.path} {table.unit} {table.rows[index]}: the split column says {table.split[index]!r}; it "
                "must say train, valid or test"
            )
        found[_NAMES[cell]].append(int(index))
    return without_leaks(table, {part: np.array(rows, dtype=np.int64) for part, rows in found.items()})


def without_leaks(table: MoleculeTable, parts: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Take rows out of a part whose sequence a later part holds too: of train, valid and test, the later is kept.

    Args:
        table: The table.
        parts: Indices of train, valid and test.

    Returns:
        The parts, and "left out" where any row was taken.

    Raises:
        UserError: Nothing is left to train on.
    """
    seen: set[str] = set()
    kept, gone = {}, []
    for part in reversed(PARTS):
        rows = parts.get(part, np.empty(0, np.int64))
        fresh = np.array([table.sequences[index] not in seen for index in rows], dtype=bool)
        kept[part] = rows[fresh]
        gone.extend(rows[~fresh].tolist())
        seen.update(table.sequences[index] for index in rows)
    if not len(kept["train"]):
        raise UserError(f"{table.path}: no row is left to train on")
    result = {part: np.sort(kept[part]) for part in PARTS}
    return result | ({LEFT_OUT: np.sort(np.array(gone, dtype=np.int64))} if gone else {})


def duplicates(table: MoleculeTable) -> int:
    """Return how many rows repeat the sequence of an earlier row.

    Args:
        table: The table.
    """
    usable = table.ok
    return len(usable) - len({table.sequences[index] for index in usable})


def _groups(table: MoleculeTable, usable: np.ndarray, kind: Split, identity: float) -> dict[str, list[int]]:
    """Return rows that must lie in one part by what they share, in the order of their first row."""
    keys = {int(index): table.sequences[index] for index in usable}
    if kind.startswith("scaffold"):
        if table.language != "smiles":
            raise UserError(f"--split {kind} is for molecules; {table.path} holds {table.language} sequences")
        keys = _scaffolds(table, usable)
    elif kind == "identity":
        if table.language != "protein":
            raise UserError(f"--split identity is for proteins; {table.path} holds {table.language} sequences")
        keys = _clusters(table, usable, identity)
    groups: dict[str, list[int]] = {}
    for index, key in keys.items():
        groups.setdefault(key, []).append(index)
    return groups


def _scaffolds(table: MoleculeTable, usable: np.ndarray) -> dict[int, str]:
    from seqchem.chemistry.scaffolds import scaffold
    from seqchem.data.canonical import rewritten

    try:
        found = rewritten([table.sequences[index] for index in usable], scaffold, ("scaffold",), what="scaffolds")
    except ValueError as error:
        raise UserError(f"{table.path}: {error}; a scaffold split needs --standardize") from error
    return dict(zip(usable.tolist(), found, strict=True))


def _clusters(table: MoleculeTable, usable: np.ndarray, identity: float) -> dict[int, str]:
    from seqchem.data.canonical import progress_lines, remembered
    from seqchem.proteins.identity import identity_clusters
    from seqchem.proteins.letters import CHAIN_SEPARATOR, problem_of

    # Of several chains the first counts: a target and its binders must not lie in two parts.
    chains = [table.sequences[index].partition(CHAIN_SEPARATOR)[0] for index in usable]
    told = [(table.rows[index], problem_of(text, further=True)) for index, text in zip(usable, chains, strict=True)]
    bad = [(row, problem) for row, problem in told if problem is not None]
    if bad:
        raise UserError(refused_rows(table.path, table.unit, bad))
    tell = progress_lines("clusters by identity")
    found = remembered(
        chains, lambda: [str(number) for number in identity_clusters(chains, identity, progress=tell)],
        ("identity", repr(identity)), least=1000,
    )  # fmt: skip
    return dict(zip(usable.tolist(), found, strict=True))


def _by_size(groups: dict[str, list[int]]) -> list[list[int]]:
    # Equally large groups by their scaffold, so that the order of the file does not matter.
    return [groups[key] for key in sorted(groups, key=lambda key: (-len(groups[key]), key))]


def _shuffled(groups: dict[str, list[int]], seed: int) -> list[list[int]]:
    order = list(groups.values())
    return [order[index] for index in item_rng(seed, _SPLIT).permutation(len(order))]


def _balanced(order: list[list[int]], shares: Sequence[float], count: int) -> list[list[int]]:
    limit = min(share for share in shares[1:] if share) * count / 2 if any(shares[1:]) else count
    return [rows for rows in order if len(rows) > limit] + [rows for rows in order if len(rows) <= limit]


def _shares(sizes: Sequence[float]) -> tuple[float, float, float]:
    if len(sizes) != 3 or min(sizes) < 0 or not 0 < sum(sizes) < math.inf or not sizes[0]:
        shown = ",".join(f"{size:g}" for size in sizes)
        raise UserError(f"--split_sizes {shown}: give three shares, of train, valid and test, as in 0.8,0.1,0.1")
    train, valid, test = (size / sum(sizes) for size in sizes)
    return train, valid, test


def _fill(order: list[list[int]], shares: tuple[float, float, float], count: int) -> dict[str, np.ndarray]:
    """Give each group to training where it fits, else to validation where it fits, else to the test."""
    parts: dict[str, list[int]] = {part: [] for part in PARTS}
    # A whole number of rows that floating point puts just below itself is still that number.
    most = [shares[0] * count + 1e-6, (shares[0] + shares[1]) * count + 1e-6]
    rest = "test" if shares[2] else "valid" if shares[1] else "train"
    for rows in order:
        if len(parts["train"]) + len(rows) <= most[0]:
            parts["train"].extend(rows)
        elif shares[1] and len(parts["train"]) + len(parts["valid"]) + len(rows) <= most[1]:
            parts["valid"].extend(rows)
        else:
            parts[rest].extend(rows)
    return {part: np.sort(np.array(rows, dtype=np.int64)) for part, rows in parts.items()}


def write_parts(path: str | os.PathLike[str], table: MoleculeTable, parts: dict[str, np.ndarray]) -> Path:
    """Write which row is in which part.

    Args:
        path: parts.csv; its columns are row (as the table counts them) and part, and file where there are several.
        table: The table.
        parts: Indices of each part.
    """
    of = {int(index): part for part, indices in parts.items() for index in indices}
    rows: list[tuple[object, ...]] = [(table.rows[index], of[index]) for index in sorted(of)]
    if not table.files:
        return write_csv(Path(path), ("row", "part"), rows)
    names = _short_names(set(table.files))
    files = [names[table.files[index]] for index in sorted(of)]
    return write_csv(Path(path), ("row", "part", "file"), [(*row, file) for row, file in zip(rows, files, strict=True)])


def _short_names(files: set[str]) -> dict[str, str]:
    """Return the name of each file without its folder, where that tells the files apart."""
    short = {file: os.path.basename(file) for file in files}
    return short if len(set(short.values())) == len(files) else {file: file for file in files}


def read_parts(path: str | os.PathLike[str], table: MoleculeTable, *, file: str = "") -> dict[str, np.ndarray]:
    """Read what `write_parts` wrote, for the same table or for one of its files.

    Args:
        path: parts.csv.
        table: The table; rows that the file does not name are in no part.
        file: What the table's file was called when the parts were written; empty: as it is now.

    Returns:
        Part -> sorted indices.

    Raises:
        UserError: The file is none, or does not belong to the table.
    """
    names = {file or table.path, os.path.basename(file or table.path)}
    known = {row: part for row, part, of in _part_rows(path) if of is None or of in names}
    missing = sorted(set(known) - set(table.rows))
    if missing:
        raise UserError(f"{path} names row {missing[0]}, which {table.path} does not have: it belongs to another file")
    found: dict[str, list[int]] = {part: [] for part in PARTS}
    for index, row in enumerate(table.rows):
        if row in known and table.status[index] == "ok":
            found.setdefault(known[row], []).append(index)
    return {part: np.array(rows, dtype=np.int64) for part, rows in found.items()}


def _part_rows(path: str | os.PathLike[str]) -> list[tuple[int, str, str | None]]:
    """Return row, part and file of every line of a parts.csv; no file where it is of one alone."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as opened:
            found = [(int(line["row"]), line["part"].strip(), line.get("file")) for line in csv.DictReader(opened)]
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    except (KeyError, ValueError, TypeError, AttributeError, csv.Error) as error:
        raise UserError(f"{path} is no list of parts; it needs the columns row and part") from error
    if not found:
        raise UserError(f"{path} is no list of parts; it names no row")
    parts = _NAMES | {LEFT_OUT: LEFT_OUT}
    for row, part, _ in found:
        if part.lower() not in parts:
            raise UserError(f"{path}: row {row} is of part {part!r}; it must say train, valid or test")
    return [(row, parts[part.lower()], file) for row, part, file in found]
