"""Other ways to write a molecule: its atoms in a random order (Bjerrum 2017), a function of seed and position."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rdkit import Chem

from seqchem.chemistry.parsing import parse
from seqchem.training.rows import sequence_ids
from seqsuite.data.order import item_rng
from seqsuite.errors import UserError

_AUGMENT = 5


def rewritten_smiles(smiles: str, seed: int, *keys: int) -> str:
    """Return a SMILES of the same molecule, its atoms in an order drawn from the seed.

    Args:
        smiles: The molecule; what RDKit cannot read comes back as it is.
        seed: Of the order.
        keys: Further numbers that name it.
    """
    mol = parse(smiles)
    if mol is None:
        return smiles
    order = item_rng(seed, _AUGMENT, *keys).permutation(mol.GetNumAtoms()).tolist()
    return str(Chem.MolToSmiles(Chem.RenumberAtoms(mol, order), canonical=False))


class Augmenter:
    """Writes rows in other ways.

    Args:
        smiles: Canonical SMILES of the rows.
        tokenizer: Turns them into ids.
        probability: That a row is rewritten.
        seed: Of everything.
        longest: Most tokens of a sequence; longer ones stay as they were.
    """

    def __init__(self, smiles: Sequence[str], tokenizer: Any, *, probability: float, seed: int, longest: int) -> None:
        self.smiles, self.tokenizer, self.probability = list(smiles), tokenizer, probability
        self.seed, self.longest = seed, longest

    def __call__(self, row: int, position: int) -> list[int] | None:
        """Return the ids of a row's sequence, None where it stays as it is.

        Args:
            row: Which.
            position: Where in the run it stands.
        """
        if item_rng(self.seed, _AUGMENT, position, 0).random() >= self.probability:
            return None
        try:
            text = self.tokenizer.from_smiles(rewritten_smiles(self.smiles[row], self.seed, position, 1))
        except UserError:  # some orders of atoms are beyond SELFIES
            return None
        ids = sequence_ids(self.tokenizer, text)
        known = self.tokenizer.unk_token_id not in ids
        return ids if known and len(ids) <= self.longest else None
