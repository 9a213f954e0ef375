"""What a run reads: the table, its parts, and every sequence in the language of the model.

inputs = open_inputs(config, start=None)
inputs.table, inputs.parts["train"], inputs.texts[0]
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from seqchem.configs.data import SequenceTrainConfig
from seqchem.data.canonical import rewritten
from seqchem.data.splits import LEFT_OUT, PARTS, Split, duplicates, read_parts, split_table, without_leaks
from seqchem.data.tables import MoleculeTable, joined, numeric_names, read_table, refused_rows
from seqchem.tokenizers import OldSymbols, encode_selfies
from seqsuite.data.order import item_rng
from seqsuite.errors import UserError

_LIMIT = 13


@dataclass(frozen=True)
class TrainingInputs:
    """The rows of a run.

    Attributes:
        table: All usable rows.
        parts: Indices of train, valid and test, and of what is left out.
        texts: The sequences in the model's language.
        language: That language.
        fingerprints: SHA-256 of every file, for resuming.
        notes: Lines that say what was found.
    """

    table: MoleculeTable
    parts: dict[str, np.ndarray]
    texts: list[str]
    language: str
    fingerprints: dict[str, str]
    notes: list[str] = field(default_factory=list)

    def rows(self, part: str) -> np.ndarray:
        """Return the indices of a part; none where there is none."""
        return self.parts.get(part, np.empty(0, np.int64))

    def without(self, rows: Sequence[int] | np.ndarray, why: str) -> TrainingInputs:
        """Return the inputs with some rows left out of their parts.

        Args:
            rows: Which.
            why: Said of them.

        Raises:
            UserError: Nothing is left to train on.
        """
        gone = set(map(int, rows))
        if not gone:
            return self
        kept = {part: indices[[int(i) not in gone for i in indices]] for part, indices in self.parts.items()}
        kept[LEFT_OUT] = np.array(sorted({*gone, *map(int, self.rows(LEFT_OUT))}), dtype=np.int64)
        if not len(kept["train"]):
            raise UserError(f"{self.table.path}: no row is left to train on: {why}")
        first = ", ".join(str(self.table.rows[row]) for row in sorted(gone)[:5])
        note = f"{len(gone):,} rows left out, {why} ({self.table.unit} {first}{', ...' if len(gone) > 5 else ''})"
        return dataclasses.replace(self, parts=kept, notes=[*self.notes, note])


def open_inputs(config: SequenceTrainConfig, *, start: Any = None, need_property: bool = False) -> TrainingInputs:
    """Read the files of a run and divide their rows.

    Args:
        config: The options.
        start: The model that is gone on from, or None.
        need_property: Whether a run without properties makes no sense.

    Raises:
        UserError: A file, a column, rows that cannot be used, or parts that leave nothing to train on.
    """
    language = start.config.language if start is not None and config.language == "auto" else config.language
    if start is not None and language != start.config.language:
        raise UserError(f"--start {config.start} reads {start.config.language}; --language {language} does not fit it")
    columns = config.properties or (_only_property(config) if need_property else ())
    table = _read(config, config.source, columns, language)
    files = {"train": config.source, "valid": config.valid, "test": config.test}
    if config.valid or config.test:
        tables = {"train": dataclasses.replace(table, split=None)}
        tables |= {part: _read(config, files[part], columns, language) for part in ("valid", "test") if files[part]}
        table = joined(tables)
    notes = _told(table)
    if language == "auto":
        language = "selfies" if table.language == "smiles" else table.language
    table = _limited(table, config)
    texts, table, refused = _in_language(table, language, start, config)
    notes += refused
    parts, told = _parts(config, table)
    names = {"train": "data", "valid": "validation data", "test": "test data"}
    fingerprints = {names[part]: _digest(path) for part, path in files.items() if path}
    if config.split_file:
        fingerprints["split"] = _digest(config.split_file)
    return TrainingInputs(table, parts, texts, language, fingerprints, notes + told)


def _only_property(config: SequenceTrainConfig) -> tuple[str, ...]:
    options = {"sequence_column": config.sequence_column, "split_column": config.split_column}
    ignored = {name.lower() for name in config.ignore_columns}
    found = [name for name in numeric_names(config.source, **options) if name.lower() not in ignored]
    if len(found) == 1:
        return tuple(found)
    if not found:
        raise UserError(f"{config.source} has no column of numbers beside the sequences; name one with --properties")
    shown = ", ".join(map(repr, found[:8]))
    raise UserError(f"{config.source} has {len(found)} columns of numbers, {shown}: say which with --properties")


def _read(config: SequenceTrainConfig, path: str, columns: Sequence[str], language: str) -> MoleculeTable:
    return read_table(
        path,
        sequence_column=config.sequence_column,
        binder_column=getattr(config, "binder_column", ""),
        property_columns=columns,
        ignore_columns=config.ignore_columns,
        split_column=config.split_column,
        language=language,
        salts=config.salts,
        on_invalid=config.on_invalid,
        standardize=config.standardize,
    )


def _told(table: MoleculeTable) -> list[str]:
    notes = []
    if table.left_out:
        notes.append(f"{refused_rows(table.path, table.unit, table.left_out)}; they are left out")
    repeated = duplicates(table)
    if repeated:
        notes.append(f"{repeated:,} rows repeat the sequence of another row; equal sequences stay in one part")
    for name, values in table.values.items():
        missing = int(np.isnan(values).sum())
        if missing:
            notes.append(f"{name}: {missing:,} of {len(values):,} rows have no value")
    return notes


def _limited(table: MoleculeTable, config: SequenceTrainConfig) -> MoleculeTable:
    if not config.limit or config.limit >= len(table):
        return table
    drawn = item_rng(config.seed, _LIMIT).permutation(len(table))[: config.limit]
    return table.select(np.sort(drawn))


def _in_language(
    table: MoleculeTable, language: str, start: Any, config: SequenceTrainConfig
) -> tuple[list[str], MoleculeTable, list[str]]:
    """Return the sequences in the model's language, the table of the rows that have one, and what was lost."""
    if (language in ("smiles", "selfies", "selfies_v1")) != (table.language == "smiles"):
        raise UserError(f"{table.path} holds {table.language} sequences; --language {language} does not fit them")
    if not language.startswith("selfies"):
        return list(table.sequences), table, []
    lines = rewritten(table.sequences, _selfies_line, ("selfies",), what="writing SELFIES")
    bad = [(table.rows[i], line[1:]) for i, line in enumerate(lines) if line.startswith("\t")]
    notes = []
    if bad:
        told = refused_rows(table.path, table.unit, bad)
        if config.on_invalid == "error" or len(bad) == len(table):
            raise UserError(f"{told}; take --language smiles, or leave them out with --on_invalid skip")
        notes.append(f"{told}; they are left out")
        kept = [index for index, line in enumerate(lines) if not line.startswith("\t")]
        table, lines = table.select(kept), [lines[index] for index in kept]
    if language == "selfies_v1":
        names = OldSymbols(start.config.vocabulary if start is not None else ())
        lines = [names.old(line) for line in lines]
    return lines, table, notes


def _selfies_line(smiles: str) -> str:
    try:
        return encode_selfies(smiles)
    except UserError as error:
        return "\t" + " ".join(str(error).split()).rstrip(".")


def _parts(config: SequenceTrainConfig, table: MoleculeTable) -> tuple[dict[str, np.ndarray], list[str]]:
    seed = config.seed if config.split_seed is None else config.split_seed
    if config.split_file:
        if table.files:
            raise UserError("--split_file is for one file: leave --valid and --test out")
        parts = read_parts(config.split_file, table)
        if not len(parts["train"]):
            raise UserError(f"{config.split_file} leaves nothing of {table.path} to train on")
        clean = without_leaks(table, parts)
        notes = _leaks(clean, "given")
        gone = [part[LEFT_OUT] for part in (parts, clean) if LEFT_OUT in part]
        return clean | ({LEFT_OUT: np.sort(np.concatenate(gone))} if gone else {}), notes
    kind: Split = config.split if config.split != "auto" else "given" if table.split is not None else "random"  # type: ignore[assignment]
    parts = split_table(table, kind, config.split_sizes, seed, identity=config.identity)
    if not table.files:
        return parts, _leaks(parts, kind)
    if not config.valid and not len(parts["valid"]):
        parts = _held_out(table, parts, config, seed)
    return parts, _leaks(parts, kind)


def _held_out(
    table: MoleculeTable, parts: dict[str, np.ndarray], config: SequenceTrainConfig, seed: int
) -> dict[str, np.ndarray]:
    """Take validation rows from the training rows, where files say the test alone."""
    train, valid = config.split_sizes[:2]
    if not valid:
        return parts
    inner = split_table(table.select(parts["train"]), "random", (train, valid, 0.0), seed)
    return {**parts, "train": parts["train"][inner["train"]], "valid": parts["train"][inner["valid"]]}


def _leaks(parts: dict[str, np.ndarray], kind: str) -> list[str]:
    count = len(parts.get(LEFT_OUT, ()))
    sizes = ", ".join(f"{len(parts[part]):,} {part}" for part in PARTS)
    notes = [f"parts ({kind}): {sizes}"]
    if count:
        notes.append(f"{count:,} rows left out of a part because a later part holds the same sequence")
    return notes


def _digest(path: str) -> str:
    digest = hashlib.sha256()
    try:
        with open(Path(path).expanduser(), "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    return digest.hexdigest()
