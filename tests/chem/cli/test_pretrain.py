"""`seqchem pretrain`: sequences alone, with numbers, and files of any kind."""

from __future__ import annotations

import csv
import json
import math

import pytest

from seqchem.cli import main


def words(path, out, *more: str) -> list[str]:
    known = {"--model": "rt_debug", "--steps": "4", "--batch_size": "8", "--threads": "1", "--accelerator": "cpu"}
    known |= {"--out": str(out), "--model_options.d_model": "16", "--model_options.n_layer": "1", "--log_every": "1"}
    given = dict(zip(more[::2], more[1::2], strict=True))
    return ["pretrain", str(path), *(word for pair in {**known, **given}.items() for word in pair)]


@pytest.mark.parametrize("language", ["selfies", "smiles", "selfies_v1"])
def test_molecules_alone(molecule_table, tmp_path, language, capsys):
    assert main(words(molecule_table, tmp_path / "run", "--language", language)) == 0
    assert "seqchem finetune" in capsys.readouterr().out
    config = json.loads((tmp_path / "run" / "model" / "config.json").read_text())
    assert config["language"] == language
    assert config["number_formats"] == {}
    assert len(set(config["vocabulary"])) == len(config["vocabulary"])
    ring = {"selfies": "[Branch1]", "smiles": "c", "selfies_v1": "[Branch1_1]"}[language]
    assert ring in config["vocabulary"]
    with open(tmp_path / "run" / "parts.csv", newline="") as file:
        parts = [row["part"] for row in csv.DictReader(file)]
    assert (parts.count("train"), parts.count("valid")) == (66, 4)


def test_numbers_are_masked_too(molecule_table, tmp_path, capsys):
    more = ("--properties", "weight,other", "--mask_probability", "0.5", "--json", "true")
    assert main(words(molecule_table, tmp_path / "run", *more)) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(json.loads((tmp_path / "run" / "model" / "config.json").read_text())["number_formats"]) == {
        "weight",
        "other",
    }
    metrics = found["metrics"]
    assert metrics["valid_perplexity"] == pytest.approx(math.exp(metrics["valid_loss"]), rel=1e-6)


def test_it_learns_what_stands_where(molecule_table, tmp_path, capsys):
    more = ("--steps", "150", "--lr", "5e-3", "--log_every", "50", "--model_options.d_model", "32", "--json", "true")
    assert main(words(molecule_table, tmp_path / "run", *more, "--batch_size", "16")) == 0
    metrics = json.loads(capsys.readouterr().out)["metrics"]
    assert metrics["train_loss"] < 1.7  # nothing but the frequencies of symbols is 2.1 to 2.6


@pytest.mark.parametrize("mixer", ["mamba", "hyena"])
def test_other_mixers(molecule_table, tmp_path, mixer):
    more = ("--model_options.mixer", mixer, "--validate_every", "2")
    assert main(words(molecule_table, tmp_path / "run", *more)) == 0


def test_proteins_and_lists(tmp_path):
    (tmp_path / "p.fasta").write_text("".join(f">p{n}\n{'MKVLAT'[n % 5 :]}GGW{'AC' * n}\n" for n in range(1, 30)))
    assert main(words(tmp_path / "p.fasta", tmp_path / "protein")) == 0
    assert json.loads((tmp_path / "protein" / "model" / "config.json").read_text())["language"] == "protein"
    (tmp_path / "m.smi").write_text("".join(f"{'C' * n}O name{n}\n" for n in range(1, 30)))
    assert main(words(tmp_path / "m.smi", tmp_path / "list")) == 0
