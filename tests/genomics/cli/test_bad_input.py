"""The bad input that users meet first: exit code 2, and one line with file, line or record, and what to do."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

import seqsuite
from seqdna.cli import main

MODEL = "caduceus_ps_debug"
PRETRAIN = ("pretrain", "--model", MODEL, "--steps", "1", "--length", "32", "--out", "run", "--fasta")
FINETUNE = ("finetune", "--steps", "1", "--out", "run", "--model")
SCORE = ("score-variants", "model", "good.fa", "--window", "16", "--out", "scored.vcf", "--vcf")
EMBED = ("embed", "model", "good.fa", "--out", "v.npz", "--bed")
SEQUENCE = "ACGTTGCA" * 40
HEADER = "##fileformat=VCFv4.3\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
ROWS = "sequence,label\n" + "ACGT,0\nTTTT,1\n" * 8

FILES: dict[str, str | bytes] = {
    "good.fa": f">chr1\n{SEQUENCE}\n",
    "empty.fa": "",
    "twice.fa": f">a\n{SEQUENCE}\n>a\n{SEQUENCE}\n",
    "short.fa": ">tiny\nACGTACGTAC\n",
    "binary.fa": bytes(range(256)) * 8,
    "cut.fa.gz": gzip.compress(f">a\n{SEQUENCE}\n".encode(), mtime=0)[:-9],
    "cut.vcf.gz": gzip.compress((HEADER + "chr1\t1\t.\tA\tC\t.\t.\t.\n").encode(), mtime=0)[:-9],
    "far.bed": "chr1\t0\t20\nchr1\t300\t400\n",
    "far.labels.bed": "chrom\tstart\tend\tlabel\nchr1\t0\t20\t1\nchr1\t300\t400\t0\n",
    "other.bed": "Chr_1\t0\t20\n",
    "plain.labels.bed": "chrom\tstart\tend\tlabel\n1\t0\t20\t1\n",
    "other.vcf": HEADER + "chr11\t1\t.\tA\tC\t.\t.\t.\n",
    "unsorted.vcf": HEADER + "".join(f"chr1\t{place}\t.\tA\tC\t.\t.\t.\n" for place in (9, 1)),
    "missing.csv": "sequence,label\nACGT,0\nACGA,\n",
    "one_class.csv": "sequence,label\nACGT,0\nACGA,0\n",
    "no_label.csv": "sequence,lable\nACGT,0\n",
    "good.csv": ROWS,
}

CASES = {
    "empty FASTA": ((*PRETRAIN, "empty.fa"), "empty.fa: the file is empty; write or download it again"),
    "record names twice": ((*PRETRAIN, "twice.fa"), "twice.fa, line 3: the record name 'a' was used at line 1; rename"),
    "record shorter than the window": ((*PRETRAIN, "short.fa"), "short.fa, the training part: ", "(record 'tiny'); "
     "choose a smaller --length"),
    "binary garbage": ((*PRETRAIN, "binary.fa"), "binary.fa: not a FASTA file (binary data at line 1); give FASTA"),
    "truncated FASTA": ((*PRETRAIN, "cut.fa.gz"), "cut.fa.gz: ", "the file is truncated, copy or download it again"),
    "truncated VCF": ((*SCORE, "cut.vcf.gz"), "cut.vcf.gz: ", "the file is truncated, copy or download it again"),
    "BED beyond the contig": ((*EMBED, "far.bed"), "far.bed, line 2: chr1:300-400 reaches beyond the record 'chr1', "
     "which has 320 bases; mend the interval"),
    "labelled BED beyond the contig": ((*FINETUNE, MODEL, "--genome", "good.fa", "far.labels.bed"),
     "far.labels.bed, line 3: chr1:300-400 lies outside of 'chr1', which has 320 bases; mend the interval"),
    "BED of other names": ((*EMBED, "other.bed"), "other.bed, line 1: unknown record 'Chr_1'. Did you mean 'chr1'?"),
    "labelled BED of other names": ((*FINETUNE, MODEL, "--genome", "good.fa", "plain.labels.bed"),
     "plain.labels.bed, line 2: good.fa has no sequence '1'. Did you mean 'chr1'?"),
    "VCF of other names": ((*SCORE, "other.vcf"), "other.vcf: none of its contigs (chr11) is a record of good.fa. "
     "Did you mean 'chr1'?"),
    "VCF out of order": ((*SCORE, "unsorted.vcf"), "unsorted.vcf, line 4: position 1 comes after 9 on 'chr1'; sort"),
    "a label is missing": ((*FINETUNE, MODEL, "missing.csv"), "missing.csv, line 3: the label 'label' is missing; "
     "fill it in"),
    "labels are missing": ((*FINETUNE, MODEL, "no_label.csv"), "no_label.csv: there is no label column", "name it with "
     "--labels. Did you mean 'lable'?"),
    "one class": ((*FINETUNE, MODEL, "one_class.csv"), "one_class.csv: all 2 rows have the label '0'; ", "add rows"),
    "checkpoint of another domain": ((*FINETUNE, "text", "good.csv"), "text: holds a MixerLM, which is no genome model "
     "of seqdna; give the folder of a run or model of seqdna"),
    "another tokenizer": ((*FINETUNE, "words", "good.csv"), "words/tokenizer.json: does not match the checkpoint: it "
     "has 7 tokens, but the checkpoint's embedding has 16 rows; give the tokenizer that belongs to these weights"),
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All files of `FILES` beside three models: a sound one, one of text, and one with the tokenizer of another."""
    path = tmp_path_factory.mktemp("bad")
    for name, content in FILES.items():
        (path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    for name in ("model", "words"):
        seqsuite.create_model(MODEL).save_pretrained(path / name)
    seqsuite.create_model("mamba_lm_debug").save_pretrained(path / "text")
    tokens = ["[PAD]", "[MASK]", "[UNK]", "A", "C", "G", "T"]
    (path / "words" / "tokenizer.json").write_text(json.dumps({"type": "nucleotide", "tokens": tokens}))
    return path


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_one_line(folder, monkeypatch, capsys, case) -> None:
    monkeypatch.chdir(folder)
    words, *parts = CASES[case]
    before = sorted(folder.iterdir())
    assert main(list(words)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"seqdna: {parts[0]}")
    assert all(part in line for part in parts), line
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize("verb", [
    ("embed", "MODEL", "good.fa", "--out", "v.npz"),
    ("score-variants", "MODEL", "good.fa", "--vcf", "unsorted.vcf", "--window", "16", "--unsorted"),
    ("saliency", "MODEL", "--sequence", "ACGTACGT"),
    ("generate", "MODEL", "--prompt", "ACGN"),
    ("evaluate", "MODEL", "--fasta", "good.fa", "--length", "16"),
    ("predict", "MODEL", "good.csv"),
    ("benchmark-variants", ".", "MODEL", "--genome", "good.fa"),
    ("export", "MODEL", "exported"),
    ("verify", "MODEL"),
], ids=lambda words: words[0])  # fmt: skip
@pytest.mark.parametrize(("model", "message"), [("text", "no genome model"), ("words", "7 tokens")])
def test_every_command_refuses_such_a_model(folder, monkeypatch, capsys, verb, model, message) -> None:
    monkeypatch.chdir(folder)
    before = sorted(folder.iterdir())
    assert main([model if word == "MODEL" else word for word in verb]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"seqdna: {model}")
    assert message in line
    assert "; give the " in line
    assert sorted(folder.iterdir()) == before
