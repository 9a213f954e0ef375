"""A small genome, and labelled variants of it written in the layouts of the three suites."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

import seqsuite
from seqdna.api import GenomeModel
from seqdna.tokenizers import NucleotideTokenizer

CHROMOSOMES = tuple(str(number) for number in range(1, 9))


@dataclass(frozen=True)
class Row:
    """One variant: chromosome without "chr", 1-based position, alleles, label."""

    chrom: str
    pos: int
    ref: str
    alt: str
    label: bool


def make_model(name: str, seed: int = 0) -> GenomeModel:
    torch.manual_seed(seed)
    return GenomeModel(seqsuite.create_model(name, vocab_size=12), NucleotideTokenizer())


def write_parquet(path: Path, **columns: list) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return path


def write_tsv(path: Path, header: list[str], rows: list[list]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join("\t".join(map(str, row)) + "\n" for row in [header, *rows]))
    return path


def write_traitgym(folder: Path, rows: list[Row], name: str = "mendelian_traits_matched_9") -> Path:
    columns = {key: [getattr(row, key) for row in rows] for key in ("chrom", "pos", "ref", "alt", "label")}
    columns["consequence"] = ["intron_variant"] * len(rows)
    return write_parquet(folder / name / "test.parquet", **columns)


def write_bend(folder: Path, rows: list[Row], name: str = "variant_effects_expression") -> Path:
    header = ["chromosome", "start", "end", "ref", "alt", "label", "split"]
    cells = [[f"chr{row.chrom}", row.pos - 1, row.pos, row.ref, row.alt, int(row.label), "test"] for row in rows]
    return write_tsv(folder / f"{name}.bed", header, cells)


def write_caqtl(folder: Path, rows: list[Row], *, turned: bool = False) -> Path:
    header = ["chr_hg38", "pos_hg38", "allele1", "allele2", "IsUsed", "in_peaks", "label", "beta"]
    cells = [
        [
            f"chr{row.chrom}",
            row.pos,
            *((row.alt, row.ref) if turned else (row.ref, row.alt)),
            True,
            True,
            row.label,
            0.1,
        ]
        for row in rows
    ]
    return write_tsv(folder / "Afr.CaQTLS.tsv", header, cells)


def write_dsqtl(folder: Path, rows: list[Row]) -> Path:
    header = ["var.chrom", "var.pos", "var.allele1", "var.allele2", "var.isused", "var.label", "obs.estimate"]
    cells = [[f"chr{row.chrom}", row.pos, row.ref, row.alt, "True", 1 if row.label else -1, 0.1] for row in rows]
    return write_tsv(folder / "yoruban.dsqtls.benchmarking.tsv", header, cells)


@pytest.fixture(scope="session")
def kit() -> ModuleType:
    """The names of this module."""
    return sys.modules[__name__]


@pytest.fixture(scope="session")
def genome() -> dict[str, str]:
    draws = np.random.default_rng(1)
    return {f"chr{name}": "".join(draws.choice(list("ACGT"), 120)) for name in CHROMOSOMES}


@pytest.fixture(scope="session")
def fasta(genome, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("genome") / "g.fa"
    path.write_text("".join(f">{name}\n{text}\n" for name, text in genome.items()))
    return path


@pytest.fixture(scope="session")
def rows(genome) -> list[Row]:
    """64 variants, a quarter positive, both classes on every chromosome; one lies near each end of a contig."""
    draws = np.random.default_rng(2)
    found = []
    for name in CHROMOSOMES:
        text = genome[f"chr{name}"]
        places = [2, 119, *draws.choice(np.arange(5, 110), 6, replace=False).tolist()]
        for number, pos in enumerate(sorted(places)):
            ref = text[pos - 1]
            alt = str(draws.choice([base for base in "ACGT" if base != ref]))
            found.append(Row(name, pos, ref, alt, number in (1, 4)))
    return found
