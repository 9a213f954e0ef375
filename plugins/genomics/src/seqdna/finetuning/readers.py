"""Labelled sequences from whatever a path names: a table, FASTA with labels, intervals, or a folder with splits.

    rows = read_labelled("H3/", FinetuneConfig(data="H3/"))

Folders: `train/<class>/*.txt` and `test/...` (Genomic Benchmarks), `train/<class>.csv.gz` with coordinates (its
interval form), or `train.fna`, `test.fna` and the like (Nucleotide Transformer tasks). The formats of BEND and
DART-Eval have modules of their own.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from seqdna.configs.finetune import FinetuneConfig
from seqdna.finetuning.bend import bend_labels, read_bend
from seqdna.finetuning.dart_eval import dart_eval_task, read_dart_eval
from seqdna.finetuning.intervals import is_interval_table, load_genome, read_interval_table
from seqdna.finetuning.labelled import Rows, check_sequence, joined, reverse_complement
from seqdna.finetuning.tables import check_file, read_table, read_text
from seqsuite.errors import UserError

if TYPE_CHECKING:
    from seqdna.data.bed import BedRow

SPLIT_FILES = {"train": "train", "valid": "valid", "validation": "valid", "dev": "valid", "test": "test"}
FASTA = (".fna", ".fasta", ".fa")
TABLES = (".csv", ".tsv", ".txt", ".parquet")


def kind_of(path: Path) -> str:
    """Return the suffix that says what a file holds, without .gz."""
    return Path(path.name.removesuffix(".gz")).suffix.lower()


def read_labelled(path: str | Path, config: FinetuneConfig, *, need_labels: bool = True) -> Rows:
    """Read a file or a folder.

    Args:
        path: What to read.
        config: Names of columns, and the genome of intervals.
        need_labels: Whether a table without labels is refused.

    Raises:
        UserError: It cannot be read, or a row is not in order.
    """
    source = Path(path).expanduser()
    if source.is_dir():
        return _folder(source, config)
    check_file(source)
    kind = kind_of(source)
    if kind in FASTA:
        return read_labelled_fasta(source, need_labels=need_labels)
    if kind == ".bed":
        return _bed(source, config)
    if is_interval_table(source):
        return _interval_table(source, config)
    if kind == ".tsv" and (task := dart_eval_task(source)):
        name, genome = _genome(source, config)
        return read_dart_eval(source, task, genome, genome_name=name)
    return read_table(
        source,
        sequence_column=config.sequence_column,
        labels=config.labels,
        split_column=config.split_column,
        need_labels=need_labels,
    )


def read_all(config: FinetuneConfig) -> Rows:
    """Read the data, and the validation and test files where they are named.

    Raises:
        UserError: As `read_labelled`; or rows are split by the data and by files.
    """
    rows = read_labelled(config.data, config)
    others = [(name, getattr(config, name)) for name in ("valid", "test") if getattr(config, name)]
    if not others:
        return rows
    doubled = [name for name, _ in others if name in (rows.splits or ())]
    if doubled:
        raise UserError(f"{rows.source} says itself which rows are for {doubled[0]}; leave out --{doubled[0]}.")
    parts = [rows] + [read_labelled(path, config).marked(name) for name, path in others]
    return joined(parts)


def _genome(source: Path, config: FinetuneConfig) -> tuple[str, dict[str, str]]:
    if not config.genome:
        raise UserError(f"{source}: holds coordinates; name the FASTA file of the genome with --genome.")
    return Path(config.genome).name, load_genome(config.genome)  # type: ignore[return-value]


def _interval_table(source: Path, config: FinetuneConfig, label: str | None = None) -> Rows:
    name, genome = _genome(source, config)
    return read_interval_table(
        source, genome, genome_name=name, labels=config.labels, split_column=config.split_column, label=label
    )


def _bed(source: Path, config: FinetuneConfig) -> Rows:
    """Read a BED file: with a header (BEND), or plain, where the label is the fourth column unless another is named."""
    from seqdna.data import read_bed

    if is_interval_table(source):
        if not config.labels and (bend := bend_labels(source)):
            name, genome = _genome(source, config)
            return read_bend(source, bend, genome, genome_name=name)
        return _interval_table(source, config)
    _, genome = _genome(source, config)
    columns = config.labels or ("name",)
    places, sequences, labels = [], [], []
    for row in read_bed(source, {name: len(text) for name, text in genome.items()}):
        where = f"{source}, line {row.line}"
        piece = genome[row.chrom][row.start : row.end]
        places.append(f"line {row.line}")
        sequences.append(check_sequence(reverse_complement(piece) if row.strand == "-" else piece, where))
        labels.append(tuple(_bed_cell(row, column, where) for column in columns))
    return Rows(str(source), tuple(places), tuple(sequences), tuple(labels), columns)


def _bed_cell(row: BedRow, column: str, where: str) -> str:
    """Return a label of a BED line: the column `name` or `score`, or one by its number from 7 on."""
    if column == "name":
        return row.name
    if column == "score":
        return "" if row.score is None else f"{row.score:g}"
    if not column.isdigit() or int(column) < 7:
        raise UserError(
            f"--labels {column}: labels of a BED file are name, score, or the number of a column from 7 on."
        )
    if int(column) - 7 >= len(row.extra):
        raise UserError(f"{where}: has {6 + len(row.extra)} columns; --labels asks for number {column}.")
    return row.extra[int(column) - 7]


def read_labelled_fasta(source: Path, *, need_labels: bool = True) -> Rows:
    """Read a FASTA file whose headers are '>name|label'; what follows the last '|' is the label.

    Raises:
        UserError: A record has no label or no sequence, or holds what is no nucleotide code.
    """
    places, sequences, labels = [], [], []
    record: tuple[str, str] | None = None
    pieces: list[str] = []

    def close() -> None:
        if record is not None:
            places.append(record[0])
            labels.append((record[1],) if need_labels else ())
            sequences.append(check_sequence("".join(pieces), f"{source}, {record[0]}"))

    for number, line in enumerate(read_text(source).splitlines(), start=1):
        if line.startswith(">"):
            close()
            name, mark, label = line[1:].rpartition("|")
            if need_labels and not (mark and label.strip()):
                raise UserError(f"{source}, line {number}: the header has no label; write it as '>name|label'.")
            place = (name if mark else line[1:]).strip() or f"line {number}"
            record, pieces = (f"line {number}: {place}", label.strip()), []
        elif line.strip():
            if record is None:
                raise UserError(f"{source}, line {number}: no FASTA file: expected '>name|label'.")
            pieces.append(line.strip())
    close()
    if not places:
        raise UserError(f"{source}: the file holds no record.")
    return Rows(str(source), tuple(places), tuple(sequences), tuple(labels), ("label",) if need_labels else ())


def split_files(folder: Path) -> dict[str, Path]:
    """Return split -> file of a folder with train.fna, test.fna and the like; FASTA before tables."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        kind = kind_of(path)
        split = SPLIT_FILES.get(path.name.partition(".")[0].lower())
        if split is None or not path.is_file() or kind not in (*FASTA, *TABLES):
            continue
        if split not in found or _rank(kind) < _rank(kind_of(found[split])):
            found[split] = path
    return found


def _rank(kind: str) -> int:
    return (*FASTA, *TABLES).index(kind)


def class_folders(folder: Path) -> dict[str, dict[str, Path]]:
    """Return split -> class -> folder of .txt files, or file of coordinates, of a Genomic Benchmarks data set."""
    found: dict[str, dict[str, Path]] = {}
    for split in ("train", "valid", "test"):
        if not (folder / split).is_dir():
            continue
        for entry in sorted((folder / split).iterdir()):
            if entry.is_dir() and not entry.name.startswith("."):
                found.setdefault(split, {})[entry.name] = entry
            elif entry.name.endswith((".csv", ".csv.gz")):
                found.setdefault(split, {})[entry.name.partition(".")[0]] = entry
    return found


def _folder(folder: Path, config: FinetuneConfig) -> Rows:
    files, classes = split_files(folder), class_folders(folder)
    if "train" in files:
        return _joined(folder, [read_labelled(path, config).marked(split) for split, path in files.items()])
    if "train" not in classes:
        raise UserError(
            f"{folder}: holds neither train.csv, train.fna or train.parquet nor train/<class>/; give a file, or one "
            "data set's folder."
        )
    parts = []
    for split, entries in classes.items():
        for name, entry in entries.items():
            parts.append(
                (_texts(entry, name) if entry.is_dir() else _interval_table(entry, config, name)).marked(split)
            )
    return _joined(folder, parts)


def _joined(folder: Path, parts: list[Rows]) -> Rows:
    rows = joined(parts)
    return replace(rows, source=str(folder))


def _texts(folder: Path, name: str) -> Rows:
    """Read one sequence a file."""
    files = sorted(folder.glob("*.txt"), key=lambda path: (len(path.name), path.name))
    if not files:
        raise UserError(f"{folder}: the class {name!r} has no .txt files.")
    sequences = [check_sequence(path.read_text(encoding="ascii", errors="replace"), str(path)) for path in files]
    places = tuple(path.name for path in files)
    return Rows(str(folder), places, tuple(sequences), ((name,),) * len(files), ("class",))
