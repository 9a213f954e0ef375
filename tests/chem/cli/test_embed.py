"""`seqchem embed`: a vector for every row of a file."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import torch

from seqchem.cli import main
from seqchem.embedding import embed_sequences
from seqsuite.models import create_model, load_model


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    create_model("rt_debug", n_layer=1).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "molecules.csv"
    path.write_text("name,smiles\nethanol,CCO\nnothing,XX\nbenzene,c1ccccc1\n")
    return path


def test_vectors_stand_beside_their_rows(folder, table, tmp_path, capsys):
    out = tmp_path / "vectors.npz"
    assert main(["embed", str(folder), str(table), "--out", str(out)]) == 0
    captured = capsys.readouterr()
    assert f"wrote {out}: 3 rows, 2 vectors of width 64" in captured.out
    assert "1 without a vector" in captured.err
    with np.load(out) as found:
        expected = embed_sequences(load_model(folder), ["CCO", "c1ccccc1"]).vectors
        np.testing.assert_allclose(found["vectors"][[0, 2]], expected, atol=1e-5)
        assert np.isnan(found["vectors"][1]).all()
        assert found["status"][0] == "ok"


def test_options_and_json(folder, table, tmp_path, capsys):
    out = tmp_path / "vectors.csv"
    flags = ["--out", str(out), "--pooling", "last", "--on_invalid", "skip", "--batch_size", "1", "--json"]
    assert main(["embed", str(folder), str(table), *flags, "--sequence_column", "smiles"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["rows"], told["vectors"], told["width"]) == (2, 2, 64)
    with open(out, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["sequence"] for row in rows] == ["CCO", "c1ccccc1"]
    expected = embed_sequences(load_model(folder), ["CCO"], pooling="last").vectors[0]
    np.testing.assert_allclose([float(rows[0][f"rt{place}"]) for place in range(64)], expected, atol=1e-5)


def test_what_is_wrong_is_one_line(folder, table, tmp_path, capsys):
    (tmp_path / "there.npz").write_text("")
    cases = {
        ("--on_invalid", "error"): "line 3",
        ("--out", str(tmp_path / "vectors.txt")): "is no known format",
        ("--out", str(tmp_path / "there.npz")): "exists; add --overwrite",
        ("--out", str(tmp_path / "nowhere" / "v.npz")): "there is no folder",
        ("--batch_size", "0"): "--batch_size is 0",
        ("--sequence_column", "smile"): "'smiles'",
    }
    for flags, message in cases.items():
        usual = [] if flags[0] == "--out" else ["--out", str(tmp_path / "v.npz")]
        assert main(["embed", str(folder), str(table), *usual, *flags]) == 2
        err = capsys.readouterr().err.strip()
        assert message in err
        assert len(err.splitlines()) == 1
    assert main(["embed", str(tmp_path / "nothing"), str(table), "--out", str(tmp_path / "v.npz")]) == 2
    assert not (tmp_path / "v.npz").exists()
