"""VCF line by line: what was read is written back byte for byte, but for what is added.

    reader = VcfReader("calls.vcf.gz")
    reader.header                      # the lines in front of the records
    for record in reader: ...          # in the file's order; `record.problem` says why one is unreadable

Plain, gzip and bgzip, told apart by content. Only CHROM, POS, REF and ALT are read; every other column is
text that passes through. A record that cannot be read is a record with a `problem`, not an error; a file that
is no VCF is an error. Format: the VCF 4.3 specification (samtools/hts-specs).
"""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from seqdna.data.fasta import check_readable
from seqsuite.errors import UserError

COLUMNS = ("#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO")
_BGZIP_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
_OTHERS = ((b"BCF", "BCF; convert it with `bcftools view`"), (b">", "FASTA"), (b"@", "FASTQ or SAM"))
_LONGEST_POSITION = 18  # digits: what fits 64 bits
_ID = re.compile(r"##(INFO|FILTER)=<ID=([^,>]+)")


@dataclass(frozen=True)
class VcfRecord:
    """One line behind the header.

    Attributes:
        line: Its number in the file, from 1.
        text: The line without its end.
        ending: Its end: a line feed, with a carriage return or none as it was; empty at the end of the file.
        problem: "" or why it cannot be read: "too_few_columns" or "bad_position".
        chrom: Contig; "" where unreadable.
        pos: 1-based position as written; -1 where unreadable.
        ref: Reference allele as written.
        alts: Alternative alleles as written.
    """

    line: int
    text: str
    ending: str
    problem: str = ""
    chrom: str = ""
    pos: int = -1
    ref: str = ""
    alts: tuple[str, ...] = ()

    @property
    def columns(self) -> list[str]:
        """The line's columns."""
        return self.text.split("\t")


class VcfReader:
    """A VCF file, read as a stream as often as asked.

    Args:
        path: Plain, gzip or bgzip.

    Raises:
        UserError: The file is missing, empty, cut, or no VCF; file and line are named.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser()
        if self.path.is_dir():
            raise UserError(f"{self.path}: is a folder; give a VCF file.")
        check_readable(self.path)
        self.header: list[str] = []
        self.newline = "\n"
        for line, text in self._lines():
            if not text.startswith("#"):
                raise UserError(
                    f"{self.path}, line {line}: expected a header line that begins with '#', found {text[:30]!r}; "
                    "give a VCF with its #CHROM line."
                )
            self.header.append(text.rstrip("\r\n"))
            self.newline = "\r\n" if text.endswith("\r\n") else "\n"
            if text.startswith("#CHROM"):
                break
        else:
            raise UserError(f"{self.path}: the header has no #CHROM line; give a complete VCF file.")
        if tuple(self.header[-1].split("\t")[:8]) != COLUMNS:
            raise UserError(
                f"{self.path}, line {len(self.header)}: the #CHROM line must hold {', '.join(COLUMNS)}, separated "
                "by tabs."
            )

    def declared(self, kind: str) -> set[str]:
        """Return the ids that the header declares for "INFO" or "FILTER"."""
        found = (_ID.match(line) for line in self.header)
        return {match[2] for match in found if match and match[1] == kind}

    def __iter__(self) -> Iterator[VcfRecord]:
        for line, text in self._lines():
            if line > len(self.header):
                yield parse_record(line, text)

    def _lines(self) -> Iterator[tuple[int, str]]:
        """Yield numbered lines with their ends; bytes that are no UTF-8 survive the way through."""
        number = 0
        try:
            with self.path.open("rb") as raw:
                for number, line in enumerate(_unpack(self.path, raw), start=1):
                    yield number, line.decode("utf-8", "surrogateescape")
        except EOFError:
            raise UserError(
                f"{self.path}: the gzip data ends too early; the file is truncated, copy or download it again."
            ) from None
        except (gzip.BadGzipFile, zlib.error) as error:
            raise UserError(f"{self.path}: the gzip data is damaged ({error}); copy the file again.") from None
        except OSError as error:
            raise UserError(f"{self.path}: cannot be read ({error.strerror or error}).") from None


def _unpack(path: Path, raw: BinaryIO) -> io.BufferedReader[Any]:
    head = raw.read(18)
    if not head:
        raise UserError(f"{path}: the file is empty.")
    packed = head.startswith(b"\x1f\x8b")
    if packed and head[3:4] == b"\x04" and head[12:14] == b"BC":
        raw.seek(-min(len(_BGZIP_END), raw.seek(0, io.SEEK_END)), io.SEEK_END)
        if raw.read() != _BGZIP_END:
            raise UserError(f"{path}: the bgzip end mark is missing; the file is truncated, copy it again.")
    raw.seek(0)
    source: Any = gzip.GzipFile(fileobj=raw) if packed else raw
    handle = io.BufferedReader(source, 1 << 18)
    start = handle.peek(512)[:512]
    for magic, what in _OTHERS:
        if start.startswith(magic):
            raise UserError(f"{path}: not a VCF file but {what}.")
    if not start.startswith(b"#") and any(byte < 9 or byte == 127 for byte in start):
        raise UserError(f"{path}: not a VCF file (binary data).")
    return handle


def parse_record(line: int, text: str) -> VcfRecord:
    """Read one line; what is wrong with it is its `problem`."""
    body = text.rstrip("\r\n")
    ending = text[len(body) :]
    columns = body.split("\t")
    if len(columns) < len(COLUMNS):
        return VcfRecord(line, body, ending, "too_few_columns")
    chrom, pos, _, ref, alt = columns[:5]
    if not (chrom and pos.isascii() and pos.isdigit() and len(pos) <= _LONGEST_POSITION):
        return VcfRecord(line, body, ending, "bad_position")
    return VcfRecord(line, body, ending, "", chrom, int(pos), ref, tuple(alt.split(",")))


def extend_header(
    header: Sequence[str], infos: Sequence[tuple[str, str, str]], filters: Sequence[tuple[str, str]], note: str
) -> list[str]:
    """Return the header with declarations added in front of its #CHROM line.

    Args:
        header: The lines.
        infos: (id, type, description) of INFO keys with one value an alternative allele.
        filters: (id, description).
        note: A ``##`` line that says what was done.
    """
    added = [f'##INFO=<ID={key},Number=A,Type={kind},Description="{text}">' for key, kind, text in infos]
    added += [f'##FILTER=<ID={key},Description="{text}">' for key, text in filters]
    return [*header[:-1], *added, note, header[-1]]


def annotate(record: VcfRecord, info: Sequence[tuple[str, str]], filters: Sequence[str]) -> str:
    """Return a readable record's line with INFO keys appended and FILTER codes added."""
    columns = record.columns
    if info:
        values = ";".join(f"{key}={value}" for key, value in info)
        columns[7] = values if columns[7] in (".", "") else f"{columns[7]};{values}"
    if filters:
        old = [] if columns[6] in (".", "PASS", "") else columns[6].split(";")
        columns[6] = ";".join([*old, *(code for code in filters if code not in old)])
    return "\t".join(columns)
