"""Predicting properties: masked digits, decoded under a grammar, with calibrated intervals.

found = predict_properties(model, ["CCO"], ["logp"])
found["logp"].values
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqsuite.lazy import lazy_names

if TYPE_CHECKING:
    from seqchem.prediction.calibration import calibrate
    from seqchem.prediction.files import PredictedFile, predict_file
    from seqchem.prediction.predict import predict_properties
    from seqchem.prediction.results import PredictedProperty, PropertyPredictions

__all__ = [
    "PredictedFile",
    "PredictedProperty",
    "PropertyPredictions",
    "calibrate",
    "predict_file",
    "predict_properties",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "calibration": ["calibrate"],
        "files": ["PredictedFile", "predict_file"],
        "predict": ["predict_properties"],
        "results": ["PredictedProperty", "PropertyPredictions"],
    },
)
