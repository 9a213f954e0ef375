"""`seqdna saliency`, its table, its hits and its figure."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import torch

import seqdna
import seqsuite
from seqdna.cli import main
from seqdna.data import parse_region
from seqdna.saliency import read_motifs
from seqsuite.errors import UserError

MOTIF = ">MA0001.1\tPlanted\tplants\nA [ 9 0 0 9 0 0 ]\nC [ 0 9 0 0 9 0 ]\nG [ 0 0 9 0 0 0 ]\nT [ 0 0 0 0 0 9 ]\n"
TEXT = "TTTTTTTTTTTTTTTTTTTTACGACTTTTTTTTTTTTTTTTTTTTTTAGTCGTTTTTTTT"


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    seqsuite.create_model("caduceus_ps_debug").save_pretrained(folder / "lm")
    seqsuite.create_model("mamba_lm_debug").save_pretrained(folder / "other")
    seqsuite.create_model("caduceus_ps_debug", head="none").save_pretrained(folder / "headless")
    options = {"head": "sequence_classification", "num_classes": 3}
    seqsuite.create_model("caduceus_ps_debug", **options).save_pretrained(folder / "classes")
    return folder


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "g.fa").write_text(f">chr1\n{TEXT}\n>HLA:01\nACGTACGTAC\n")
    (tmp_path / "one.fa").write_text(f">x\n{TEXT}\n")
    (tmp_path / "m.jaspar").write_text(MOTIF)
    (tmp_path / "empty.fa").touch()
    return tmp_path


def rows(path) -> list[dict[str, str]]:
    with open(path, newline="") as handle:
        return list(csv.DictReader(handle, delimiter="\t"))


def test_a_region_with_its_motifs(models, here, capsys) -> None:
    words = ["saliency", str(models / "lm"), "--fasta", "g.fa", "--region", "chr1:11-60", "--flank", "5"]
    assert main([*words, "--motifs", "m.jaspar", "--p_value", "0.001", "--out", "s.tsv", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["files"] == ["s.tsv", "s.png", "s.hits.tsv"]
    assert (here / "s.png").read_bytes().startswith(b"\x89PNG")
    table = rows("s.tsv")
    assert [row["position"] for row in table] == [str(i) for i in range(11, 61)]
    assert "".join(row["base"] for row in table) == TEXT[10:60]
    logp = np.log(seqdna.load(models / "lm").bits(TEXT[5:]).probabilities)  # flanks 6-10, then the region to the end
    for i, row in enumerate(table):
        expected = logp[i + 5] - logp[i + 5]["ACGT".index(row["base"])]
        np.testing.assert_allclose([float(row[base]) for base in "ACGT"], expected, atol=1e-5)
    hits = rows("s.hits.tsv")
    assert [(hit["start"], hit["end"], hit["strand"], hit["site"]) for hit in hits] == [
        (str(start + 1), str(start + 6), strand, "ACGACT")
        for start, strand in ((TEXT.index("ACGACT"), "+"), (TEXT.index("AGTCGT"), "-"))
    ]
    assert {hit["name"] for hit in hits} == {"Planted"}


def test_a_sequence_a_classifier_and_a_vector_figure(models, here, capsys) -> None:
    words = ["saliency", str(models / "classes"), "--sequence", TEXT, "--method", "gradient", "--target", "2"]
    assert main([*words, "--figure", "f.svg"]) == 0
    assert "gradient of the logit of class 2" in capsys.readouterr().out
    assert (here / "f.svg").read_text().lstrip().startswith("<?xml")
    scores = np.array([[float(row[base]) for base in "ACGT"] for row in rows("saliency.tsv")])
    expected = seqdna.load(models / "classes").saliency(TEXT, method="gradient", target=2)
    np.testing.assert_allclose(scores, expected.scores, rtol=1e-4, atol=1e-7)
    assert not (here / "saliency.hits.tsv").exists()
    first = (here / "f.svg").read_bytes()
    assert main([*words, "--figure", "f.svg", "--overwrite"]) == 0
    assert (here / "f.svg").read_bytes() == first
    assert main([*words, "--figure", "f.pdf", "--overwrite"]) == 0


def test_a_file_of_one_record_needs_no_region(models, here) -> None:
    words = ["--method", "gradient", "--position", "31"]
    assert main(["saliency", str(models / "lm"), "--fasta", "one.fa", *words]) == 0
    table = rows("saliency.tsv")
    assert len(table) == len(TEXT)
    assert {float(table[30][base]) for base in "ACGT"} == {0.0}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["lm", "--fasta", "g.fa", "--region", "chr1:11-90"], "not within chr1, which has the bases 1 to 60"),
        (["lm", "--fasta", "g.fa", "--region", "chr1:0-10"], "not within chr1"),
        (["lm", "--fasta", "g.fa", "--region", "chr1:9-4"], "not within chr1"),
        (["lm", "--fasta", "g.fa", "--region", "chr11:1-4"], "unknown record 'chr11'. Did you mean 'chr1'"),
        (["lm", "--fasta", "g.fa", "--region", "chr1:a-b"], "write it as chr1:START-END"),
        (["lm", "--fasta", "g.fa"], "g.fa has 2 records; add --region"),
        (["lm", "--fasta", "empty.fa"], "empty.fa: the file is empty"),
        (["lm", "--fasta", "missing.fa"], "missing.fa: no such file"),
        (["lm"], "give either --fasta"),
        (["lm", "--sequence", "ACGT", "--fasta", "g.fa"], "give either --fasta"),
        (["lm", "--sequence", "ACGT", "--region", "chr1:1-2"], "--region needs a --fasta"),
        (["lm", "--sequence", "ACGT", "--flank", "2"], "--flank needs a --fasta"),
        (["lm", "--sequence", "ACGT", "--motif", "CTCF"], "add --motifs FILE"),
        (["lm", "--sequence", "ACGT", "--target", "1"], "--target is the class of a classifier"),
        (["lm", "--sequence", "ACXT"], "'X' at position 2 is no nucleotide code"),
        (["lm", "--sequence", "ACGT", "--max_length", "3"], "has 4 bases, more than 3"),
        (["lm", "--sequence", "ACGT", "--method", "gradient", "--position", "9"], "--position 9: not within"),
        (["lm", "--sequence", "ACGT", "--motifs", "no.jaspar"], "no.jaspar: no such file"),
        (["lm", "--sequence", "ACGT", "--motifs", "g.fa"], "g.fa: is no JASPAR file"),
        (["lm", "--sequence", "ACGT", "--motifs", "m.jaspar", "--motif", "CTCF"], "no motif is called 'CTCF'"),
        (["lm", "--sequence", "ACGT", "--p_value", "2"], "--p_value is 2"),
        (["lm", "--sequence", "ACGT", "--figure", "f.bmp"], "'.bmp' is no known format"),
        (["lm", "--sequence", "ACGT", "--out", "s.csv"], "must end in .tsv"),
        (["lm", "--sequence", "ACGT", "--out", "no/s.tsv"], "there is no folder no"),
        (["lm", "--sequence", "ACGT", "--out", "there.tsv"], "there.tsv exists; add --overwrite"),
        (["classes", "--sequence", "ACGT", "--target", "5"], "--target 5: this model has the classes 0 to 2"),
        (["headless", "--sequence", "ACGT"], "there is nothing to explain"),
        (["other", "--sequence", "ACGT"], "holds a MixerLM, which is no genome model"),
    ],
)
def test_bad_input_is_one_line(models, here, capsys, words, message) -> None:
    (here / "there.tsv").touch()
    before = sorted(here.iterdir())
    assert main(["saliency", str(models / words[0]), *words[1:]]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert sorted(here.iterdir()) == before


LENGTHS = {"1": 1000, "HLA:01": 50, "MT": 10}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1:11-20", ("1", 10, 20)),
        ("1", ("1", 0, 1000)),
        ("chr1:1-1,000", ("1", 0, 1000)),
        ("chr1", ("1", 0, 1000)),
        ("1:990", ("1", 989, 1000)),
        ("1:990-", ("1", 989, 1000)),
        ("HLA:01", ("HLA:01", 0, 50)),
        ("HLA:01:5-6", ("HLA:01", 4, 6)),
        ("chrM:2-2", ("MT", 1, 2)),
    ],
)
def test_regions_as_samtools_reads_them(text, expected) -> None:
    region = parse_region(text, LENGTHS)
    assert (region.record, region.start, region.end) == expected
    assert parse_region(str(region), LENGTHS) == region


@pytest.mark.parametrize("text", ["2:1-5", "1:1001", "1:0-5", "1:x", "", ":", "HLA"])
def test_regions_that_are_none(text) -> None:
    with pytest.raises(UserError, match="--region"):
        parse_region(text, LENGTHS)


def test_contributions_and_figures(models, here, monkeypatch) -> None:
    from seqdna.saliency import figure

    model = seqdna.load(models / "lm")
    result = model.saliency(TEXT[:30] + "N" + TEXT[31:])
    own = [0 if base == "N" else result.scores[i, "ACGT".index(base)] for i, base in enumerate(result.sequence)]
    expected = own - result.scores.mean(1)
    np.testing.assert_allclose(result.contributions(), expected)
    assert np.isnan(result.contributions()[30])
    marked = result.with_hits(read_motifs("m.jaspar"), p_value=0.001)
    assert "data:image" in marked._repr_html_()
    with_logomaker = [len(axes.patches) for axes in marked.figure().axes]
    monkeypatch.setattr(figure.importlib.util, "find_spec", lambda name: None)
    without = [len(axes.patches) for axes in marked.figure().axes]
    assert without[1] == 4 * len(TEXT)  # a letter a base and position of the information logo
    assert without[1] <= with_logomaker[1]
    assert without[2] == with_logomaker[2] == 2  # two motif hits
    long = model.saliency(TEXT * 4)
    assert len(long.figure().axes[0].patches) == 4 * len(TEXT)  # bars


def test_letters_are_as_tall_as_their_values() -> None:
    from matplotlib.figure import Figure

    from seqdna.saliency.figure import with_matplotlib

    axes = Figure().subplots()
    with_matplotlib(axes, np.array([[1.0, 3.0, -2.0, 0.0]]), np.array([7]))
    boxes = sorted((box.y0, box.y1) for box in (patch.get_path().get_extents() for patch in axes.patches))
    np.testing.assert_allclose(boxes, [(-2, 0), (0, 1), (1, 4)], atol=1e-9)
    assert all(6.5 < box.x0 < box.x1 < 7.5 for box in (patch.get_path().get_extents() for patch in axes.patches))


def test_information_is_two_bits_less_the_entropy() -> None:
    from seqdna.saliency.figure import information

    heights = information(np.array([[1.0, 0, 0, 0], [0.25] * 4, [0.5, 0.5, 0, 0], [np.nan] * 4]))
    np.testing.assert_allclose(heights, [[2, 0, 0, 0], [0] * 4, [0.5, 0.5, 0, 0], [0] * 4], atol=1e-12)
