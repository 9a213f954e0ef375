"""Peptides and proteins: properties of a sequence, descriptors for baselines, clusters by sequence identity.

    from seqchem.proteins import boman_index, identity_clusters, protein_descriptors
    boman_index("GIGKFLHSAKKFGKAFVGEIMNS")               # 0.419
    values, names = protein_descriptors(sequences)        # (N, F)
    clusters = identity_clusters(sequences, 0.4)          # (N,) a number for each sequence

Nothing here needs torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqsuite.lazy import lazy_names

if TYPE_CHECKING:
    from seqchem.proteins.descriptors import PEPTIDE_PROPERTIES, boman_index, peptide_properties, protein_descriptors
    from seqchem.proteins.identity import identity_clusters, sequence_identity
    from seqchem.proteins.letters import AMINO_ACIDS, check_proteins, unknown_letters

__all__ = [
    "AMINO_ACIDS",
    "PEPTIDE_PROPERTIES",
    "boman_index",
    "check_proteins",
    "identity_clusters",
    "peptide_properties",
    "protein_descriptors",
    "sequence_identity",
    "unknown_letters",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "descriptors": ["PEPTIDE_PROPERTIES", "boman_index", "peptide_properties", "protein_descriptors"],
        "identity": ["identity_clusters", "sequence_identity"],
        "letters": ["AMINO_ACIDS", "check_proteins", "unknown_letters"],
    },
)
