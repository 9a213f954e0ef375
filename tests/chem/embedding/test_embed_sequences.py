"""Vectors row by row: pooling by its definition, independence of the batch, files."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import torch
from rdkit import Chem

from seqchem.embedding import embed_file, embed_sequences
from seqchem.proteins import AMINO_ACIDS
from seqsuite.errors import UserError
from seqsuite.models import create_model
from tests.chem.embedding.conftest import MOLECULES


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
def test_pooling_is_that_of_its_definition(model, pooling):
    found = embed_sequences(model, MOLECULES, pooling=pooling, batch_size=3)
    tokenizer = model.tokenizer
    for text, vector in zip(MOLECULES, found.vectors, strict=True):
        ids = tokenizer.encode(tokenizer.from_smiles(Chem.CanonSmiles(text)))
        with torch.no_grad():
            features = model.features(torch.tensor([ids]))[0].numpy()
        tokens = tokenizer.decode(ids)
        inside = [place for place, token in enumerate(tokens) if token not in ("[CLS]", "[SEP]", "[PAD]")]
        chosen = {"mean": inside, "cls": [0], "last": inside[-1:]}[pooling]
        np.testing.assert_allclose(vector, features[chosen].mean(0), atol=1e-5, rtol=1e-4)


def test_neither_batch_nor_order_matter(model):
    whole = embed_sequences(model, MOLECULES).vectors
    np.testing.assert_allclose(embed_sequences(model, MOLECULES, batch_size=1).vectors, whole, atol=1e-5, rtol=1e-4)
    turned = embed_sequences(model, MOLECULES[::-1], batch_size=3).vectors[::-1]
    np.testing.assert_allclose(turned, whole, atol=1e-5, rtol=1e-4)


def test_the_same_molecule_written_otherwise_has_the_same_vector(model):
    first, second = embed_sequences(model, ["OCC", "C(O)C"]).vectors
    np.testing.assert_array_equal(first, second)


def test_rows_that_are_no_molecules_keep_their_place(model):
    found = embed_sequences(model, ["CCO", "not a molecule", "", "CCN", "C" * 600])
    assert found.vectors.shape == (5, 64)
    assert np.isnan(found.vectors).any(1).tolist() == [False, True, True, False, True]
    assert [one == "ok" for one in found.status] == [True, False, False, True, False]
    assert "the model takes 512" in found.status[4]
    assert len(found.only_ok()) == 2
    assert len(found.notes()) == 3
    assert embed_sequences(model, []).vectors.shape == (0, 64)


def test_symbols_that_the_model_does_not_know_are_told(model):
    assert "[Se]" in embed_sequences(model, ["C[Se]C"]).unknown
    assert not embed_sequences(model, ["CCO"]).unknown


@pytest.mark.parametrize("mixer", ["xlnet", "attention"])
def test_proteins(mixer):
    torch.manual_seed(0)
    vocabulary = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "|", *AMINO_ACIDS)
    model = create_model("rt_debug", vocabulary=vocabulary, language="protein", encoding="none", mixer=mixer).eval()
    found = embed_sequences(model, ["ACDEF", "acdef", "AC DEF", "KLMNPQRST"], batch_size=2)
    assert [one == "ok" for one in found.status] == [True, True, False, True]
    np.testing.assert_allclose(found.vectors[0], found.vectors[1], atol=1e-6)


def test_a_model_keeps_its_mode_and_has_no_gradients(model):
    model.train()
    try:
        first = embed_sequences(model, ["CCO"]).vectors
        assert model.training
    finally:
        model.eval()
    np.testing.assert_array_equal(first, embed_sequences(model, ["CCO"]).vectors)  # no dropout


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "molecules.csv"
    path.write_text("name,smiles\nethanol,CCO\nnothing,XX\nbenzene,c1ccccc1\npropane,CCC\n")
    return path


def test_a_file_row_by_row(model, table):
    found = embed_file(model, table)
    assert found.rows == (2, 3, 4, 5)
    assert found.ok.tolist() == [True, False, True, True]
    np.testing.assert_allclose(found.vectors[2], embed_sequences(model, ["c1ccccc1"]).vectors[0], atol=1e-5)
    skipped = embed_file(model, table, on_invalid="skip")
    assert skipped.rows == (2, 4, 5)
    with pytest.raises(UserError, match="line 3"):
        embed_file(model, table, on_invalid="error")


@pytest.mark.parametrize("ending", [".npz", ".parquet", ".csv"])
def test_what_is_written_is_what_was_found(model, table, tmp_path, ending):
    found = embed_file(model, table)
    path = found.save(tmp_path / f"vectors{ending}")
    if ending == ".npz":
        with np.load(path) as read:
            vectors, texts, status, rows = (read[name] for name in ("vectors", "sequences", "status", "rows"))
            assert str(read["pooling"]) == "mean"
    elif ending == ".parquet":
        parquet = pytest.importorskip("pyarrow.parquet")
        read = parquet.read_table(path).to_pydict()
        vectors, texts, status, rows = (read[name] for name in ("vector", "sequence", "status", "row"))
    else:
        with open(path, newline="") as file:
            lines = list(csv.DictReader(file))
        texts, status, rows = ([line[name] for line in lines] for name in ("sequence", "status", "row"))
        vectors = [[float(line[f"rt{place}"] or "nan") for place in range(64)] for line in lines]
    np.testing.assert_array_equal(np.array(vectors, dtype=np.float32), found.vectors)
    assert tuple(texts) == found.sequences
    assert tuple(status) == found.status
    assert tuple(map(int, rows)) == found.rows
    assert [item.name for item in tmp_path.iterdir() if "vectors" in item.name] == [path.name]


def test_endings_that_are_not_known(model, tmp_path):
    with pytest.raises(UserError, match=r"Did you mean '\.npz'"):
        embed_sequences(model, ["CCO"]).save(tmp_path / "vectors.np")
    with pytest.raises(UserError, match="cannot write"):
        embed_sequences(model, ["CCO"]).save(tmp_path / "nowhere" / "vectors.npz")


def test_options_that_are_not_known(model):
    with pytest.raises(UserError, match="Did you mean 'mean'"):
        embed_sequences(model, ["CCO"], pooling="meen")
    with pytest.raises(UserError, match="--batch_size is 0"):
        embed_sequences(model, ["CCO"], batch_size=0)


def test_the_result_shows_itself(model):
    found = embed_sequences(model, [*MOLECULES, "XX"])
    rows = found.table()
    assert rows[0]["norm"] == pytest.approx(float(np.linalg.norm(found.vectors[0])))
    assert (rows[-1]["row"], rows[-1]["sequence"]) == (9, "XX")
    assert len(found.figure().axes[0].collections[0].get_offsets()) == len(MOLECULES)
    assert embed_sequences(model, ["CCO"]).figure() is None
