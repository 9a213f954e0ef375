"""Bemis-Murcko scaffolds: the ring systems of a molecule and what links them (Bemis and Murcko 1996).

scaffold("CCc1ccccc1")        # "c1ccccc1"
scaffold("CCO")               # "": no ring, no scaffold
"""

from __future__ import annotations

from rdkit import Chem
from rdkit.Chem.Scaffolds import MurckoScaffold

from seqchem.chemistry.parsing import parse


def scaffold(smiles: str) -> str:
    """Return the canonical SMILES of a molecule's scaffold, without its chirality; empty where it has no ring.

    Args:
        smiles: A SMILES.

    Raises:
        ValueError: It is none.
    """
    mol = parse(smiles)
    if mol is None:
        raise ValueError(f"{smiles!r} is no SMILES")
    return scaffold_of(mol)


def scaffold_of(mol: Chem.Mol) -> str:
    """As `scaffold`, of a molecule.

    Args:
        mol: The molecule; stays as it is.
    """
    return str(MurckoScaffold.MurckoScaffoldSmiles(mol=mol, includeChirality=False))
