"""Parts of a table: nothing twice, nothing lost, and what belongs together stays together."""

from __future__ import annotations

import numpy as np
import pytest

from seqchem.chemistry.scaffolds import scaffold
from seqchem.data import read_parts, read_table, split_table, write_parts
from seqchem.data.tables import joined
from seqsuite.errors import UserError

KINDS = ("random", "scaffold", "scaffold_balanced")


@pytest.fixture
def table(write_table, molecules):
    """Seventy molecules, every fifth of them twice, the second time written in another way."""
    from seqchem.training.augment import rewritten_smiles

    texts = molecules + [rewritten_smiles(text, 1, 2) for text in molecules[::5]]
    return read_table(write_table(("smiles", "y"), [(text, index) for index, text in enumerate(texts)]))


@pytest.mark.parametrize("kind", KINDS)
def test_every_row_is_in_one_part_with_its_likes(table, kind):
    parts = split_table(table, kind, (0.6, 0.2, 0.2), seed=3)
    assert sorted(np.concatenate(list(parts.values())).tolist()) == list(range(len(table)))
    assert abs(len(parts["train"]) - 0.6 * len(table)) <= 2 + 25 * (kind != "random")
    key = scaffold if kind.startswith("scaffold") else str
    homes: dict[str, set[str]] = {}
    for part, rows in parts.items():
        for row in rows:
            homes.setdefault(key(table.sequences[row]), set()).add(part)
    assert all(len(home) == 1 for home in homes.values())
    again = split_table(table, kind, (0.6, 0.2, 0.2), seed=3)
    assert all(np.array_equal(parts[part], again[part]) for part in parts)


def test_the_seed_matters_where_something_is_drawn(table):
    for kind in KINDS:
        drawn = {tuple(split_table(table, kind, seed=seed)["train"].tolist()) for seed in range(5)}
        assert (len(drawn) == 1) == (kind == "scaffold")


def test_the_largest_scaffolds_are_trained_on_whatever_the_order_of_the_file(table):
    parts = split_table(table, "scaffold", (0.5, 0.25, 0.25))
    order = np.random.default_rng(0).permutation(len(table))
    shuffled = split_table(table.select(order), "scaffold", (0.5, 0.25, 0.25))
    for part, rows in parts.items():
        assert sorted(order[shuffled[part]].tolist()) == rows.tolist()
    sizes = {part: [] for part in parts}
    scaffolds = [scaffold(text) for text in table.sequences]
    for part, rows in parts.items():
        sizes[part] = [scaffolds.count(scaffolds[row]) for row in rows]
    assert min(sizes["train"]) >= max(sizes["test"])


def test_parts_of_no_share_are_empty(table):
    for sizes in ((1, 0, 0), (0.9, 0.1, 0), (0.8, 0, 0.2)):
        parts = split_table(table, "random", sizes)
        assert [bool(len(parts[part])) for part in ("train", "valid", "test")] == [bool(size) for size in sizes]
        assert sum(map(len, parts.values())) == len(table)


def test_published_mean_predictors_of_the_scaffold_split(real_data):
    """Errors of the training mean on the field's split of largest scaffolds first, as measured elsewhere."""
    for name, column, expected in (("freesolv", "expt", 4.46), ("grover_lipo", "lipo", 1.24)):
        table = read_table(real_data / "chem" / f"{name}.csv.gz", property_columns=[column])
        parts = split_table(table, "scaffold")
        values = table.values[column]
        error = np.sqrt(np.mean((values[parts["test"]] - values[parts["train"]].mean()) ** 2))
        assert error == pytest.approx(expected, abs=0.005)


def test_given_parts_lose_what_is_held_out_too(write_table):
    rows = [("CCO", "train"), ("OCC", "test"), ("CCN", "Training"), ("NCC", "val"), ("CCC", "train"), ("CC", "TEST")]
    table = read_table(write_table(("smiles", "split"), rows))
    parts = split_table(table, "given")
    assert {part: rows.tolist() for part, rows in parts.items()} == {
        "train": [4],
        "valid": [3],
        "test": [1, 5],
        "left out": [0, 2],
    }
    table = read_table(write_table(("smiles", "split"), [("CCO", "train"), ("CC", "tset")]))
    with pytest.raises(UserError, match="line 3: the split column says 'tset'"):
        split_table(table, "given")
    table = read_table(write_table(("smiles", "fold"), [("CCO", "train")]))
    with pytest.raises(UserError, match="has no split column"):
        split_table(table, "given")
    table = read_table(write_table(("smiles", "split"), [("CCO", "test")]))
    with pytest.raises(UserError, match="no row is left to train on"):
        split_table(table, "given")


def test_parts_are_written_and_read(table, tmp_path):
    parts = split_table(table, "random", (0.6, 0.2, 0.2))
    path = write_parts(tmp_path / "parts.csv", table, parts)
    assert path.read_text().startswith("row,part\n2,")
    again = read_parts(path, table)
    assert all(np.array_equal(parts[part], again[part]) for part in parts)
    with pytest.raises(UserError, match="belongs to another file"):
        read_parts(path, table.select(range(5)))
    (tmp_path / "parts.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="needs the columns row and part"):
        read_parts(path, table)
    with pytest.raises(UserError, match="cannot read"):
        read_parts(tmp_path / "absent.csv", table)


def test_proteins_of_one_family_stay_together(write_table):
    rng = np.random.default_rng(0)
    letters = "ACDEFGHIKLMNPQRSTVWY"
    rows = []
    for family in range(12):
        ancestor = rng.choice(list(letters), 30)
        for _ in range(4):
            member = ancestor.copy()
            member[rng.integers(30, size=2)] = rng.choice(list(letters), 2)
            rows.append(("".join(member), family))
    table = read_table(write_table(("sequence", "family"), rows), property_columns=["family"])
    parts = split_table(table, "identity", (0.6, 0.2, 0.2), seed=1)
    families = [set(table.values["family"][parts[part]].tolist()) for part in ("train", "valid", "test")]
    assert all(families)
    assert not families[0] & families[1]
    assert not (families[0] | families[1]) & families[2]
    with pytest.raises(UserError, match="is for molecules"):
        split_table(table, "scaffold")


def test_kinds_that_do_not_fit(table):
    with pytest.raises(UserError, match="Did you mean 'scaffold'"):
        split_table(table, "scafold")
    with pytest.raises(UserError, match="is for proteins"):
        split_table(table, "identity")
    with pytest.raises(UserError, match="three shares"):
        split_table(table, "random", (0.8, 0.2))
    with pytest.raises(UserError, match="leave none to train on"):
        split_table(table.select([0]), "random", (0.2, 0.4, 0.4))


def test_parts_of_files_of_one_name_are_told_apart(tmp_path):
    tables = {}
    for part, rows in (("train", "CCO\nCCN"), ("test", "CCCC\nCCCN")):
        (tmp_path / part).mkdir()
        (tmp_path / part / "data.csv").write_text(f"smiles\n{rows}\n")
        tables[part] = read_table(tmp_path / part / "data.csv", language="smiles")
    both = joined(tables)
    path = write_parts(tmp_path / "parts.csv", both, split_table(both, "given"))
    assert read_parts(path, tables["train"])["train"].tolist() == [0, 1]
    found = read_parts(path, tables["test"])
    assert (found["train"].tolist(), found["test"].tolist()) == ([], [0, 1])


def test_parts_are_those_that_there_are(table, tmp_path):
    path = tmp_path / "parts.csv"
    path.write_text("row,part\n2,train\n3,Validation\n4,left out\n")
    found = read_parts(path, table)
    assert {part: rows.tolist() for part, rows in found.items()} == {
        "train": [0], "valid": [1], "test": [], "left out": [2],
    }  # fmt: skip
    path.write_text("row,part\n2,trian\n")
    with pytest.raises(UserError, match="row 2 is of part 'trian'"):
        read_parts(path, table)
    path.write_text("row,part\n")
    with pytest.raises(UserError, match="names no row"):
        read_parts(path, table)
