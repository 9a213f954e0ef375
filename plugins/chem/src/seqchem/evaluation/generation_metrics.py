"""Measures of a set of generated molecules, as MOSES and GuacaMol define them.

    smiles = canonical(texts)                              # what is no molecule has gone
    internal_diversity(smiles), nearest_similarity(smiles, test), kl_score(smiles, train)

MOSES (Polykovskiy et al. 2020): novelty, internal diversity, similarity to the nearest neighbour, fragments,
scaffolds, filters, distances of properties. GuacaMol (Brown et al. 2019): the KL divergence score. All but
`canonical` take molecules that are valid. What is not defined, of an empty set for example, is NaN.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import cache, partial
from typing import Any, Literal

import numpy as np
from rdkit import Chem
from rdkit.Chem import Descriptors
from rdkit.Chem.FilterCatalog import FilterCatalog, FilterCatalogParams
from rdkit.Chem.Scaffolds import MurckoScaffold

from seqchem.chemistry.fingerprints import morgan, tanimoto
from seqchem.chemistry.properties import calculate, map_molecules
from seqsuite.errors import UserError, unknown_name

_ROWS = 1000
_ATOMS = frozenset({"C", "N", "S", "O", "F", "Cl", "Br", "H"})
_EPSILON = 1e-10

DISTANCE_PROPERTIES = ("logp", "sa", "qed", "mw")
"""What MOSES compares the distributions of."""

CONTINUOUS = ("BertzCT", "MolLogP", "MolWt", "TPSA")
DISCRETE = ("NumHAcceptors", "NumHDonors", "NumRotatableBonds", "NumAliphaticRings", "NumAromaticRings")
"""RDKit's descriptors whose distributions GuacaMol compares."""


def canonical(smiles: Sequence[str], *, stereo: bool = True, workers: int = 1) -> list[str]:
    """Return the canonical SMILES of those that are molecules, in their order.

    Args:
        smiles: Texts.
        stereo: Keep the stereochemistry.
        workers: Processes, here and in all functions of this module.
    """
    found = map_molecules(partial(_written, stereo), smiles, workers=workers)
    return [text for text in found if text is not None]


def _written(stereo: bool, molecule: Chem.Mol) -> str:
    return str(Chem.MolToSmiles(molecule, isomericSmiles=stereo))


def unique_fraction(smiles: Sequence[str], k: int | None = None) -> float:
    """Return the part of the first `k` canonical SMILES that are different; NaN where there are fewer than `k`."""
    if not smiles or (k is not None and len(smiles) < k):
        return math.nan
    first = smiles[:k]
    return len(set(first)) / len(first)


def novel_fraction(smiles: Iterable[str], train: Iterable[str]) -> float:
    """Return the part of the different canonical SMILES that are not in `train`, which is canonical too."""
    different = set(smiles)
    return len(different.difference(train)) / len(different) if different else math.nan


def _blocks(first: np.ndarray, second: np.ndarray) -> Iterable[tuple[int, np.ndarray]]:
    """Give the similarities a thousand rows at a time."""
    for start in range(0, len(first), _ROWS):
        yield start, tanimoto(first[start : start + _ROWS], second)


def internal_diversity(
    smiles: Sequence[str], p: int = 1, *, mean: Literal["rows", "pairs"] = "rows", workers: int = 1
) -> float:
    """Return 1 - (mean of T^p)^(1/p) over all pairs, each molecule with itself included; T of Morgan 2, 1024 bits.

    Args:
        smiles: N molecules.
        p: 1 or 2 in MOSES' tables.
        mean: The root is taken of the mean over all pairs, as MOSES' paper has it, or of the mean of every row, the
            rows' roots then being averaged, as its program does and its tables have it. The same for p = 1.
        workers: Processes.
    """
    if not len(smiles):
        return math.nan
    bits = morgan(smiles, 2, 1024, workers=workers)
    rows = np.concatenate([(block**p).mean(1) for _, block in _blocks(bits, bits)])
    return 1 - float((rows ** (1 / p)).mean() if mean == "rows" else rows.mean() ** (1 / p))


def nearest_similarity(smiles: Sequence[str], reference: Sequence[str], *, workers: int = 1) -> float:
    """Return the mean over the molecules of the Tanimoto similarity to the nearest one of the reference (SNN)."""
    if not len(smiles) or not len(reference):
        return math.nan
    bits = morgan(smiles, 2, 1024, workers=workers)
    known = morgan(reference, 2, 1024, workers=workers)
    return float(np.concatenate([block.max(1) for _, block in _blocks(bits, known)]).mean())


def fragment_similarity(smiles: Sequence[str], reference: Sequence[str], *, workers: int = 1) -> float:
    """Return the cosine between the counts of BRICS fragments."""
    return _cosine(*(_counted(_fragments, texts, workers) for texts in (smiles, reference)))


def scaffold_similarity(smiles: Sequence[str], reference: Sequence[str], *, workers: int = 1) -> float:
    """Return the cosine between the counts of Murcko scaffolds of two rings or more."""
    return _cosine(*(_counted(_scaffolds, texts, workers) for texts in (smiles, reference)))


def _counted(pieces: Callable[[Chem.Mol], list[str]], smiles: Sequence[str], workers: int) -> Counter[str]:
    return Counter(piece for found in map_molecules(pieces, smiles, workers=workers) for piece in found or [])


def _fragments(molecule: Chem.Mol) -> list[str]:
    return str(Chem.MolToSmiles(Chem.FragmentOnBRICSBonds(molecule))).split(".")


def _scaffolds(molecule: Chem.Mol) -> list[str]:
    scaffold = MurckoScaffold.GetScaffoldForMol(molecule)
    return [Chem.MolToSmiles(scaffold)] if scaffold.GetRingInfo().NumRings() >= 2 else []


def _cosine(first: Counter[str], second: Counter[str]) -> float:
    if not first or not second:
        return math.nan
    common = sum(count * second[piece] for piece, count in first.items())
    return common / math.sqrt(sum(c * c for c in first.values()) * sum(c * c for c in second.values()))


def filtered_fraction(
    smiles: Sequence[str],
    *,
    catalogues: Sequence[str] = ("PAINS",),
    smarts: Sequence[str] = (),
    rules: bool = True,
    workers: int = 1,
) -> float:
    """Return the part of the molecules that passes MOSES' rules and catalogues of alerts.

    The rules: no ring of eight or more atoms, no charged atom, no element but C, N, S, O, F, Cl, Br and H. The
    catalogues are RDKit's: PAINS (Baell and Holloway 2010; its A, B and C together), BRENK (Brenk et al. 2008), NIH,
    CHEMBL and others. MOSES' own medicinal chemistry filters (MCF) are not among them: a caller who has its file
    gives their patterns as `smarts`; without them the number is not MOSES' "Filters".

    Args:
        smiles: Molecules.
        catalogues: Names of RDKit's `FilterCatalogParams.FilterCatalogs`.
        smarts: Patterns that a molecule, hydrogens written out, must not have.
        rules: The three rules hold too.
        workers: Processes.

    Raises:
        UserError: A catalogue is not known, or a pattern is not SMARTS.
    """
    _catalogue(tuple(catalogues))
    _patterns(tuple(smarts))
    check = partial(_passes, tuple(catalogues), tuple(smarts), rules)
    found = map_molecules(check, smiles, workers=workers)
    return float(np.mean([bool(passed) for passed in found])) if found else math.nan


@cache
def _catalogue(names: tuple[str, ...]) -> Any:
    parameters = FilterCatalogParams()
    for name in names:
        if name not in FilterCatalogParams.FilterCatalogs.names:
            raise unknown_name("catalogue of filters", name, FilterCatalogParams.FilterCatalogs.names)
        parameters.AddCatalog(FilterCatalogParams.FilterCatalogs.names[name])
    return FilterCatalog(parameters)


@cache
def _patterns(smarts: tuple[str, ...]) -> list[Chem.Mol]:
    patterns = [Chem.MolFromSmarts(text) for text in smarts]
    for text, pattern in zip(smarts, patterns, strict=True):
        if pattern is None:
            raise UserError(f"{text!r} is not SMARTS")
    return patterns


def _passes(catalogues: tuple[str, ...], smarts: tuple[str, ...], rules: bool, molecule: Chem.Mol) -> bool:
    if rules:
        if any(len(ring) >= 8 for ring in molecule.GetRingInfo().AtomRings()):
            return False
        if any(atom.GetFormalCharge() or atom.GetSymbol() not in _ATOMS for atom in molecule.GetAtoms()):
            return False
    if catalogues and _catalogue(catalogues).HasMatch(molecule):
        return False
    whole = Chem.AddHs(molecule) if smarts else molecule
    return not any(whole.HasSubstructMatch(pattern) for pattern in _patterns(smarts))


def property_distances(smiles: Sequence[str], reference: Sequence[str], *, workers: int = 1) -> dict[str, float]:
    """Return the Wasserstein-1 distance between the distributions of each of `DISTANCE_PROPERTIES`, in its unit."""
    from scipy.stats import wasserstein_distance

    if not len(smiles) or not len(reference):
        return dict.fromkeys(DISTANCE_PROPERTIES, math.nan)
    ours = calculate(DISTANCE_PROPERTIES, smiles, workers=workers)
    theirs = calculate(DISTANCE_PROPERTIES, reference, workers=workers)
    return {name: float(wasserstein_distance(ours[name], theirs[name])) for name in DISTANCE_PROPERTIES}


def kl_divergences(smiles: Sequence[str], reference: Sequence[str], *, workers: int = 1) -> dict[str, float]:
    """Return GuacaMol's KL divergences D(reference || generated) of nine descriptors and of the internal similarity.

    Both sets are taken without stereochemistry and without repetitions. Continuous descriptors: kernel density
    estimates (Scott's bandwidth) at 1000 points between the extremes of both; discrete ones: ten bins over the
    reference's range; both plus 1e-10. Internal similarity: of each molecule to the nearest other one of its set, by
    Morgan 2 of 4096 bits, as continuous. GuacaMol takes 10,000 of each.

    Args:
        smiles: Generated molecules.
        reference: Those of training, or a draw of them.
        workers: Processes.

    Returns:
        Name -> divergence in nats; NaN where a set has fewer than two molecules or only one value.
    """
    ours, theirs = (list(dict.fromkeys(canonical(s, stereo=False, workers=workers))) for s in (smiles, reference))
    if min(len(ours), len(theirs)) < 2:
        return dict.fromkeys((*CONTINUOUS, *DISCRETE, "internal_similarity"), math.nan)
    sampled, baseline = (np.array(map_molecules(_kl_row, texts, workers=workers)) for texts in (ours, theirs))
    found = {}
    for column, name in enumerate((*CONTINUOUS, *DISCRETE)):
        divergence = _continuous if name in CONTINUOUS else _discrete
        found[name] = divergence(baseline[:, column], sampled[:, column])
    found["internal_similarity"] = _continuous(*(_nearest_within(texts, workers) for texts in (theirs, ours)))
    return found


def kl_score(divergences: dict[str, float]) -> float:
    """Return GuacaMol's score: the mean of exp(-divergence)."""
    return float(np.mean(np.exp([-value for value in divergences.values()])))


def _kl_row(molecule: Chem.Mol) -> list[float]:
    values = np.array([getattr(Descriptors, name)(molecule) for name in (*CONTINUOUS, *DISCRETE)], dtype=np.float64)
    return [float(value) for value in np.where(np.isfinite(values), values, 0.0)]


def _nearest_within(smiles: Sequence[str], workers: int) -> np.ndarray:
    bits = morgan(smiles, 2, 4096, workers=workers)
    nearest = []
    for start, block in _blocks(bits, bits):
        block[np.arange(len(block)), start + np.arange(len(block))] = 0.0
        nearest.append(block.max(1))
    return np.concatenate(nearest)


def _continuous(baseline: np.ndarray, sampled: np.ndarray) -> float:
    from scipy.stats import entropy, gaussian_kde

    if not np.ptp(baseline) or not np.ptp(sampled):
        return math.nan  # one value has no density
    both = np.concatenate((baseline, sampled))
    points = np.linspace(both.min(), both.max(), 1000)
    return float(entropy(*(gaussian_kde(values)(points) + _EPSILON for values in (baseline, sampled))))


def _discrete(baseline: np.ndarray, sampled: np.ndarray) -> float:
    from scipy.stats import entropy

    edges = np.histogram_bin_edges(baseline, bins=10)
    densities = []
    for values in (baseline, sampled):
        counts, _ = np.histogram(values, bins=edges)
        # Nothing within the reference's range is no density, rather than 0 / 0.
        densities.append(counts / max(1, counts.sum()) / np.diff(edges) + _EPSILON)
    return float(entropy(*densities))
