"""A cache of its own for every test, and writers of sequence files from the formats' descriptions."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from types import SimpleNamespace

import pytest
from Bio import bgzf


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """Keep token files under the test's folder."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("SEQSUITE_CACHE", str(folder))
    return folder


@pytest.fixture(scope="session")
def formats():
    """The writers below, by name."""
    return SimpleNamespace(two_bit=write_two_bit, gen_bank=gen_bank, bgzip=bgzip, fasta=fasta)


def runs(flags: list[bool]) -> tuple[list[int], list[int]]:
    """Starts and sizes of the runs of true flags."""
    starts, sizes = [], []
    for i, flag in enumerate(flags):
        if flag and (i == 0 or not flags[i - 1]):
            starts.append(i)
            sizes.append(0)
        if flag:
            sizes[-1] += 1
    return starts, sizes


def two_bit_record(text: str, order: str) -> bytes:
    """One record of a .2bit file: length, N blocks, mask blocks, reserved word, four bases a byte."""
    out = struct.pack(f"{order}I", len(text))
    for flags in ([letter in "Nn" for letter in text], [letter.islower() for letter in text]):
        starts, sizes = runs(flags)
        out += struct.pack(f"{order}I{len(starts)}I{len(sizes)}I", len(starts), *starts, *sizes)
    out += struct.pack(f"{order}I", 0)
    digits = ["TCAG".index(letter) if letter in "TCAG" else 0 for letter in text.upper()]
    digits += [0] * (-len(digits) % 4)
    return out + bytes(a << 6 | b << 4 | c << 2 | d for a, b, c, d in zip(*[iter(digits)] * 4, strict=True))


def write_two_bit(path: Path, records: dict[str, str], order: str = "<", version: int = 0) -> Path:
    """Write a .2bit file of byte order ``<`` or ``>``, version 0 or 1."""
    wide = "Q" if version else "I"
    index_size = sum(1 + len(name) + struct.calcsize(f"={wide}") for name in records)
    place, index, body = 16 + index_size, b"", b""
    for name, text in records.items():
        record = two_bit_record(text, order)
        index += bytes([len(name)]) + name.encode() + struct.pack(f"{order}{wide}", place)
        body, place = body + record, place + len(record)
    path.write_bytes(struct.pack(f"{order}IIII", 0x1A412743, version, len(records), 0) + index + body)
    return path


def gen_bank(records: dict[str, str], molecule: str = "DNA") -> str:
    """A GenBank text with one gene a record."""
    parts = []
    for name, text in records.items():
        lines = [
            f"LOCUS       {name:<16} {len(text):>11} bp    {molecule:<6}  linear   BCT 01-JAN-2000",
            f"DEFINITION  Made up {name}.",
            f"ACCESSION   {name}",
            f"VERSION     {name}.1",
            "FEATURES             Location/Qualifiers",
            f"     source          1..{len(text)}",
            f'     gene            complement(2..{len(text)})\n                     /gene="{name}x"',
            "ORIGIN",
        ]
        for start in range(0, len(text), 60):
            row = text[start : start + 60].lower()
            lines.append(f"{start + 1:>9} " + " ".join(row[i : i + 10] for i in range(0, len(row), 10)))
        parts += [*lines, "//"]
    return "\n".join(parts) + "\n"


def bgzip(text: bytes) -> bytes:
    """Pack a text with bgzip, its end mark included."""
    out = io.BytesIO()
    writer = bgzf.BgzfWriter(fileobj=out)
    writer.write(text)
    writer.flush()
    return out.getvalue() + bgzf._bgzf_eof


def fasta(records: dict[str, str], width: int = 11) -> bytes:
    """A FASTA text with lines of one width."""
    lines = []
    for name, text in records.items():
        lines += [f">{name} made up", *(text[i : i + width] for i in range(0, len(text), width))]
    return ("\n".join(lines) + "\n").encode()
