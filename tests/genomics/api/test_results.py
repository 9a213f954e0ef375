"""Results in a notebook whatever their size, and the same number from every face that gives it."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

import seqdna
import seqsuite
from seqdna import api
from seqdna.api import BaseBits, GenomeModel
from seqdna.embedding import gather
from seqdna.generation import Generated, Sampling
from seqdna.tokenizers import NucleotideTokenizer
from seqsuite.errors import UserError

TOKENIZER = NucleotideTokenizer()
LANGUAGE = ["caduceus_ps_debug", "caduceus_ph_debug", "mamba_dna_debug", "leave_one_out_debug", "hyenadna_debug"]


def make(name: str, **options) -> GenomeModel:
    torch.manual_seed(0)
    network = seqsuite.create_model(name, **options).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return GenomeModel(network, TOKENIZER)


@pytest.fixture(scope="module", params=LANGUAGE)
def model(request) -> GenomeModel:
    return make(request.param)


def bases(length: int, seed: int = 0) -> str:
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), length))


def test_a_long_sequence_goes_through_files_with_the_same_bits(model, monkeypatch) -> None:
    text = bases(70) + "N" + bases(20)
    whole = model.bits(text)
    called = []
    long = api.everywhere_long
    monkeypatch.setattr(api, "everywhere_long", lambda *given: called.append(1) or long(*given))
    monkeypatch.setattr(api, "ONE_PIECE", 90)
    found = model.bits(text)
    assert len(called) == (model.model.config.head != "masked_lm")
    np.testing.assert_allclose(found.bits, whole.bits, atol=1e-5)
    np.testing.assert_allclose(found.probabilities, whole.probabilities, atol=1e-6)
    assert found.bits.dtype == np.float64


@pytest.mark.parametrize("stride", [0, -3])
def test_a_stride_below_one(stride) -> None:
    with pytest.raises(UserError, match=f"--mask_stride is {stride}"):
        make("caduceus_ps_debug").bits("ACGT", mask_stride=stride)


def test_a_stride_is_for_masked_models() -> None:
    with pytest.raises(UserError, match="--mask_stride is for masked language models"):
        make("mamba_dna_debug").bits("ACGT", mask_stride=2)


def test_one_score_of_a_base_from_every_face(model, tmp_path) -> None:
    """Log-odds from `bits`, mutagenesis, a VCF and the table of all variants, over the same window."""
    text, place = bases(33, 5), 16
    strands = [text] if model.model.config.both_strands else [text, text.translate(str.maketrans("ACGT", "TGCA"))[::-1]]
    rows = []
    for number, strand in enumerate(strands):
        p = model.bits(strand).probabilities[len(text) - 1 - place if number else place]
        rows.append(np.log(p[::-1] if number else p))
    expected = np.mean(rows, 0) - np.mean(rows, 0)["ACGT".index(text[place])]
    saliency = model.saliency(text, strands="both").scores[place]
    np.testing.assert_allclose(saliency, expected, atol=1e-9)
    (tmp_path / "g.fa").write_text(f">c\n{text}\n")
    snvs = model.all_snvs(tmp_path / "g.fa", tmp_path / "s.npy", window=33, overlap=0, force=True)
    np.testing.assert_allclose(snvs.of("c", place, place + 1)[0], expected, atol=1e-5)
    if model.model.config.head == "causal_lm":
        return  # the VCF's score is then that of the whole window
    alts = [base for base in "ACGT" if base != text[place]]
    (tmp_path / "v.vcf").write_text(
        "##fileformat=VCFv4.3\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
        f"c\t{place + 1}\t.\t{text[place]}\t{','.join(alts)}\t.\t.\t.\n"
    )
    scores = model.score_variants(tmp_path / "v.vcf", tmp_path / "g.fa", window=33).scores
    np.testing.assert_allclose(scores, [expected["ACGT".index(alt)] for alt in alts], atol=1e-9)


def test_a_chain_of_bits_is_the_causal_score_of_a_window(tmp_path) -> None:
    model, text, place = make("mamba_dna_debug"), bases(33, 5), 16
    changed = text[:place] + ("A" if text[place] != "A" else "C") + text[place + 1 :]
    sums = [
        -np.log(2) * (np.nansum(model.bits(turn(changed)).bits) - np.nansum(model.bits(turn(text)).bits))
        for turn in (str, lambda strand: strand.translate(str.maketrans("ACGT", "TGCA"))[::-1])
    ]
    (tmp_path / "g.fa").write_text(f">c\n{text}\n")
    (tmp_path / "v.vcf").write_text(
        "##fileformat=VCFv4.3\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
        f"c\t{place + 1}\t.\t{text[place]}\t{changed[place]}\t.\t.\t.\n"
    )
    (score,) = model.score_variants(tmp_path / "v.vcf", tmp_path / "g.fa", window=33).scores
    assert score == pytest.approx(np.mean(sums), abs=1e-9)


def test_the_first_base_is_drawn_as_often_as_the_model_says() -> None:
    model, n = make("mamba_dna_debug"), 3000
    p = model.bits("ACGTTGA").probabilities[6]
    drawn = "".join(model.generate("ACGTTG", length=1, n=n, seed=3).new())
    shares = np.array([drawn.count(base) for base in "ACGT"]) / n
    assert np.abs(shares - p).max() < 4 * np.sqrt(0.25 / n)


@pytest.mark.parametrize("length", [0, 1, 3, 5003])
def test_bits_show_themselves_at_any_length(length) -> None:
    draws = np.random.default_rng(1)
    result = BaseBits(bases(length), draws.random(length), np.full((length, 4), 0.25))
    page = result._repr_html_()
    assert page.count("<tr>") == 1 + min(length, 500)
    assert ("the first 500 of 5,003 bases" in page) == (length == 5003)
    assert len(page) < 1_000_000
    assert len(result.table()) == length
    (line, _) = result.figure().axes[0].get_lines()
    drawn = np.asarray(line.get_ydata(), dtype=float)
    assert len(drawn) <= 2000
    if length == 5003:  # stretches of three bases
        assert drawn[0] == pytest.approx(result.bits[:3].mean())
        assert drawn[-1] == pytest.approx(result.bits[5001:].mean())


def test_unknown_bases_alone_show_themselves() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in ("leave_one_out_debug", "caduceus_ph_debug"):
            assert "<img" in make(name).bits("NNN")._repr_html_()
            assert "<img" in make(name).saliency("NNN")._repr_html_()


@pytest.mark.parametrize("texts", [(), ("",), ("A",), ("A", "ACG")])
def test_generated_sequences_show_themselves(texts) -> None:
    names = tuple(map(str, range(len(texts))))
    result = Generated(names, texts, tuple(np.arange(len(text)) for text in texts))
    assert result._repr_html_().count("<tr>") == 1 + len(texts)
    assert (result.figure() is None) == (not any(texts))


def test_nothing_to_embed() -> None:
    with pytest.raises(UserError, match="nothing to embed"):
        gather([], pool="mean")


def test_next_to_no_temperature_is_none() -> None:
    logp = np.log([[0.1, 0.2, 0.4, 0.3], [0.7, 0.1, 0.1, 0.1]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(Sampling(5e-324).probabilities(logp), Sampling(0).probabilities(logp))


def test_a_device_without_numbers(tmp_path) -> None:
    make("mamba_dna_debug").model.save_pretrained(tmp_path)
    with pytest.raises(UserError, match="device 'meta' cannot be used here"):
        seqdna.load(tmp_path, device="meta")
