"""Labelled variants in the layouts of three public suites.

    for task in recognise("TraitGym/"):
        variants = task.read()

TraitGym: NAME/test.parquet with chrom, pos (1-based), ref, alt, label; NAME/subset/SUBSET.parquet with the first four.
BEND: NAME.bed with a header and the columns chromosome, start (0-based), end, ref, alt, label.
DART-Eval task 5: a TSV of African caQTLs (chr_hg38, pos_hg38, allele1, allele2, IsUsed, in_peaks, label) or of Yoruban
dsQTLs (var.chrom, var.pos, var.allele1, var.allele2, var.isused, var.label); positions are 1-based, either allele may
be the reference, and rows whose flags are false are no part of the benchmark.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from seqdna.finetuning.tables import check_file, first_cells, table_records
from seqdna.variant_benchmarks.suites import BEND, DART_EVAL, TRAITGYM, VariantSuite
from seqsuite.errors import UserError, suggest, unknown_name

COORDINATES = ("chrom", "pos", "ref", "alt")
_CAQTL = ("chr_hg38", "pos_hg38", "allele1", "allele2", "label", "IsUsed", "in_peaks")
_DSQTL = ("var.chrom", "var.pos", "var.allele1", "var.allele2", "var.label", "var.isused")
_YES = dict.fromkeys(("true", "1", "1.0"), True) | dict.fromkeys(("false", "0", "0.0"), False)
_SIGNED = dict.fromkeys(("1", "1.0"), True) | dict.fromkeys(("-1", "-1.0"), False)


@dataclass(frozen=True)
class LabelledVariants:
    """Variants with labels, in the file's order.

    Attributes:
        source: The file.
        places: (n,) where each lies: "row 3" or "line 12".
        chroms: (n,) as written.
        positions: (n,) 1-based.
        refs: (n,) reference alleles, upper case.
        alts: (n,) alternative alleles, upper case.
        labels: (n,) bool.
        either_is_ref: The file does not say which allele is the reference.
        left_out: What the suite itself leaves out -> rows.
    """

    source: Path
    places: tuple[str, ...] = field(repr=False)
    chroms: tuple[str, ...] = field(repr=False)
    positions: tuple[int, ...] = field(repr=False)
    refs: tuple[str, ...] = field(repr=False)
    alts: tuple[str, ...] = field(repr=False)
    labels: np.ndarray = field(repr=False)
    either_is_ref: bool = False
    left_out: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.places)

    def shown(self, index: int) -> str:
        """Return a variant for a message, such as "chr1:12 A>G"."""
        return f"{self.chroms[index]}:{self.positions[index]} {self.refs[index]}>{self.alts[index]}"

    def keep(self, which: Sequence[int]) -> LabelledVariants:
        """Return the variants of the given numbers, in that order."""
        return replace(
            self,
            places=tuple(self.places[index] for index in which),
            chroms=tuple(self.chroms[index] for index in which),
            positions=tuple(self.positions[index] for index in which),
            refs=tuple(self.refs[index] for index in which),
            alts=tuple(self.alts[index] for index in which),
            labels=self.labels[list(which)],
        )


@dataclass(frozen=True)
class VariantTask:
    """One labelled set.

    Attributes:
        suite: Whose layout it has.
        name: Of its folder or file.
        path: The file.
    """

    suite: VariantSuite
    name: str
    path: Path

    def read(self, subset: str = "all") -> LabelledVariants:
        """Read the variants.

        Args:
            subset: Of TraitGym: a name of its folder `subset`; "all" needs no file.

        Raises:
            UserError: The file cannot be read, a column is missing, or a row is not in order.
        """
        if subset != "all" and self.suite is not TRAITGYM:
            raise UserError(f"--subset {subset}: {self.path} is of {self.suite.title}, which has no subsets.")
        found = {TRAITGYM.name: read_traitgym, BEND.name: read_bend, DART_EVAL.name: read_dart_eval}[self.suite.name](
            self.path
        )
        return found if subset == "all" else _subset(found, self.path.parent / "subset", subset)


def recognise(folder: str | Path, only: Sequence[str] = ()) -> list[VariantTask]:
    """Find the labelled sets of a folder: in itself, or one level below.

    Args:
        folder: Where to look.
        only: Names to keep; none keeps all.

    Raises:
        UserError: There is no such folder, nothing in it has a known layout, a name is not there or there twice.
    """
    source = Path(folder).expanduser()
    if not source.is_dir():
        raise UserError(f"{source}: there is no such folder; give a folder of labelled variants.")
    entries = sorted(source.iterdir())
    below = [inner for entry in entries if entry.is_dir() for inner in sorted(entry.iterdir())]
    found = [task for path in (*entries, *below) if (task := _task(path)) is not None]
    if not found:
        raise UserError(
            f"{source}: holds no labelled variants: neither NAME/test.parquet (TraitGym) nor NAME.bed with a column "
            "'alt' (BEND) nor a .tsv of caQTLs or dsQTLs (DART-Eval task 5); for sets of regions there is "
            "`seqdna benchmark`."
        )
    chosen = [task for task in found if not only or task.name in only]
    names = [task.name for task in found]
    for name in only:
        if name not in names:
            raise UserError(f"--only: {unknown_name('data set', name, names)}")
    for first, second in pairwise(sorted(chosen, key=lambda task: task.name)):
        if first.name == second.name:
            raise UserError(f"{source}: {first.path} and {second.path} have one name; give the folder of one of them.")
    return chosen


def _task(path: Path) -> VariantTask | None:
    """Return the set that a file is; what decides is its name or a column that no other layout has."""
    if not path.is_file():
        return None
    name = path.name.removesuffix(".gz")
    if name == "test.parquet":
        return VariantTask(TRAITGYM, path.resolve().parent.name, path)
    if name.endswith(".bed"):
        known = name.startswith("variant_effects") or bool({"alt", "ref"} & set(first_cells(path)))
        return VariantTask(BEND, name.removesuffix(".bed"), path) if known else None
    if name.endswith(".tsv"):
        known = bool(set(first_cells(path)) & (set(_CAQTL + _DSQTL) - {"allele1", "allele2", "label"}))
        return VariantTask(DART_EVAL, name.removesuffix(".tsv"), path) if known else None
    return None


def read_traitgym(path: str | Path) -> LabelledVariants:
    """Read a TraitGym `test.parquet`.

    Raises:
        UserError: As `VariantTask.read`.
    """
    return _read(Path(path), (*COORDINATES, "label"), _YES)


def read_bend(path: str | Path) -> LabelledVariants:
    """Read a BEND variant effect bed file: 0-based `start`, where the changed base lies.

    Raises:
        UserError: As `VariantTask.read`.
    """
    return _read(Path(path), ("chromosome", "start", "ref", "alt", "label"), _YES, shift=1)


def read_dart_eval(path: str | Path) -> LabelledVariants:
    """Read a DART-Eval task 5 table of caQTLs or dsQTLs.

    Raises:
        UserError: As `VariantTask.read`.
    """
    source = Path(path)
    check_file(source)
    header = set(first_cells(source))
    if len(header & set(_DSQTL)) > len(header & set(_CAQTL)):
        return _read(source, _DSQTL[:5], _SIGNED, flags=_DSQTL[5:], either_is_ref=True)
    return _read(source, _CAQTL[:5], _YES, flags=_CAQTL[5:], either_is_ref=True)


def _read(
    source: Path,
    names: Sequence[str],
    labels: dict[str, bool],
    *,
    shift: int = 0,
    flags: Sequence[str] = (),
    either_is_ref: bool = False,
) -> LabelledVariants:
    """Read chromosome, position, two alleles and label; keep the rows whose flags are true."""
    _need_parquet(source)
    header, records = table_records(source)
    columns = [_column(source, header, name) for name in (*names, *flags)]
    rows, left_out = [], dict.fromkeys(flags, 0)
    for place, cells in records:
        where = f"{source}, {place}"
        if len(cells) != len(header):
            raise UserError(f"{where}: has {len(cells)} cells, the header has {len(header)}; mend the row.")
        chrom, pos, ref, alt, label, *marks = (cells[number].strip() for number in columns)
        unset = [flag for flag, mark in zip(flags, marks, strict=True) if not _word(mark, _YES, where, flag)]
        if unset:
            left_out[unset[0]] += 1
            continue
        position = _whole(pos, where, names[1]) + shift
        rows.append((place, chrom, position, ref.upper(), alt.upper(), _word(label, labels, where, names[4])))
    if not rows:
        raise UserError(f"{source}: the table has no rows to score.")
    places, chroms, positions, refs, alts, truths = zip(*rows, strict=True)
    omitted = {f"{flag} is false": count for flag, count in left_out.items() if count}
    return LabelledVariants(source, places, chroms, positions, refs, alts, np.array(truths), either_is_ref, omitted)


def _subset(variants: LabelledVariants, folder: Path, name: str) -> LabelledVariants:
    """Return the variants that a TraitGym subset lists, in the subset's order."""
    path = folder / f"{name}.parquet"
    if not path.is_file():
        known = [entry.stem for entry in folder.glob("*.parquet")] if folder.is_dir() else []
        raise UserError(f"--subset: {folder}: {unknown_name('subset', name, known)}")
    header, records = table_records(path)
    columns = [_column(path, header, column) for column in COORDINATES]
    keys = zip(variants.chroms, map(str, variants.positions), variants.refs, variants.alts, strict=True)
    numbers = {key: number for number, key in enumerate(keys)}
    which = []
    for place, cells in records:
        chrom, pos, ref, alt = (cells[number].strip() for number in columns)
        key = (chrom, pos, ref.upper(), alt.upper())
        if key not in numbers:
            raise UserError(f"{path}, {place}: {chrom}:{pos} {ref}>{alt} is no variant of {variants.source}.")
        which.append(numbers[key])
    if not which:
        raise UserError(f"{path}: the subset has no rows.")
    return variants.keep(which)


def _need_parquet(source: Path) -> None:
    if source.suffix == ".parquet":
        try:
            import pyarrow  # noqa: F401
        except ImportError:
            raise UserError(f"{source}: reading Parquet needs pyarrow: pip install pyarrow.") from None


def _column(source: Path, header: Sequence[str], name: str) -> int:
    if name not in header:
        raise UserError(f"{source}: there is no column {name!r}.{suggest(name, header)}")
    return list(header).index(name)


def _word(word: str, known: dict[str, bool], where: str, column: str) -> bool:
    found = known.get(word.lower())
    if found is None:
        words = " or ".join(sorted({entry for entry in known if "." not in entry}))
        raise UserError(f"{where}: {column} is {word!r}; it must be {words}.")
    return found


def _whole(word: str, where: str, column: str) -> int:
    digits = word.removesuffix(".0")
    if not (digits.isascii() and digits.isdigit()):
        raise UserError(f"{where}: {column} is {word!r}; it must be a whole number.")
    return int(digits)
