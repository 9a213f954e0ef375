"""`seqchem properties` on the terminal."""

from __future__ import annotations

import csv
import gzip
import json

import pytest

from seqchem.cli import main


@pytest.fixture
def molecules(tmp_path):
    path = tmp_path / "m.csv.gz"
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.write('id,SMILES,note\n1,CCO,"a, b"\n2,C1CC,\n3,CC(=O)[O-].[Na+],salt\n')
    return path


def test_columns_are_added_row_by_row(molecules, tmp_path, capsys):
    out = tmp_path / "out.csv"
    assert main(["properties", str(molecules), "--names", "mw,logp", "--out", str(out)]) == 0
    told = capsys.readouterr().out
    assert "3 rows, 1 of them no molecule" in told
    rows = list(csv.DictReader(out.open(encoding="utf-8")))
    assert list(rows[0]) == ["id", "SMILES", "note", "mw", "logp", "status"]
    assert [row["id"] for row in rows] == ["1", "2", "3"]
    assert rows[0]["note"] == "a, b"
    assert float(rows[0]["mw"]) == pytest.approx(46.069, abs=1e-3)
    assert rows[1]["mw"] == ""
    assert rows[1]["status"] != "ok"
    whole = float(rows[2]["mw"])
    assert main(["properties", str(molecules), "--out", str(out)]) == 2
    assert "exists; add --overwrite" in capsys.readouterr().err
    flags = ["--names", "mw", "--out", str(out), "--overwrite", "--json", "--on_invalid", "skip", "--salts"]
    assert main(["properties", str(molecules), *flags, "largest"]) == 0
    assert json.loads(capsys.readouterr().out)["left_out"] == 1
    rows = list(csv.DictReader(out.open(encoding="utf-8")))
    assert [row["id"] for row in rows] == ["1", "3"]
    assert float(rows[1]["mw"]) == pytest.approx(whole - 22.99, abs=0.01)  # without sodium
    assert rows[1]["SMILES"] == "CC(=O)[O-].[Na+]"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--names", "qed,lgp"], "Unknown property of molecules 'lgp'. Did you mean"),
        (["--names", ""], "--names"),
        (["--on_invalid", "error"], "line 3"),
        (["--sequence_column", "smile"], "SMILES"),
        (["--workers", "0"], "--workers is 0"),
        (["--out", "x.tsv"], "ends in .csv"),
        (["--names", "mw", "--out", "no/x.csv"], "there is no folder"),
    ],
)
def test_what_is_wrong_is_one_line_and_exit_code_2(molecules, capsys, flags, message, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert main(["properties", str(molecules), *flags]) == 2
    told = capsys.readouterr().err.strip()
    assert message in told
    assert "\n" not in told
    assert not (tmp_path / "properties.csv").exists()


def test_files_that_are_none(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["properties", "none.csv"]) == 2
    assert "none.csv" in capsys.readouterr().err
    (tmp_path / "t.csv").write_text("smiles,qed\nCCO,0.4\n", encoding="utf-8")
    assert main(["properties", "t.csv", "--names", "qed"]) == 2
    assert "has a column 'qed' already" in capsys.readouterr().err


@pytest.fixture
def peptides(tmp_path):
    path = tmp_path / "p.fasta"
    path.write_text(">a first\nGLFDIVKK\nVVGALG\n>b\nkkll\n>c\nACXA\n>d\nAC1A\n>e\nAC*\n", encoding="utf-8")
    return path


def test_properties_of_peptides_in_a_fasta_file(peptides, tmp_path, capsys):
    out = tmp_path / "out.csv"
    assert main(["properties", str(peptides), "--names", "boman,length,aromaticity", "--out", str(out)]) == 0
    told = capsys.readouterr().out
    assert "5 rows, 2 of them without values" in told
    assert "Boman index" in told
    rows = list(csv.DictReader(out.open(encoding="utf-8")))
    assert list(rows[0]) == ["name", "sequence", "boman", "length", "aromaticity", "status"]
    assert [row["name"] for row in rows] == ["a", "b", "c", "d", "e"]
    # Radzicka and Wolfenden's energies by hand: K -5.55 and L 4.92, A 1.81 and C 1.28; the sign is turned.
    assert float(rows[1]["boman"]) == pytest.approx((2 * 5.55 - 2 * 4.92) / 4, rel=1e-5)
    assert float(rows[4]["boman"]) == pytest.approx(-(1.81 + 1.28) / 2, rel=1e-5)
    assert [row["length"] for row in rows] == ["14", "4", "", "", "2"]
    assert float(rows[0]["aromaticity"]) == pytest.approx(1 / 14, rel=1e-5)
    assert rows[2]["status"] == "has X, which is none of the twenty amino acids"
    assert rows[3]["status"] == "no amino acid: '1'"
    flags = ["--out", str(out), "--overwrite", "--json", "--on_invalid", "skip"]
    assert main(["properties", str(peptides), *flags]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["left_out"] == 2
    usual = ["boman", "length", "weight", "charge", "isoelectric_point", "gravy"]
    assert [row["property"] for row in found["properties"]] == usual


def test_what_a_file_holds_says_which_properties_there_are(peptides, molecules, tmp_path, capsys):
    cases = [
        ([str(peptides), "--names", "qed"], "qed is a property of molecules, and"),
        ([str(molecules), "--names", "boman"], "boman is a property of proteins, and"),
        ([str(peptides), "--names", "bomann"], "Unknown property of proteins 'bomann'. Did you mean 'boman'"),
        ([str(peptides), "--on_invalid", "error"], "record 3 (has X"),
    ]
    for words, message in cases:
        assert main(["properties", *words, "--out", str(tmp_path / "x.csv")]) == 2
        told = capsys.readouterr().err.strip()
        assert message in told
        assert "\n" not in told
    both = tmp_path / "cc.csv"  # ethane twice, or a peptide of cysteines
    both.write_text("sequence\nCC\nCCC\n", encoding="utf-8")
    out = tmp_path / "cc_out.csv"
    assert main(["properties", str(both), "--language", "protein", "--names", "length", "--out", str(out)]) == 0
    assert [row["length"] for row in csv.DictReader(out.open(encoding="utf-8"))] == ["2", "3"]
    assert main(["properties", str(both), "--names", "mw", "--out", str(out), "--overwrite"]) == 0
    assert float(next(csv.DictReader(out.open(encoding="utf-8")))["mw"]) == pytest.approx(30.07, abs=0.01)


def test_a_row_of_too_many_cells_moves_no_number(tmp_path):
    table, out = tmp_path / "in.csv", tmp_path / "out.csv"
    table.write_text("smiles,y\nCCO,1,7\nCCN,2\n")
    assert main(["properties", str(table), "--names", "rings", "--out", str(out)]) == 0
    assert out.read_text().splitlines() == [
        "smiles,y,rings,status", "CCO,1,,3 cells where the header has 2", "CCN,2,0,ok",
    ]  # fmt: skip
