"""`seqchem optimize` on the terminal."""

from __future__ import annotations

import csv
import json

import pytest
import torch
from rdkit import Chem
from rdkit.Chem import Crippen

import seqsuite
from seqchem.cli import main
from seqchem.tokenizers import NumberFormat, build_vocabulary, encode_selfies

SEEDS = ["CC(=O)Nc1ccc(O)cc1", "CCOC(=O)c1ccccc1", "OCC(O)CO"]
QUICK = ["--rounds", "3", "--children", "4", "--fill_rounds", "2", "--threads", "1"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    formats = {"logp": NumberFormat(-6.0, 6.0)}
    words = build_vocabulary([encode_selfies(smiles) for smiles in SEEDS], "selfies", formats)
    torch.manual_seed(0)
    model = seqsuite.create_model(
        "rt_debug", language="selfies", vocabulary=words, number_formats={"logp": formats["logp"].to_dict()}
    )
    path = tmp_path_factory.mktemp("optimize") / "model"
    model.save_pretrained(path)
    return path


@pytest.fixture
def seeds(tmp_path):
    path = tmp_path / "seeds.csv"
    path.write_text("smiles\n" + "\n".join(SEEDS) + "\n", encoding="utf-8")
    return path


def test_the_best_of_every_seed_at_every_similarity(folder, seeds, tmp_path, capsys):
    out = tmp_path / "opt.csv"
    command = ["optimize", str(folder), str(seeds), "--goal", "logp=+2", "--similarity", "0.1,0.3", "--out", str(out),
               *QUICK]  # fmt: skip
    assert main(command) == 0
    told = capsys.readouterr().out
    assert "36 candidates were tried" in told
    assert "logp: computed by RDKit" in told
    rows = list(csv.DictReader(out.open(encoding="utf-8")))
    assert [(row["delta"], row["seed"]) for row in rows] == [(delta, seed) for delta in ("0.1", "0.3") for seed in
                                                             map(Chem.CanonSmiles, SEEDS)]  # fmt: skip
    better = [row for row in rows if row["status"] == "ok"]
    assert better
    for row in better:
        gain = Crippen.MolLogP(Chem.MolFromSmiles(row["sequence"])) - Crippen.MolLogP(Chem.MolFromSmiles(row["seed"]))
        assert float(row["improvement_logp"]) == pytest.approx(gain, abs=1e-3)
        assert float(row["similarity"]) >= float(row["delta"])
    assert out.with_suffix(".png").is_file()
    assert out.with_suffix(".html").read_text(encoding="utf-8").count("<img") == len(better)
    assert main(command) == 2
    assert "exists; add --overwrite" in capsys.readouterr().err


def test_json_and_limit(folder, seeds, capsys):
    assert main(["optimize", str(folder), str(seeds), "--goal", "logp=-2", "--limit", "2", "--json", *QUICK]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["tried"] == 2 * 3 * 4
    assert found["summary"][0]["seeds"] == 2
    assert found["summary"][0]["delta"] == 0.4
    gains = [row["improvement_logp"] for row in found["molecules"]]
    assert found["summary"][0]["improvement"] == pytest.approx(sum(gains) / 2)
    # A run is repeated by its seed.
    assert main(["optimize", str(folder), str(seeds), "--goal", "logp=-2", "--limit", "2", "--json", *QUICK]) == 0
    assert json.loads(capsys.readouterr().out)["molecules"] == found["molecules"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "--goal: say what is wanted"),
        (["--goal", "lgp=+1"], "'logp'"),
        (["--goal", "logp=+0"], "a change of 0"),
        (["--goal", "logp=more"], "is no number"),
        (["--goal", "logp=+1", "--similarity", "1.5"], "--similarity"),
        (["--goal", "logp=+1", "--rounds", "0"], "--rounds is 0"),
        (["--goal", "logp=+1", "--children", "0"], "--children is 0"),
        (["--goal", "logp=+1", "--fraction", "2"], "--fraction is 2"),
        (["--goal", "logp=+1", "--fill_rounds", "-1"], "--fill_rounds is -1"),
        (["--goal", "logp=+1", "--keep", "C("], "is not SMARTS"),
        (["--goal", "logp=+1", "--keep", "[Se]"], "lacks '[Se]'"),
        (["--goal", "logp=+1", "--out", "o.html"], "ends in .csv"),
    ],
)
def test_what_is_wrong_is_one_line_and_exit_code_2(folder, seeds, capsys, flags, message):
    assert main(["optimize", str(folder), str(seeds), *flags]) == 2
    told = capsys.readouterr().err.strip()
    assert message in told
    assert "\n" not in told


def test_seeds_that_are_no_molecules_are_named(folder, tmp_path, capsys):
    path = tmp_path / "bad.csv"
    path.write_text("smiles\nCCO\nC1CC\n", encoding="utf-8")
    assert main(["optimize", str(folder), str(path), "--goal", "logp=+1"]) == 2
    told = capsys.readouterr().err
    assert "3" in told
    assert len(told.splitlines()) == 1
    assert main(["optimize", str(folder), "C1CC", "--goal", "logp=+1"]) == 2
    assert "seed 'C1CC' is no molecule" in capsys.readouterr().err


def test_the_limit_counts_seeds_that_can_be_used(folder, tmp_path, capsys):
    seeds = tmp_path / "seeds.csv"
    seeds.write_text("smiles\nC(\nCCCCCCCO\nCC(=O)Nc1ccc(O)cc1\n")
    command = ["optimize", str(folder), str(seeds), "--goal", "logp=+1", "--rounds", "1", "--json", "--limit", "1"]
    assert main(command) == 2
    assert "1 row cannot be used: line 2 (" in capsys.readouterr().err
    assert main([*command, "--on_invalid", "skip"]) == 0
    assert [row["seed"] for row in json.loads(capsys.readouterr().out)["molecules"]] == ["CCCCCCCO"]
