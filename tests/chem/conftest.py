"""Small tables of molecules and proteins that are written out by rule: no file from elsewhere is needed."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

RINGS = ("c1ccccc1", "C1CCCCC1", "c1ccncc1", "C1CCOC1", "c1ccsc1")
TAILS = ("O", "N", "F", "C#N", "Cl", "S", "OC", "C(=O)O", "C(N)=O", "Br")


@pytest.fixture(scope="session")
def molecules() -> list[str]:
    """Seventy different molecules: chains with an end group, and rings with one."""
    chains = ["C" * length + tail for length in (2, 5) for tail in TAILS]
    return chains + [tail + ring if tail in ("O", "N", "F", "Cl", "S", "Br") else ring[0] + ring[1:] + tail
                     for ring in RINGS for tail in TAILS]  # fmt: skip


def weight(smiles: str) -> float:
    """Return a property that can be read off a SMILES: heavier atoms, double bonds and rings count more."""
    return 1.7 * sum(map(str.isalpha, smiles)) - 2.5 * smiles.count("=") + 3.1 * ("1" in smiles) - 8.0


@pytest.fixture
def write_table(tmp_path: Path) -> Callable[..., Path]:
    """Write rows as a CSV file."""

    def write(header: Sequence[str], rows: Sequence[Sequence[Any]], name: str = "table.csv", **options: Any) -> Path:
        path = tmp_path / name
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n", **options)
            writer.writerow(header)
            writer.writerows(rows)
        return path

    return write


@pytest.fixture
def molecule_table(write_table: Callable[..., Path], molecules: list[str]) -> Path:
    """A CSV file of these molecules with a number each, a second one with gaps, and a yes/no label."""
    rows = []
    for index, smiles in enumerate(molecules):
        value = weight(smiles)
        rows.append(
            (smiles, f"{value:.2f}", "" if index % 4 == 1 else f"{50 - value:.1f}", int(value > 5), f"m{index}")
        )
    return write_table(("smiles", "weight", "other", "heavy", "name"), rows, name="molecules.csv")
