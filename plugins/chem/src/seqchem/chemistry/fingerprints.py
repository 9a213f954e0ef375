"""Fingerprints and descriptors of molecules as arrays, and Tanimoto's similarity.

    bits = morgan(["CCO", "CCN"])                          # (2, 2048) uint8
    tanimoto(bits, bits)                                   # (2, 2)
    values, names = descriptors(["CCO"])                   # (1, F) float64

Morgan's circular fingerprints (Rogers and Hahn 2010, radius 2 is ECFP4) and the two-dimensional descriptors, both
RDKit's.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial
from typing import Any

import numpy as np
from rdkit import Chem
from rdkit.Chem import Descriptors, rdFingerprintGenerator

from seqchem.chemistry.properties import map_molecules

_LARGEST = 1e30


def morgan(smiles: Sequence[str], radius: int = 2, bits: int = 2048, *, workers: int = 1) -> np.ndarray:
    """Return Morgan fingerprints.

    Args:
        smiles: N molecules.
        radius: Bonds around each atom.
        bits: Length of a fingerprint.
        workers: Processes; 1 computes in this one.

    Returns:
        (N, bits) uint8 of zeros and ones.

    Raises:
        ValueError: A SMILES is no molecule.
    """
    rows = map_molecules(partial(_morgan_row, radius, bits), smiles, workers=workers)
    return _stacked(rows, smiles, (bits,), np.uint8)


@cache
def _generator(radius: int, bits: int) -> Any:
    return rdFingerprintGenerator.GetMorganGenerator(radius=radius, fpSize=bits)


def _morgan_row(radius: int, bits: int, molecule: Chem.Mol) -> np.ndarray:
    found: np.ndarray = _generator(radius, bits).GetFingerprintAsNumPy(molecule)
    return found


def _stacked(rows: Sequence[np.ndarray | None], smiles: Sequence[str], shape: tuple[int, ...], kind: Any) -> np.ndarray:
    for number, row in enumerate(rows):
        if row is None:
            raise ValueError(f"number {number}, {smiles[number]!r}, is no molecule")
    return np.array(rows, dtype=kind).reshape(len(rows), *shape)


def tanimoto(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the similarity of every fingerprint to every other: common bits over bits of either.

    Two fingerprints without any bit have similarity 0, as in RDKit.

    Args:
        first: (N, bits) of zeros and ones.
        second: (M, bits).

    Returns:
        (N, M) float64, 0 to 1.
    """
    # Counts below 2^24 are exact in float32, and its product is the fast one.
    common = (first.astype(np.float32) @ second.astype(np.float32).T).astype(np.float64)
    either = first.sum(1, dtype=np.float64)[:, None] + second.sum(1, dtype=np.float64)[None, :] - common
    return np.divide(common, either, out=np.zeros_like(common), where=either > 0)


def descriptors(smiles: Sequence[str], *, workers: int = 1) -> tuple[np.ndarray, list[str]]:
    """Return RDKit's two-dimensional descriptors.

    A descriptor that is not defined for a molecule (partial charges of some metals) is NaN there; Ipc, which grows
    exponentially with the size, stops at 1e30, so that every value fits float32.

    Args:
        smiles: N molecules.
        workers: Processes; 1 computes in this one.

    Returns:
        (N, F) float64 and the F names.

    Raises:
        ValueError: A SMILES is no molecule.
    """
    names = [name for name, _ in Descriptors.descList]
    values = _stacked(map_molecules(_descriptor_row, smiles, workers=workers), smiles, (len(names),), np.float64)
    values[~np.isfinite(values)] = np.nan
    return np.clip(values, -_LARGEST, _LARGEST), names


def _descriptor_row(molecule: Chem.Mol) -> np.ndarray:
    found = Descriptors.CalcMolDescriptors(molecule, missingVal=np.nan, silent=True)
    return np.array(list(found.values()), dtype=np.float64)
