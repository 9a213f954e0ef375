"""What a notebook imports: loading, and what the methods take."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import seqdna
import seqsuite
from seqdna import api
from seqdna.tokenizers import NucleotideTokenizer
from seqsuite.errors import UserError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs")
    torch.manual_seed(0)
    for name in ("mamba_dna_debug", "caduceus_ps_debug"):
        seqsuite.create_model(name).save_pretrained(path / name / "model")
    seqsuite.create_model("mamba_lm_debug").save_pretrained(path / "text")
    return path


def test_the_names_that_notebooks_use() -> None:
    from seqdna.embedding import Embeddings

    assert api.Embeddings is Embeddings
    assert {"BaseBits", "Embeddings", "GenomeModel", "load"} <= set(api.__all__)
    assert seqdna.load is api.load


def test_a_run_folder_brings_its_tokenizer_and_summary(folder) -> None:
    run = folder / "mamba_dna_debug"
    settings = NucleotideTokenizer(lower="n", padding_side="right").to_dict()
    (run / "model" / "tokenizer.json").write_text(json.dumps(settings))
    (run / "summary.json").write_text(json.dumps({"bits_per_base": 1.9}))
    model = seqdna.load(run)
    assert (model.tokenizer.lower, model.tokenizer.padding_side) == ("n", "right")
    assert model.summary == {"bits_per_base": 1.9}
    assert seqdna.load(run / "model").summary == {}
    assert not model.model.training


def test_a_checkpoint_of_another_domain(folder) -> None:
    with pytest.raises(UserError, match="text: holds a MixerLM, which is no genome model"):
        seqdna.load(folder / "text")


@pytest.mark.parametrize("method", ["embed", "generate", "infill"])
def test_sequences_in_any_form(folder, method) -> None:
    causal = method == "generate"
    model = seqdna.load(folder / ("mamba_dna_debug" if causal else "caduceus_ps_debug"))
    text = "ACGTTNCA"
    forms = [text, text.encode(), [text], (text.encode(),), {"x": text}]
    results = [getattr(model, method)(form) for form in forms]
    for result in results[1:]:
        if method == "embed":
            np.testing.assert_array_equal(result.vectors, results[0].vectors)
        else:
            assert result.sequences == results[0].sequences
    assert results[-1].names == (("x",) if method == "embed" else ("x_1",))


@pytest.mark.parametrize("method", ["embed", "generate", "infill", "saliency", "bits"])
def test_what_is_no_sequence(folder, method) -> None:
    model = seqdna.load(folder / ("mamba_dna_debug" if method == "generate" else "caduceus_ps_debug"))
    with pytest.raises(UserError, match="'L' at position 2 is no nucleotide code"):
        getattr(model, method)("MKLV".replace("K", "A").replace("M", "C"))


def test_every_result_shows_itself(folder) -> None:
    causal, masked = seqdna.load(folder / "mamba_dna_debug"), seqdna.load(folder / "caduceus_ps_debug")
    shown = [
        masked.embed(["ACGT", "TTGA", "CCAG"]),
        masked.bits("ACGTTG"),
        masked.infill("AC__GT"),
        masked.saliency("ACGTTG"),
        causal.generate("ACG", length=5),
    ]
    for result in shown:
        page = result._repr_html_()
        assert "<table" in page
        assert "data:image" in page
