"""`seqdna pretrain` through its command line: what it leaves behind, and what it says of bad input."""

from __future__ import annotations

import gzip
import hashlib
import json
import math
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from seqdna.cli import main


def said(capsys) -> str:
    """The one line on stderr."""
    lines = capsys.readouterr().err.splitlines()
    wrong = [line for line in lines if line.startswith("seqdna: ")]
    assert len(wrong) == 1, lines
    assert lines[-1] == wrong[0]
    return wrong[0]


def sha256(folder: Path) -> str:
    return hashlib.sha256((folder / "model" / "model.safetensors").read_bytes()).hexdigest()


def test_a_run_leaves_what_it_promises(flags, tmp_path, capsys) -> None:
    assert main(["pretrain", *flags]) == 0
    told = capsys.readouterr().out
    folder = tmp_path / "run"
    for name in ("config.yaml", "command.txt", "environment.json", "metrics.csv", "summary.json", "report.html"):
        assert (folder / name).stat().st_size > 0, name
    assert list((folder / "tensorboard").iterdir())
    assert list((folder / "checkpoints").glob("step-*.ckpt"))
    for name in ("config.json", "model.safetensors", "tokenizer.json", "README.md"):
        assert (folder / "model" / name).stat().st_size > 0, name
    summary = json.loads((folder / "summary.json").read_text())
    assert {
        "bits_per_base",
        "bits_standard_error",
        "markov",
        "two_sided",
        "pooled",
        "tokens_per_second",
        "seconds",
    } <= set(summary)
    assert set(summary["markov"]) == {str(k) for k in range(13)}
    assert set(summary["two_sided"]) == {str(k) for k in range(7)}
    assert 0 < summary["bits_standard_error"] < 1
    # A base that repeats its neighbour two times in three: 1 bit is there to find for a two-sided count, at least.
    assert summary["block"]["two_sided"]["3"] < summary["block"]["markov"]["0"] - 0.2
    report = (folder / "report.html").read_text()
    assert "http://" not in report.replace("http://www.w3.org", "")
    assert "Held-out bits per base" in report
    assert f"{summary['bits_per_base']:.4f}" in told
    commands = told.partition("Try next:")[2].strip().splitlines()
    assert len(commands) == 3


def test_the_same_command_gives_the_same_weights_and_numbers(flags, tmp_path) -> None:
    runs = []
    for name in ("a", "b"):
        assert main(["pretrain", *flags, "--baselines", "false", "--out", str(tmp_path / name)]) == 0
        summary = json.loads((tmp_path / name / "summary.json").read_text())
        runs.append((sha256(tmp_path / name), summary["bits_per_base"], summary["bits_at_mask_rate"]))
    assert runs[0] == runs[1]


def test_packed_and_plain_genomes_are_the_same_run(flags, small_genome, tmp_path) -> None:
    packed = tmp_path / "small.fa.gz"
    packed.write_bytes(gzip.compress(small_genome.read_bytes()))
    for name, fasta in (("plain", small_genome), ("packed", packed)):
        words = [*flags, "--baselines", "false", "--fasta", str(fasta), "--out", str(tmp_path / name)]
        assert main(["pretrain", *words]) == 0
    assert sha256(tmp_path / "plain") == sha256(tmp_path / "packed")


def test_without_baselines_the_summary_says_so(flags, tmp_path) -> None:
    assert main(["pretrain", *flags, "--baselines", "false"]) == 0
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["pooled"] is None
    assert summary["markov"] == {}
    assert math.isfinite(summary["bits_per_base"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        (b"", "the file is empty"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "not a FASTA file"),
        (b"ACGTACGT\n", "line 1: not a FASTA file"),
        (b"@read\nACGT\n+\nIIII\n", "not a FASTA file"),
        (b">a\nMKLVFFAE\n", "is no nucleotide code"),
        (b">a\n>b\nACGT\n", "line 1"),
        (b">a\nACGT\n>a\nACGT\n", "line 3: the record name 'a' was used at line 1"),
        (b">a\nACGTACGTAC\n", "choose a smaller --length"),
        (gzip.compress(b">a\n" + b"ACGT" * 5000, mtime=0)[:-30], "truncated"),
        (bytes(range(256)) * 20, "bad.fa"),
    ],
)
def test_a_bad_genome_is_one_line(flags, tmp_path, capsys, content, message) -> None:
    path = tmp_path / "bad.fa"
    if content is not None:
        path.write_bytes(content)
    assert main(["pretrain", *flags, "--fasta", str(path)]) == 2
    line = said(capsys)
    assert "bad.fa" in line
    assert message in line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--length", "4000"], "choose a smaller --length"),
        (["--model", "caduceus_pss_debug"], "Did you mean 'caduceus_ps_debug'"),
        (["--model", "mamba_lm_debug"], "--model mamba_lm_debug is no genome model"),
        (["--model_options.head", "sequence_classification"], "has the head 'sequence_classification'"),
        (["--valid_fraction", "0.001"], "the validation block (--valid_fraction)"),
        (["--model_options.d_modle", "3"], "Did you mean 'd_model'"),
        (["--modle", "x"], "Did you mean '--model'"),
        (["--mask_rate", "1.5"], "--mask_rate is 1.5"),
        (["--steps", "0"], "steps is 0"),
        (["--eval_sites", "0"], "--eval_sites is 0"),
        (["--test_fraction", "0.9", "--valid_fraction", "0.2"], "must be at least 0 and sum to less than 1"),
        (["--batch_size", "3", "--accumulate", "2"], "batch_size 3"),
        (["--devices", "banana"], "banana"),
        (["--resume"], "holds no run to resume"),
        (["--stages", "8:0.5,banana"], "'banana' is no length:share"),
        (["--stages", "8:0.5,32:0.4"], "the shares 0.5 + 0.4 must sum to 1"),
        (["--stages", "8:0.5,0:0.5"], "'0:0.5' is no length:share"),
        (["--stages", "8:0.5,64:0.5"], "64 is longer than --length 32"),
        (["--stages", "12:0.5,32:0.5"], "12 does not divide --length 32"),
        (["--stages", "8:0.01,32:0.99"], "8:0.01 of 3 steps is not one step"),
        (["--tokens_per_step", "100"], "--tokens_per_step is 100; it must be a multiple of --length 32"),
        (["--eos", "true"], "--eos is for causal models"),
        (["--model", "leave_one_out_debug", "--masking", "published"], "--masking is for masked models"),
        (["--decay", "everything"], "decay"),
        (["--valid_chromosomes", "smal", "--test_chromosomes", "small"], "Did you mean 'small'"),
        (["--valid_chromosomes", "small", "--test_chromosomes", "small"], "leave no record to train on"),
        (["--intervals", "nowhere.bed"], "nowhere.bed: no such file"),
        (["--windows", "caduceus"], "is a recipe for --intervals"),
        (["--model", "hyenadna_debug", "--length", "2000"], "takes at most 1026 bases"),
        (["--also", "nowhere.fa"], "the other genome (--also)"),
    ],
)
def test_a_bad_option_is_one_line(flags, capsys, words, message) -> None:
    assert main(["pretrain", *flags, *words]) == 2
    assert message in said(capsys)


def test_an_unknown_key_in_a_config_file(flags, tmp_path, capsys) -> None:
    (tmp_path / "c.yaml").write_text("lenght: 32\n")
    assert main(["pretrain", "--config", str(tmp_path / "c.yaml"), *flags]) == 2
    assert "unknown key 'lenght'. Did you mean 'length'?" in said(capsys)


def test_a_folder_with_a_run_is_refused_then_replaced_or_resumed(flags, tmp_path, capsys) -> None:
    flags = [*flags, "--baselines", "false"]
    assert main(["pretrain", *flags]) == 0
    first = sha256(tmp_path / "run")
    capsys.readouterr()
    assert main(["pretrain", *flags]) == 2
    (line,) = capsys.readouterr().err.splitlines()  # nothing was announced that will not happen
    assert line.startswith("seqdna: ")
    assert "--resume" in line
    assert "--overwrite" in line
    assert main(["pretrain", *flags, "--resume", "--lr", "0.5"]) == 2
    assert "lr: 0.001 -> 0.5" in said(capsys)
    assert main(["pretrain", *flags, "--resume", "--model_options.d_model", "16"]) == 2
    assert "model_options.d_model: 8 -> 16" in said(capsys)
    assert sha256(tmp_path / "run") == first
    assert main(["pretrain", *flags, "--resume"]) == 0
    assert sha256(tmp_path / "run") == first
    assert main(["pretrain", *flags, "--overwrite", "--seed", "1"]) == 0
    assert sha256(tmp_path / "run") != first


def test_a_refused_start_leaves_the_finished_run_alone(flags, tmp_path, capsys) -> None:
    flags = [*flags, "--baselines", "false"]
    assert main(["pretrain", *flags]) == 0
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    for words in (
        ["--accumulate", "3"],
        ["--devices", "banana"],
        ["--model_options.d_model", "-1"],
        ["--length", "9999"],
    ):
        assert main(["pretrain", *flags, "--overwrite", *words]) == 2
    assert {path: path.read_bytes() for path in before} == before


def test_resume_notices_that_the_genome_has_changed(flags, small_genome, tmp_path, capsys) -> None:
    genome = tmp_path / "own.fa"
    genome.write_bytes(small_genome.read_bytes())
    flags = [*flags, "--baselines", "false", "--fasta", str(genome)]
    assert main(["pretrain", *flags]) == 0
    genome.write_text(genome.read_text().replace("ACG", "ACC"))
    assert main(["pretrain", *flags, "--resume"]) == 2
    assert "fasta has changed" in said(capsys)
    assert main(["pretrain", *flags, "--resume", "--fasta", str(small_genome)]) == 0


def test_nothing_masked_is_no_figure(flags, tmp_path, capsys) -> None:
    assert main(["pretrain", *flags, "--baselines", "false", "--mask_rate", "1e-9", "--eval_sites", "1"]) == 0
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["bits_at_mask_rate"] is None
    assert summary["bits_standard_error"] is None


def run(words: list[str], **options) -> subprocess.Popen:
    command = [str(Path(sys.executable).parent / "seqdna"), "pretrain", *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, **options)


def test_ctrl_c_saves_and_the_run_goes_on_as_if_never_stopped(flags, tmp_path) -> None:
    flags = [*flags, "--baselines", "false", "--steps", "150", "--checkpoint_every", "1000", "--validate_every", "0"]
    assert main(["pretrain", *flags, "--out", str(tmp_path / "whole")]) == 0
    process = run(flags)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("step "):
            break
    process.send_signal(signal.SIGINT)
    rest = process.stderr.read()
    assert process.wait(60) == 130, rest
    assert "state saved" in rest.splitlines()[-1]
    assert not (tmp_path / "run" / "model").exists()
    assert main(["pretrain", *flags, "--resume"]) == 0
    assert sha256(tmp_path / "run") == sha256(tmp_path / "whole")


def small_files_only() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))


def test_a_full_disk_keeps_the_last_good_checkpoint(flags, small_genome, tmp_path, capsys) -> None:
    flags = [*flags, "--baselines", "false", "--steps", "6", "--max_minutes", "1"]
    assert main(["pretrain", *flags, "--steps", "6", "--fasta", str(small_genome)]) == 0
    saved = sorted((tmp_path / "run" / "checkpoints").glob("step-*.ckpt"))
    saved[-1].unlink()  # as if it had stopped one step earlier
    before = saved[-2].read_bytes()
    assert len(before) > 60_000, "the limit below must stop a checkpoint"
    process = run([*flags, "--resume"], preexec_fn=small_files_only)
    _, told = process.communicate(timeout=120)
    assert process.returncode == 2, told
    assert told.splitlines()[-1].startswith("seqdna: ")
    assert saved[-2].name in told.splitlines()[-1]
    assert saved[-2].read_bytes() == before
    assert not list((tmp_path / "run" / "checkpoints").glob(".*"))
    assert main(["pretrain", *flags, "--resume"]) == 0


def test_interrupted_before_anything_is_ready(flags) -> None:
    process = run(flags)
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode in (130, -signal.SIGINT), told
    assert "Traceback" not in told.partition("seqdna: ")[2]


EXAMPLES = Path(__file__).resolve().parents[3] / "examples" / "genomics"


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.glob("*.yaml")))
def test_the_example_configs_run(name, tmp_path, capsys) -> None:
    short = ["--steps", "2", "--warmup", "1", "--valid_windows", "2", "--eval_sites", "4", "--baselines", "false"]
    words = ["pretrain", "--config", str(EXAMPLES / name), *short, "--json", "--out", str(tmp_path / "run")]
    assert main(words) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == json.loads((tmp_path / "run" / "summary.json").read_text())
    assert told["steps"] == 2


def test_the_demo_learns_more_than_the_composition_of_the_genome(tmp_path) -> None:
    words = [
        "--config",
        str(EXAMPLES / "demo.yaml"),
        "--steps",
        "40",
        "--eval_sites",
        "512",
        "--out",
        str(tmp_path / "run"),
    ]
    assert main(["pretrain", *words]) == 0
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["bits_per_base"] + 2 * summary["bits_standard_error"] < summary["markov"]["0"]
    assert summary["block"]["n_positions"] > 400_000
