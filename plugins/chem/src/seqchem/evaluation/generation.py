"""Generated molecules held against those of training and of a reference set, in one table.

    scores = evaluate_generated(smiles, reference=test, train=train)
    scores.values["valid"], scores.values["snn"]
    sample = read_generated("gen.csv")                     # what `seqchem generate` wrote, or any list of SMILES
    evaluate_generated(sample.smiles, asked=sample.asked, obtained=sample.obtained)

Every row of the sample counts, rejected candidates too: what a model made is measured, not what a filter left of it.
There is no Fréchet ChemNet Distance: it needs the weights of a network that is not part of this package.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from seqchem.data.columns import sequence_index
from seqchem.data.records import Records, read_records
from seqchem.evaluation import generation_metrics as metrics
from seqsuite.errors import UserError
from seqsuite.reports import TableView

UNIQUE_AT = (1000, 10_000)
KL_MOLECULES = 10_000
"""Molecules of either side that GuacaMol's KL divergences are taken of."""

MEANINGS = {
    "valid": "part of the texts that are molecules",
    "unique": "part of the valid ones that are different",
    "unique@1000": "the same of the first 1,000 valid ones",
    "unique@10000": "the same of the first 10,000 valid ones",
    "novel": "part of the different ones that are not in the training set",
    "int_div": "internal diversity, p = 1",
    "int_div_2": "internal diversity, p = 2, rows' roots averaged as in MOSES' program",
    "snn": "mean Tanimoto similarity to the nearest reference molecule, Morgan 2 of 1024 bits",
    "fragments": "cosine of the counts of BRICS fragments with the reference's",
    "scaffolds": "cosine of the counts of Murcko scaffolds with the reference's",
    "filters_pains": "part that passes MOSES' rules (rings, charges, elements) and RDKit's PAINS; without MOSES' MCF",
    "filters_brenk": "part that passes RDKit's BRENK alerts",
    "kl_score": "GuacaMol's KL divergence score against the training set, or the reference where there is none",
}


@dataclass(frozen=True)
class GeneratedSample:
    """Generated molecules as a file has them.

    Attributes:
        smiles: One text a row, valid or not.
        asked: Property -> (N,) what was asked for; NaN where nothing was.
        obtained: Property -> (N,) what the molecule has; NaN where it is not known.
    """

    smiles: list[str]
    asked: dict[str, np.ndarray] = field(default_factory=dict, repr=False)
    obtained: dict[str, np.ndarray] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class MoleculeSetScores(TableView):
    """Measures of a set of generated molecules.

    Attributes:
        count: Texts that were generated.
        values: Measure -> value; NaN where it is not defined. Meanings in `MEANINGS`.
        divergences: Descriptor -> KL divergence behind `kl_score`, in nats.
        asked: Property -> Spearman's and Pearson's correlation of asked and obtained values, their root mean square
            error, and the number of molecules behind them.
    """

    count: int
    values: dict[str, float]
    divergences: dict[str, float] = field(default_factory=dict, repr=False)
    asked: dict[str, dict[str, float]] = field(default_factory=dict)

    def table(self) -> list[dict[str, Any]]:
        """Return one row a measure."""
        rows = [{"measure": name, "value": value, "meaning": _meaning(name)} for name, value in self.values.items()]
        for prop, found in self.asked.items():
            rows += [{"measure": f"{prop} {name}", "value": value, "meaning": f"asked and obtained {prop}"}
                     for name, value in found.items()]  # fmt: skip
        return rows

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {"count": self.count, **self.values, "kl_divergences": self.divergences, "asked": self.asked}


def _meaning(name: str) -> str:
    prop = name.removeprefix("distance_")
    return MEANINGS[name] if prop == name else f"Wasserstein-1 distance to the reference's {prop}, in its unit"


def evaluate_generated(
    smiles: Sequence[str],
    *,
    reference: Sequence[str] | None = None,
    train: Sequence[str] | None = None,
    asked: Mapping[str, np.ndarray] | None = None,
    obtained: Mapping[str, np.ndarray] | None = None,
    smarts: Sequence[str] = (),
    seed: int = 0,
    workers: int = 1,
) -> MoleculeSetScores:
    """Measure a set of generated molecules.

    Args:
        smiles: N generated texts; not only valid ones, where validity is to mean something.
        reference: SMILES of a test set, for similarity to it; None leaves those measures out.
        train: SMILES of the training set, for novelty and the KL divergences; None leaves novelty out.
        asked: Property -> (N,) what was asked for.
        obtained: Property -> (N,) what came; of the same properties.
        smarts: Further patterns of the filters: those of MOSES' mcf.csv make `filters_pains` its "Filters".
        seed: Of the draw of molecules for the KL divergences.
        workers: Processes.

    Returns:
        The measures.

    Raises:
        UserError: There is no molecule to measure, or none in the reference or in the training set.
    """
    if not len(smiles):
        raise UserError("there are no generated molecules to measure")
    valid = metrics.canonical(smiles, workers=workers)
    values = {"valid": len(valid) / len(smiles), "unique": metrics.unique_fraction(valid)}
    values |= {f"unique@{k}": metrics.unique_fraction(valid, k) for k in UNIQUE_AT}
    known = None if train is None else _known("training set", train, workers)
    if known is not None:
        values["novel"] = metrics.novel_fraction(valid, known)
    values |= _alone(valid, smarts, workers)
    divergences: dict[str, float] = {}
    test = None if reference is None else _known("reference", reference, workers)
    if test is not None:
        values |= _beside(valid, test, workers)
    base = known if known is not None else test
    if base is not None:
        drawn = (_drawn(texts, seed) for texts in (valid, base))
        divergences = metrics.kl_divergences(*drawn, workers=workers)
        values["kl_score"] = metrics.kl_score(divergences)
    pairs = {name: correlation(asked[name], obtained[name]) for name in asked} if asked and obtained else {}
    return MoleculeSetScores(len(smiles), values, divergences, pairs)


def _known(kind: str, smiles: Sequence[str], workers: int) -> list[str]:
    found = metrics.canonical(smiles, workers=workers)
    if not found:
        raise UserError(f"the {kind} holds no molecule")
    return found


def _alone(valid: list[str], smarts: Sequence[str], workers: int) -> dict[str, float]:
    return {
        "int_div": metrics.internal_diversity(valid, workers=workers),
        "int_div_2": metrics.internal_diversity(valid, 2, workers=workers),
        "filters_pains": metrics.filtered_fraction(valid, smarts=smarts, workers=workers),
        "filters_brenk": metrics.filtered_fraction(valid, catalogues=("BRENK",), rules=False, workers=workers),
    }


def _beside(valid: list[str], test: list[str], workers: int) -> dict[str, float]:
    distances = metrics.property_distances(valid, test, workers=workers)
    return {
        "snn": metrics.nearest_similarity(valid, test, workers=workers),
        "fragments": metrics.fragment_similarity(valid, test, workers=workers),
        "scaffolds": metrics.scaffold_similarity(valid, test, workers=workers),
        **{f"distance_{name}": value for name, value in distances.items()},
    }


def _drawn(smiles: list[str], seed: int) -> list[str]:
    if len(smiles) <= KL_MOLECULES:
        return smiles
    kept = np.random.default_rng(seed).choice(len(smiles), KL_MOLECULES, replace=False)
    return [smiles[number] for number in sorted(kept)]


def correlation(asked: np.ndarray, obtained: np.ndarray) -> dict[str, float]:
    """Return how obtained values follow those that were asked for.

    Args:
        asked: (N,); NaN where nothing was asked for.
        obtained: (N,); NaN where the molecule is none, or its value is not known.

    Returns:
        spearman, pearson, rmse (in the property's unit) and molecules, the number of pairs; NaN where a correlation
        is not defined: fewer than two pairs, or one of both constant.
    """
    from scipy.stats import pearsonr, spearmanr

    asked, obtained = np.asarray(asked, dtype=np.float64), np.asarray(obtained, dtype=np.float64)
    both = np.isfinite(asked) & np.isfinite(obtained)
    asked, obtained = asked[both], obtained[both]
    found = {"spearman": math.nan, "pearson": math.nan}
    if len(asked) > 1 and np.ptp(asked) and np.ptp(obtained):
        found = {"spearman": float(spearmanr(asked, obtained)[0]), "pearson": float(pearsonr(asked, obtained)[0])}
    rmse = float(np.sqrt(np.mean((asked - obtained) ** 2))) if len(asked) else math.nan
    return {**found, "rmse": rmse, "molecules": float(len(asked))}


def read_generated(path: str | Path) -> GeneratedSample:
    """Read generated molecules: the table of `seqchem generate`, or a file of another program.

    Args:
        path: CSV, TSV, .smi or .sdf, plain or gzip: a column sequence or smiles and, it may be, asked_<property> and
            obtained_<property>.

    Raises:
        UserError: The file cannot be read, has no row or no such column, or a cell is no number.
    """
    records = read_records(path)
    column = sequence_index(records, "")
    texts = [row[column].strip() if column < len(row) else "" for row in records.rows]
    tables: dict[str, dict[str, np.ndarray]] = {"asked_": {}, "obtained_": {}}
    for prefix, table in tables.items():
        for number, name in enumerate(records.header):
            if name.startswith(prefix):
                table[name.removeprefix(prefix)] = _numbers(records, number)
    both = [name for name in tables["asked_"] if name in tables["obtained_"]]
    return GeneratedSample(texts, *({name: table[name] for name in both} for table in tables.values()))


def _numbers(records: Records, column: int) -> np.ndarray:
    values = np.full(len(records.rows), np.nan)
    for number, row in enumerate(records.rows):
        text = row[column].strip() if column < len(row) else ""
        try:
            values[number] = float(text) if text else math.nan
        except ValueError as error:
            place = f"{records.unit} {records.lines[number]}"
            told = f"{records.path}: {place}: column {records.header[column]!r} holds {text!r}, no number"
            raise UserError(told) from error
    return values
