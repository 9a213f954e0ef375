"""Options of `seqchem properties` (torch-free); the docstring is the help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from seqsuite.errors import UserError


@dataclass(frozen=True)
class PropertiesConfig:
    """Options of `seqchem properties`.

    Args:
        input: Molecules or proteins: CSV, TSV, .smi, .sdf or .fasta, plain or gzip.
        out: The CSV file to write: the columns of the input, then the properties and a status.
        names: Properties to compute; usual: the first five or six. Of molecules: qed, logp, sa (synthetic
            accessibility), mw, tpsa, np (natural-product likeness), plogp (penalised logP, standardised), plogp_raw,
            mr, hbd, hba, rotatable_bonds, rings, aromatic_rings, heavy_atoms, fraction_csp3, bertz. Of peptides and
            proteins: boman (Boman index, kcal/mol), length, weight, charge (at pH 7), isoelectric_point, gravy,
            aromaticity, instability, aliphatic_index, hydrophobic_moment, helix, turn, sheet.
        language: What the file holds: smiles or protein; auto: what most of its first rows are.
        sequence_column: Column of the sequences; left out: found by its name.
        salts: Mixtures and salts: keep them, keep the largest part, or refuse them.
        on_invalid: Rows without values, which are no molecule or have other letters than the twenty amino acids: an
            error, left out (skip), or kept with their status.
        workers: Processes, for molecules.
        overwrite: Replace what is there.
        json: Print JSON instead of a table.
    """

    input: str
    out: str = "properties.csv"
    names: tuple[str, ...] = ("usual",)
    language: Literal["auto", "smiles", "protein"] = "auto"
    sequence_column: str = ""
    salts: Literal["keep", "largest", "refuse"] = "keep"
    on_invalid: Literal["error", "skip", "keep"] = "keep"
    workers: int = 1
    overwrite: bool = False
    json: bool = False

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise UserError(f"--workers is {self.workers}; it must be at least 1")
        if not self.names:
            raise UserError("--names: give properties, as in qed,logp")
        if not self.out.endswith(".csv"):
            raise UserError(f"--out {self.out}: give a file that ends in .csv")
