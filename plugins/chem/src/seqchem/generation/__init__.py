"""Making molecules: from wanted properties, from nothing or from seeds, and the search for better ones.

found = generate(model, {"qed": 0.9}, n=100, generator=torch.Generator().manual_seed(0))
found.table(), found.figure(), found.save("gen.csv")
better = optimize(model, ["CCO"], {"logp": 2.0}, similarity=(0.4,), generator=torch.Generator().manual_seed(0))
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqsuite.lazy import lazy_names

if TYPE_CHECKING:
    from seqchem.generation.filling import fill_masks, sequence_tokens
    from seqchem.generation.goals import PropertyGoal, parse_goals
    from seqchem.generation.improvements import OptimizedMolecules
    from seqchem.generation.optimizing import optimize
    from seqchem.generation.options import FillOptions, MoleculeLimits
    from seqchem.generation.results import GeneratedMolecules, MoleculeCandidate
    from seqchem.generation.run import generate

__all__ = [
    "FillOptions",
    "GeneratedMolecules",
    "MoleculeCandidate",
    "MoleculeLimits",
    "OptimizedMolecules",
    "PropertyGoal",
    "fill_masks",
    "generate",
    "optimize",
    "parse_goals",
    "sequence_tokens",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "filling": ["fill_masks", "sequence_tokens"],
        "goals": ["PropertyGoal", "parse_goals"],
        "improvements": ["OptimizedMolecules"],
        "optimizing": ["optimize"],
        "options": ["FillOptions", "MoleculeLimits"],
        "results": ["GeneratedMolecules", "MoleculeCandidate"],
        "run": ["generate"],
    },
)
