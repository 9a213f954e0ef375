"""The recipes under examples/chem are options of their commands and train."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from seqchem.cli import main

RECIPES = sorted((Path(__file__).parents[3] / "examples" / "chem").glob("*.yaml"))
PEPTIDES = ("GIGKFLHSAKKF", "KWKLFKKIEKVG", "DDEEPNQSTDDE", "ACDEFGHIKLMN", "LLRRLLKKLLRR", "YVPLPNVPQPGR",
            "WWPPGGHHSSTT", "MNPQRSTVWYAC", "EEDDLLIIVVAA", "CCGGCCGGCCGG")  # fmt: skip


@pytest.fixture
def source(write_table: Callable[..., Path], molecule_table: Path) -> Callable:
    """Give the file that a recipe is for: its columns hold small numbers of molecules, or labels of peptides."""

    def of(options: dict) -> Path:
        names = options.get("properties", ["weight"])
        if options.get("language") == "protein":
            return write_table(("sequence", *names), [(text, place % 2) for place, text in enumerate(PEPTIDES)])
        with open(molecule_table, newline="", encoding="utf-8") as file:
            rows = [(row["smiles"], *[row["weight"]] * len(names)) for row in csv.DictReader(file)]
        return write_table(("smiles", *names), rows)

    return of


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_trains(recipe: Path, source: Callable, tmp_path: Path) -> None:
    options = yaml.safe_load(recipe.read_text(encoding="utf-8"))
    verb = "pretrain" if "seqchem finetune" not in recipe.read_text(encoding="utf-8") else "finetune"
    run = tmp_path / "run"
    short = ["--steps", "1", "--batch_size", "4", "--threads", "1", "--accelerator", "cpu", "--out", str(run)]
    assert main([verb, str(source(options)), "--config", str(recipe), *short]) == 0
    told = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    short_names = ("steps", "batch_size", "threads", "accelerator", "out", "model_options", "split_sizes", "properties")
    assert {name: told[name] for name in options if name not in short_names} == {
        name: value for name, value in options.items() if name not in short_names
    }
    model = json.loads((run / "model" / "config.json").read_text(encoding="utf-8"))
    assert set(model["number_formats"]) == set(options.get("properties", ["weight"]))
    for name, value in options.get("model_options", {}).items():
        # What was built says more than the recipe: {"num_heads": 8} becomes {"causal": False, "num_heads": 8}.
        assert model[name] == (model[name] | value if isinstance(value, dict) else value)
