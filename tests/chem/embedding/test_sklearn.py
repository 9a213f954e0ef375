"""`RTEmbedder` as scikit-learn wants its transformers."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks, get_tags

from seqchem.embedding import RTEmbedder, embed_sequences
from seqsuite.errors import UserError
from seqsuite.models import create_model
from tests.chem.embedding.conftest import MOLECULES


def test_vectors_are_those_of_embed_sequences(model, folder):
    expected = embed_sequences(model, MOLECULES, pooling="cls").vectors
    for source in (model, folder, str(folder)):
        embedder = RTEmbedder(source, pooling="cls")
        np.testing.assert_array_equal(embedder.fit_transform(MOLECULES), expected)
    assert embedder.get_feature_names_out().tolist() == [f"rt{place}" for place in range(64)]


def test_parameters_are_got_set_and_cloned(folder):
    embedder = RTEmbedder(folder, pooling="last", batch_size=5)
    assert embedder.get_params() == {
        "model": folder, "pooling": "last", "batch_size": 5, "device": None, "on_invalid": "error"
    }  # fmt: skip
    copy = clone(embedder.fit(MOLECULES))
    assert copy.get_params() == embedder.get_params()
    assert not hasattr(copy, "model_")
    assert embedder.set_params(pooling="cls") is embedder
    assert embedder.pooling == "cls"


def test_cross_validation_and_grids(folder):
    values = np.array([len(text) for text in MOLECULES], dtype=float)
    pipeline = make_pipeline(RTEmbedder(folder), StandardScaler(), Ridge())
    scores = cross_val_score(pipeline, MOLECULES, values, cv=4, scoring="neg_mean_absolute_error")
    assert np.isfinite(scores).all()
    grid = GridSearchCV(pipeline, {"rtembedder__pooling": ["mean", "last"]}, cv=2, scoring="r2")
    grid.fit(MOLECULES, values)
    assert grid.best_params_["rtembedder__pooling"] in ("mean", "last")
    names = pipeline.fit(MOLECULES, values)[:-1].get_feature_names_out()
    assert len(names) == 64


def test_columns_of_tables_are_taken(model):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"smiles": MOLECULES})
    embedder = RTEmbedder(model).fit(frame["smiles"])
    expected = embedder.transform(MOLECULES)
    for given in (
        frame["smiles"],
        frame[["smiles"]],
        np.array(MOLECULES),
        np.array(MOLECULES)[:, None],
        tuple(MOLECULES),
    ):
        np.testing.assert_array_equal(embedder.transform(given), expected)


def test_a_fitted_one_survives_a_pickle(folder):
    embedder = RTEmbedder(folder).fit(MOLECULES)
    again = pickle.loads(pickle.dumps(embedder))
    np.testing.assert_array_equal(again.transform(MOLECULES), embedder.transform(MOLECULES))


def test_what_is_no_molecule(model):
    embedder = RTEmbedder(model).fit(MOLECULES)
    with pytest.raises(UserError, match=r"row 1 \("):
        embedder.transform(["CCO", "XX"])
    vectors = embedder.set_params(on_invalid="nan").transform(["CCO", "XX"])
    assert np.isnan(vectors).all(1).tolist() == [False, True]


@pytest.mark.parametrize("given", ["CCO", [1, 2], [["CCO", "CCN"]], [None], [b"CCO"], 3])
def test_what_is_no_list_of_texts(model, given):
    with pytest.raises(ValueError, match="X "):
        RTEmbedder(model).fit(given)


def test_faults_of_its_own(model, tmp_path):
    with pytest.raises(NotFittedError):
        RTEmbedder(model).transform(MOLECULES)
    with pytest.raises(UserError, match="has no model"):
        RTEmbedder().fit(MOLECULES)
    with pytest.raises(UserError, match="no folder"):
        RTEmbedder(tmp_path / "nothing").fit(MOLECULES)
    with pytest.raises(UserError, match="Unknown pooling"):
        RTEmbedder(model, pooling="max").fit(MOLECULES)
    with pytest.raises(UserError, match="Unknown on_invalid"):
        RTEmbedder(model, on_invalid="drop").fit(MOLECULES)
    create_model("mamba_lm_debug").save_pretrained(tmp_path / "other")
    with pytest.raises(UserError, match="no Regression Transformer"):
        RTEmbedder(tmp_path / "other").fit(MOLECULES)


# Of an estimator of texts scikit-learn's generator runs one check; these are the others that feed it no numbers.
CHECKS = (
    "check_estimator_cloneable", "check_estimator_tags_renamed", "check_valid_tag_types", "check_estimator_repr",
    "check_no_attributes_set_in_init", "check_do_not_raise_errors_in_init_or_set_params", "check_mixin_order",
    "check_parameters_default_constructible", "check_get_params_invariance", "check_set_params",
)  # fmt: skip


@pytest.mark.parametrize("name", CHECKS)
def test_the_checks_of_scikit_learn(name):
    getattr(estimator_checks, name)("RTEmbedder", RTEmbedder())


def test_what_its_other_checks_ask_of_numbers_holds_of_texts(model):
    """check_fit_idempotent, check_dict_unchanged, check_dont_overwrite_parameters, check_methods_subset_invariance."""
    embedder = RTEmbedder(model)
    before = dict(vars(embedder))
    assert embedder.fit(MOLECULES) is embedder
    assert {name: value for name, value in vars(embedder).items() if not name.endswith("_")} == before
    fitted = dict(vars(embedder))
    first = embedder.transform(MOLECULES)
    assert vars(embedder) == fitted
    np.testing.assert_array_equal(embedder.fit(MOLECULES).transform(MOLECULES), first)
    parts = np.concatenate([embedder.transform(MOLECULES[:3]), embedder.transform(MOLECULES[3:])])
    np.testing.assert_allclose(parts, first, atol=1e-5, rtol=1e-4)
    np.testing.assert_array_equal(RTEmbedder(model).fit_transform(MOLECULES, np.ones(len(MOLECULES))), first)


def test_its_tags_say_what_it_takes(model):
    tags = get_tags(RTEmbedder(model))
    assert tags.input_tags.string
    assert not tags.input_tags.two_d_array
    assert tags.estimator_type is None
