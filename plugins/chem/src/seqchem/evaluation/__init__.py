"""How good predictions and generated molecules are, beside baselines on the same rows.

result = evaluate_properties(model, sequences, {"logs": values}, train=train, train_values=known, baselines=True)
result.table(), result.figure()
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqsuite.lazy import lazy_names

if TYPE_CHECKING:
    from seqchem.evaluation.baselines import BaselineFit, run_baselines
    from seqchem.evaluation.classification import ClassificationScores, classification_scores
    from seqchem.evaluation.generation import MoleculeSetScores, evaluate_generated, read_generated
    from seqchem.evaluation.measure import evaluate_properties
    from seqchem.evaluation.peptides import PeptideSetScores, evaluate_peptides
    from seqchem.evaluation.regression import RegressionScores, paired_rmse, regression_scores
    from seqchem.evaluation.results import ModelScores, PropertyEvaluation, PropertyTest

__all__ = [
    "BaselineFit",
    "ClassificationScores",
    "ModelScores",
    "MoleculeSetScores",
    "PeptideSetScores",
    "PropertyEvaluation",
    "PropertyTest",
    "RegressionScores",
    "classification_scores",
    "evaluate_generated",
    "evaluate_peptides",
    "evaluate_properties",
    "paired_rmse",
    "read_generated",
    "regression_scores",
    "run_baselines",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "baselines": ["BaselineFit", "run_baselines"],
        "classification": ["ClassificationScores", "classification_scores"],
        "generation": ["MoleculeSetScores", "evaluate_generated", "read_generated"],
        "measure": ["evaluate_properties"],
        "peptides": ["PeptideSetScores", "evaluate_peptides"],
        "regression": ["RegressionScores", "paired_rmse", "regression_scores"],
        "results": ["ModelScores", "PropertyEvaluation", "PropertyTest"],
    },
)
