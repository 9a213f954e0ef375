"""What a protein scientist does from the shell: labels, training by identity, prediction, new peptides, binders."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from seqchem.cli import main
from seqchem.proteins import AMINO_ACIDS, boman_index, sequence_identity
from seqsuite.models import create_model, load_model

TINY = ("--model", "rt_debug", "--batch_size", "8", "--threads", "1", "--accelerator", "cpu",
        "--model_options.d_model", "16", "--model_options.n_layer", "1")  # fmt: skip


def drawn(rng: np.random.Generator, count: int, least: int, most: int) -> list[str]:
    return ["".join(rng.choice(list(AMINO_ACIDS), rng.integers(least, most))) for _ in range(count)]


@pytest.fixture(scope="module")
def peptides() -> list[str]:
    """Fifteen families of four: a founder and copies with two letters changed; one of them has an X."""
    rng = np.random.default_rng(0)
    found = []
    for founder in drawn(rng, 15, 14, 24):
        found.append(founder)
        for _ in range(3):
            letters = list(founder)
            for place in rng.choice(len(letters), 2, replace=False):
                letters[place] = str(rng.choice(list(AMINO_ACIDS)))
            found.append("".join(letters))
    return [*found[:-1], found[-1][:-1] + "X"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, peptides: list[str]) -> Path:
    """A folder with labelled peptides and runs on them: pretrained, on Boman's index, on a class."""
    folder = tmp_path_factory.mktemp("peptides")
    rows = [f"{text},{int(index % 8 < 4)}" for index, text in enumerate(peptides)]
    (folder / "p.csv").write_text("sequence,label\n" + "\n".join(rows) + "\n", encoding="utf-8")
    labelled, pre = str(folder / "labelled.csv"), str(folder / "pre")
    assert main(["properties", str(folder / "p.csv"), "--names", "boman,charge", "--out", labelled]) == 0
    assert main(["pretrain", labelled, "--steps", "3", "--out", pre, *TINY]) == 0
    few = [*TINY[2:8], "--steps", "4", "--alternate", "2", "--split", "identity", "--start", pre]
    for name, more in {"boman": [], "label": ["--task", "property"]}.items():
        assert main(["finetune", labelled, "--properties", name, "--out", str(folder / name), *few, *more]) == 0
    return folder


def rows_of(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_relatives_lie_in_one_part_and_the_further_letter_is_trained_on(runs, peptides):
    parts = {int(row["row"]): row["part"] for row in rows_of(runs / "boman" / "parts.csv")}
    assert len(parts) == len(peptides)
    found = [parts[index + 2] for index in range(len(peptides))]
    assert set(found) == {"train", "valid", "test"}
    for one in range(len(peptides)):
        for two in range(one):
            if found[one] != found[two]:
                assert sequence_identity(peptides[one], peptides[two]) < 0.8
    assert "X" in json.loads((runs / "boman" / "model" / "config.json").read_text())["vocabulary"]
    formats = json.loads((runs / "label" / "model" / "config.json").read_text())["number_formats"]
    assert (formats["label"]["decimals"], formats["label"]["normalized"]) == (0, False)


def test_a_fasta_file_is_predicted_row_by_row(runs, tmp_path, capsys):
    (tmp_path / "new.fasta").write_text(">a\nglfdivkk\n>b\nAC1\n>c\nACUD\n", encoding="utf-8")
    out = tmp_path / "predicted.csv"
    assert main(["predict", str(runs / "label"), str(tmp_path / "new.fasta"), "--out", str(out)]) == 0
    found = rows_of(out)
    assert [row["name"] for row in found] == ["a", "b", "c"]
    assert [row["status"] for row in found] == ["ok", "no amino acid: '1'", "ok"]
    assert 0 <= float(found[0]["probability_label"]) <= 1
    assert found[1]["predicted_label"] == ""
    assert "vocabulary lacks: U" in found[2]["warnings"]


def test_classes_and_numbers_are_measured_beside_baselines(runs, capsys):
    labelled = str(runs / "labelled.csv")
    capsys.readouterr()
    assert main(["evaluate", str(runs / "label"), labelled, "--baselines", "--json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)["properties"]
    assert entry["binary"]
    names = [model["name"] for model in entry["models"]]
    assert names[1:] == ["training mean", "random forest, composition", "gradient boosting, composition"]
    for model in entry["models"]:
        assert {"roc_auc", "pr_auc", "mcc"} <= set(model["seeds"][0])
    assert main(["evaluate", str(runs / "boman"), labelled, "--baselines", "--json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)["properties"]
    assert entry["models"][2]["left_out"] == ["boman"]  # a forest that is given the target is no baseline


def test_new_peptides_are_checked_by_the_formula_and_measured(runs, tmp_path, capsys, peptides):
    out = tmp_path / "gen.csv"
    words = ["generate", str(runs / "boman"), "--goal", "boman=1~3", "--n", "6", "--rounds", "2", "--train",
             str(runs / "labelled.csv"), "--out", str(out)]  # fmt: skip
    assert main(words) == 0
    assert "obtained boman: computed from the sequence" in capsys.readouterr().out
    made = rows_of(out)
    assert made
    for row in made:
        assert set(row["sequence"]) <= set(AMINO_ACIDS)  # X was trained on, and is not written
        assert float(row["obtained_boman"]) == pytest.approx(boman_index(row["sequence"]), rel=1e-4)
        near = abs(boman_index(row["sequence"]) - 1) <= 3
        assert (row["status"] == "ok") == (near and row["sequence"] not in peptides)
    assert main([*words, "--overwrite", "--rdkit", "false"]) == 0
    assert "obtained boman: as the model itself predicts it" in capsys.readouterr().out
    with open(out, "a", encoding="utf-8") as file:
        file.write("ACXX\n" + peptides[0] + "\n")
    assert main(["evaluate", str(runs / "boman"), str(runs / "labelled.csv"), "--generated", str(out), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    texts = [row["sequence"] for row in rows_of(out)]
    assert found["count"] == len(texts)
    assert found["valid"] == pytest.approx((len(texts) - 1) / len(texts))
    assert found["nearest_reference"] <= 1
    assert not {"snn", "kl_score", "filters_pains"} & set(found)  # measures that read SMILES


def test_seeds_and_searches_use_the_formula(runs, tmp_path, peptides, capsys):
    seed = peptides[0]
    words = [str(runs / "boman"), "--seeds", seed.lower(), "--n", "2", "--tolerance", "10", "--rounds", "1", "--json"]
    assert main(["generate", *words, "--goal", "boman=2"]) == 0
    capsys.readouterr()
    (tmp_path / "s.csv").write_text(f"sequence\n{seed}\n", encoding="utf-8")
    words = [str(runs / "boman"), str(tmp_path / "s.csv"), "--goal", "boman=+1", "--rounds", "1", "--children", "4"]
    assert main(["optimize", *words, "--similarity", "0.1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["verified"] == {"boman": "sequence"}
    assert main(["generate", str(runs / "boman"), "--seeds", "AC1D", "--n", "1"]) == 2
    assert "seed 'AC1D' has 1" in capsys.readouterr().err


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Targets and binders of a made-up law, in two columns."""
    rng = np.random.default_rng(1)
    targets = sorted({"".join(rng.choice(list("ACDE"), 6)) for _ in range(24)})
    path = tmp_path / "pairs.csv"
    path.write_text("target,binder\n" + "".join(f"{text},{text[0] * 3}\n" for text in targets), encoding="utf-8")
    return path


def test_binders_from_the_shell(pairs, tmp_path, capsys):
    run, out = str(tmp_path / "run"), tmp_path / "b.csv"
    columns = ["--sequence_column", "target", "--binder_column", "binder"]
    flags = ["--task", "binders", *columns, "--steps", "3", *TINY]
    assert main(["finetune", str(pairs), "--out", run, *flags]) == 0
    told = capsys.readouterr().out
    assert f"seqchem generate {run} --binder_of TARGET" in told
    assert "seqchem predict" not in told
    target = tmp_path / "target.fasta"
    target.write_text(">t\nACDEAC\n", encoding="utf-8")
    words = ["generate", run, "--length", "4", "--n", "5", "--tries", "40", "--out", str(out), "--overwrite"]
    assert main([*words, "--binder_of", str(target), "--top_k", "1"]) == 0
    first = rows_of(out)
    assert len(first) == 1  # one letter a place is one binder
    assert main([*words, "--binder_of", "acdeac", "--top_k", "2"]) == 0
    wider = rows_of(out)
    assert len(wider) == 5
    assert all(len({row["binder"][place] for row in wider}) <= 2 for place in range(4))
    assert main([*words, "--binder_of", "ACDE" * 200]) == 2  # longer than a file's name may be
    assert "the model takes 512" in capsys.readouterr().err
    target.write_text(">t\nACDEAC\n>u\nACDE\n", encoding="utf-8")
    assert main([*words, "--binder_of", str(target)]) == 2
    assert "holds 2 proteins" in capsys.readouterr().err


def test_the_long_way_to_the_same_training(pairs, tmp_path, capsys):
    """Pairs with dots, every option named: the same masks, so the same losses."""
    lines = pairs.read_text().splitlines()[1:]
    dotted = tmp_path / "dotted.csv"
    dotted.write_text("sequence\n" + "\n".join(line.replace(",", ".") for line in lines) + "\n", encoding="utf-8")
    ways = {
        "one": [str(dotted), "--task", "binders"],
        "two": [str(dotted), "--task", "generation", "--entity_separator", ".", "--entity", "-1",
                "--mask_probability", "1"],
        "three": [str(pairs), "--task", "binders", "--sequence_column", "target", "--binder_column", "binder"],
    }  # fmt: skip
    losses = []
    for name, words in ways.items():
        capsys.readouterr()
        assert main(["finetune", *words, "--steps", "2", "--out", str(tmp_path / name), "--json", *TINY]) == 0
        metrics = json.loads(capsys.readouterr().out)["metrics"]
        losses.append((metrics["train_loss"], metrics["valid_loss"]))
    assert losses[0] == losses[1] == losses[2]


def test_a_start_without_signs_and_dots_grows(pairs, tmp_path, capsys):
    """As the published protein model is: no sign for a negative number, nothing between target and binder."""
    special = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "|", "_._", "<stab>")
    digits = [f"_{digit}_{power}_" for power in (0, -1, -2, -3) for digit in range(10)]
    options = {"d_model": 16, "d_inner": 32, "n_layer": 1, "n_head": 2, "language": "protein"}
    model = create_model("rt_debug", vocabulary=(*special, *digits, *AMINO_ACIDS), **options)
    model.save_pretrained(tmp_path / "start")
    common = ["--start", str(tmp_path / "start"), "--steps", "1", *TINY[2:8]]
    columns = ["--sequence_column", "target", "--binder_column", "binder"]
    assert main(["finetune", str(pairs), "--task", "binders", *columns, "--out", str(tmp_path / "b"), *common]) == 0
    assert main(["generate", str(tmp_path / "b"), "--binder_of", "ACDE", "--n", "1"]) == 0
    table = tmp_path / "stab.csv"
    rows = [f"{line.split(',')[0]},{number - 9.5}" for number, line in enumerate(pairs.read_text().splitlines()[1:])]
    table.write_text("sequence,stab\n" + "\n".join(rows) + "\n", encoding="utf-8")
    more = ["--properties", "stab", "--normalize", "false", "--decimals", "1", "--out", str(tmp_path / "s")]
    assert main(["finetune", str(table), *more, *common]) == 0
    grown = load_model(tmp_path / "s" / "model")
    assert grown.config.vocabulary[: len(model.config.vocabulary)] == model.config.vocabulary
    written = grown.tokenizer.expression({"stab": -7.5}, "ACDE")
    assert grown.tokenizer.properties_of(grown.tokenizer.encode(written)) == {"stab": -7.5}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--task", "binders", "--sequence_column", "target"], "cannot be used: line 2 (no TARGET.BINDER)"),
        (["--task", "binders", "--sequence_column", "target", "--binder_column", "bindr"], "no column 'bindr'"),
        (["--binder_column", "binder", "--sequence_column", "target"], "--binder_column is binder"),
        (["--task", "binders", "--properties", "x"], "--properties is"),
        (["--task", "binders", "--language", "selfies"], "is for proteins"),
    ],
)
def test_pairs_that_are_none(pairs, tmp_path, capsys, flags, message):
    assert main(["finetune", str(pairs), "--out", str(tmp_path / "run"), *flags, *TINY]) == 2
    told = capsys.readouterr().err.strip()
    assert message in told
    assert len(told.splitlines()) == 1


def test_what_the_commands_refuse(runs, capsys):
    for words, message in {
        ("--top_k", "2"): "--top_k belongs to --binder_of",
        ("--binder_of", "ACDE"): "knows no '.'",
    }.items():
        assert main(["generate", str(runs / "boman"), *words]) == 2
        assert message in capsys.readouterr().err
