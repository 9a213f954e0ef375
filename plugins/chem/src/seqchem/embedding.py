"""A scikit-learn transformer from molecules or proteins to the vectors of a Regression Transformer.

    pipeline = make_pipeline(RTEmbedder("runs/qed"), StandardScaler(), Ridge())
    cross_val_score(pipeline, smiles, values, cv=5)

`embed_sequences` and `embed_file` give the same vectors with the status of every row (`seqchem.embedding_vectors`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from seqchem.data.tables import refused_rows
from seqchem.embedding_results import MoleculeEmbeddings
from seqchem.embedding_vectors import Pooling, check_options, embed_file, embed_sequences
from seqchem.models.regression_transformer import RegressionTransformer
from seqsuite.errors import UserError, unknown_name
from seqsuite.models.create import load_model, to_device
from seqsuite.models.published import own_folder

if TYPE_CHECKING:
    from sklearn.utils import Tags

__all__ = ["MoleculeEmbeddings", "RTEmbedder", "embed_file", "embed_sequences"]


class RTEmbedder(TransformerMixin, BaseEstimator):
    """Texts to vectors, for scikit-learn: nothing is trained on the data, `fit` loads the model.

    Args:
        model: A run folder, a model folder or hub id, or a model.
        pooling: mean, cls or last; see `pooled`.
        batch_size: Texts at once.
        device: Where to run; None: the CPU, or where a given model is.
        on_invalid: What is no molecule or protein: "error" raises and names the rows, "nan" gives a row of NaN.

    Attributes:
        model_: The model, after `fit`.
        n_features_out_: Its width D.
    """

    def __init__(
        self,
        model: str | Path | RegressionTransformer = "",
        *,
        pooling: Pooling = "mean",
        batch_size: int = 64,
        device: str | None = None,
        on_invalid: Literal["error", "nan"] = "error",
    ) -> None:
        self.model = model
        self.pooling = pooling
        self.batch_size = batch_size
        self.device = device
        self.on_invalid = on_invalid

    def fit(self, X: Sequence[str], y: Any = None) -> RTEmbedder:
        """Load the model.

        Args:
            X: Texts; only looked at.
            y: Nothing is made of it.

        Raises:
            UserError: There is no such model, or an option is not known.
            ValueError: X is no sequence of texts.
        """
        check_options(self.pooling, self.batch_size)
        if self.on_invalid not in ("error", "nan"):
            raise unknown_name("on_invalid", self.on_invalid, ("error", "nan"))
        _as_texts(X)
        self.model_ = _opened(self.model, self.device)
        self.n_features_out_ = int(self.model_.config.d_model)
        return self

    def transform(self, X: Sequence[str]) -> np.ndarray:
        """Return the vectors (N, D) float32 of N texts.

        Args:
            X: SMILES, or letters of amino acids: a list, an array or a column of a table.

        Raises:
            UserError: Some are none of the model's language, with on_invalid "error".
            ValueError: X is no sequence of texts.
        """
        check_is_fitted(self)
        texts = _as_texts(X)
        found = embed_sequences(self.model_, texts, pooling=self.pooling, batch_size=self.batch_size)
        bad = [(index, one) for index, one in enumerate(found.status) if one != "ok"]
        if bad and self.on_invalid == "error":
            raise UserError(f"{refused_rows('X', 'row', bad)}; leave them out, or set on_invalid='nan'")
        return found.vectors

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the D columns."""
        check_is_fitted(self)
        return np.array([f"rt{column}" for column in range(self.n_features_out_)], dtype=object)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.string, tags.input_tags.two_d_array, tags.input_tags.one_d_array = True, False, True
        tags.transformer_tags.preserves_dtype = []
        return tags


def _as_texts(given: Any) -> list[str]:
    """Return texts as a list.

    Raises:
        ValueError: It is one text, has two axes, or holds something else.
    """
    if isinstance(given, str):
        raise ValueError("X is one text; give a list of texts")
    array = np.asarray(given, dtype=object)
    if array.ndim == 2 and array.shape[1] == 1:  # a table of one column
        array = array[:, 0]
    if array.ndim != 1:
        raise ValueError(f"X must be a sequence of texts, not an array of shape {array.shape}")
    for index, text in enumerate(array):
        if not isinstance(text, str):
            raise ValueError(f"X must hold texts; item {index} is {text!r}")
    return [str(text) for text in array]


def _opened(model: str | Path | RegressionTransformer, device: str | None) -> RegressionTransformer:
    if isinstance(model, RegressionTransformer):
        found = model
    elif not str(model):
        raise UserError("RTEmbedder has no model: give a run folder, a model folder or a model")
    else:
        place = Path(model).expanduser()
        found = load_model(own_folder(place) or model)  # type: ignore[assignment]
        if not isinstance(found, RegressionTransformer):
            raise UserError(f"{model}: holds a {type(found).__name__}, no Regression Transformer")
    if device is not None:
        to_device(found, device)
    return found
