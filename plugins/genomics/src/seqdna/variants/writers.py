"""The files that scores go to: the VCF with INFO and FILTER added, or a table; plain or bgzip.

    with open_writer(Path("out.vcf.gz"), scoring, "SEQDNA") as writer:
        writer.write(rows_of_one_record)

Written aside, renamed at the end; an exception leaves nothing. A JSON file of settings and counts is the caller's.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import secrets
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO

from seqdna.variants.alleles import REASONS
from seqdna.variants.bgzf import BgzfWriter
from seqdna.variants.results import AlleleRow, score_names
from seqdna.variants.vcf import annotate, extend_header
from seqsuite.errors import UserError

if TYPE_CHECKING:
    from seqdna.variants.scoring import Scoring

SUFFIXES = (".vcf", ".vcf.gz", ".tsv", ".tsv.gz")
_UNREADABLE = ("too_few_columns", "bad_position")


def open_writer(target: Path, scoring: Scoring, prefix: str) -> TextWriter:
    """Return the writer that a file's name asks for; nothing is opened before it is entered.

    Raises:
        UserError: Another suffix, no such folder, or names that the VCF has already.
    """
    check_target(target)
    if ".vcf" in target.suffixes[-2:]:
        return VcfWriter(target, scoring, prefix)
    return TsvWriter(target, scoring)


def check_target(target: Path, suffixes: Sequence[str] = SUFFIXES) -> None:
    """Refuse a file that cannot be written.

    Raises:
        UserError: Another suffix, or no such folder.
    """
    if not target.name.endswith(tuple(suffixes)):
        raise UserError(f"--out {target} must end in {', '.join(suffixes[:-1])} or {suffixes[-1]}.")
    if not target.parent.is_dir():
        raise UserError(f"--out {target}: cannot write it, there is no folder {target.parent}.")


class TextWriter:
    """Lines into a file written aside and renamed; bgzip where its name ends in .gz.

    Args:
        target: The file.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self._aside = target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
        self._out: BgzfWriter | BinaryIO | None = None

    def start(self) -> None:
        """Write what comes before the records."""

    def write(self, rows: Sequence[AlleleRow]) -> None:
        """Write one record, given by all of its rows."""
        raise NotImplementedError

    def put(self, text: str) -> None:
        """Write text."""
        assert self._out is not None
        with self._explained():
            self._out.write(text.encode("utf-8", "surrogateescape"))

    def __enter__(self) -> TextWriter:
        with self._explained():
            handle = self._aside.open("wb")
        self._out = BgzfWriter(handle) if self.target.suffix == ".gz" else handle
        try:
            self.start()
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._out is not None
        try:
            with self._explained():
                self._out.__exit__(kind, error, trace)
                if kind is None:
                    os.replace(self._aside, self.target)
        finally:
            self._aside.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn a failed write into one line."""
        try:
            yield
        except OSError as error:
            raise UserError(f"--out {self.target}: cannot write it ({error.strerror or error}).") from error


class VcfWriter(TextWriter):
    """The input's records with scores in INFO and reasons in FILTER.

    Args:
        target: The file.
        scoring: Whose header and settings.
        prefix: Of the INFO keys; in lower case of the FILTER codes.
    """

    def __init__(self, target: Path, scoring: Scoring, prefix: str) -> None:
        super().__init__(target)
        if not re.fullmatch(r"[A-Za-z_][0-9A-Za-z_]*", prefix):
            raise UserError(f"--info_prefix is {prefix!r}; give letters, digits and underscores.")
        self._settings = scoring.settings()
        self._keys = [f"{prefix}_{name}".upper() for name in score_names(scoring.scorer.measures)]
        self._reason = f"{prefix}_REASON".upper()
        self._filters = {code: f"{prefix.lower()}_{code}" for code in REASONS if code not in _UNREADABLE}
        self._header, self._newline = scoring.reader.header, scoring.reader.newline
        taken = scoring.reader.declared("INFO") & {*self._keys, self._reason}
        taken |= scoring.reader.declared("FILTER") & set(self._filters.values())
        if taken:
            raise UserError(
                f"{scoring.reader.path}: the header declares {min(taken)} already; choose another --info_prefix."
            )

    def start(self) -> None:
        """Write the header."""
        settings = self._settings
        what = f"{settings['method']} score, window {settings['window']}; {settings['sign']}"
        if "probabilities" in settings:
            what += f"; {settings['probabilities']}"
        strand = {"_FWD": "given strand", "_REV": "reverse complement"}
        infos = [(key, "Float", f"{what}; {strand.get(key[-4:], 'mean of both strands')}") for key in self._keys]
        infos.append((self._reason, "String", "Why an allele was not scored, or was flagged"))
        filters = [
            (name, REASONS[code] if code == "ref_mismatch" else f"No allele scored: {REASONS[code]}")
            for code, name in self._filters.items()
        ]
        note = "##seqdna_score_variants=" + ";".join(
            f"{key}={value}" for key, value in settings.items() if key != "sign"
        )
        for line in extend_header(self._header, infos, filters, note):
            self.put(line + self._newline)

    def write(self, rows: Sequence[AlleleRow]) -> None:
        """Write one record; an unreadable line goes through as it was."""
        record = rows[0].record
        ending = record.ending or self._newline
        if record.problem:
            self.put(record.text + ending)
            return
        info = []
        if any(row.scored for row in rows):
            columns = zip(*(row.values() for row in rows), strict=True)
            info = [(key, ",".join(map(_number, column))) for key, column in zip(self._keys, columns, strict=True)]
        reasons = [row.reason for row in rows]
        if any(reasons) and "no_alt" not in reasons:
            info.append((self._reason, ",".join(reason or "." for reason in reasons)))
        told = not any(row.scored for row in rows) or "ref_mismatch" in reasons
        filters = [self._filters[code] for code in dict.fromkeys(reasons) if code] if told else []
        self.put(annotate(record, info, filters) + ending)


class TsvWriter(TextWriter):
    """One row an allele, comment lines of settings in front; unreadable lines have a row too.

    Args:
        target: The file.
        scoring: Whose settings.
    """

    def __init__(self, target: Path, scoring: Scoring) -> None:
        super().__init__(target)
        self._settings = scoring.settings()
        self._scores = score_names(scoring.scorer.measures)

    def start(self) -> None:
        """Write the settings and the columns' names."""
        self.put("".join(f"# {key}: {value}\n" for key, value in self._settings.items()))
        columns = ["record", "line", "chrom", "pos", "id", "ref", "alt", "type", *self._scores, "reason"]
        self.put("\t".join(columns) + "\n")

    def write(self, rows: Sequence[AlleleRow]) -> None:
        """Write the rows of one record."""
        for row in rows:
            record = row.record
            where = ["NA"] * 5 if record.problem else [*record.columns[:4], row.alt]
            scores = [_number(value, "NA") for value in row.values()]
            cells = [str(row.number + 1), str(record.line), *where, row.kind or "NA", *scores, row.reason]
            self.put("\t".join(cells) + "\n")


def _number(value: float, missing: str = ".") -> str:
    return missing if math.isnan(value) else f"{value:.6g}"
