"""The three layouts: what is read, and what is refused in one line."""

from __future__ import annotations

import gzip
import sys

import pytest

from seqdna.variant_benchmarks.readers import read_bend, read_dart_eval, read_traitgym, recognise
from seqsuite.errors import UserError


def contents(variants) -> list[tuple]:
    columns = (variants.chroms, variants.positions, variants.refs, variants.alts, variants.labels.tolist())
    return list(zip(*columns, strict=True))


def wanted(rows, prefix: str = "chr") -> list[tuple]:
    return [(f"{prefix}{row.chrom}", row.pos, row.ref, row.alt, row.label) for row in rows]


def test_each_layout_gives_the_same_variants(kit, rows, tmp_path) -> None:
    assert contents(read_traitgym(kit.write_traitgym(tmp_path, rows))) == wanted(rows, "")
    assert contents(read_bend(kit.write_bend(tmp_path, rows))) == wanted(rows)
    for path in (kit.write_caqtl(tmp_path, rows), kit.write_dsqtl(tmp_path, rows)):
        found = read_dart_eval(path)
        assert contents(found) == wanted(rows)
        assert found.either_is_ref
        assert found.left_out == {}


def test_rows_that_the_suite_leaves_out_are_counted(kit, tmp_path) -> None:
    header = ["chr_hg38", "pos_hg38", "allele1", "allele2", "IsUsed", "in_peaks", "label"]
    marks = [("True", "True"), ("False", "True"), ("True", "False"), ("False", "False"), ("1", "1")]
    cells = [["chr1", 10 + number, "A", "C", *mark, "True"] for number, mark in enumerate(marks)]
    found = read_dart_eval(kit.write_tsv(tmp_path / "x.tsv", header, cells))
    assert found.positions == (10, 14)
    assert found.left_out == {"IsUsed is false": 2, "in_peaks is false": 1}


def test_a_folder_with_all_layouts(kit, rows, tmp_path) -> None:
    kit.write_traitgym(tmp_path, rows)
    kit.write_bend(tmp_path / "variant_effects", rows)
    packed = kit.write_bend(tmp_path, rows, "variant_effects_disease")
    packed.with_name("variant_effects_disease.bed.gz").write_bytes(gzip.compress(packed.read_bytes()))
    packed.unlink()
    kit.write_caqtl(tmp_path, rows)
    kit.write_dsqtl(tmp_path, rows)
    kit.write_tsv(tmp_path / "genes.bed", ["chromosome", "start", "end", "split", "label"], [["chr1", 1, 9, "test", 1]])
    kit.write_tsv(tmp_path / "notes.tsv", ["a", "b"], [[1, 2]])
    found = {task.name: task.suite.name for task in recognise(tmp_path)}
    assert found == {
        "mendelian_traits_matched_9": "traitgym",
        "variant_effects_expression": "bend",
        "variant_effects_disease": "bend",
        "Afr.CaQTLS": "dart_eval",
        "yoruban.dsqtls.benchmarking": "dart_eval",
    }
    (packed_task,) = recognise(tmp_path, ("variant_effects_disease",))
    assert contents(packed_task.read()) == wanted(rows)
    (inside,) = recognise(tmp_path / "mendelian_traits_matched_9")
    assert inside.name == "mendelian_traits_matched_9"


def test_a_subset_keeps_its_own_order(kit, rows, tmp_path) -> None:
    path = kit.write_traitgym(tmp_path, rows)
    few = [rows[9], rows[2], rows[1]]
    columns = {key: [getattr(row, key) for row in few] for key in ("chrom", "pos", "ref", "alt")}
    kit.write_parquet(path.parent / "subset" / "disease.parquet", **columns)
    (task,) = recognise(tmp_path)
    assert contents(task.read("disease")) == wanted(few, "")
    assert contents(task.read("all")) == wanted(rows, "")
    with pytest.raises(UserError, match=r"Unknown subset 'diseas'. Did you mean 'disease'"):
        task.read("diseas")
    columns["pos"] = [1000, *columns["pos"][1:]]
    kit.write_parquet(path.parent / "subset" / "odd.parquet", **columns)
    with pytest.raises(UserError, match=r"odd.parquet, row 0: 2:1000 .* is no variant of"):
        task.read("odd")


def test_missing_columns_suggest_near_names(kit, rows, tmp_path) -> None:
    columns = {key: [getattr(row, key) for row in rows] for key in ("chrom", "pos", "ref", "alt", "label")}
    columns["labels"] = columns.pop("label")
    path = kit.write_parquet(tmp_path / "a" / "test.parquet", **columns)
    with pytest.raises(UserError, match=r"test.parquet: there is no column 'label'. Did you mean 'labels'"):
        read_traitgym(path)
    path = kit.write_tsv(tmp_path / "b.bed", ["chromosom", "start", "end", "ref", "alt", "label"], [])
    with pytest.raises(UserError, match=r"there is no column 'chromosome'. Did you mean 'chromosom'"):
        read_bend(path)
    path = kit.write_tsv(tmp_path / "c.tsv", ["var.chrom", "var.pos", "var.allele1", "var.allele2", "var.label"], [])
    with pytest.raises(UserError, match=r"there is no column 'var.isused'"):
        read_dart_eval(path)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("start", "ten", "line 3: start is 'ten'; it must be a whole number"),
        ("label", "2", "line 3: label is '2'; it must be 0 or 1 or false or true"),
        ("label", "", "line 3: label is ''"),
    ],
)
def test_a_bad_cell_is_named(kit, tmp_path, column, value, message) -> None:
    header = ["chromosome", "start", "end", "ref", "alt", "label"]
    good = {"chromosome": "chr1", "start": 4, "end": 5, "ref": "A", "alt": "C", "label": 1}
    path = kit.write_tsv(tmp_path / "x.bed", header, [list(good.values()), list((good | {column: value}).values())])
    with pytest.raises(UserError, match=message):
        read_bend(path)


def test_a_dsqtl_label_is_one_or_minus_one(kit, rows, tmp_path) -> None:
    path = kit.write_dsqtl(tmp_path, rows)
    path.write_text(path.read_text().replace("\t-1\t", "\t0\t"))
    with pytest.raises(UserError, match=r"var.label is '0'; it must be -1 or 1"):
        read_dart_eval(path)


def test_what_is_not_there(kit, rows, tmp_path) -> None:
    with pytest.raises(UserError, match="there is no such folder"):
        recognise(tmp_path / "nowhere")
    with pytest.raises(UserError, match="holds no labelled variants"):
        recognise(tmp_path)
    kit.write_bend(tmp_path, rows)
    with pytest.raises(UserError, match="Did you mean 'variant_effects_expression'"):
        recognise(tmp_path, ("variant_effects_expresion",))
    empty = kit.write_tsv(tmp_path / "e.bed", ["chromosome", "start", "end", "ref", "alt", "label"], [])
    with pytest.raises(UserError, match="has no rows to score"):
        read_bend(empty)


def test_two_sets_of_one_name(kit, rows, tmp_path) -> None:
    kit.write_bend(tmp_path / "a", rows)
    kit.write_bend(tmp_path / "b", rows)
    with pytest.raises(UserError, match=r"a/variant_effects_expression.bed and .* have one name"):
        recognise(tmp_path)
    assert len(recognise(tmp_path / "a")) == 1


def test_parquet_needs_its_reader(kit, rows, tmp_path, monkeypatch) -> None:
    path = kit.write_traitgym(tmp_path, rows)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UserError, match="reading Parquet needs pyarrow: pip install pyarrow"):
        read_traitgym(path)
