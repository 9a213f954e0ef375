"""`seqdna benchmark-variants`: what it prints, writes and refuses."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

import seqsuite
from seqdna.plugin import plugin
from seqsuite.cli import run

VERB = "benchmark-variants"
ROW = {VERB: "seqdna.cli.variant_benchmark:benchmark_variants"}


def main(words: list[str]) -> int:
    return run(dataclasses.replace(plugin, commands={**plugin.commands, **ROW}), words)


@pytest.fixture
def words(kit, rows, fasta, tmp_path, monkeypatch) -> list[str]:
    """A folder with a model and a BEND set, the working folder; the command that scores it."""
    import torch

    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    seqsuite.create_model("caduceus_ps_debug", vocab_size=12).save_pretrained(tmp_path / "model")
    kit.write_bend(tmp_path / "sets", rows)
    return [VERB, "sets", "model", "--genome", str(fasta), "--window", "32", "--device", "cpu"]


def test_a_table_and_files(words, rows, capsys) -> None:
    assert main([*words, "--out", "result"]) == 0
    printed = capsys.readouterr().out
    assert "variant_effects_expression" in printed
    assert "windows of 32 bases (the suite's context: 256 on either side" in printed
    lines = [line.split("\t") for line in Path("result/variant_effects_expression.scores.tsv").read_text().splitlines()]
    assert lines[0] == ["chrom", "pos", "ref", "alt", "label", "cosine distance at the variant"]
    assert [(cells[0], int(cells[1])) for cells in lines[1:]] == [(f"chr{row.chrom}", row.pos) for row in rows]
    value = roc_auc_score([cells[4] == "True" for cells in lines[1:]], [float(cells[5]) for cells in lines[1:]])
    summary = json.loads(Path("result/summary.json").read_text())
    (metric,) = summary["tasks"][0]["metrics"]
    assert metric["metric"] == "AUROC"
    assert metric["value"] == pytest.approx(value)
    assert f"{value:.4f}" in printed
    assert "image/svg+xml" in Path("result/report.html").read_text()
    assert main([*words, "--out", "result"]) == 2
    assert "result already holds a benchmark; add --overwrite" in capsys.readouterr().err
    assert main([*words, "--out", "result", "--overwrite"]) == 0


def test_json_and_what_was_left_out(kit, rows, words, capsys) -> None:
    broken = [dataclasses.replace(rows[0], chrom="other"), *rows[1:]]
    kit.write_bend(Path("sets"), broken)
    assert main([*words, "--unscorable", "skip", "--json"]) == 0
    printed = capsys.readouterr()
    (task,) = json.loads(printed.out)["tasks"]
    assert task["variants"] == 63
    assert task["left_out"] == {"the contig is not in the FASTA": 1}
    assert "left out: sets/variant_effects_expression.bed, line 2: chrother:" in printed.err
    assert np.isfinite(task["metrics"][0]["value"])


def one_line(capsys) -> str:
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_refusals_are_one_line_and_code_two(kit, rows, words, capsys, monkeypatch) -> None:
    sets = Path("sets")
    turned = {"A": "C", "C": "G", "G": "T", "T": "A"}
    kit.write_bend(sets, [dataclasses.replace(row, ref=turned[row.ref], alt=row.ref) for row in rows])
    assert main(words) == 2
    assert "REF differs from the FASTA. 64 of 64 variants cannot be scored (64 ref_mismatch)" in one_line(capsys)
    kit.write_bend(sets, [dataclasses.replace(row, chrom=f"_{row.chrom}") for row in rows])
    assert main(words) == 2
    assert "the contig is not in the FASTA. Did you mean 'chr1'" in one_line(capsys)
    path = kit.write_bend(sets, rows)
    path.write_text(path.read_text().replace("\tlabel\t", "\tlable\t", 1))
    assert main(words) == 2
    assert "there is no column 'label'. Did you mean 'lable'" in one_line(capsys)
    kit.write_bend(sets, rows)
    assert main([*words[:3], *words[5:]]) == 2
    assert "--genome is missing" in one_line(capsys)
    assert main([*words, "--only", "[variant_effects_diseas]"]) == 2
    assert "--only: Unknown data set" in one_line(capsys)
    assert main([*words, "--subset", "disease"]) == 2
    assert "which has no subsets" in one_line(capsys)
    path.unlink()
    kit.write_traitgym(sets, rows)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert main(words) == 2
    assert "reading Parquet needs pyarrow" in one_line(capsys)


def test_the_command_and_its_options_load_no_torch() -> None:
    code = (
        "import sys, seqdna.cli.variant_benchmark, seqdna.configs.variant_benchmark, seqdna.variant_benchmarks; "
        "assert not {'torch', 'sklearn', 'pyarrow', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_help(capsys) -> None:
    assert main([VERB, "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "TraitGym, BEND or DART-Eval task 5" in shown
    assert "--unscorable" in shown
