"""Generated peptides and proteins held against those of training and of a reference set, in one table.

    scores = evaluate_peptides(sequences, reference=test, train=train)
    scores.values["valid"], scores.values["nearest_train"]

The measures of molecules (`seqchem.evaluation.generation`) read SMILES; these read letters. Every row of the sample
counts, rejected candidates too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from seqchem.evaluation.generation import correlation
from seqchem.proteins.descriptors import peptide_properties
from seqchem.proteins.letters import problem_of
from seqchem.proteins.nearest import nearest_parts
from seqsuite.errors import UserError
from seqsuite.reports import TableView

COMPARED = 500
"""Generated peptides of which the nearest neighbours are looked for."""
DISTANCE_PROPERTIES = ("length", "charge", "gravy", "boman", "hydrophobic_moment")
"""What the distributions are compared of."""
COPY = 0.8
"""Part of a peptide's residues from which on it counts as a near copy."""

MEANINGS = {
    "valid": "part of the texts that are letters of the twenty amino acids, and not empty",
    "unique": "part of the valid ones that are different",
    "novel": "part of the different ones that are not in the training set",
    "nearest_train": "mean part of a peptide's residues that the nearest training sequence has in their best alignment",
    "near_copies": f"part of the different ones of which a training sequence has {COPY:.0%} of the residues or more",
    "nearest_reference": "as nearest_train, beside the reference",
}


@dataclass(frozen=True)
class PeptideSetScores(TableView):
    """Measures of a set of generated peptides.

    Attributes:
        count: Texts that were generated.
        values: Measure -> value; NaN where it is not defined. Meanings in `MEANINGS`.
        asked: Property -> Spearman's and Pearson's correlation of asked and obtained values, their root mean square
            error, and the number of peptides behind them.
        compared: Different peptides whose nearest neighbours were looked for.
    """

    count: int
    values: dict[str, float]
    asked: dict[str, dict[str, float]] = field(default_factory=dict)
    compared: int = 0

    def table(self) -> list[dict[str, Any]]:
        """Return one row a measure."""
        rows = [{"measure": name, "value": value, "meaning": _meaning(name)} for name, value in self.values.items()]
        for prop, found in self.asked.items():
            rows += [{"measure": f"{prop} {name.replace('molecules', 'peptides')}", "value": value,
                      "meaning": f"asked and obtained {prop}"} for name, value in found.items()]  # fmt: skip
        return rows

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {"count": self.count, **self.values, "compared": self.compared, "asked": self.asked}


def _meaning(name: str) -> str:
    prop = name.removeprefix("distance_")
    return MEANINGS[name] if prop == name else f"Wasserstein-1 distance to the reference's {prop}, in its unit"


def evaluate_peptides(
    sequences: Sequence[str],
    *,
    reference: Sequence[str] | None = None,
    train: Sequence[str] | None = None,
    asked: Mapping[str, np.ndarray] | None = None,
    obtained: Mapping[str, np.ndarray] | None = None,
    seed: int = 0,
) -> PeptideSetScores:
    """Measure a set of generated peptides or proteins.

    Args:
        sequences: N generated texts; not only valid ones, where validity is to mean something.
        reference: Sequences of a test set; None leaves out what is measured beside it.
        train: Sequences of the training set; None leaves out novelty.
        asked: Property -> (N,) what was asked for.
        obtained: Property -> (N,) what came; of the same properties.
        seed: Of the draw of `COMPARED` peptides, where there are more.

    Returns:
        The measures.

    Raises:
        UserError: There is nothing to measure, or a set holds what is no protein.
    """
    if not len(sequences):
        raise UserError("there are no generated sequences to measure")
    valid = [text for text in sequences if problem_of(text) is None]
    different = list(dict.fromkeys(valid))
    values = {"valid": len(valid) / len(sequences), "unique": _share(len(different), len(valid))}
    drawn = different
    if len(different) > COMPARED:
        kept = np.random.default_rng(seed).choice(len(different), COMPARED, replace=False)
        drawn = [different[number] for number in sorted(kept)]
    if train is not None:
        values["novel"] = _share(len(set(different).difference(train)), len(different))
        parts = nearest_parts(drawn, train)
        values["nearest_train"] = float(parts.mean()) if len(parts) else math.nan
        values["near_copies"] = float((parts >= COPY).mean()) if len(parts) else math.nan
    if reference is not None:
        parts = nearest_parts(drawn, reference)
        values["nearest_reference"] = float(parts.mean()) if len(parts) else math.nan
        values |= _distances(valid, reference)
    pairs = {name: correlation(asked[name], obtained[name]) for name in asked} if asked and obtained else {}
    return PeptideSetScores(len(sequences), values, pairs, len(drawn))


def _share(some: int, of: int) -> float:
    return some / of if of else math.nan


def _distances(valid: Sequence[str], reference: Sequence[str]) -> dict[str, float]:
    from scipy.stats import wasserstein_distance

    made, known = (peptide_properties(DISTANCE_PROPERTIES, texts) for texts in (valid, reference))
    found = {}
    for name in DISTANCE_PROPERTIES:
        sides = [values[name][np.isfinite(values[name])] for values in (made, known)]
        found[f"distance_{name}"] = float(wasserstein_distance(*sides)) if all(map(len, sides)) else math.nan
    return found
