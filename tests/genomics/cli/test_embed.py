"""`seqdna embed` and `seqdna.load(...).embed` and `.bits`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import seqdna
import seqsuite
from seqdna.api import GenomeModel
from seqdna.cli import main
from seqdna.tokenizers import NucleotideTokenizer
from seqsuite.errors import UserError

PAIRS = str.maketrans("ACGT", "TGCA")


def reverse_complement(text: str) -> str:
    return text.translate(PAIRS)[::-1]


@pytest.fixture(params=["caduceus_ps_debug", "caduceus_ph_debug"])
def model(request) -> GenomeModel:
    torch.manual_seed(0)
    return GenomeModel(seqsuite.create_model(request.param, vocab_size=12), NucleotideTokenizer())


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model")
    seqsuite.create_model("caduceus_ps_debug", vocab_size=12).save_pretrained(path)
    return path


SEQUENCES = {"a": "ACGTTGCAACCA", "b": "TTTACG", "c": "A", "d": "acgttgcaacca", "e": "ACGTNRYACGT" * 9}


def test_one_vector_a_sequence_whatever_its_company(model) -> None:
    together = model.embed(SEQUENCES)
    assert together.vectors.shape == (5, 16)
    assert together.names == tuple(SEQUENCES)
    for name, vector in zip(together.names, together.vectors, strict=True):
        alone = model.embed(SEQUENCES[name]).vectors[0]
        np.testing.assert_allclose(vector, alone, atol=1e-5)
    np.testing.assert_allclose(together.vectors[0], model.embed(SEQUENCES, batch_tokens=1).vectors[3], atol=1e-5)


def test_ps_gives_both_strands_the_same_vector() -> None:
    torch.manual_seed(0)
    ps = GenomeModel(seqsuite.create_model("caduceus_ps_debug", vocab_size=12), NucleotideTokenizer())
    ph = GenomeModel(seqsuite.create_model("caduceus_ph_debug", vocab_size=12), NucleotideTokenizer())
    text = "ACGGTTGACCATAA"
    both = [text, reverse_complement(text)]
    np.testing.assert_allclose(*ps.embed(both).vectors, atol=1e-6)
    assert np.abs(np.subtract(*ph.embed(both).vectors)).max() > 1e-3


def test_pool_none_gives_a_vector_a_base(model) -> None:
    result = model.embed(SEQUENCES, pool="none")
    assert [vector.shape[0] for vector in result.vectors] == [len(text) for text in SEQUENCES.values()]
    width = 32 if model.model.config.rcps else 16
    assert result.width == width
    if not model.model.config.rcps:
        mean = model.embed(SEQUENCES).vectors
        np.testing.assert_allclose([rows.mean(0) for rows in result.vectors], mean, atol=1e-5)


def test_bits_do_not_depend_on_the_base_they_judge(model) -> None:
    first, second = model.bits("ACGTACGTTAGN"), model.bits("ACGTACTTTAGN")
    np.testing.assert_allclose(first.probabilities[6], second.probabilities[6], atol=1e-12)
    np.testing.assert_allclose(first.probabilities.sum(1), 1)
    assert first.bits[6] == pytest.approx(-np.log2(first.probabilities[6, 2]))
    assert np.isnan(first.bits[11])
    assert first.mean == pytest.approx(np.mean(first.bits[:11]))


def test_results_show_themselves(model) -> None:
    assert "<table" in model.embed(SEQUENCES)._repr_html_()
    assert "data:image" in model.embed(SEQUENCES)._repr_html_()
    assert "data:image" in model.bits("ACGTAC")._repr_html_()
    assert "<table" in model.embed("ACGT", pool="none")._repr_html_()


@pytest.mark.parametrize(
    ("sequences", "message"),
    [
        ([], "no sequence"),
        ({"x": ""}, "'x' is empty"),
        ("", "is empty"),
        ("AC\nGT", r"'\\n' at position 2"),
        ({"p": "MKLV"}, "'p': 'L' at position 2"),
        ([None], "is a NoneType"),
    ],
)
def test_nothing_to_embed(model, sequences, message) -> None:
    with pytest.raises(UserError, match=message):
        model.embed(sequences)


def test_bits_need_a_masked_language_model() -> None:
    headless = seqsuite.create_model("caduceus_ps_debug", head="none")
    with pytest.raises(UserError, match="head 'none'"):
        GenomeModel(headless, NucleotideTokenizer()).bits("ACGT")


def test_bits_of_nothing_known_are_nan(model) -> None:
    assert np.isnan(model.bits("NN").mean)


def test_unknown_device(folder) -> None:
    with pytest.raises(UserError, match="device 'abacus'"):
        seqdna.load(folder, device="abacus")


def test_unknown_pool(model) -> None:
    with pytest.raises(UserError, match="Did you mean 'mean'"):
        model.embed("ACGT", pool="meen")


def test_command_writes_what_the_library_gives(folder, tmp_path, capsys) -> None:
    fasta = tmp_path / "s.fa"
    fasta.write_text("".join(f">{name}\n{text}\n" for name, text in SEQUENCES.items()))
    out = tmp_path / "e.npz"
    assert main(["embed", str(folder), str(fasta), "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["sequences"] == 5
    with np.load(out) as saved:
        assert saved["names"].tolist() == list(SEQUENCES)
        np.testing.assert_array_equal(saved["vectors"], seqdna.load(folder).embed(SEQUENCES).vectors)
    assert main(["embed", str(folder), str(fasta), "--out", str(out)]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main(["embed", str(folder), str(fasta), "--out", str(out), "--overwrite", "--pool", "none"]) == 0
    with np.load(out) as saved:
        assert saved["vectors"].shape == (int(saved["lengths"].sum()), 32)


@pytest.mark.parametrize("ending", ["npz", "parquet", "zarr"])
def test_tiles_of_a_genome_to_every_format(folder, tmp_path, capsys, ending) -> None:
    fasta, out = tmp_path / "s.fa", tmp_path / f"e.{ending}"
    text = SEQUENCES["a"] * 9
    fasta.write_text(f">long\n{text}\n>short\nACGT\n")
    words = [str(folder), str(fasta), "--out", str(out), "--window", "40", "--step", "30", "--layer", "1"]
    assert main(["embed", *words, "--pool", "max"]) == 0
    assert "2 sequences, 5 vectors of width 16" in capsys.readouterr().out
    model = seqdna.load(folder)
    expected = model.embed({"long": text, "short": "ACGT"}, window=40, step=30, layer=1, pool="max")
    if ending == "npz":
        with np.load(out) as saved:
            vectors, starts = saved["vectors"], saved["starts"].tolist()
    elif ending == "zarr":
        import zarr

        group = zarr.open_group(str(out), mode="r")
        vectors, starts = group["vectors"][:], group["starts"][:].tolist()
    else:
        import pyarrow.parquet as parquet

        table = parquet.read_table(out)
        vectors, starts = np.array(table["vector"].to_pylist()), table["start"].to_pylist()
    np.testing.assert_array_equal(vectors, expected.vectors)
    assert starts == list(expected.starts) == [0, 30, 60, 68, 0]


def test_command_reads_intervals_and_tables(folder, tmp_path, capsys) -> None:
    fasta, bed, table = tmp_path / "s.fa", tmp_path / "s.bed", tmp_path / "s.csv"
    fasta.write_text(f">1\n{SEQUENCES['a']}\n")
    bed.write_text("chr1\t2\t8\tx\t0\t-\n")
    piece = reverse_complement(SEQUENCES["a"][2:8])
    table.write_text(f"name,read\nx,{piece}\n")
    for words in (
        [str(fasta), "--bed", str(bed)],
        [str(table), "--column", "read", "--name_column", "name"],
    ):
        out = tmp_path / "e.npz"
        assert main(["embed", str(folder), *words, "--out", str(out), "--pool", "first", "--overwrite"]) == 0
        with np.load(out) as saved:
            assert saved["names"].tolist() == ["x"]
            np.testing.assert_array_equal(saved["vectors"], seqdna.load(folder).embed(piece, pool="first").vectors)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere", "s.fa"], "nowhere: there is no such folder"),
        ([".", "s.fa"], "holds no model"),
        (["MODEL", "nothing.fa"], "no such file"),
        (["MODEL", "s.fa", "--out", "x.npy"], "'.npy' is no known format. Did you mean '.npz'"),
        (["MODEL", "s.fa", "--out", "no/such/folder/x.npz"], "cannot write"),
        (["MODEL", "s.fa", "--pool", "median"], "--pool"),
        (["MODEL", "s.fa", "--layer", "2"], "--layer 2: this model has the blocks 0 to 1"),
        (["MODEL", "s.fa", "--strands", "three"], "--strands"),
        (["MODEL", "s.fa", "--max_length", "3"], "'s' has 4 bases, more than 3 at once: add --window"),
        (["MODEL", "s.fa", "--step", "3"], "--step needs a --window"),
        (["MODEL", "s.fa", "--bed", "far.bed"], "far.bed, line 1"),
        (["MODEL", "s.fa", "--bed", "other.bed"], "unknown record 'r'"),
        (["MODEL", "s.csv", "--bed", "far.bed"], "--bed takes intervals of a genome"),
        (["MODEL", "s.csv", "--column", "sequence"], "no column 'sequence'. Did you mean 'sequences'"),
        (["MODEL", "s.fa", "--name_column", "name"], "--name_column is for tables"),
        (["MODEL", "empty.fa"], "empty.fa: the file is empty"),
        (["OTHER", "s.fa"], "holds a MixerLM, which is no genome model"),
        (["MODEL", "s.fa", "--out", "there.npz"], "there.npz exists; add --overwrite"),
        (["MODEL", "s.fa", "--device", "abacus"], "device 'abacus'"),
        (["MODEL"], "missing: SEQUENCES"),
        (["MODEL", "s.fa", "--batch_tokens", "0"], "--batch_tokens is 0"),
    ],
)
def test_bad_input_is_one_line(folder, tmp_path, monkeypatch, capsys, words, message) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.fa").write_text(">s\nACGT\n")
    (tmp_path / "s.csv").write_text("sequences\nACGT\n")
    (tmp_path / "far.bed").write_text("s\t2\t5\n")
    (tmp_path / "other.bed").write_text("r\t2\t3\n")
    (tmp_path / "empty.fa").touch()
    (tmp_path / "there.npz").touch()
    if "OTHER" in words:
        seqsuite.create_model("mamba_lm_debug").save_pretrained(tmp_path / "OTHER")
    before = sorted(tmp_path.iterdir())
    assert main(["embed", *(str(folder) if word == "MODEL" else word for word in words)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_damaged_model_is_one_line(folder, tmp_path, name) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / name).write_bytes(b"{ not what it was")
    with pytest.raises(UserError, match=r"copy"):
        seqdna.load(copy)


@pytest.mark.parametrize(("text", "told"), [("ACGTNNRA", "3 of 8 letters are no A, C, G or T"), ("ACGTacgt", "")])
def test_letters_that_are_no_base_are_counted(tmp_path, capsys, text, told) -> None:
    seqsuite.create_model("caduceus_ps_debug").save_pretrained(tmp_path / "model")
    (tmp_path / "g.fa").write_text(f">c\n{text}\n")
    assert main(["embed", str(tmp_path / "model"), str(tmp_path / "g.fa"), "--out", str(tmp_path / "v.npz")]) == 0
    err = capsys.readouterr().err
    assert told in err
    assert bool(err) == bool(told)
