"""What a notebook sees of a trained model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

import seqchem
import seqsuite
from seqchem.prediction import calibrate, predict_properties
from seqchem.tokenizers import NumberFormat, build_vocabulary
from seqsuite.errors import UserError

SMILES = ["CCO", "CCN", "c1ccccc1", "CC(=O)O", "CCCC", "CCCl", "COC", "CC#N"]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder of an untrained model, its file, split and calibration."""
    torch.manual_seed(0)
    model = seqsuite.create_model(
        "rt_debug",
        vocabulary=build_vocabulary(SMILES, "smiles", ["logs"]),
        language="smiles",
        number_formats={"logs": NumberFormat(-5.0, 1.0).to_dict()},
    )
    folder = tmp_path / "logs"
    model.save_pretrained(folder / "model")
    source = tmp_path / "train.csv"
    source.write_text("\n".join(["smiles,logs", *(f"{text},{-len(text) / 3}" for text in SMILES)]))
    (folder / "config.yaml").write_text(yaml.safe_dump({"source": str(source), "properties": ["logs"]}))
    parts = ["train"] * 5 + ["test"] * 3
    rows = "\n".join(f"{number + 2},{part}" for number, part in enumerate(parts))
    (folder / "parts.csv").write_text(f"row,part\n{rows}\n")
    known = calibrate(model, SMILES, {"logs": [-len(text) / 3 for text in SMILES]})
    (folder / "calibration.json").write_text(json.dumps(known))
    return folder


def test_a_run_says_what_it_is(run: Path) -> None:
    rt = seqchem.load(run)
    assert rt.properties == ("logs",)
    table = rt.table()
    assert table["logs"] == "-5 to 1 in training"
    assert table["language"] == "smiles"
    assert table["parameters"] == rt.model.num_parameters()
    assert "TrainedRT(smiles, logs" in repr(rt)
    assert "<table>" in rt._repr_html_()
    assert rt.figure() is None
    assert not rt.model.training


def test_predictions_are_those_of_the_model_with_the_runs_calibration(run: Path) -> None:
    rt = seqchem.load(run)
    found = rt.predict(["CCO", "CCCC"])
    plain = predict_properties(rt.model, ["CCO", "CCCC"])
    assert found["logs"].values.tolist() == plain["logs"].values.tolist()
    assert found["logs"].calibrated
    assert not plain["logs"].calibrated
    assert rt.predict("CCO")["logs"].values.tolist() == pytest.approx(found["logs"].values[:1].tolist(), abs=1e-5)
    assert not seqchem.load(run / "model").predict("CCO")["logs"].calibrated


def test_files_are_predicted_and_evaluated(run: Path) -> None:
    rt = seqchem.load(run)
    source = run.parent / "train.csv"
    found = rt.predict_file(source)
    assert len(found.predictions) == 8
    assert list(found.columns) == ["smiles", "logs"]
    result = rt.evaluate(source)
    assert result["logs"].rows == (7, 8, 9)
    assert result.name == "Regression Transformer logs"
    assert rt.training_table().sequences == SMILES[:5]
    with pytest.raises(UserError, match="the training rows are not known"):
        seqchem.load(run / "model").training_table()


def test_a_moved_file_is_told(run: Path) -> None:
    source = run.parent / "train.csv"
    moved = source.rename(source.with_name("moved.csv"))
    rt = seqchem.load(run)
    with pytest.raises(UserError, match="which is not there; say where it is with --train"):
        rt.training_table()
    assert len(rt.training_table(source=str(moved))) == 5
    assert rt.evaluate(moved)["logs"].rows == tuple(range(2, 10))


def test_a_split_of_another_file_is_refused(run: Path) -> None:
    (run / "parts.csv").write_text("row,part\n99,train\n")
    with pytest.raises(UserError, match=r"names row 99, which .* does not have: it belongs to another file"):
        seqchem.load(run).training_table()
    (run / "parts.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="is no list of parts"):
        seqchem.load(run).training_table()


def test_the_parts_of_a_run_on_several_files(run: Path) -> None:
    source, test = run.parent / "train.csv", run.parent / "test.csv"
    test.write_text("smiles,logs\nCCCCCO,-1\nCCCCCN,-2\n")
    rows = [f"{number},train,train.csv" for number in range(2, 10)]
    (run / "parts.csv").write_text("\n".join(["row,part,file", *rows, "2,test,test.csv", "3,test,test.csv"]))
    (run / "config.yaml").write_text(yaml.safe_dump({"source": str(source), "test": str(test)}))
    rt = seqchem.load(run)
    assert rt.training_table().sequences == SMILES
    assert rt.evaluate(test)["logs"].truth.tolist() == [-1, -2]
    with pytest.raises(UserError, match="has no such rows; there are train"):
        rt.evaluate(source)


def test_folders_that_hold_no_model(run: Path, tmp_path: Path) -> None:
    seqsuite.create_model("mamba_lm_debug").save_pretrained(tmp_path / "lm")
    (tmp_path / "half" / "checkpoints").mkdir(parents=True)
    for folder, match in (
        (tmp_path / "nothing", "there is no such folder"),
        (tmp_path / "lm", "holds a .*, no Regression Transformer"),
        (tmp_path / "half", "its run is not complete"),
        (run / "config.yaml", "is a file"),
    ):
        with pytest.raises(UserError, match=match):
            seqchem.load(folder)
    (run / "config.yaml").write_text("a: [")
    with pytest.raises(UserError, match="is no valid YAML"):
        seqchem.load(run)


def test_the_package_loads_without_torch() -> None:
    code = "import sys, seqchem, seqchem.plugin, seqchem.cli.predict, seqchem.cli.evaluate, seqchem.prediction, \
seqchem.evaluation; print([name for name in ('torch', 'rdkit', 'sklearn', 'selfies') if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_one_value_stands_for_a_list(run: Path) -> None:
    rt = seqchem.load(run)
    assert rt.predict("CCO", "logs").table() == rt.predict(["CCO"], ["logs"]).table()
    assert rt.evaluate(run.parent / "train.csv", properties="logs").source.startswith("3 test rows")
    made = rt.generate("logs=-2~0.5", n=1, tries=2, seed_sequences="CCCCCCO")
    assert made.wanted == 1
    assert made.candidates[0].asked == {"logs": -2.0}
    found = rt.optimize("CCCCCCO", "logs=+1", similarity=0.2, rounds=1)
    assert [molecule.delta for molecule in found.molecules] == [0.2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lengths": (5, 2)}, "--lengths"),
        ({"lengths": (5,)}, "--lengths"),
        ({"seed_sequences": ["CCO"], "resize": -1}, "--resize is -1"),
    ],
)
def test_options_of_generation_are_looked_at(run: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        seqchem.load(run).generate({}, n=1, tries=1, **options)


def test_words_that_are_no_option_are_refused(run: Path) -> None:
    rt = seqchem.load(run)
    with pytest.raises(UserError, match=r"Unknown --decode 'sequental'\. Did you mean 'sequential'"):
        rt.predict("CCO", decode="sequental")
    with pytest.raises(UserError, match="Unknown --point 'median'"):
        rt.predict("CCO", point="median")
    with pytest.raises(UserError, match="at least one seed"):
        rt.evaluate(run.parent / "train.csv", baselines=True, seeds=())


def test_damaged_folders_name_the_file(run: Path) -> None:
    (run / "calibration.json").write_text('{"logs": 3}')
    with pytest.raises(UserError, match=r"calibration\.json: must hold an object for each property"):
        seqchem.load(run)
    config = run / "model" / "config.json"
    config.write_text(config.read_text().replace('"maximum"', '"maximun"'))
    with pytest.raises(UserError, match=r"config\.json: number_formats of logs: .*maximu"):
        seqchem.load(run)
