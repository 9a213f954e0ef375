"""`seqdna score-variants`: what it prints, what it refuses in one line, and its environment variables."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import seqdna
import seqsuite
from seqdna.cli import main
from seqdna.variants import all_snvs

TEXT = "ACGGTACGATATATATCGGCATTACGGATTACA"


@pytest.fixture
def here(kit, tmp_path, monkeypatch) -> Path:
    """A folder with two models, a genome and variants; the working folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    torch.manual_seed(0)
    for name in ("leave_one_out_debug", "caduceus_ps_debug"):
        seqsuite.create_model(name, vocab_size=12).save_pretrained(tmp_path / name)
    kit.write_fasta(tmp_path / "g.fa", {"chr1": TEXT})
    rows = [
        ("1", 5, ".", "C", "A"),
        ("1", 7, ".", "C", "A,<DEL>"),
        ("1", 9, ".", "ATAT", "AT"),
        ("1", 90, ".", "A", "C"),
    ]
    kit.write_vcf(tmp_path / "v.vcf", [(*row, ".", ".", ".") for row in rows])
    return tmp_path


WORDS = ["score-variants", "leave_one_out_debug", "g.fa", "--vcf", "v.vcf", "--window", "16", "--device", "cpu"]


def test_a_vcf(here, capsys) -> None:
    assert main([*WORDS, "--out", "o.vcf"]) == 0
    printed = capsys.readouterr()
    assert "wrote o.vcf: 4 records, 2 alleles scored" in printed.out
    assert printed.err.splitlines() == [
        "contig '1' of the VCF is 'chr1' of the FASTA",
        "REF differs from the FASTA: line 4: 1:5 C",
    ]
    rows = [line.split("\t") for line in Path("o.vcf").read_text().splitlines() if not line.startswith("#")]
    assert [row[1] for row in rows] == ["5", "7", "9", "90"]
    assert [row[6] for row in rows] == ["seqdna_ref_mismatch", ".", ".", "seqdna_outside_contig"]
    assert main([*WORDS, "--out", "o.vcf"]) == 2
    assert "o.vcf exists; add --overwrite" in capsys.readouterr().err
    assert main([*WORDS, "--out", "o.vcf", "--overwrite", "--json", "--allow-mismatch"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["alleles_scored"] == {"snv": 2, "deletion": 1}
    assert shown["ref_mismatches"] == ["line 4: 1:5 C"]
    beside = json.loads(Path("o.vcf.json").read_text())
    assert shown | {"fingerprint": beside["fingerprint"]} == {"out": "o.vcf", **beside}


def test_a_vcf_of_another_assembly_is_told(kit, here, capsys) -> None:
    rows = [("chr1", place, ".", "ACGT"["CGTA".index(TEXT[place - 1])], "N", ".", ".", ".") for place in range(3, 20)]
    kit.write_vcf(here / "v.vcf", rows)
    assert main([*WORDS, "--out", "o.tsv"]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 12
    assert lines[-2:] == [
        "REF differs from the FASTA: and more; see the .json file beside the output",
        "most REF alleles differ from the FASTA: is it the assembly the variants were called on?",
    ]


def test_shares_say_who_writes(here, capsys, monkeypatch) -> None:
    assert main([*WORDS, "--shard", "2/2", "--block-records", "1"]) == 0
    assert "share 2/2 is done; the last share to finish writes scored.vcf" in capsys.readouterr().out
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main([*WORDS, "--block_records", "1"]) == 0
    assert "wrote scored.vcf: 4 records" in capsys.readouterr().out
    # A share that starts when the others have finished finds its own job's file, not a stranger's.
    written = Path("scored.vcf").stat()
    assert main([*WORDS, "--block_records", "1"]) == 0
    assert "share 1/2 is done" in capsys.readouterr().out
    assert Path("scored.vcf").stat().st_mtime_ns == written.st_mtime_ns
    assert not list(here.glob("*.parts"))
    assert main([*WORDS, "--block_records", "2"]) == 2
    assert "scored.vcf exists; add --overwrite" in capsys.readouterr().err


def test_all_snvs(here, capsys) -> None:
    words = ["score-variants", "leave_one_out_debug", "g.fa", "--all-snvs", "--window", "16", "--out", "s.npy"]
    assert main([*words, "--overlap", "4"]) == 0
    assert f"wrote s.npy: {3 * len(TEXT)} variants" in capsys.readouterr().out
    expected = all_snvs(seqdna.load("leave_one_out_debug"), "g.fa", "t.npy", window=16, overlap=4)
    np.testing.assert_array_equal(np.load("s.npy"), np.load(expected.path))
    assert main([*words, "--overwrite", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["variants"] == 3 * len(TEXT)


def test_the_window_is_the_training_length_of_the_run(here, capsys) -> None:
    (here / "run").mkdir()
    (here / "caduceus_ps_debug").rename(here / "run" / "model")
    (here / "run" / "config.yaml").write_text("# A SeqSuite run.\nlength: 24\n")
    assert main(["score-variants", "run", "g.fa", "--vcf", "v.vcf", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["settings"]["window"] == 24


def test_environment_variables_have_underscores(here, capsys, monkeypatch) -> None:
    monkeypatch.setenv("SEQDNA_SCORE_VARIANTS__WINDOW", "18")
    assert main([*WORDS[:5], "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["settings"]["window"] == 18
    monkeypatch.setenv("SEQDNA_SCORE_VARIANTS__WINDOW", "wide")
    assert main([*WORDS[:5], "--json"]) == 2
    assert "from environment variable SEQDNA_SCORE_VARIANTS__WINDOW" in capsys.readouterr().err
    monkeypatch.setenv("SEQDNA_SCORE_VARIANTS__WINDOWS", "18")
    assert main([*WORDS[:5], "--json"]) == 2
    assert "unknown environment variable SEQDNA_SCORE_VARIANTS__WINDOWS" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["leave_one_out_debug", "g.fa"], "give either --vcf FILE or --all_snvs"),
        (["leave_one_out_debug", "g.fa", "--vcf", "v.vcf", "--all_snvs"], "give either --vcf FILE or --all_snvs"),
        (["leave_one_out_debug", "g.fa", "--all_snvs", "--method", "embedding"], "--method embedding is for --vcf"),
        (["leave_one_out_debug", "g.fa", "--all_snvs", "--window", "8", "--out", "x.vcf"], "must end in .npy"),
        (["leave_one_out_debug", "g.fa", "--all_snvs", "--method", "masked"], "use leave_one_out or embedding"),
        (["leave_one_out_debug", "g.fa", "--vcf", "v.vcf"], "give --window"),
        (
            ["leave_one_out_debug", "g.fa", "--vcf", "w.vcf", "--window", "16"],
            "w.vcf: no such file. Did you mean 'v.vcf'",
        ),
        (
            ["leave_one_out_debug", "h.fa", "--vcf", "v.vcf", "--window", "16"],
            "h.fa: no such file. Did you mean 'g.fa'",
        ),
        (["nowhere", "g.fa", "--vcf", "v.vcf"], "nowhere: there is no such folder"),
        (["leave_one_out_debug", "g.fa", "--vcf", "g.fa", "--window", "16"], "g.fa: not a VCF file but FASTA"),
        (["leave_one_out_debug", "v.vcf", "--vcf", "v.vcf", "--window", "16"], "v.vcf: not a FASTA file"),
        (["leave_one_out_debug", "g.fa", "--vcf", "v.vcf", "--method", "masked"], "use leave_one_out or embedding"),
        (["leave_one_out_debug", "g.fa", "--vcf", "v.vcf", "--shard", "3/2"], "--shard is '3/2'; give i/n"),
        (["leave_one_out_debug", "g.fa", "--vcf", "v.vcf", "--batch_tokens", "0"], "--batch_tokens is 0"),
        (["leave_one_out_debug", "g.fa", "--vcf", "v.vcf", "--device", "abacus"], "device 'abacus'"),
        (["leave_one_out_debug", "g.fa", "--vcf", "v.vcf", "--windw", "9"], "Did you mean '--window'"),
    ],
)
def test_bad_input_is_one_line(here, capsys, words, message) -> None:
    code = main(["score-variants", *(["--window", "16"] if "--method" in words else []), *words])
    assert code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert not list(here.glob("*.parts"))


def test_variants_out_of_order_are_one_line(kit, here, capsys) -> None:
    kit.write_vcf(here / "v.vcf", [("chr1", place, ".", "A", "C", ".", ".", ".") for place in (9, 2)])
    assert main(WORDS) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "v.vcf, line 5: position 2 comes after 9 on 'chr1'; sort the file" in line
    assert main([*WORDS, "--unsorted"]) == 0
