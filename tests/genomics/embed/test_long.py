"""A sequence embedded chunk by chunk through files has the vectors of the sequence in one piece."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

import seqsuite
from seqdna.api import GenomeModel
from seqdna.cli import main
from seqdna.embedding import Embedder, Tiling, named_pieces
from seqdna.embedding.long import embed_long
from seqdna.tokenizers import NucleotideTokenizer
from seqsuite.errors import UserError

TOKENIZER = NucleotideTokenizer()
NAMES = ["caduceus_ps_debug", "caduceus_ph_debug", "mamba_dna_debug", "leave_one_out_debug", "hyenadna_debug"]
POOLS = ["mean", "max", "first", "last", "centre", "none"]


def bases(length: int) -> str:
    return "".join(np.random.default_rng(length).choice(list("ACGTN"), length))


@pytest.fixture(scope="module", params=NAMES)
def model(request) -> GenomeModel:
    torch.manual_seed(0)
    network = seqsuite.create_model(request.param).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return GenomeModel(network, TOKENIZER)


@pytest.mark.parametrize("strands", ["model", "both"])
@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("length", [90, 91])
def test_the_vectors_of_one_piece(model, pool, strands, length) -> None:
    short, text = bases(7), bases(length)
    texts = {"short": short, "long": text, "again": text[::-1], "end": short}
    whole = model.embed(texts, pool=pool, strands=strands)
    long = model.embed(texts, pool=pool, strands=strands, window=0, max_length=50)
    assert (long.names, long.starts, long.ends) == (whole.names, whole.starts, whole.ends)
    for ours, expected in zip(long.vectors, whole.vectors, strict=True):
        np.testing.assert_allclose(ours, expected, atol=1e-6)


@pytest.mark.parametrize("chunk", [1, 7, 90])
@pytest.mark.parametrize("pool", POOLS)
def test_any_chunk(model, pool, chunk) -> None:
    """Also of an interval's other strand with context that is not kept."""
    (piece,) = named_pieces({"x": bases(90)}, TOKENIZER, Tiling(every_base=True))
    piece = dataclasses.replace(piece, keep=(5, 71), strand="-")
    ((_, expected),) = Embedder(model.model, TOKENIZER, pool=pool)([piece])
    parts = list(embed_long(model.model, piece, pool=pool, strands="model", chunk=chunk))
    if pool == "none":
        assert max(len(vectors) for _, vectors in parts) <= chunk
        np.testing.assert_array_equal(np.concatenate([part.places() for part, _ in parts]), piece.places())
        vectors = np.concatenate([vectors for _, vectors in parts])
    else:
        ((_, vectors),) = parts
    np.testing.assert_allclose(vectors, expected, atol=1e-6)


def test_other_layers_need_memory(model) -> None:
    with pytest.raises(UserError, match="'sequence_0': 60 bases run chunk by chunk, which gives --layer -1 alone"):
        model.embed(bases(60), layer=0, window=0, max_length=50)
    assert len(model.embed(bases(50), layer=0, window=0, max_length=50)) == 1


@pytest.mark.parametrize("pool", ["mean", "none"])
def test_the_command_writes_the_same_file(model, tmp_path, pool, monkeypatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    model.model.float().save_pretrained(tmp_path / "model")
    model.model.double()
    fasta = tmp_path / "x.fa"
    fasta.write_text(f">a\n{bases(30)}\n>b\n{bases(120)}\n>c\n{bases(10)}\n")
    flags = ["embed", str(tmp_path / "model"), str(fasta), "--pool", pool, "--out"]
    assert main([*flags, str(tmp_path / "one.npz")]) == 0
    assert main([*flags, str(tmp_path / "long.npz"), "--window", "0", "--max_length", "40"]) == 0
    one, long = (np.load(tmp_path / name) for name in ("one.npz", "long.npz"))
    for name in ("names", "starts", "ends", "lengths"):
        np.testing.assert_array_equal(one[name], long[name])
    np.testing.assert_allclose(long["vectors"], one["vectors"], atol=1e-4)


def test_a_long_sequence_without_a_window_is_refused_with_all_ways_out(model) -> None:
    with pytest.raises(UserError, match=r"--window 8192 .* --window 0 .* --max_length"):
        model.embed(bases(60), max_length=50)
