"""From VCF to VCF and table: row for row, against the slow oracle; shares of the work; what goes wrong."""

from __future__ import annotations

import gzip
import json
import re

import numpy as np
import pytest
import torch

import seqsuite
from seqdna.api import GenomeModel
from seqdna.data import Genome
from seqdna.tokenizers import NucleotideTokenizer
from seqdna.variants import annotate_vcf, score_variants, training_length
from seqsuite.errors import UserError

WINDOW = 16


def by_hand(oracle, genome: dict[str, str], row: tuple) -> list[tuple[str, tuple[float, float] | None]]:
    """Return (reason, scores) of each allele of a row."""
    contig, pos, _, ref, alts, *_ = row
    shared = ""
    if contig not in genome:
        shared = "unknown_contig"
    elif not re.fullmatch("[ACGTNR]+", ref):
        shared = "no_ref"
    elif pos - 1 + len(ref) > len(genome[contig]):
        shared = "outside_contig"
    elif genome[contig][pos - 1 : pos - 1 + len(ref)] != ref:
        shared = "ref_mismatch"
    out = []
    for alt in alts.split(","):
        names = {".": "no_alt", "*": "spanning_deletion", "R": "ambiguous_base", "A]c2:9]": "breakend"}
        reason = shared or names.get(alt, "symbolic" if alt.startswith("<") else "")
        if not reason and alt.upper() == ref:
            reason = "same_as_ref"
        if not reason:
            text = genome[contig]
            changed = text[: pos - 1] + alt.upper() + text[pos - 1 + len(ref) :]
            if max(oracle._difference(text, changed)[1:]) > oracle.window // 2:
                reason = "too_long"
        out.append((reason, None if reason else oracle.scores(genome[contig], pos, ref, alt)))
    return out


@pytest.fixture(scope="module")
def genome(kit) -> dict[str, str]:
    return {"c1": kit.random_genome(11, 150), "c2": kit.random_genome(12, 70), "c3": kit.random_genome(13, 11)}


def parse_vcf(text: str) -> tuple[list[str], list[list[str]]]:
    """A strict reader: what is declared, and as many values as alleles."""
    lines = text.splitlines()
    header = [line for line in lines if line.startswith("##")]
    infos = {
        m[1]: m[2]
        for line in header
        if (m := re.match(r"##INFO=<ID=(\w+),Number=(\w+),Type=\w+,Description=\".*\">$", line))
    }
    filters = {m[1] for line in header if (m := re.match(r"##FILTER=<ID=(\w+),Description=\"[^\"]+\">$", line))}
    assert header[0].startswith("##fileformat=")
    assert lines[len(header)].startswith("#CHROM\t")
    width = len(lines[len(header)].split("\t"))
    rows = [line.split("\t") for line in lines[len(header) + 1 :]]
    for row in rows:
        if len(row) != width or not row[1].isdigit():
            continue
        assert all(code in filters | {"PASS", ".", "q10"} for code in row[6].split(";"))
        for item in row[7].split(";"):
            key, _, value = item.partition("=")
            assert key in infos
            if infos[key] == "A":
                assert len(value.split(",")) == len(row[4].split(","))
    return header, rows


@pytest.mark.parametrize("ending", [".vcf", ".vcf.gz", ".tsv", ".tsv.gz"])
def test_row_for_row_against_strings(kit, table_model, genome, tmp_path, ending) -> None:
    rows = kit.some_rows(genome, 60, seed=3)
    vcf = kit.write_vcf(tmp_path / "in.vcf", rows)
    fasta = kit.write_fasta(tmp_path / "g.fa", genome)
    out = tmp_path / f"out{ending}"
    report = annotate_vcf(table_model, vcf, fasta, out, window=WINDOW, unsorted=True, block_records=7)
    raw = out.read_bytes()
    text = (gzip.decompress(raw) if ending.endswith(".gz") else raw).decode()
    oracle = kit.oracle_of(table_model, WINDOW)
    expected = [by_hand(oracle, genome, row) for row in rows]
    if ".vcf" in ending:
        check_vcf(text, rows, expected)
    else:
        check_table(text, rows, expected)
    flat = [item for group in expected for item in group]
    assert report.records == len(rows)
    assert sum(report.scored.values()) == sum(scores is not None for _, scores in flat) > 50
    assert dict(report.reasons) == {r: [x for x, _ in flat].count(r) for r in {x for x, _ in flat} if r}
    assert len(report.reasons) >= 9
    assert not list(tmp_path.glob("*.parts"))
    assert json.loads((tmp_path / f"out{ending}.json").read_text())["records"] == len(rows)


def check_vcf(text: str, rows: list[tuple], expected: list) -> None:
    _, found = parse_vcf(text)
    assert len(found) == len(rows)
    for line, row, alleles in zip(found, rows, expected, strict=True):
        assert line[:6] == [str(cell) for cell in row[:6]]
        info = dict(item.split("=") for item in line[7].split(";"))
        assert info.pop("DP") == "3"
        scores = [pair for _, pair in alleles]
        reasons = [reason for reason, _ in alleles]
        if any(scores):
            for name, of in (("", np.mean), ("_FWD", lambda p: p[0]), ("_REV", lambda p: p[1])):
                values = info.pop(f"SEQDNA_SCORE{name}").split(",")
                for value, pair in zip(values, scores, strict=True):
                    assert value == "." if pair is None else float(value) == pytest.approx(of(pair), abs=1e-4)
            assert line[6] == row[6]
        else:
            codes = [f"seqdna_{reason}" for reason in dict.fromkeys(reasons)]
            assert line[6] == ";".join(([row[6]] if row[6] == "q10" else []) + codes)
        told = info.pop("SEQDNA_REASON", ",".join("." for _ in reasons))
        if "no_alt" not in reasons:
            assert told == ",".join(reason or "." for reason in reasons)
        assert not info


def check_table(text: str, rows: list[tuple], expected: list) -> None:
    lines = text.splitlines()
    notes = [line for line in lines if line.startswith("#")]
    assert any("positive: alternative more likely" in line for line in notes)
    assert any("renormalised over A C G T" in line for line in notes)
    names, *table = [line.split("\t") for line in lines[len(notes) :]]
    flat = [
        (number, row, alt, *item)
        for number, (row, group) in enumerate(zip(rows, expected, strict=True), start=1)
        for alt, item in zip(row[4].split(","), group, strict=True)
    ]
    assert len(table) == len(flat)
    for cells, (number, row, alt, reason, scores) in zip(table, flat, strict=True):
        line = dict(zip(names, cells, strict=True))
        assert (line["record"], line["chrom"], line["pos"], line["id"]) == (str(number), row[0], str(row[1]), row[2])
        assert (line["ref"], line["alt"], line["reason"]) == (row[3], alt, reason)
        if scores is None:
            assert line["score"] == line["score_fwd"] == line["score_rev"] == line["type"] == "NA"
        else:
            assert float(line["score"]) == pytest.approx(np.mean(scores), abs=1e-4)
            assert float(line["score_fwd"]) == pytest.approx(scores[0], abs=1e-4)
            assert float(line["score_rev"]) == pytest.approx(scores[1], abs=1e-4)


def test_in_memory_it_is_the_same(kit, table_model, genome, tmp_path) -> None:
    rows = kit.some_rows(genome, 30, seed=5)
    vcf = kit.write_vcf(tmp_path / "in.vcf", rows)
    result = score_variants(
        table_model, vcf, Genome.from_sequences(genome), window=WINDOW, unsorted=True, block_records=11
    )
    oracle = kit.oracle_of(table_model, WINDOW)
    flat = [item for row in rows for item in by_hand(oracle, genome, row)]
    assert [line["reason"] for line in result.table()] == [reason for reason, _ in flat]
    expected = [np.nan if scores is None else np.mean(scores) for _, scores in flat]
    np.testing.assert_allclose(result.scores, expected, atol=1e-9)
    assert len(result) == len(flat)
    assert "<table" in result._repr_html_()
    assert "data:image" in result._repr_html_()
    assert "<table" in result.report._repr_html_()


def test_spellings_of_one_change_have_one_score(kit, table_model, tmp_path) -> None:
    text = "ACGGTACGATATATATCGGCATTACGATGCA"
    rows = [("c", 8, ".", "GAT", "G"), ("c", 9, ".", "AT", "."), ("c", 9, ".", "ATA", "A"), ("c", 12, ".", "TAT", "T")]
    rows = [(*row, ".", ".", ".") for row in rows if row[4] != "."]
    rows += [("c", 14, ".", "TATC", "TC", ".", ".", "."), ("c", 1, ".", text, text[:8] + text[10:], ".", ".", ".")]
    vcf = kit.write_vcf(tmp_path / "v.vcf", rows)
    result = score_variants(table_model, vcf, Genome.from_sequences({"c": text}), window=12, unsorted=True)
    assert len(set(result.scores.tolist())) == 1
    assert np.isfinite(result.scores).all()
    assert {line["type"] for line in result.table()} == {"deletion"}


def test_mismatches_are_told_and_scored_only_when_allowed(kit, table_model, tmp_path) -> None:
    text = "ACGGTACGATATATATCGGCATTACG"
    rows = [("c", 5, ".", "C", "G", ".", "PASS", "."), ("c", 7, ".", "C", "A", ".", "PASS", ".")]
    vcf = kit.write_vcf(tmp_path / "v.vcf", rows)
    genome = Genome.from_sequences({"c": text})
    refused = score_variants(table_model, vcf, genome, window=12)
    assert [row.scored for row in refused.rows] == [False, True]
    assert refused.report.mismatches == ["line 4: c:5 C"]
    allowed = score_variants(table_model, vcf, genome, window=12, allow_mismatch=True)
    assert [row.scored for row in allowed.rows] == [True, True]
    assert [row.reason for row in allowed.rows] == ["ref_mismatch", ""]
    assert allowed.report.mismatches == refused.report.mismatches
    as_written = text[:4] + "C" + text[5:]
    expected = kit.oracle_of(table_model, 12).scores(as_written, 5, "C", "G")
    np.testing.assert_allclose(allowed.rows[0].scores[0], expected, atol=1e-9)
    annotate_vcf(table_model, vcf, genome, tmp_path / "o.vcf", window=12, allow_mismatch=True)
    _, rows = parse_vcf((tmp_path / "o.vcf").read_text())
    assert rows[0][6] == "seqdna_ref_mismatch"
    assert "SEQDNA_REASON=ref_mismatch" in rows[0][7]
    assert "SEQDNA_SCORE=" in rows[0][7]
    assert rows[1][6] == "PASS"


def test_soft_masked_references_match_though_the_model_hides_them(kit, tmp_path) -> None:
    """A tokenizer that hides lower case must not turn REF into a mismatch; hidden bases stay hidden in windows."""
    model = GenomeModel(kit.TableModel("leave_one_out"), NucleotideTokenizer(lower="n"))
    fasta = kit.write_fasta(tmp_path / "g.fa", {"c": "ACGTACGTacgtACGTACGT"})
    vcf = kit.write_vcf(tmp_path / "v.vcf", [("c", 10, ".", "C", "T", ".", ".", ".")])
    result = score_variants(model, vcf, fasta, window=12)
    expected = kit.oracle_of(model, 12).scores("ACGTACGTNCNNACGTACGT", 10, "C", "T")
    np.testing.assert_allclose(result.rows[0].scores[0], expected, atol=1e-9)


def test_bad_lines_go_through_and_are_listed(kit, table_model, tmp_path) -> None:
    good = "c\t7\t.\tC\tA\t.\tPASS\t."
    body = f"{good}\nonly three\tcolumns\there\nc\tx7\t.\tC\tA\t.\t.\t.\n{good}\n\n"
    vcf = tmp_path / "v.vcf"
    vcf.write_text(kit.HEADER + kit.COLUMNS + "\n" + body)
    genome = Genome.from_sequences({"c": "ACGGTACGATATATATCGGCATTACG"})
    report = annotate_vcf(table_model, vcf, genome, tmp_path / "o.vcf", window=12)
    lines = (tmp_path / "o.vcf").read_text().splitlines()[-5:]
    assert [lines[i] for i in (1, 2, 4)] == [body.splitlines()[i] for i in (1, 2, 4)]
    assert report.bad_lines == ["line 5: too_few_columns", "line 6: bad_position", "line 8: too_few_columns"]
    annotate_vcf(table_model, vcf, genome, tmp_path / "o.tsv", window=12)
    table = [line.split("\t") for line in (tmp_path / "o.tsv").read_text().splitlines()[-5:]]
    assert [row[-1] for row in table] == ["", "too_few_columns", "bad_position", "", "too_few_columns"]
    assert table[1][:8] == ["2", "5", *["NA"] * 6]


def test_order_and_contigs(kit, table_model, tmp_path) -> None:
    genome = Genome.from_sequences({"chr1": "ACGGTACGATATATAT", "chr2": "ACGGTACGATATATAT"})
    row = ("C", "A", ".", ".", ".")
    back = kit.write_vcf(tmp_path / "a.vcf", [("chr1", 7, ".", *row), ("chr1", 2, ".", *row)])
    with pytest.raises(UserError, match=r"a.vcf, line 5: position 2 comes after 7 on 'chr1'; sort .* --unsorted"):
        score_variants(table_model, back, genome, window=8)
    assert len(score_variants(table_model, back, genome, window=8, unsorted=True)) == 2
    again = kit.write_vcf(tmp_path / "b.vcf", [(name, 7, ".", *row) for name in ("chr1", "chr2", "chr1")])
    with pytest.raises(UserError, match=r"line 6: contig 'chr1' comes a second time"):
        score_variants(table_model, again, genome, window=8)
    bare = kit.write_vcf(tmp_path / "c.vcf", [("1", 7, ".", *row), ("3", 7, ".", *row)])
    result = score_variants(table_model, bare, genome, window=8)
    assert [line["reason"] for line in result.table()] == ["", "unknown_contig"]
    assert result.report.renamed == {"1": "chr1"}
    assert result.rows[0].record.chrom == "1"
    none = kit.write_vcf(tmp_path / "d.vcf", [("chr11", 7, ".", *row)])
    with pytest.raises(UserError, match=r"none of its contigs \(chr11\).*Did you mean 'chr1'"):
        score_variants(table_model, none, genome, window=8)


def test_an_empty_vcf_gives_an_empty_one(kit, table_model, tmp_path) -> None:
    vcf = kit.write_vcf(tmp_path / "v.vcf", [])
    report = annotate_vcf(table_model, vcf, Genome.from_sequences({"c": "ACGT"}), tmp_path / "o.vcf", window=8)
    header, rows = parse_vcf((tmp_path / "o.vcf").read_text())
    assert rows == []
    assert report.records == 0
    assert header[:2] == kit.HEADER.splitlines()


def test_options_that_make_no_sense(kit, table_model, tmp_path) -> None:
    vcf = kit.write_vcf(tmp_path / "v.vcf", [])
    genome = Genome.from_sequences({"c": "ACGT"})
    for options, message in (
        ({}, "give --window"),
        ({"window": 7}, "--window is 7; it must be at least 8"),
        ({"window": 8, "span_flank": -1}, "--span_flank is -1"),
        ({"window": 8, "block_records": 0}, "--block_records is 0"),
    ):
        with pytest.raises(UserError, match=message):
            score_variants(table_model, vcf, genome, **options)
    known = GenomeModel(table_model.model, table_model.tokenizer, {"length": 24})
    assert score_variants(known, vcf, genome).report.settings["window"] == 24
    for out, prefix, message in (
        ("x.bcf", "S", "must end in .vcf, .vcf.gz, .tsv or .tsv.gz"),
        ("no/x.vcf", "S", "there is no folder"),
        ("x.vcf", "a b", "--info_prefix is 'a b'"),
    ):
        with pytest.raises(UserError, match=message):
            annotate_vcf(table_model, vcf, genome, tmp_path / out, window=8, info_prefix=prefix)


def test_scores_of_two_models_live_side_by_side(kit, table_model, tmp_path) -> None:
    vcf = kit.write_vcf(tmp_path / "v.vcf", [("c", 7, ".", "C", "A", ".", ".", ".")])
    genome = Genome.from_sequences({"c": "ACGGTACGATATATAT"})
    annotate_vcf(table_model, vcf, genome, tmp_path / "one.vcf", window=8)
    with pytest.raises(UserError, match=r"declares SEQDNA_.* already; choose another --info_prefix"):
        annotate_vcf(table_model, tmp_path / "one.vcf", genome, tmp_path / "two.vcf", window=8)
    annotate_vcf(table_model, tmp_path / "one.vcf", genome, tmp_path / "two.vcf", window=10, info_prefix="OTHER")
    _, ((*_, info),) = parse_vcf((tmp_path / "two.vcf").read_text())
    assert "SEQDNA_SCORE=" in info
    assert "OTHER_SCORE=" in info


def test_training_length(tmp_path) -> None:
    assert training_length(tmp_path) is None
    (tmp_path / "config.yaml").write_text("# A SeqSuite run.\nlength: 96\n")
    assert training_length(tmp_path) == 96
    (tmp_path / "config.yaml").write_text("[1, 2")
    assert training_length(tmp_path) is None


def test_real_variants_of_a_bacterium(real_data, tmp_path) -> None:
    """All 109 records in order; REF alleles agree; 77 SNVs."""
    torch.manual_seed(0)
    model = GenomeModel(seqsuite.create_model("leave_one_out_debug", vocab_size=12), NucleotideTokenizer())
    folder = real_data / "genomics"
    vcf = folder / "saureus_RN4220_vs_NCTC8325.vcf.gz"
    report = annotate_vcf(model, vcf, folder / "saureus_NCTC8325_NC_007795.fasta.gz", tmp_path / "o.vcf", window=512)
    given = [line.split("\t") for line in gzip.decompress(vcf.read_bytes()).decode().splitlines() if line[0] != "#"]
    found = [line.split("\t") for line in (tmp_path / "o.vcf").read_text().splitlines() if line[0] != "#"]
    assert [row[:6] for row in found] == [row[:6] for row in given]
    assert report.scored["snv"] == 77
    assert report.mismatches == []
    assert sum(report.scored.values()) + report.reasons["ambiguous_base"] + report.reasons["too_long"] == 109
