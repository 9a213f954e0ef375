"""Files of molecules and proteins as rows of text: CSV, SMILES lists, SDF and FASTA, plain or gzip.

    records = read_records("esol.csv.gz")
    records.header, records.rows[0], records.lines[0]     # names, cells, the line of the file

Nothing is judged here but the file itself; `seqchem.data.tables` says which rows hold.
"""

from __future__ import annotations

import csv
import gzip
import io
import os
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from seqsuite.errors import UserError

DELIMITERS = (",", "\t", ";", "|")
SEQUENCE_NAMES = ("smiles", "canonical_smiles", "isomeric_smiles", "mol", "molecule", "sequence", "seq", "peptide",
                  "protein", "reaction", "rxn", "rxn_smiles", "text")  # fmt: skip
"""Names of a sequence column, best first; upper and lower case are the same."""
_EXPRESSION = re.compile(r"<\w+>[^|]*\|")


@dataclass(frozen=True)
class Records:
    """The rows of a file.

    Attributes:
        path: The file.
        header: Names of the columns.
        rows: Cells, row by row; a row may have more or fewer than the header.
        lines: Where each row begins: line numbers, or numbers of records.
        unit: What `lines` counts: "line" or "record".
        problems: What is wrong with the record of a row, by its index.
    """

    path: str
    header: tuple[str, ...]
    rows: list[list[str]]
    lines: list[int]
    unit: Literal["line", "record"] = "line"
    problems: dict[int, str] = field(default_factory=dict)


def read_records(path: str | os.PathLike[str]) -> Records:
    """Read a file by its ending: .smi and .smiles, .sdf, .fasta and .fa, else a table with a header.

    A table's delimiter (comma, tab, semicolon, bar) is that which its header has most of. A file of the Regression
    Transformer (`<qed>0.71|CCO`) is recognised by its first line.

    Args:
        path: The file, plain or gzip.

    Raises:
        UserError: It cannot be read, or holds no rows.
    """
    file = Path(os.path.expanduser(path))
    kind = (file.with_suffix("") if file.suffix.lower() == ".gz" else file).suffix.lower()
    data = _bytes_of(file)
    if kind in (".sdf", ".sd", ".mol"):
        records = _from_sdf(file, data)
    else:
        text = _text_of(file, data)
        if kind in (".fasta", ".fa", ".faa"):
            records = _from_fasta(file, text)
        elif kind in (".smi", ".smiles", ".ism"):
            records = _from_smiles_list(file, text)
        elif _EXPRESSION.match(text.lstrip().partition("\n")[0]):
            records = _from_expressions(file, text)
        else:
            records = _from_table(file, text)
    if not records.rows:
        raise UserError(f"{file} holds no rows")
    return records


def _bytes_of(file: Path) -> bytes:
    try:
        data = file.read_bytes()
        return gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data
    except IsADirectoryError:
        raise UserError(f"{file} is a folder; give a file") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{file}: the gzip data is damaged ({error}); copy the file again") from None
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror or error}") from None


def _text_of(file: Path, data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        try:
            return data.decode("utf-16")
        except UnicodeDecodeError:
            raise UserError(f"{file}: begins as UTF-16 text but is none; save the file as UTF-8") from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if b"\0" in data[:4096]:
            raise UserError(f"{file} is no text; give a .csv, .smi, .sdf or .fasta file") from None
        line = data[: error.start].count(b"\n") + 1
        raise UserError(f"{file} line {line}: not UTF-8; save the file as UTF-8") from None


def _from_table(file: Path, text: str) -> Records:
    first = next((line for line in text.splitlines() if line.strip()), "")
    outside = re.sub(r'"[^"]*"', "", first)
    delimiter = max(DELIMITERS, key=outside.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    header: tuple[str, ...] = ()
    rows: list[list[str]] = []
    lines: list[int] = []
    for line, cells in _rows_of(file, reader):
        if not header:
            header = tuple(cell.strip() for cell in cells)
            continue
        rows.append(cells)
        lines.append(line)
    while rows and not any(cell.strip() for cell in rows[-1]):  # the end of the file, no row
        rows.pop()
        lines.pop()
    twice = {name for name in header if name and header.count(name) > 1}
    if twice:
        raise UserError(f"{file}: the header names column {min(twice)!r} twice")
    return Records(str(file), header, rows, lines)


def _rows_of(file: Path, reader: Any) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows of a csv reader, each with the line on which it begins."""
    line = 1
    try:
        for cells in reader:
            yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise UserError(f"{file} line {reader.line_num}: {error}") from None


def _from_smiles_list(file: Path, text: str) -> Records:
    rows, lines = [], []
    for number, line in enumerate(text.rstrip().splitlines(), 1):
        cells = line.split(None, 1)
        if number == 1 and cells and cells[0].lower() in SEQUENCE_NAMES:
            continue
        rows.append([*cells, "", ""][:2])
        lines.append(number)
    return Records(str(file), ("smiles", "name"), rows, lines)


def _from_expressions(file: Path, text: str) -> Records:
    """Read `<qed>0.71|<logp>2.1|CCO`: the properties become columns."""
    found: list[tuple[dict[str, str], str]] = []
    for line in text.rstrip().splitlines():
        *properties, sequence = line.strip().split("|")
        pairs = [re.fullmatch(r"<(\w+)>(.*)", part.strip()) for part in properties]
        found.append(({pair[1]: pair[2] for pair in pairs if pair}, sequence))
    names = list(dict.fromkeys(name for properties, _ in found for name in properties))
    rows = [[*(values.get(name, "") for name in names), sequence] for values, sequence in found]
    return Records(str(file), (*names, "text"), rows, list(range(1, len(rows) + 1)))


def _from_fasta(file: Path, text: str) -> Records:
    from Bio import SeqIO

    if not text.lstrip().startswith(">"):
        raise UserError(f"{file} line 1: a FASTA file begins with '>'")
    rows = [[record.id, str(record.seq)] for record in SeqIO.parse(io.StringIO(text.lstrip()), "fasta")]
    return Records(str(file), ("name", "sequence"), rows, list(range(1, len(rows) + 1)), "record")


def _from_sdf(file: Path, data: bytes) -> Records:
    from rdkit import Chem, rdBase

    found: list[tuple[str, dict[str, str]]] = []
    problems: dict[int, str] = {}
    with rdBase.BlockLogs():
        for index, mol in enumerate(Chem.ForwardSDMolSupplier(io.BytesIO(data))):
            if mol is None:
                problems[index] = "no molecule that RDKit can read"
            found.append(
                ("", {}) if mol is None else (Chem.MolToSmiles(mol), mol.GetPropsAsDict(autoConvertStrings=False))
            )
    names = list(dict.fromkeys(name for _, values in found for name in values if name.lower() != "smiles"))
    rows = [[smiles, *(str(values.get(name, "")) for name in names)] for smiles, values in found]
    lines = list(range(1, len(rows) + 1))
    return Records(str(file), ("smiles", *names), rows, lines, "record", problems)
