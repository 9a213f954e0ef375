"""SMILES through RDKit: parsing, canonical forms, what to do with salts, and why a string is refused.

    parse("CCO")                                    # a molecule, or None
    standardize("CC(=O)[O-].[Na+]", salts="largest")     # Standardized(smiles="CC(=O)[O-]", reason="")
    standardize("C1CC")                             # Standardized(smiles=None, reason="ring 1 is not closed")

RDKit's own messages are kept off the terminal; the reason carries what they say.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from rdkit import Chem, rdBase

Salts = Literal["keep", "largest", "refuse"]


class Standardized(NamedTuple):
    """A canonical SMILES, or why there is none.

    Attributes:
        smiles: The canonical SMILES; None where the text is refused.
        reason: Why it is refused; empty where it is not.
    """

    smiles: str | None
    reason: str = ""


def parse(smiles: str) -> Chem.Mol | None:
    """Return the molecule of a SMILES, sanitised; None where it is none, or empty.

    Args:
        smiles: The text; blanks around it do not count.
    """
    text = smiles.strip()
    # RDKit takes what follows a blank for a name: "CCO junk" would pass.
    if not text or any(map(str.isspace, text)):
        return None
    with rdBase.BlockLogs():
        mol = Chem.MolFromSmiles(text)
    return mol if mol is not None and mol.GetNumAtoms() else None


def standardize(smiles: str, salts: Salts = "keep") -> Standardized:
    """Return the canonical SMILES of a text.

    Args:
        smiles: The text.
        salts: What becomes of several molecules in one SMILES: keep them, keep the largest (by heavy atoms, then by
            weight, then by its text), or refuse them.

    Returns:
        The canonical SMILES, or the reason.
    """
    mol = parse(smiles)
    if mol is None:
        return Standardized(None, refusal(smiles))
    text = Chem.MolToSmiles(mol)
    if "." not in text or salts == "keep":
        return Standardized(text)
    pieces = text.split(".")
    if salts == "refuse":
        return Standardized(None, f"a mixture or salt of {len(pieces)} parts")
    return Standardized(_largest(mol))


def _largest(mol: Chem.Mol) -> str:
    from rdkit.Chem.Descriptors import MolWt  # type: ignore[attr-defined]

    parts = Chem.GetMolFrags(mol, asMols=True)
    sizes = [(part.GetNumHeavyAtoms(), MolWt(part), Chem.MolToSmiles(part)) for part in parts]
    return str(max(sizes)[2])


def refusal(smiles: str) -> str:
    """Return why a text is no molecule, in a few words.

    Args:
        smiles: A text that `parse` refuses.
    """
    text = smiles.strip()
    if not text:
        return "empty"
    if any(map(str.isspace, text)):
        return "a blank within the SMILES"
    with rdBase.BlockLogs():
        mol = Chem.MolFromSmiles(text, sanitize=False)
        if mol is None:
            return _syntax(text)
        if not mol.GetNumAtoms():
            return "no atoms"
        mol.UpdatePropertyCache(strict=False)
        problems = Chem.DetectChemistryProblems(mol)
    if not problems:
        return "not a molecule"
    told = re.sub(r"# (\d+)", lambda found: str(int(found[1]) + 1), problems[0].Message())
    return told[:1].lower() + " ".join(told.split())[1:]


def _syntax(text: str) -> str:
    for opening, closing, name in (("(", ")", "parentheses"), ("[", "]", "brackets")):
        if text.count(opening) != text.count(closing):
            return f"not SMILES: {name} do not match"
    outside = re.sub(r"\[[^\]]*\]", "", text)
    strange = re.search(r"[^A-Za-z0-9@+\-\[\]().=#$:/\\%*~]", text)
    if strange:
        return f"not SMILES: {strange[0]!r}"
    rings = re.findall(r"%\d\d|\d", outside)
    odd = [ring for ring in dict.fromkeys(rings) if rings.count(ring) % 2]
    return f"not SMILES: ring {odd[0]} is not closed" if odd else "not SMILES"
