"""Files to tables: columns are found, every row is checked, and every fault is named by its row."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from rdkit import Chem

from seqchem.data import canonical as canonical_module
from seqchem.data import read_records, read_table
from seqchem.data.canonical import check_sequences
from seqchem.data.tables import joined
from seqsuite.errors import UserError


def test_a_table_is_read_row_by_row(molecule_table, molecules):
    table = read_table(molecule_table, property_columns=["weight", "other"])
    assert table.language == "smiles"
    assert table.sequence_column == "smiles"
    assert table.sequences == [Chem.CanonSmiles(text) for text in molecules]
    assert table.texts == molecules
    assert table.rows == list(range(2, 72))
    assert set(table.status) == {"ok"}
    assert np.flatnonzero(np.isnan(table.values["other"])).tolist() == list(range(1, 70, 4))
    assert not np.isnan(table.values["weight"]).any()
    assert table.table()[0]["line"] == 2
    assert table.figure() is not None
    some = table.select([5, 3])
    assert some.sequences == [table.sequences[5], table.sequences[3]]
    assert some.values["weight"].tolist() == table.values["weight"][[5, 3]].tolist()
    assert some.rows == [7, 5]


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
@pytest.mark.parametrize("packed", [False, True])
def test_any_delimiter_and_packing_gives_the_same(write_table, tmp_path, delimiter, packed):
    path = write_table(("id", "SMILES", "expt"), [("a, b", "CCO", "1.5"), ("c", "CCN", "")], delimiter=delimiter)
    if packed:
        data = path.read_bytes()
        path = tmp_path / "table.csv.gz"
        path.write_bytes(gzip.compress(data))
    table = read_table(path, property_columns=["expt"])
    assert table.sequences == ["CCO", "CCN"]
    assert table.values["expt"][0] == 1.5
    assert np.isnan(table.values["expt"][1])


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (("id", "SMILES"), "SMILES"),
        (("mol", "Class"), "mol"),
        (("name", "Canonical_SMILES"), "Canonical_SMILES"),
        (("x", "Ligand SMILES"), "Ligand SMILES"),
        (("sequence", "smiles"), "smiles"),
    ],
)
def test_the_sequence_column_is_found_by_its_name(write_table, header, found):
    rows = [["CCO"] * len(header)]
    assert read_table(write_table(header, rows)).sequence_column == found


def test_other_files(tmp_path):
    (tmp_path / "list.smi").write_text("CCO ethanol\nc1ccccc1\tbenzene\nCCN\n")
    table = read_table(tmp_path / "list.smi")
    assert table.sequences == ["CCO", "c1ccccc1", "CCN"]
    assert read_records(tmp_path / "list.smi").rows[1] == ["c1ccccc1", "benzene"]
    (tmp_path / "rt.txt").write_text("<qed>0.71|<logp>-1.5|CCO\n<qed>0.2|CCN\n")
    table = read_table(tmp_path / "rt.txt", property_columns=["all"])
    assert table.sequences == ["CCO", "CCN"]
    assert table.values["qed"].tolist() == [0.71, 0.2]
    assert table.values["logp"][0] == -1.5
    assert np.isnan(table.values["logp"][1])
    (tmp_path / "p.fasta").write_text(">one\nGLWSKIKE\nVGKEAA\n>two\naakk\n")
    table = read_table(tmp_path / "p.fasta")
    assert table.language == "protein"
    assert table.sequences == ["GLWSKIKEVGKEAA", "AAKK"]
    assert table.unit == "record"
    writer = Chem.SDWriter(str(tmp_path / "m.sdf"))
    for smiles, value in (("CCO", "1.25"), ("CCN", "")):
        mol = Chem.MolFromSmiles(smiles)
        mol.SetProp("SOL", value)
        writer.write(mol)
    writer.close()
    with open(tmp_path / "m.sdf", "a") as file:
        file.write("broken\n\n\n  9  9  0\nM  END\n$$$$\n")
    table = read_table(tmp_path / "m.sdf", property_columns=["SOL"], on_invalid="skip")
    assert table.sequences == ["CCO", "CCN"]
    assert table.values["SOL"][0] == 1.25
    assert table.left_out[0][0] == 3


def test_rows_that_cannot_be_used_are_named(write_table):
    rows = [("CCO", "1"), ("C1CC", "2"), ("", "3"), ("CCN", "high"), ("[Na+].[Cl-]", "5"), ("CC", "6"), ("", "")]
    path = write_table(("smiles", "y"), rows)
    with path.open("a") as file:
        file.write("CCC,7,8\n\n\n")
    with pytest.raises(UserError) as told:
        read_table(path, property_columns=["y"], salts="refuse")
    reasons = ("not SMILES: ring 1", "empty", "y 'high' is no number", "a mixture or salt of 2 parts")
    for line, reason in zip((3, 4, 5, 6), reasons, strict=True):
        assert f"line {line} ({reason}" in str(told.value)
    for part in ("6 rows", "line 8 (empty", "and 1 more", "--on_invalid skip"):
        assert part in str(told.value)
    assert "\n" not in str(told.value)
    kept = read_table(path, property_columns=["y"], on_invalid="keep")
    assert len(kept) == 8
    assert kept.ok.tolist() == [0, 4, 5]
    assert kept.status[7] == "3 cells where the header has 2"
    skipped = read_table(path, property_columns=["y"], on_invalid="skip")
    assert skipped.sequences == ["CCO", "[Cl-].[Na+]", "CC"]
    assert skipped.values["y"].tolist() == [1, 5, 6]
    assert skipped.rows == [2, 6, 7]
    assert [row for row, _ in skipped.left_out] == [3, 4, 5, 8, 9]


def test_a_cell_of_several_lines_does_not_move_the_rows(write_table):
    path = write_table(("note", "smiles"), [("two\nlines", "CCO"), ("", "C1")])
    with pytest.raises(UserError, match="line 4 "):
        read_table(path)


@pytest.mark.parametrize("value", ["nan", "NA", "n/a", "None", "", " ", "null"])
def test_missing_values_are_no_numbers_and_no_faults(write_table, value):
    path = write_table(("smiles", "y"), [("CCO", value), ("CCN", " -1.5e-2 ")])
    table = read_table(path, property_columns=["y"])
    assert np.isnan(table.values["y"][0])
    assert table.values["y"][1] == -0.015


@pytest.mark.parametrize("value", ["1,5", "<5", "inf", "1_000", "0x10", "five"])
def test_what_is_no_number_is_refused(write_table, value):
    path = write_table(("smiles", "y"), [("CCO", "1"), ("CCN", value)])
    with pytest.raises(UserError, match=r"line 3 .*is no number"):
        read_table(path, property_columns=["y"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"property_columns": ["wieght"]}, "has no column 'wieght' (--properties). Did you mean 'weight'?"),
        ({"sequence_column": "smile"}, "has no column 'smile' (--sequence_column). Did you mean 'smiles'?"),
        ({"split_column": "part"}, "has no column 'part' (--split_column)"),
        ({"property_columns": ["name"]}, "column 'name' holds no numbers, but such as 'm0'"),
        ({"property_columns": ["smiles"]}, "'smiles' is the column of the sequences"),
        ({"property_columns": ["a=weight", "a=other"]}, "two columns would be called 'a'"),
        ({"property_columns": ["a|b=weight"]}, "is no name"),
        ({"ignore_columns": ["nam"], "property_columns": ["all"]}, "Did you mean 'name'"),
    ],
)
def test_columns_that_are_not_there(molecule_table, options, said):
    with pytest.raises(UserError) as told:
        read_table(molecule_table, **options)
    assert said in str(told.value)


def test_properties_may_be_renamed_and_all_be_taken(molecule_table):
    table = read_table(molecule_table, property_columns=["w=weight", "HEAVY"])
    assert table.columns == {"w": "weight", "heavy": "heavy"}
    table = read_table(molecule_table, property_columns=["all"], ignore_columns=["other"])
    assert list(table.values) == ["weight", "heavy"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "holds no rows"),
        (b"smiles,y\n", "holds no rows"),
        (b"smiles,y,y\nCCO,1,2\n", "names column 'y' twice"),
        (b"a,b\nCCO,1\n", "which column holds the sequences"),
        (b"smiles\nCC\xff\n", "line 2: not UTF-8"),
        (b"smiles\0\0\xff", "is no text"),
        (b"\x1f\x8b\x08broken", "gzip data is damaged"),
        (b"smiles\n\n\n", "holds no rows"),
        (b"smiles,y\n,1\n,2\n", "2 rows cannot be used"),
    ],
)
def test_files_that_are_none(tmp_path, content, said):
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    with pytest.raises(UserError) as told:
        read_table(path)
    assert said in str(told.value)
    with pytest.raises(UserError, match="cannot read"):
        read_table(tmp_path / "absent.csv")
    with pytest.raises(UserError, match="is a folder"):
        read_table(tmp_path)


def test_kinds_of_sequences(write_table):
    peptides = [("GLWSKIKEVGKEAAKA",), ("AKKWAK",), ("CC",)]
    assert read_table(write_table(("sequence",), peptides)).language == "protein"
    reactions = [("CCO.CC(=O)O>>CC(=O)OCC",), ("CBr.N>>CN",)]
    table = read_table(write_table(("reaction",), reactions))
    assert table.language == "reaction"
    assert table.sequences[0] == "CCO.CC(=O)O>>CCOC(C)=O"
    with pytest.raises(UserError, match=r"line 2 .*no amino acid: '1'"):
        read_table(write_table(("sequence",), [("AK1",)]), language="protein")
    with pytest.raises(UserError, match=r"line 2 .*ring 1"):
        read_table(write_table(("rxn",), [("C1CC>>C",)]), language="reaction")


def test_sequences_may_be_taken_as_they_are(write_table):
    path = write_table(("smiles",), [("OCC",), ("C1CC",)])
    table = read_table(path, standardize=False)
    assert table.sequences == ["OCC", "C1CC"]
    with pytest.raises(UserError, match="line 3"):
        read_table(write_table(("id", "smiles"), [("a", "OCC"), ("b", "")]), standardize=False)


def test_many_sequences_are_kept_for_the_next_time(tmp_path, monkeypatch, capsys, molecules):
    monkeypatch.setenv("SEQSUITE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(canonical_module, "CACHED_FROM", 10)
    monkeypatch.setattr(canonical_module, "_QUIET", -1.0)
    texts = [*molecules, "C1CC", ""]
    first = check_sequences(texts)
    assert "checking sequences" in capsys.readouterr().err
    assert len(list((tmp_path / "cache" / "chem").iterdir())) == 1
    with monkeypatch.context() as patch:
        patch.setattr(canonical_module, "standardize", lambda *_, **__: pytest.fail("it is asked again"))
        assert check_sequences(texts) == first
    assert first.reasons[-1] == "empty"
    assert "ring 1" in first.reasons[-2]
    assert check_sequences(texts, salts="refuse").texts == first.texts
    assert len(list((tmp_path / "cache" / "chem").iterdir())) == 2
    for kept in (tmp_path / "cache" / "chem").iterdir():
        kept.write_bytes(b"damaged")
    assert check_sequences(texts) == first
    monkeypatch.setenv("SEQSUITE_CACHE", str(tmp_path / "file"))
    (tmp_path / "file").write_text("")
    assert check_sequences(texts) == first


def test_half_a_file_of_utf16_is_refused_in_one_line(tmp_path):
    path = tmp_path / "half.csv"
    path.write_bytes("smiles,y\nCCO,1\n".encode("utf-16")[:-1])
    with pytest.raises(UserError, match=r"half\.csv: begins as UTF-16 text but is none"):
        read_table(path)


def test_all_keeps_a_new_name_and_takes_the_rest(write_table):
    path = write_table(("smiles", "a", "b", "note"), [("CCO", "1", "2", "x"), ("CC", "3", "4", "y")])
    table = read_table(path, property_columns=["first=a", "all"])
    assert table.columns == {"first": "a", "b": "b"}
    with pytest.raises(UserError, match="has no column 'c'"):
        read_table(path, property_columns=["c", "all"])
    with pytest.raises(UserError, match="two columns would be called 'b'"):
        read_table(path, property_columns=["b=a", "all"])


def test_a_cell_that_is_no_number_does_not_hide_its_column(write_table):
    path = write_table(("smiles", "y"), [("CCO", "1"), ("CC", "<5"), ("CCC", "3")])
    with pytest.raises(UserError, match=r"line 3 [(]y '<5' is no number[)]"):
        read_table(path, property_columns=["all"])


@pytest.mark.parametrize("option", ["salts", "on_invalid"])
def test_an_unknown_choice_is_named(write_table, option):
    with pytest.raises(UserError, match=f"Unknown --{option} 'larges'"):
        read_table(write_table(("smiles",), [("CCO",)]), **{option: "larges"})


def test_rows_left_out_of_further_files_name_their_file(write_table):
    train = read_table(write_table(("smiles",), [("CCO",)], name="a.csv"), on_invalid="skip")
    test = read_table(write_table(("smiles",), [("CC",), ("C(",)], name="b.csv"), language="smiles", on_invalid="skip")
    ((row, why),) = joined({"train": train, "test": test}).left_out
    assert row == 3
    assert why.endswith("b.csv")
