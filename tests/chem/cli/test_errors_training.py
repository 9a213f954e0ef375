"""One line and exit code 2 for what a user can mend in `seqchem pretrain` and `seqchem finetune`; nothing is left."""

from __future__ import annotations

import pytest

from seqchem.cli import main


def told(capsys: pytest.CaptureFixture[str]) -> str:
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("seqchem: ")]
    assert len(lines) == 1
    return lines[0]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ([], "has 3 columns of numbers, 'weight', 'other', 'heavy': say which with --properties"),
        (["--properties", "wieght"], "no column 'wieght' (--properties). Did you mean 'weight'?"),
        (["--properties", "name"], "column 'name' holds no numbers, but such as 'm0'"),
        (["--sequence_column", "smile"], "Did you mean 'smiles'"),
        (["--properties", "weight", "--split", "scafold"], "Did you mean 'scaffold'"),
        (["--properties", "weight", "--split", "given"], "has no split column"),
        (["--properties", "weight", "--split", "identity"], "is for proteins"),
        (["--properties", "weight", "--split_sizes", "0,1,1"], "leaves nothing to train on"),
        (["--properties", "weight", "--split_sizes", "1,1"], "--split_sizes"),
        (["--properties", "weight", "--split_file", "absent.csv"], "cannot read absent.csv"),
        (["--properties", "weight", "--language", "selfie"], "Did you mean 'selfies'"),
        (["--properties", "weight", "--language", "protein"], "(no amino acid"),
        (["--properties", "weight", "--model", "rt_debg"], "Did you mean 'rt_debug'"),
        (["--properties", "weight", "--model", "mamba_lm_debug"], "is no Regression Transformer"),
        (["--properties", "weight", "--model_options.n_layers", "3"], "Did you mean 'n_layer'"),
        (["--properties", "weight", "--model_options.language", "smiles"], "is taken from the data"),
        (["--properties", "weight", "--model_options.n_head", "5"], "n_head must divide d_model"),
        (["--properties", "weight", "--start", "absent"], "--start absent"),
        (["--properties", "weight", "--max_length", "10"], "no row is left to train on"),
        (["--properties", "weight", "--decimals", "20"], "at least one of them before the dot"),
        (["--properties", "weight", "--drop_others", "2"], "--drop_others is 2.0"),
        (["--properties", "weight", "--entity", "1"], "--entity needs --entity_separator"),
        (["--properties", "weight", "--entity_separator", ";"], "--entity_separator"),
        (["--properties", "weight", "--mask_probability", "0"], "--mask_probability is 0.0"),
        (["--properties", "weight", "--valid", "v.csv", "--split", "random"], "leave --split random out"),
        (["--properties", "weight", "--steps", "0"], "--steps is 0"),
    ],
)  # fmt: skip
def test_options_that_do_not_fit(molecule_table, tmp_path, capsys, more, said):
    words = ["finetune", str(molecule_table), "--model", "rt_debug", *more, "--out", str(tmp_path / "run")]
    assert main(words) == 2
    assert said in told(capsys)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("verb", ["pretrain", "finetune"])
def test_rows_that_cannot_be_used(write_table, tmp_path, capsys, verb):
    rows = [("CCO", "1.0"), ("C1CC", "2"), ("", "3"), ("[Na+].[Cl-]", "4"), ("CCN", "high"), ("CC", "6")]
    path = write_table(("smiles", "y"), rows)
    more = ["--properties", "y", "--salts", "refuse", "--out", str(tmp_path / "run"), "--model", "rt_debug"]
    assert main([verb, str(path), *more]) == 2
    line = told(capsys)
    for said in (
        "table.csv: 4 rows cannot be used",
        "line 3 (",
        "line 4 (empty)",
        "line 5 (a mixture",
        "line 6 (y 'hig",
    ):
        assert said in line


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (["5"] * 30, "y, training rows: all 24 values are 5: there is nothing to learn"),
        ([""] * 30, "column 'y' is empty"),
        (["1e400"] + ["2"] * 29, "line 2 (y '1e400' is no number)"),
    ],
)
def test_properties_that_teach_nothing(write_table, tmp_path, capsys, values, said):
    rows = [("C" * (index + 1), value) for index, value in enumerate(values)]
    path = write_table(("smiles", "y"), rows)
    assert (
        main(["finetune", str(path), "--properties", "y", "--out", str(tmp_path / "run"), "--model", "rt_debug"]) == 2
    )
    assert said in told(capsys)


def test_molecules_that_selfies_cannot_write(write_table, tmp_path, capsys):
    rows = [("CCO", 1), ("*CC", 2), ("CCN", 3), ("CCC", 4), ("CC", 5.5)]
    path = write_table(("smiles", "y"), rows)
    words = ["finetune", str(path), "--properties", "y", "--out", str(tmp_path / "run"), "--model", "rt_debug"]
    assert main(words) == 2
    line = told(capsys)
    assert "line 3 (SELFIES cannot write" in line
    assert "--language smiles" in line
    small = ["--steps", "1", "--batch_size", "2", "--split_sizes", "1,0,0", "--accelerator", "cpu", "--overwrite"]
    assert main([*words, "--on_invalid", "skip", *small]) == 0
    assert main([*words, "--language", "smiles", *small]) == 0


def test_a_folder_that_holds_something_is_left_alone(molecule_table, tmp_path, capsys):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "parts.csv").write_text("mine\n")
    words = ["finetune", str(molecule_table), "--properties", "weight", "--out", str(tmp_path / "run")]
    assert main(words) == 2
    assert "choose another --out" in told(capsys)
    assert (tmp_path / "run" / "parts.csv").read_text() == "mine\n"


def test_augmenting_needs_molecules(write_table, tmp_path, capsys):
    path = write_table(("sequence", "y"), [("AKKWAKGLW" + "A" * index, index + 0.5) for index in range(20)])
    words = ["finetune", str(path), "--augment", "1", "--model", "rt_debug", "--out", str(tmp_path / "run")]
    assert main(words) == 2
    assert "--augment is for molecules" in told(capsys)
