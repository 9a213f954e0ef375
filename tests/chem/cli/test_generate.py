"""`seqchem generate` on the terminal: files, notes, and bad input in one line with exit code 2."""

from __future__ import annotations

import csv
import json

import pytest
import torch

import seqsuite
from seqchem.cli import main
from seqchem.tokenizers import NumberFormat, build_vocabulary, encode_selfies

SMILES = ["CC(=O)Nc1ccc(O)cc1", "CCOC(=O)c1ccccc1", "CCCCCCCO"]
QUICK = ["--rounds", "2", "--lengths", "6,10", "--threads", "1"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    formats = {"logp": NumberFormat(-6.0, 6.0), "activity": NumberFormat(0.0, 10.0)}
    words = build_vocabulary([encode_selfies(smiles) for smiles in SMILES], "selfies", formats)
    torch.manual_seed(0)
    model = seqsuite.create_model(
        "rt_debug", language="selfies", vocabulary=words,
        number_formats={name: layout.to_dict() for name, layout in formats.items()},
    )  # fmt: skip
    path = tmp_path_factory.mktemp("generate") / "model"
    model.save_pretrained(path)
    return path


def test_a_table_a_page_and_a_picture(folder, tmp_path, capsys):
    out = tmp_path / "gen.csv"
    command = ["generate", str(folder), "--goal", "logp=0.5,activity=5~6", "--n", "5", "--tolerance", "0.4", "--out",
               str(out), *QUICK]  # fmt: skip
    assert main(command) == 0
    told = capsys.readouterr().out
    assert "of 5 wanted" in told
    assert "obtained logp: computed by RDKit" in told
    assert "obtained activity: as the model itself predicts it" in told
    rows = list(csv.DictReader(out.open(encoding="utf-8")))
    taken = [row for row in rows if row["status"] == "ok"]
    assert 0 < len(taken) <= 5
    assert len(rows) <= 50
    assert all(abs(float(row["obtained_logp"]) - 0.5) <= 4.8 for row in taken)
    assert all(abs(float(row["obtained_activity"]) - 5) <= 6 for row in taken)
    assert all(row["reason"] for row in rows if row["status"] == "rejected")
    assert out.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    assert out.with_suffix(".html").read_text(encoding="utf-8").count("<img") == len(taken)
    assert main(command) == 2
    assert "exists; add --overwrite" in capsys.readouterr().err
    before = out.read_text(encoding="utf-8")
    assert main([*command, "--overwrite"]) == 0
    assert out.read_text(encoding="utf-8") == before  # the same seed


def test_seeds_from_a_file_and_a_training_set(folder, tmp_path, capsys):
    seeds = tmp_path / "seeds.csv"
    seeds.write_text("name,smiles\na,CC(=O)Nc1ccc(O)cc1\nb,CCCCCCCO\n", encoding="utf-8")
    flags = ["--fraction", "0.2", "--tolerance", "10", "--n", "2", "--tries", "5", "--json", *QUICK]
    assert main(["generate", str(folder), "--seeds", str(seeds), *flags]) == 0
    found = json.loads(capsys.readouterr().out)
    made = [row["sequence"] for row in found["molecules"]]
    assert {row["seed"] for row in found["molecules"]} <= {"CC(=O)Nc1ccc(O)cc1", "CCCCCCCO"}
    assert found["wanted"] == 4
    assert found["valid"] == 1.0
    assert made
    known = tmp_path / "known.csv"
    known.write_text("smiles\n" + "\n".join(made) + "\n", encoding="utf-8")
    assert main(["generate", str(folder), "--seeds", str(seeds), "--train", str(known), *flags]) == 0
    again = json.loads(capsys.readouterr().out)
    assert not set(made) & {row["sequence"] for row in again["molecules"]}
    assert again["tally"]["in training set"] >= 1
    assert main(["generate", str(folder), "--seeds", "CCCCCCCO,CC(=O)Nc1ccc(O)cc1", *flags]) == 0
    assert json.loads(capsys.readouterr().out)["wanted"] == 4


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--goal", "qed=0.9"], "Unknown property of this model 'qed'"),
        (["--goal", "logp"], "write NAME=VALUE"),
        (["--goal", "logp=900"], "too far outside the trained range"),
        (["--n", "0"], "--n is 0"),
        (["--tries", "0"], "--tries is 0"),
        (["--fraction", "0"], "--fraction is 0"),
        (["--temperature", "0"], "--temperature is 0"),
        (["--top_p", "2"], "--top_p is 2"),
        (["--order", "middle"], "--order"),
        (["--lengths", "9"], "--lengths: give the shortest"),
        (["--lengths", "9,2"], "--lengths: give the shortest"),
        (["--similarity", "0.5"], "give --seeds"),
        (["--seeds", "C1CC"], "seed 'C1CC' is no molecule"),
        (["--seeds", "none.csv"], "there is no such file"),
        (["--seeds", "CCO", "--keep", "N"], "lacks 'N'"),
        (["--keep", "C("], "is not SMARTS"),
        (["--avoid", "C("], "is not SMARTS"),
        (["--train", "none.csv"], "none.csv"),
        (["--out", "gen.txt"], "ends in .csv"),
        (["--out", "nowhere/gen.csv"], "there is no folder"),
        (["--binder_of", "MKTAYI"], "binders are proteins"),
        (["--device", "abacus"], "abacus"),
    ],
)
def test_what_is_wrong_is_one_line_and_exit_code_2(folder, capsys, flags, message):
    assert main(["generate", str(folder), *flags]) == 2
    told = capsys.readouterr().err.strip()
    assert message in told
    assert "\n" not in told


def test_seeds_of_a_file_that_are_none_are_named_by_line_or_left_out(folder, tmp_path, capsys):
    seeds = tmp_path / "seeds.csv"
    seeds.write_text("smiles\nCCCCCCCO\nC(\nC[Se]C\n")
    command = ["generate", str(folder), "--seeds", str(seeds), "--n", "1", "--tries", "1", "--threads", "1"]
    assert main(command) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "seeds.csv: 2 rows cannot be used: line 3 (not SMILES: parentheses do not match), line 4 (" in error
    assert "[Se]" in error
    assert main([*command, "--on_invalid", "skip"]) == 0
    captured = capsys.readouterr()
    assert "line 4" in captured.err
    assert "of 1 wanted, of 1 tried" in captured.out
    assert main([*command, "--keep", "C("]) == 2
    assert "--keep: 'C(' is not SMARTS" in capsys.readouterr().err


def test_a_goal_outside_the_trained_range_is_told(folder, capsys):
    assert main(["generate", str(folder), "--goal", "logp=6.5", "--n", "1", "--tries", "1", *QUICK]) == 0
    assert "logp=6.5 lies outside the trained range, -6 to 6" in capsys.readouterr().out


def test_no_picture_of_an_earlier_result_is_left(folder, tmp_path):
    out = tmp_path / "gen.csv"
    command = ["generate", str(folder), "--n", "1", "--tries", "1", "--out", str(out), "--overwrite", *QUICK]
    (tmp_path / "gen.png").write_bytes(b"old")
    assert main([*command, "--keep", "[U]"]) == 0
    assert not (tmp_path / "gen.png").exists()
