"""Properties of a peptide or protein that follow from its sequence alone, and the vector of them for baselines.

    boman_index("GLFDIVKKVVGALG")                              # -1.048
    peptide_properties(["boman", "charge"], ["KKLL", "AXA"])   # {"boman": array([0.315, nan]), ...}
    values, names = protein_descriptors(sequences)             # (N, 34), for a random forest

What ProtParam has (weight, aromaticity, instability, charge, isoelectric point, GRAVY, fractions of secondary
structure) is Biopython's. The rest: Boman (2003), the aliphatic index of Ikai (1980), the hydrophobic moment of
Eisenberg et al. (1984).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from Bio.SeqUtils.ProtParam import ProteinAnalysis
from Bio.SeqUtils.ProtParamData import gravy_scales

from seqchem.proteins.letters import AMINO_ACIDS, problem_of
from seqsuite.errors import UserError, unknown_name

TRANSFER_ENERGY = {
    "L": 4.92, "I": 4.92, "V": 4.04, "F": 2.98, "M": 2.35, "W": 2.33, "A": 1.81, "C": 1.28, "G": 0.94, "P": 0.0,
    "Y": -0.14, "T": -2.57, "S": -3.40, "H": -4.66, "Q": -5.54, "K": -5.55, "N": -6.64, "E": -6.81, "D": -8.72,
    "R": -14.92,
}  # fmt: skip
"""Free energy of a side chain's transfer from cyclohexane to water, kcal/mol (Radzicka and Wolfenden 1988); proline,
which has no side chain of its own to measure, counts nothing, as in Boman's index."""

_EISENBERG = gravy_scales["Eisenberg"]


def _checked(sequence: str) -> str:
    problem = problem_of(sequence)
    if problem is not None:
        shown = sequence if len(sequence) <= 20 else f"{sequence[:17]}..."
        raise UserError(f"the sequence {shown!r} {problem}")
    return sequence


def boman_index(sequence: str) -> float:
    """Return the Boman index, the mean of the side chains' transfer energies with its sign turned, in kcal/mol.

    Positive values are of polar chains, which tend to bind other proteins (above 2.48: strongly, Boman 2003), negative
    ones of greasy chains; R's Peptides and modlAMP have the same sign.

    Args:
        sequence: Letters of the twenty amino acids, at least one.

    Raises:
        UserError: It is empty or has another letter.
    """
    return -sum(TRANSFER_ENERGY[letter] for letter in _checked(sequence)) / len(sequence)


def aliphatic_index(sequence: str) -> float:
    """Return the relative volume of the aliphatic side chains, A, V, I and L, in percent of alanine's (Ikai 1980)."""
    count = _checked(sequence).count
    return 100 * (count("A") + 2.9 * count("V") + 3.9 * (count("I") + count("L"))) / len(sequence)


def hydrophobic_moment(sequence: str, *, angle: float = 100.0, window: int = 11) -> float:
    """Return the largest mean hydrophobic moment of a window (Eisenberg et al. 1984, consensus scale).

    Args:
        sequence: Letters of the twenty amino acids.
        angle: Between neighbouring residues, degrees: 100 of an alpha helix, 160 of a beta sheet.
        window: Residues; a shorter sequence is one window.
    """
    values = np.array([_EISENBERG[letter] for letter in _checked(sequence)])
    window = min(window, len(values))
    turns = np.exp(1j * np.radians(angle) * np.arange(window))
    windows = np.lib.stride_tricks.sliding_window_view(values, window)
    return float(np.abs(windows @ turns).max() / window)


def _protparam(compute: Callable[[ProteinAnalysis], float]) -> Callable[[str], float]:
    return lambda sequence: float(compute(ProteinAnalysis(_checked(sequence))))


def _length(sequence: str) -> float:
    return float(len(_checked(sequence)))


PEPTIDE_PROPERTIES: dict[str, Callable[[str], float]] = {
    "boman": boman_index,
    "length": _length,
    "weight": _protparam(lambda protein: protein.molecular_weight()),
    "charge": _protparam(lambda protein: protein.charge_at_pH(7.0)),
    "isoelectric_point": _protparam(lambda protein: protein.isoelectric_point()),
    "gravy": _protparam(lambda protein: protein.gravy()),
    "aromaticity": _protparam(lambda protein: protein.aromaticity()),
    "instability": _protparam(lambda protein: protein.instability_index()),
    "aliphatic_index": aliphatic_index,
    "hydrophobic_moment": hydrophobic_moment,
    "helix": _protparam(lambda protein: protein.secondary_structure_fraction()[0]),
    "turn": _protparam(lambda protein: protein.secondary_structure_fraction()[1]),
    "sheet": _protparam(lambda protein: protein.secondary_structure_fraction()[2]),
}
"""Name -> function of a sequence; each raises `UserError` for what is no protein."""

PEPTIDE_DESCRIPTIONS: dict[str, str] = {
    "boman": "Boman index, kcal/mol, positive for polar chains",
    "length": "number of residues",
    "weight": "average molecular weight, g/mol",
    "charge": "net charge at pH 7",
    "isoelectric_point": "pH at which the net charge is zero",
    "gravy": "mean hydropathy of Kyte and Doolittle",
    "aromaticity": "part of F, W and Y",
    "instability": "instability index of Guruprasad et al., above 40 unstable",
    "aliphatic_index": "aliphatic index of Ikai",
    "hydrophobic_moment": "largest hydrophobic moment of eleven residues as a helix",
    "helix": "part of residues common in helices",
    "turn": "part of residues common in turns",
    "sheet": "part of residues common in sheets",
}
"""Name -> one line for people."""


def peptide_properties(names: Iterable[str], sequences: Sequence[str]) -> dict[str, np.ndarray]:
    """Compute properties of peptides or proteins.

    Args:
        names: Of `PEPTIDE_PROPERTIES`.
        sequences: N sequences.

    Returns:
        Name -> (N,) float64; NaN where a text is empty or has a letter that is no amino acid.

    Raises:
        UserError: A name is not known.
    """
    wanted = list(dict.fromkeys(names))
    for name in wanted:
        if name not in PEPTIDE_PROPERTIES:
            raise unknown_name("property", name, PEPTIDE_PROPERTIES)
    valid = [problem_of(sequence) is None for sequence in sequences]
    return {
        name: np.array(
            [PEPTIDE_PROPERTIES[name](text) if good else math.nan for text, good in zip(sequences, valid, strict=True)],
            dtype=np.float64,
        )
        for name in wanted
    }


def protein_descriptors(sequences: Sequence[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the features that baselines take: the twenty parts of the composition, then `PEPTIDE_PROPERTIES`.

    Args:
        sequences: N sequences.

    Returns:
        Values (N, F) float64, a row of NaN for what is no protein, and the F names.
    """
    rows = len(sequences)
    counts = np.array([[text.count(letter) for letter in AMINO_ACIDS] for text in sequences], dtype=np.float64)
    lengths = np.array([max(1, len(text)) for text in sequences], dtype=np.float64)
    properties = peptide_properties(PEPTIDE_PROPERTIES, sequences)
    columns = np.column_stack([properties[name] for name in PEPTIDE_PROPERTIES])
    values = np.concatenate([counts.reshape(rows, len(AMINO_ACIDS)) / lengths[:, None], columns], axis=1)
    values[np.isnan(columns).any(1)] = np.nan
    return values, (*(f"part_{letter}" for letter in AMINO_ACIDS), *PEPTIDE_PROPERTIES)
