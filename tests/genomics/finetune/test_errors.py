"""What the user can mend ends as one line that names file and row, and exit code 2."""

from __future__ import annotations

import gzip
import json
import shutil

import pytest

import seqsuite
from seqdna.cli import main

from .conftest import motif_rows, write_rows

GOOD = "sequence,label\nACGT,0\nACGG,1\nACGA,0\nACCC,1\nAGGG,0\nATTT,1\nAAAA,0\nGGGG,1\nCCCC,0\nTTTT,1\n"


def fails(capsys, *words: str) -> str:
    assert main(["finetune", *words]) == 2
    (line,) = [text for text in capsys.readouterr().err.splitlines() if text.startswith("seqdna: ")]
    return line


@pytest.mark.parametrize(
    ("text", "flags", "message"),
    [
        ("sequence,label\nACGT,0\nAC,\nGG,1\n", (), "d.csv, line 3: the label 'label' is missing"),
        ("sequence,label\nACGT,0\nAC,0\n", (), "d.csv: all 2 rows have the label '0'"),
        ("sequens,label\nACGT,0\n", (), "d.csv: there is no sequence column ('sequence' or 'seq'); name it with "
         "--sequence_column. Did you mean 'sequens'?"),
        ("sequence,lable\nACGT,0\n", (), "d.csv: there is no label column ('label' or 'labels'); name it with "
         "--labels. Did you mean 'lable'?"),
        ("sequence,label\nACGT,0\n,1\n", (), "d.csv, line 3: the sequence is empty"),
        ("sequence,label\nACGT,0\nAC!T,1\n", (), "d.csv, line 3: '!' at position 2 of the sequence is no nucleotide"),
        ("sequence,label\nMKLV,0\nACT,1\n", (), "d.csv, line 2: 'L' at position 2"),
        ("sequence,label,split\nACGT,0,train\nAC,1,tset\n", (), "d.csv, line 3: the split is 'tset'; it must be train, "
         "valid or test. Did you mean 'test'"),
        ("sequence,label,split\nACGT,0,test\nAC,1,test\n", (), "d.csv: no row is for training"),
        (GOOD, ("--folds", "6"), "d.csv: the class '0' has 5 rows, fewer than --folds 6"),
        (GOOD, ("--labels", "labl"), "--labels: Unknown column 'labl'. Did you mean 'label'?"),
        (GOOD, ("--sequence_column", "seqence"), "--sequence_column: Unknown column 'seqence'. Did you mean 'sequ"),
        (GOOD, ("--labels", "label,label"), "--labels names a column twice"),
        (GOOD, ("--problem", "multi_label", "--metric", "mcc"), "Unknown --metric of a multi-label problem 'mcc'"),
        (GOOD, ("--pooling", "meen"), "Unknown --pooling 'meen'. Did you mean 'mean'?"),
        (GOOD, ("--pooling", "mean+max"), "several poolings together are for --mode probe"),
        (GOOD, ("--mode", "lora"), "--mode lora needs a pretrained model"),
        (GOOD, ("--conjoin",), "--conjoin: caduceus_ps_debug reads both strands already"),
        (GOOD, ("--folds", "0"), "--folds is 0; it must be at least 1"),
        (GOOD, ("--valid_fraction", "1.5"), "--valid_fraction is 1.5"),
        (GOOD, ("--epochs", "0"), "--epochs is 0"),
        (GOOD, ("--test", "none.csv"), "none.csv: no such file"),
        ("sequence,label\nACGT,0\nAC,x,1\n", (), "d.csv, line 3: has 3 cells, the header has 2"),
        ("sequence,label\n", (), "d.csv: the table has a header and no rows"),
        ("", (), "d.csv: the file is empty"),
        ("sequence,label,label\nA,1,2\n", (), "the column 'label' is there twice"),
        ("chrom,start,end,label\nchr1,0,4,1\n", (), "d.csv: holds coordinates; name the FASTA file of the genome"),
        ("sequence,label,split\nACGT,0,train\nAC,1,train\nA,1,valid\nA,1,test\n", ("--metric", "auroc"), "no "
         "validation row is of the class '0', and --metric auroc needs all classes"),
        ("sequence,label\nACGT,0.5\nAC,0.5\n", (), "d.csv: all 2 rows have the same value"),
        ("sequence,label\nACGT,0.5\nAC,inf\nA,2.5\n", ("--problem", "regression"), "line 3: the label 'label' is"),
        ("sequence,a,b\nACGT,0,2\nAC,1,1\n", ("--labels", "a,b", "--problem", "multi_label"), "line 2: the label 'b' "
         "is '2', not 0 or 1"),
        ("sequence,a,b\nACGT,0,2\nAC,1,1\n", ("--labels", "a,b", "--problem", "classification"), "one label column"),
    ],
)  # fmt: skip
def test_data(tmp_path, monkeypatch, capsys, text, flags, message) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d.csv").write_text(text)
    line = fails(capsys, "d.csv", "--model", "caduceus_ps_debug", "--out", "run", *flags)
    assert message in line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("d.csv.gz", gzip.compress(GOOD.encode(), mtime=0)[:-9], "the gzip data ends too early"),
        ("d.csv", b"\xff\xfe\x00binary", "not a table but binary data"),
        ("d.fna", b">a\nACGT\n", "d.fna, line 1: the header has no label; write it as '>name|label'"),
        ("d.fna", b">a|1\n>b|0\nACGT\n", "line 1: a: the sequence"),
        ("d.parquet", b"no parquet", "d.parquet"),
    ],
)
def test_files(tmp_path, monkeypatch, capsys, name, content, message) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(content)
    assert message in fails(capsys, name, "--model", "caduceus_ps_debug", "--out", "run")


def test_intervals(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "g.fa").write_text(">chr1\nACGTACGT\n")
    flags = ("--genome", "g.fa", "--model", "caduceus_ps_debug", "--out", "run")
    (tmp_path / "d.bed").write_text("chromosome\tstart\tend\tlabel\nchr1\t0\t4\t1\n1\t0\t4\t0\n")
    assert "d.bed, line 3: g.fa has no sequence '1'. Did you mean 'chr1'?" in fails(capsys, "d.bed", *flags)
    (tmp_path / "d.bed").write_text("chromosome\tstart\tend\tlabel\nchr1\t0\t9\t1\n")
    assert "d.bed, line 2: chr1:0-9 lies outside of 'chr1', which has 8 bases" in fails(capsys, "d.bed", *flags)
    (tmp_path / "d.bed").write_text("chr1\t0\t9\tyes\n")
    assert "d.bed, line 1" in fails(capsys, "d.bed", *flags)


def test_models(tmp_path, monkeypatch, capsys, pretrained) -> None:
    monkeypatch.chdir(tmp_path)
    write_rows(tmp_path / "d.csv", motif_rows(20))
    assert "--model is missing" in fails(capsys, "d.csv")
    assert "Did you mean 'caduceus_ps_debug'" in fails(capsys, "d.csv", "--model", "caduceus_ps_debgu")
    assert "no genome model" in fails(capsys, "d.csv", "--model", "mamba_lm_debug")
    (tmp_path / "empty").mkdir()
    assert "empty holds no model" in fails(capsys, "d.csv", "--model", "empty")
    seqsuite.create_model("mamba_lm_debug").save_pretrained(tmp_path / "words")
    assert "which is no genome model of seqdna" in fails(capsys, "d.csv", "--model", "words")
    shutil.copytree(pretrained, tmp_path / "other")
    settings = json.loads((tmp_path / "other" / "tokenizer.json").read_text())
    (tmp_path / "other" / "tokenizer.json").write_text(json.dumps({**settings, "tokens": settings["tokens"][:-1]}))
    line = fails(capsys, "d.csv", "--model", "other")
    assert "other: " in line
    assert "11 tokens, the model 12" in line
    tokens = settings["tokens"]
    (tmp_path / "other" / "tokenizer.json").write_text(
        json.dumps({**settings, "tokens": [*tokens[:7], "A", "G", "C", "T", "N"][:7] + ["A", "T", "C", "G", "N"]})
    )
    assert "it pairs the bases otherwise than the checkpoint's complement table" in fails(
        capsys, "d.csv", "--model", "other"
    )


def test_predict(tmp_path, monkeypatch, capsys, pretrained) -> None:
    monkeypatch.chdir(tmp_path)
    write_rows(tmp_path / "d.csv", motif_rows(20))

    def told(*words: str) -> str:
        assert main(["predict", *words]) == 2
        return capsys.readouterr().err

    assert "holds no head.json" in told(str(pretrained), "d.csv")
    assert "must end in .csv" in told(str(pretrained), "d.csv", "--out", "x.txt")
    assert "no such folder" in told("nowhere", "d.csv")
    (tmp_path / "p.csv").write_text("")
    assert "--overwrite" in told(str(pretrained), "d.csv", "--out", "p.csv")
