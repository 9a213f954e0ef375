"""`seqdna pretrain` for every objective: what it reports, and that a resumed run is the run."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

import seqdna
from seqdna.cli import main
from seqdna.configs import PretrainConfig
from seqdna.pretraining import pretrain
from seqsuite.models import load_model

OBJECTIVES = {
    "caduceus_ph_debug": "masked_lm",
    "mamba_dna_debug": "causal_lm",
    "hyenadna_debug": "causal_lm",
    "leave_one_out_debug": "leave_one_out",
}
SPLIT = "small\t0\t9000\ttrain\nsmall\t9000\t9500\tvalid\nsmall\t9600\t11000\ttest\nsmall\t12000\t20000\ttrain\n"
QUICK = ("--baselines", "false")


def sha256(folder: Path) -> str:
    return hashlib.sha256((folder / "model" / "model.safetensors").read_bytes()).hexdigest()


def summary(folder: Path) -> dict:
    return json.loads((folder / "summary.json").read_text())


@pytest.mark.parametrize("model", OBJECTIVES)
def test_every_objective_trains_and_is_measured_beside_its_own_kind(flags, tmp_path, capsys, model) -> None:
    assert main(["pretrain", *flags, "--model", model, "--eval_sites", "64"]) == 0
    told, found = capsys.readouterr().out, summary(tmp_path / "run")
    causal = OBJECTIVES[model] == "causal_lm"
    assert found["objective"] == OBJECTIVES[model]
    assert found["best"].startswith("markov_" if causal else "two_sided_")
    assert (found["versus_pool"] is None) == causal
    assert (found["bits_at_mask_rate"] is None) == (OBJECTIVES[model] != "masked_lm")
    kind, order = found["best"].rsplit("_", 1)
    assert found["versus_best"][0] == pytest.approx(found["bits_per_base"] - found[kind][order], abs=1e-6)
    assert "one-sided" in told
    assert ("two-sided" in told) == (not causal)
    assert found["census"]["length"] == 20_000
    homology = found["by_homology"]
    assert homology["shared"]["positions"] + homology["unshared"]["positions"] == found["positions"]
    parts = [(row["positions"], row["bits_per_base"]) for row in homology.values() if row["positions"]]
    assert sum(n * bits for n, bits in parts) / found["positions"] == pytest.approx(found["bits_per_base"])
    assert "letters: 0 lower_case" in (tmp_path / "run" / "report.html").read_text()


@pytest.mark.parametrize("model", OBJECTIVES)
def test_a_resumed_run_is_the_run_across_stages(flags, tmp_path, model) -> None:
    """Stopped after every step and resumed, through three stages, it ends with the same bits."""
    words = [*flags, *QUICK, "--model", model, "--steps", "6", "--stages", "8:0.34,16:0.33,32:0.33"]
    words += ["--rc_augment", "yes"]
    assert main(["pretrain", *words, "--out", str(tmp_path / "whole")]) == 0
    assert main(["pretrain", *words, "--max_minutes", "1e-9"]) == 0
    for _ in range(4):
        assert not (tmp_path / "run" / "summary.json").exists()
        assert main(["pretrain", *words, "--max_minutes", "1e-9", "--resume"]) == 0
    assert main(["pretrain", *words, "--resume"]) == 0
    assert sha256(tmp_path / "run") == sha256(tmp_path / "whole")
    assert summary(tmp_path / "run")["bits_per_base"] == summary(tmp_path / "whole")["bits_per_base"]


@pytest.mark.parametrize("model", OBJECTIVES)
def test_checkpointed_activations_give_the_same_weights(flags, tmp_path, model) -> None:
    words = [*flags, *QUICK, "--model", model, "--model_options.n_layer", "2"]
    for name, value in (("plain", "false"), ("again", "true")):
        out = ["--checkpoint_activations", value, "--out", str(tmp_path / name)]
        assert main(["pretrain", *words, *out]) == 0
    assert sha256(tmp_path / "plain") == sha256(tmp_path / "again")


@pytest.mark.parametrize(
    "words",
    [
        ("--rc_augment", "yes"),
        ("--masking", "published"),
        ("--decay", "published"),
        ("--stages", "16:0.5,32:0.5"),
        ("--precision", "bf16-mixed"),
        ("--tokens_per_step", "256"),
    ],
)
def test_options_change_the_run(flags, tmp_path, words) -> None:
    words = list(words)
    assert main(["pretrain", *flags, *QUICK, "--rc_augment", "no", "--out", str(tmp_path / "plain")]) == 0
    assert main(["pretrain", *flags, *QUICK, "--rc_augment", "no", *words, "--out", str(tmp_path / "other")]) == 0
    assert math.isfinite(summary(tmp_path / "other")["bits_per_base"])
    assert sha256(tmp_path / "plain") != sha256(tmp_path / "other")


@pytest.mark.parametrize("model", OBJECTIVES)
def test_bfloat16_training_stays_near_float32(flags, tmp_path, model) -> None:
    words = [*flags, *QUICK, "--model", model]
    for precision in ("32-true", "bf16-mixed"):
        assert main(["pretrain", *words, "--precision", precision, "--out", str(tmp_path / precision)]) == 0
    full, half = (load_model(tmp_path / name / "model") for name in ("32-true", "bf16-mixed"))
    assert all(p.dtype == torch.float32 for p in half.parameters())
    bits = [summary(tmp_path / name)["bits_per_base"] for name in ("32-true", "bf16-mixed")]
    # Eight bits of mantissa in the products, a few steps of 1e-3: far from the scale of the bits.
    assert bits[0] == pytest.approx(bits[1], abs=0.05)
    assert sum(p.numel() for p in full.parameters()) == sum(p.numel() for p in half.parameters())


def test_augmentation_is_for_models_that_read_one_strand(flags, tmp_path) -> None:
    expected = {
        "caduceus_ps_debug": False,
        "caduceus_ph_debug": True,
        "bimamba_dna_debug": False,
        "mamba_dna_debug": True,
        "leave_one_out_debug": False,
    }
    for model, augmented in expected.items():
        assert main(["pretrain", *flags, *QUICK, "--model", model, "--steps", "1", "--overwrite"]) == 0
        assert summary(tmp_path / "run")["rc_augment"] is augmented, model


def test_published_masking_writes_the_padding_it_was_trained_with(flags, tmp_path) -> None:
    assert main(["pretrain", *flags, *QUICK, "--masking", "published"]) == 0
    assert load_model(tmp_path / "run" / "model").config.padding == "as_published"


def test_eos_is_learned_by_causal_models(flags, tmp_path) -> None:
    """After enough steps the last position of a window says [SEP]; without --eos it never does."""
    words = [*flags, *QUICK, "--model", "mamba_dna_debug", "--steps", "40", "--lr", "0.05", "--batch_size", "8"]
    said = {}
    for eos in ("true", "false"):
        assert main(["pretrain", *words, "--eos", eos, "--out", str(tmp_path / eos)]) == 0
        model = load_model(tmp_path / eos / "model")
        ids = torch.from_numpy(np.random.default_rng(0).integers(7, 11, (16, 32)))
        with torch.no_grad():
            said[eos] = model(ids).softmax(-1)[:, -1, 1].mean().item()
    assert said["true"] > 10 * said["false"]


def test_the_other_genome_is_measured_with_what_the_first_one_taught(flags, small_genome, tmp_path) -> None:
    """A genome that is nothing but the test block gives the figures of the test block, count models included."""
    from seqdna.data import read_fasta
    from seqdna.evaluation import evaluate

    ((_, text),) = read_fasta(small_genome)
    other = tmp_path / "other.fa"
    other.write_text(f">block\n{text.decode()[-2000:]}\n")
    config = PretrainConfig(
        fasta=str(small_genome), also=str(other), out=str(tmp_path / "run"), model="mamba_dna_debug",
        model_options={"d_model": 8, "n_layer": 1}, length=32, batch_size=4, steps=2, eval_sites=400, threads=1,
    )  # fmt: skip
    result = pretrain(config)
    assert result is not None
    there = result.elsewhere
    assert there["genome"] == "other.fa"
    assert there["positions"] == result.positions
    assert there["bits_per_base"] == pytest.approx(result.bits_per_base, abs=1e-6)
    expected = {f"markov_{k}": bits for k, bits in result.markov.items()}
    expected |= {f"two_sided_{k}": bits for k, bits in result.two_sided.items()} | {"pool": result.pooled}
    assert there["counts"] == pytest.approx(expected, abs=1e-6)
    assert "On other.fa" in (tmp_path / "run" / "report.html").read_text()
    again = evaluate(seqdna.load(tmp_path / "run"), other, sites=400)
    assert again.length == 32
    assert again.bits.mean() == pytest.approx(there["bits_per_base"], abs=1e-6)


@pytest.mark.parametrize("windows", ["random", "tiled", "hyenadna"])
def test_splits_by_interval_file(flags, tmp_path, capsys, windows) -> None:
    bed = tmp_path / "split.bed"
    bed.write_text(SPLIT)
    words = ["pretrain", *flags, *QUICK, "--intervals", str(bed), "--windows", windows, "--json"]
    assert main(words) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["positions"] == 16
    assert "small:9600-" in (tmp_path / "run" / "report.html").read_text() or windows == "hyenadna"
    bed.write_text(SPLIT.replace("9500", "9501"))
    assert main([*words, "--resume"]) == 2
    assert "intervals has changed" in capsys.readouterr().err


def test_copies_of_training_sequence_are_told_apart(small_genome, tmp_path) -> None:
    """The last 1,000 test bases are the other strand of training sequence: those sites and windows are shared."""
    from seqdna.data import read_fasta

    ((_, text),) = read_fasta(small_genome)
    copied = text[500:1500].translate(bytes.maketrans(b"ACGT", b"TGCA"))[::-1]
    fasta = tmp_path / "copy.fa"
    fasta.write_bytes(b">r\n" + text[:-1000] + copied + b"\n")
    config = PretrainConfig(
        fasta=str(fasta), out=str(tmp_path / "run"), model="leave_one_out_debug", baselines=False, steps=1,
        model_options={"d_model": 8, "n_layer": 1}, length=50, batch_size=2, eval_sites=300, threads=1,
    )  # fmt: skip
    result = pretrain(config)
    assert result is not None
    copies = int((result.sites.coordinate >= 19_000).sum())
    assert result.by_homology["shared"]["positions"] == pytest.approx(copies, abs=2)  # a base or two by chance
    assert result.shared_24mers == pytest.approx(0.5, abs=0.01)
    assert result.shared_windows == pytest.approx(0.5, abs=0.03)
    told = {row["positions"]: row for row in result.homology_table()}
    assert told["shared with training"]["number"] + told["unshared with training"]["number"] == 300
