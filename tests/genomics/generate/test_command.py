"""`seqdna generate`."""

from __future__ import annotations

import json

import pytest
import torch

import seqdna
import seqsuite
from seqdna.cli import main


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    for name in ("mamba_dna_debug", "caduceus_ps_debug", "mamba_lm_debug"):
        seqsuite.create_model(name).save_pretrained(folder / name)
    seqsuite.create_model("caduceus_ps_debug", head="none").save_pretrained(folder / "headless")
    return folder


def test_to_standard_output_a_file_and_json(models, tmp_path, capsys) -> None:
    words = [
        "generate",
        str(models / "mamba_dna_debug"),
        "--prompt",
        "ACGT",
        "--n",
        "2",
        "--length",
        "90",
        "--seed",
        "3",
    ]
    assert main(words) == 0
    fasta = capsys.readouterr().out
    expected = seqdna.load(models / "mamba_dna_debug").generate({"prompt": "ACGT"}, n=2, length=90, seed=3)
    assert fasta == expected.fasta()
    out = tmp_path / "g.fa"
    assert main([*words, "--out", str(out)]) == 0
    assert out.read_text() == fasta
    assert main([*words, "--out", str(out)]) == 2
    assert main([*words, "--out", str(out), "--overwrite", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out.partition("\n")[2])
    assert [one["sequence"] for one in printed["sequences"]] == list(expected.sequences)


def test_records_of_a_fasta_file(models, tmp_path, capsys) -> None:
    (tmp_path / "p.fa").write_text(">a\nACGTNNNNACGT\n>b\nNAC\n")
    assert main(["generate", str(models / "caduceus_ps_debug"), "--fasta", str(tmp_path / "p.fa"), "--json"]) == 0
    first, second = json.loads(capsys.readouterr().out)["sequences"]
    assert (first["name"], len(first["new"]), second["name"], len(second["new"])) == ("a_1", 4, "b_1", 1)
    assert first["sequence"] == "ACGT" + first["new"] + "ACGT"
    assert main(["generate", str(models / "mamba_dna_debug"), "--fasta", str(tmp_path / "p.fa"), "--length", "5"]) == 0
    assert capsys.readouterr().out.count(">") == 2


def test_a_prompt_that_yaml_would_read_as_no(models, capsys) -> None:
    assert main(["generate", str(models / "caduceus_ps_debug"), "--prompt", "N"]) == 0
    assert len(capsys.readouterr().out.splitlines()[1]) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["caduceus_ps_debug", "--prompt", "ACGT"], "cannot continue a sequence; mark the bases to write with _"),
        (["caduceus_ps_debug"], "no base to fill in"),
        (["mamba_dna_debug", "--prompt", "AC__"], "_ marks bases to fill in"),
        (["mamba_dna_debug", "--steps", "3"], "--steps and --sweeps are for filling"),
        (["caduceus_ps_debug", "--prompt", "A_C", "--mode", "recompute"], "--mode is for causal models"),
        (["mamba_dna_debug", "--prompt", "ACXT"], "'X' at position 2 is no nucleotide code"),
        (["headless", "--prompt", "ACGT"], "head 'none' and predicts no bases"),
        (["mamba_lm_debug", "--prompt", "ACGT"], "holds a MixerLM, which is no genome model"),
        (["nowhere", "--prompt", "ACGT"], "there is no such folder"),
        (["mamba_dna_debug", "--prompt", "A", "--fasta", "p.fa"], "cannot be given together"),
        (["mamba_dna_debug", "--fasta", "empty.fa"], "empty.fa: the file is empty"),
        (["mamba_dna_debug", "--fasta", "missing.fa"], "missing.fa: no such file"),
        (["mamba_dna_debug", "--top_k", "9"], "--top-k is 9"),
        (["mamba_dna_debug", "--temperature", "-1"], "--temperature is -1"),
        (["mamba_dna_debug", "--seed", "-1"], "--seed is -1"),
        (["mamba_dna_debug", "--out", "empty.fa"], "empty.fa exists; add --overwrite"),
        (["mamba_dna_debug", "--out", "no/g.fa"], "there is no folder no"),
        (["mamba_dna_debug", "--lenght", "5"], "Did you mean '--length'"),
    ],
)
def test_bad_input_is_one_line(models, tmp_path, monkeypatch, capsys, words, message) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.fa").touch()
    assert main(["generate", str(models / words[0]), *words[1:]]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
