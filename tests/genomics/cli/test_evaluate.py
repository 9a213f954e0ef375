"""`seqdna evaluate`: a trained model on any genome, and what it says of bad input."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

import seqdna
import seqsuite
from seqdna.cli import main
from seqdna.configs.evaluate import EvaluateConfig
from seqdna.evaluation import evaluate
from seqdna.tokenizers import NucleotideTokenizer
from seqsuite.errors import UserError


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model")
    seqsuite.create_model("mamba_dna_debug", d_model=8, n_layer=1, vocab_size=12).save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def genome(tmp_path_factory) -> Path:
    draws = np.random.default_rng(0).integers(0, 4, 300)
    path = tmp_path_factory.mktemp("genome") / "g.fa"
    text = "".join("ACGT"[i] for i in draws)
    path.write_text(f">one\n{text[:200]}\n>two\n{text[200:].lower()}NNNN\n")
    return path


def test_bits_are_the_models_own(folder, genome) -> None:
    """Every base of a region, each from all before it in the record: what `bits` of the whole says."""
    model = seqdna.load(folder)
    result = evaluate(model, genome, region="two", sites=1000, length=104)
    assert len(result.bits) == 99  # the first base has nothing before it
    place = result.sites.coordinate - 200
    from seqdna.data import read_fasta

    text = dict(read_fasta(genome))["two"].decode()
    np.testing.assert_allclose(result.bits, model.bits(text).bits[place], atol=1e-5)
    assert result.census["lower_case"] == 100
    assert "data:image" in result._repr_html_()
    rows = {row["base"]: row for row in result.table()}
    assert rows["all"]["positions"] == sum(rows[base]["positions"] for base in "ACGT")


def test_command_prints_and_prints_json(folder, genome, capsys) -> None:
    words = ["evaluate", str(folder), "--fasta", str(genome), "--length", "20", "--sites", "50"]
    assert main(words) == 0
    assert "4 n" in capsys.readouterr().out
    assert main([*words, "--region", "one:1-100", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["objective"] == "causal_lm"
    assert told["length"] == 20
    assert math.isfinite(told["bits_per_base"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--region", "onee"], "Did you mean 'one'"),
        (["--region", "one:x"], "write it as one:START-END, 1-based with both ends"),
        (["--region", "one:9-5"], "one:9-5: not within one"),
        (["--region", "one:1-999"], "not within one, which has the bases 1 to"),
        (["--region", "one:1-10"], "choose a smaller --length"),
        (["--sites", "0"], "--sites is 0"),
        (["--fasta", "nothing.fa"], "no such file"),
        (["--length", "5000"], "choose a smaller --length"),
    ],
)
def test_bad_input_is_one_line(folder, genome, capsys, words, message) -> None:
    assert main(["evaluate", str(folder), "--fasta", str(genome), "--length", "20", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_errors_of_a_region_name_the_genome(folder, genome, capsys) -> None:
    assert main(["evaluate", str(folder), "--fasta", str(genome), "--length", "20", "--region", "chrX"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{genome}: --region: unknown record 'chrX'" in line


def test_one_base_has_no_standard_error_and_its_json_is_json(folder, genome, capsys) -> None:
    def refuse(word: str) -> float:
        raise AssertionError(word)

    assert main(["evaluate", str(folder), "--fasta", str(genome), "--length", "20", "--sites", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out, parse_constant=refuse)["bits_standard_error"] is None


def test_a_classifier_predicts_no_bases(genome, tmp_path, capsys) -> None:
    seqsuite.create_model("caduceus_ps_debug", head="sequence_classification").save_pretrained(tmp_path / "c")
    assert main(["evaluate", str(tmp_path / "c"), "--fasta", str(genome)]) == 2
    assert "sequence_classification" in capsys.readouterr().err


def test_the_default_length_is_positive() -> None:
    with pytest.raises(UserError, match="--length is -1"):
        EvaluateConfig(run="x", length=-1)


def test_a_window_longer_than_the_model_reads(genome, tmp_path, capsys) -> None:
    model = seqsuite.create_model("hyenadna_debug", vocab_size=12, mixer_options={"l_max": 16})
    model.save_pretrained(tmp_path / "h")
    (tmp_path / "h" / "tokenizer.json").write_text(json.dumps(NucleotideTokenizer().to_dict()))
    assert main(["evaluate", str(tmp_path / "h"), "--fasta", str(genome), "--length", "20"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "--length is 20, and this model reads at most 16 bases" in line
