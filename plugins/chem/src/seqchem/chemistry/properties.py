"""Properties of molecules that RDKit computes: the labels of data sets, and what generated molecules are checked with.

    values = calculate(["qed", "logp"], ["CCO", "c1ccccc1", "not a molecule"])
    values["logp"]                                        # array([-0.0014, 1.6866, nan])

Sources: QED (Bickerton et al. 2012), logP and molar refractivity (Wildman and Crippen 1999), synthetic accessibility
(Ertl and Schuffenhauer 2009), natural-product likeness (Ertl et al. 2008), TPSA (Ertl et al. 2000), penalised logP
(Gómez-Bombarelli et al. 2018; normalised as in You et al. 2018).
"""

from __future__ import annotations

import contextlib
import io
import math
import multiprocessing
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from typing import Any, TypeVar

import numpy as np
from rdkit import Chem, rdBase
from rdkit.Chem import QED, Descriptors, Lipinski, rdMolDescriptors

from seqchem.chemistry.parsing import parse
from seqsuite.errors import unknown_name

Value = TypeVar("Value")

_CHUNK = 200

# Means and deviations of logP, -SA and the ring penalty over the molecules of ZINC250k, as the literature has them.
_ZINC = {
    "logp": (2.4570953396190123, 1.434324401111988),
    "sa": (-3.0525811293166134, 0.8335207024513095),
    "ring": (-0.0485696876403053, 0.2860212110245455),
}


def sa(molecule: Chem.Mol) -> float:
    """Return the synthetic accessibility, from 1 (easy) to 10 (hard)."""
    from rdkit.Contrib.SA_Score import sascorer

    return float(sascorer.calculateScore(molecule))


def natural_product_likeness(molecule: Chem.Mol) -> float:
    """Return the natural-product likeness, about -5 (synthetic) to 5 (natural)."""
    from rdkit.Contrib.NP_Score import npscorer

    return float(npscorer.scoreMol(molecule, _natural_product_model()))


@cache
def _natural_product_model() -> Any:
    from rdkit.Contrib.NP_Score import npscorer

    with contextlib.redirect_stderr(io.StringIO()):  # it tells that it reads a file
        return npscorer.readNPModel()


def _penalties(molecule: Chem.Mol) -> dict[str, float]:
    """Return what penalised logP adds up: logP, -SA and minus the atoms beyond six of the largest ring."""
    largest = max(map(len, molecule.GetRingInfo().AtomRings()), default=0)
    return {"logp": logp(molecule), "sa": -sa(molecule), "ring": -float(max(0, largest - 6))}


def logp(molecule: Chem.Mol) -> float:
    """Return the logarithm of the octanol-water partition coefficient, by Crippen's contributions."""
    return float(rdMolDescriptors.CalcCrippenDescriptors(molecule)[0])


def molar_refractivity(molecule: Chem.Mol) -> float:
    """Return the molar refractivity, by Crippen's contributions."""
    return float(rdMolDescriptors.CalcCrippenDescriptors(molecule)[1])


def penalized_logp_raw(molecule: Chem.Mol) -> float:
    """Return logP - SA - atoms beyond six of the largest ring (of the smallest set of smallest rings)."""
    return sum(_penalties(molecule).values())


def penalized_logp(molecule: Chem.Mol) -> float:
    """Return penalised logP, each term standardised over ZINC250k as in tables of constrained optimisation."""
    return sum((value - _ZINC[name][0]) / _ZINC[name][1] for name, value in _penalties(molecule).items())


PROPERTIES: dict[str, Callable[[Chem.Mol], float]] = {
    "qed": QED.qed,
    "logp": logp,
    "sa": sa,
    "np": natural_product_likeness,
    "mw": Descriptors.MolWt,  # type: ignore[attr-defined]
    "tpsa": rdMolDescriptors.CalcTPSA,
    "plogp": penalized_logp,
    "plogp_raw": penalized_logp_raw,
    "mr": molar_refractivity,
    "hbd": rdMolDescriptors.CalcNumHBD,
    "hba": rdMolDescriptors.CalcNumHBA,
    "rotatable_bonds": rdMolDescriptors.CalcNumRotatableBonds,
    "rings": rdMolDescriptors.CalcNumRings,
    "aromatic_rings": rdMolDescriptors.CalcNumAromaticRings,
    "heavy_atoms": Lipinski.HeavyAtomCount,
    "fraction_csp3": rdMolDescriptors.CalcFractionCSP3,
    "bertz": Descriptors.BertzCT,
}
"""Name -> function of a molecule."""

DESCRIPTIONS: dict[str, str] = {
    "qed": "quantitative estimate of drug-likeness, 0 to 1",
    "logp": "octanol-water partition, Crippen's contributions",
    "sa": "synthetic accessibility, 1 easy to 10 hard",
    "np": "natural-product likeness, about -5 to 5",
    "mw": "average molecular weight, g/mol",
    "tpsa": "topological polar surface area, square angstrom",
    "plogp": "penalised logP, its terms standardised over ZINC250k",
    "plogp_raw": "logP - SA - ring atoms beyond six",
    "mr": "molar refractivity, Crippen's contributions",
    "hbd": "hydrogen-bond donors",
    "hba": "hydrogen-bond acceptors",
    "rotatable_bonds": "rotatable bonds",
    "rings": "rings (smallest set of smallest rings)",
    "aromatic_rings": "aromatic rings",
    "heavy_atoms": "atoms other than hydrogen",
    "fraction_csp3": "part of the carbons that are sp3",
    "bertz": "Bertz's complexity",
}
"""Name -> one line for people."""


def calculate(
    names: Iterable[str], smiles: Sequence[str], *, workers: int = 1, progress: Callable[[int], None] | None = None
) -> dict[str, np.ndarray]:
    """Compute properties of molecules.

    Args:
        names: Of `PROPERTIES`.
        smiles: N molecules.
        workers: Processes; 1 computes in this one.
        progress: Is told how many molecules are done, from time to time.

    Returns:
        Name -> (N,) float64; NaN where the SMILES is no molecule.

    Raises:
        UserError: A name is not known.
    """
    wanted = known_names(names)
    rows = map_molecules(partial(_row, wanted), smiles, workers=workers, progress=progress)
    values = np.array([[math.nan] * len(wanted) if row is None else row for row in rows], dtype=np.float64)
    return {name: values.reshape(len(smiles), len(wanted))[:, column] for column, name in enumerate(wanted)}


def known_names(names: Iterable[str]) -> list[str]:
    """Return different names of `PROPERTIES`, in their order.

    Args:
        names: Names.

    Raises:
        UserError: One is not known.
    """
    wanted = list(dict.fromkeys(names))
    for name in wanted:
        if name not in PROPERTIES:
            raise unknown_name("property", name, PROPERTIES)
    return wanted


def _row(names: list[str], molecule: Chem.Mol) -> list[float]:
    return [float(PROPERTIES[name](molecule)) for name in names]


def map_molecules(
    function: Callable[[Chem.Mol], Value],
    smiles: Sequence[str],
    *,
    workers: int = 1,
    progress: Callable[[int], None] | None = None,
) -> list[Value | None]:
    """Return `function(molecule)` of every SMILES, in their order; None where there is no molecule.

    Args:
        function: Of one molecule; importable by name where several processes work.
        smiles: N molecules.
        workers: Processes; 1 computes in this one.
        progress: Is told how many are done.
    """
    chunks = [smiles[start : start + _CHUNK] for start in range(0, len(smiles), _CHUNK)]
    found: list[Value | None] = []
    with contextlib.ExitStack() as stack:
        parts: Iterable[list[Value | None]] = map(partial(_some, function), chunks)
        if workers > 1 and len(chunks) > 1:
            # Threads of a parent may hold locks that a forked child would wait for.
            context = multiprocessing.get_context("spawn")
            pool = stack.enter_context(ProcessPoolExecutor(min(workers, len(chunks)), mp_context=context))
            parts = pool.map(partial(_some, function), chunks)
        for part in parts:
            found += part
            if progress is not None:
                progress(len(found))
    return found


def _some(function: Callable[[Chem.Mol], Value], smiles: Sequence[str]) -> list[Value | None]:
    molecules = (parse(text) for text in smiles)
    with rdBase.BlockLogs():  # lone hydrogen atoms and the like are told for every function that meets them
        return [
            function(molecule) if molecule is not None and molecule.GetNumAtoms() else None for molecule in molecules
        ]
