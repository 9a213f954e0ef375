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
        (GOOD, ("--mode", "probe", "--classifier", "conv"), "--classifier conv is for training"),
        (GOOD, ("--classifier", "conv", "--pooling", "max"), "--pooling max: --classifier conv pools in its own way"),
        (GOOD, ("--model", "caduceus_ph_debug", "--strand_specific"), "--strand_specific: caduceus_ph_debug reads one"),
        (GOOD, ("--mode", "probe", "--strand_specific"), "--strand_specific is for training"),
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
        ("sequence,label,split\nACGT,0,train\nAC,1,train\nA,2,test\n", (), "d.csv, line 4: no training row has the "
         "label '2'; mend the label, give training rows of this class, or remove the row"),
        ("sequence,label\nACGT,0.5\nAC,inf\nA,2.5\n", (), "d.csv, line 3: the label 'label' is 'inf', not a number as "
         "'0.5' is; mend it, or say --problem classification"),
        ("sequence,label,split\nACGT,0.5,train\nAC,1.5,train\nA,2.5,valid\nA,0.1,test\n", (), "all validation rows "
         "have one value of 'label', and --metric r2 needs different ones"),
        ("sequence,a,b,split\nACGT,0,1,train\nAC,1,0,train\nA,1,0,valid\nA,0,1,test\n", ("--labels", "a,b"), "every "
         "label is the same in all validation rows, and --metric auroc needs both values of one"),
        ('"sequence,label\nACGT,0\n', (), "d.csv, line 2: unexpected end of data; mend the quotes"),
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


def test_the_file_that_doubles_a_split_is_the_one_named(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d.csv").write_text("sequence,label,split\nACGT,0,train\nAC,1,train\nA,1,test\n")
    (tmp_path / "more.csv").write_text(GOOD)
    line = fails(capsys, "d.csv", "--valid", "more.csv", "--test", "more.csv", "--model", "caduceus_ps_debug")
    assert "d.csv says itself which rows are for test; leave out --test." in line


def test_layers_that_are_not_there_leave_no_folder(tmp_path, monkeypatch, capsys, pretrained) -> None:
    monkeypatch.chdir(tmp_path)
    write_rows(tmp_path / "d.csv", motif_rows(20))
    words = ("d.csv", "--model", str(pretrained), "--mode", "lora", "--lora_targets", "inproj", "--out", "run")
    assert "--lora_targets: Unknown linear layer 'inproj'. Did you mean 'in_proj'" in fails(capsys, *words)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("mode", [(), ("--mode", "probe")])
def test_a_sequence_longer_than_the_model_reads_is_named_before_anything_is_written(
    tmp_path, monkeypatch, capsys, mode
) -> None:
    monkeypatch.chdir(tmp_path)
    write_rows(tmp_path / "d.csv", [*motif_rows(20), ("ACGT" * 20, "1")])
    small = ("--model", "hyenadna_debug", "--model_options.mixer_options.l_max", "64", "--steps", "1")
    words = ("d.csv", *small, "--baselines", "false", "--out", "run", *mode)
    line = fails(capsys, *words)
    assert "d.csv, line 22: has 80 bases, and this model reads at most 64; cut it, or add --crop 64." in line
    assert not (tmp_path / "run").exists()
    assert main(["finetune", *words, "--crop", "64"]) == 0
    assert main(["predict", "run", "d.csv", "--out", "p.csv"]) == 0  # the crop is part of the model's folder
    (tmp_path / "run2").mkdir()
    write_rows(tmp_path / "e.csv", motif_rows(20))
    assert main(["finetune", "e.csv", *small, "--baselines", "false", "--out", "run2", *mode]) == 0
    capsys.readouterr()
    assert main(["predict", "run2", "d.csv", "--out", "q.csv"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "sequence 'line 22': has 80 bases, and this model reads at most 64" in line
    assert not (tmp_path / "q.csv").exists()


def test_what_is_not_ours_is_left_alone(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    write_rows(tmp_path / "d.csv", motif_rows(20))
    (tmp_path / "runs" / "precious").mkdir(parents=True)
    (tmp_path / "runs" / "precious" / "weights").write_text("mine")
    words = ("d.csv", "--model", "caduceus_ps_debug", "--steps", "1", "--baselines", "false", "--out", ".")
    for flags in ((), ("--overwrite",)):
        assert "holds no run, but runs, which one would write" in fails(capsys, *words, *flags)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d.csv", "runs"]
    assert (tmp_path / "runs" / "precious" / "weights").read_text() == "mine"
    (tmp_path / "runs").rename(tmp_path / "kept")
    (tmp_path / "predictions.csv").write_text("mine")
    assert "holds no run, but predictions.csv" in fails(capsys, *words)
    assert (tmp_path / "predictions.csv").read_text() == "mine"


def test_finished_seeds_of_a_killed_run_are_not_lost(tmp_path, monkeypatch, capsys) -> None:
    from seqdna.finetuning import run

    monkeypatch.chdir(tmp_path)
    write_rows(tmp_path / "d.csv", motif_rows(20))
    words = (
        "d.csv",
        "--model",
        "caduceus_ps_debug",
        "--steps",
        "1",
        "--baselines",
        "false",
        "--seeds",
        "2",
        "--out",
        "r",
    )

    def killed(*_words: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(run, "_result", killed)
        assert main(["finetune", *words]) == 130
    first = tmp_path / "r" / "runs" / "seed_0" / "result.json"
    capsys.readouterr()
    before = first.read_bytes()
    assert main(["finetune", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()  # a refusal is the first and only thing said
    assert "r already holds a run; add --resume or --overwrite" in line
    assert first.read_bytes() == before
    assert main(["finetune", *words, "--resume"]) == 0
    assert first.read_bytes() == before
    (tmp_path / "r" / "runs" / "notes").mkdir()
    assert main(["finetune", *words, "--seeds", "1", "--overwrite"]) == 0
    assert sorted(path.name for path in (tmp_path / "r" / "runs").iterdir()) == ["notes", "seed_0"]


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
