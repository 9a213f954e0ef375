"""Scores against tables worked by hand, against the other views of a model, and the laws between strands."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import seqsuite
from seqdna.api import GenomeModel
from seqdna.data import Genome
from seqdna.likelihood import everywhere
from seqdna.tokenizers import NucleotideTokenizer
from seqdna.variants.alleles import Variant, normalised, windows_of
from seqdna.variants.scores import Scorer, resolve_method
from seqsuite.errors import UserError

TOKENIZER = NucleotideTokenizer()


def real(name: str, **options) -> GenomeModel:
    torch.manual_seed(1)
    return GenomeModel(seqsuite.create_model(name, vocab_size=12, **options), TOKENIZER)


def test_a_score_worked_by_hand(kit) -> None:
    """ACGTA, G>T in the middle: the neighbours are C and T; on the other strand A and G."""
    model = kit.TableModel("leave_one_out")
    table = model.table.detach().numpy()
    pair = windows_of(Genome.from_sequences({"c": "ACGTA"}), Variant("c", 2, "G", "T"), 5)
    ((given, turned),) = Scorer(model, TOKENIZER)([pair])[0]
    assert given == pytest.approx(math.log(table[1, 3, 3] / table[1, 3, 2]))
    assert turned == pytest.approx(math.log(table[0, 2, 0] / table[0, 2, 1]))


def test_a_chain_worked_by_hand(kit) -> None:
    """CG against CT inside AC.A: what changes is the step to the base and the step behind it."""
    model = kit.TableModel("causal_lm")
    step = model.table.detach().numpy()[:, 0]
    pair = windows_of(Genome.from_sequences({"c": "ACGA"}), Variant("c", 2, "G", "T"), 4)
    ((given, turned),) = Scorer(model, TOKENIZER)([pair])[0]
    assert given == pytest.approx(math.log(step[1, 3] * step[3, 0] / (step[1, 2] * step[2, 0])))
    assert turned == pytest.approx(math.log(step[3, 0] * step[0, 2] / (step[3, 1] * step[1, 2])))


@pytest.mark.parametrize("mean", [False, True])
@pytest.mark.parametrize("window", [10, 13])
def test_any_change_against_replaced_strings(kit, table_model, window, mean) -> None:
    text = kit.random_genome(2, 90)
    genome = Genome.from_sequences({"c": text})
    draws = np.random.default_rng(4)
    oracle = kit.oracle_of(table_model, window, flank=1, mean=mean)
    variants = []
    for _ in range(60):
        start = int(draws.integers(0, len(text)))
        ref = text[start : start + int(draws.integers(0, 5))]
        alt = "".join(draws.choice(list("ACGT"), draws.integers(0, 5)))
        if ref != alt:
            variants.append((start, ref, alt))
    pairs = [windows_of(genome, normalised(genome, "c", *variant), window) for variant in variants]
    scorer = Scorer(table_model.model, TOKENIZER, reduce="mean" if mean else "sum", span_flank=1, batch_tokens=64)
    found = scorer(pairs)[:, 0]
    expected = [oracle.scores(text, start + 1, ref, alt) for start, ref, alt in variants]
    np.testing.assert_allclose(found, expected, atol=1e-9)
    assert {pair.kind for pair in pairs} == {"snv", "mnv", "insertion", "deletion", "delins"}


def pairs_of(length: int = 60, window: int = 32):
    text = "".join(np.random.default_rng(7).choice(list("ACGT"), length))
    genome = Genome.from_sequences({"c": text})
    changes = [
        (30, text[30], "ACGT"["CGTA".index(text[30])]),
        (20, "", "TTG"),
        (25, text[25:29], ""),
        (2, text[2:4], "GGG"),
    ]
    return text, [windows_of(genome, Variant("c", *change), window) for change in changes]


def test_an_snv_of_a_leave_one_out_model_is_the_log_odds_of_everywhere() -> None:
    model = real("leave_one_out_debug")
    _, pairs = pairs_of()
    pair = pairs[0]
    logp = everywhere(model.model, TOKENIZER, pair.ids[0, 0])[16]
    ref, alt = ("ACGT".index(TOKENIZER.decode(pair.ids[0, allele, 16:17])) for allele in (0, 1))
    assert Scorer(model.model, TOKENIZER)(pairs)[0, 0, 0] == pytest.approx(logp[alt] - logp[ref], abs=1e-5)


def test_masked_scores_are_those_of_masking_the_base_oneself() -> None:
    model = real("caduceus_ph_debug")
    _, pairs = pairs_of()
    window = torch.from_numpy(pairs[0].ids[0, 0].astype(np.int64))[None].clone()
    window[0, 16] = TOKENIZER.mask_id
    with torch.no_grad():
        logits = model.model(window)[0, 16]
    ref, alt = pairs[0].ids[0, :, 16].tolist()
    assert Scorer(model.model, TOKENIZER)(pairs)[0, 0, 0] == pytest.approx(float(logits[alt] - logits[ref]), abs=1e-5)


def test_causal_scores_are_whole_likelihoods() -> None:
    model = real("mamba_dna_debug")
    _, pairs = pairs_of()
    sums = []
    for allele in (0, 1):
        ids = torch.from_numpy(pairs[1].ids[1, allele].astype(np.int64))
        with torch.no_grad():
            logits = model.model(ids[None])[0, :-1, 7:11].double().log_softmax(-1)
        sums.append(float(logits.gather(1, ids[1:, None] - 7).sum()))
    assert Scorer(model.model, TOKENIZER)(pairs)[1, 0, 1] == pytest.approx(sums[1] - sums[0], abs=1e-4)


@pytest.mark.parametrize("name", ["caduceus_ps_debug", "leave_one_out_debug"])
@pytest.mark.parametrize("method", ["auto", "embedding"])
@pytest.mark.parametrize("window", [32, 33])
def test_equivariant_models_score_both_strands_alike(name, method, window) -> None:
    """Measured on both; what runs by default is one strand, and its scores are these."""
    model = real(name).model
    _, pairs = pairs_of(window=window)
    both = Scorer(model, TOKENIZER, method, both_strands=True)(pairs)
    np.testing.assert_allclose(both[..., 0], both[..., 1], atol=2e-5)
    assert np.abs(both).max() > 1e-3
    np.testing.assert_allclose(Scorer(model, TOKENIZER, method)(pairs), both, atol=2e-5)


@pytest.mark.parametrize("method", ["auto", "embedding"])
def test_other_models_do_not(method) -> None:
    _, pairs = pairs_of()
    scores = Scorer(real("caduceus_ph_debug").model, TOKENIZER, method)(pairs)
    assert np.abs(scores[..., 0] - scores[..., 1]).max() > 1e-4


@pytest.mark.parametrize("name", ["caduceus_ph_debug", "mamba_dna_debug", "leave_one_out_debug"])
def test_the_way_back_has_the_opposite_score(name) -> None:
    """Swapping the haplotypes negates a likelihood score, the distance stays."""
    model = real(name).model
    _, pairs = pairs_of()
    back = [type(p)(p.ids[:, ::-1], p.first[::-1], p.size[::-1], p.kind) for p in pairs]
    there, returned = (Scorer(model, TOKENIZER)(which)[1:] for which in (pairs, back))
    np.testing.assert_allclose(there, -returned, atol=1e-4)
    there, returned = (Scorer(model, TOKENIZER, "embedding")(which) for which in (pairs, back))
    np.testing.assert_allclose(there, returned, atol=1e-5)


@pytest.mark.parametrize("name", ["caduceus_ps_debug", "caduceus_ph_debug"])
def test_distances_are_those_of_the_embeddings(name) -> None:
    model = real(name)
    _, pairs = pairs_of()
    scores = Scorer(model.model, TOKENIZER, "embedding", both_strands=True)(pairs)
    for row, pair in zip(scores, pairs, strict=True):
        for strand in (0, 1):
            texts = [TOKENIZER.decode(ids) for ids in pair.ids[strand]]
            one, other = model.embed(texts).vectors.astype(np.float64)
            assert row[0, strand] == pytest.approx(np.linalg.norm(one - other), abs=1e-5)
            cosine = 1 - one @ other / np.linalg.norm(one) / np.linalg.norm(other)
            assert row[1, strand] == pytest.approx(cosine, abs=1e-5)
    texts = [TOKENIZER.decode(ids) for ids in pairs[0].ids[0]]
    one, other = model.embed(texts, pool="none").vectors
    assert scores[0, 2, 0] == pytest.approx(np.linalg.norm(one - other, axis=1).max(), rel=1e-4)


def test_the_largest_distance_of_an_insertion_compares_the_same_bases(kit) -> None:
    """Features that hold the base itself: the flanks of both haplotypes agree base for base, so the distance is 0."""

    class Bases(kit.TableModel):
        def forward_features(self, ids):
            return torch.nn.functional.one_hot(ids, 16).double()

        def pool(self, features, *, pooling):
            return features.mean(1)

    _, pairs = pairs_of()
    scores = Scorer(Bases("masked_lm"), TOKENIZER, "embedding")(pairs)
    np.testing.assert_allclose(scores[1:, 2], 0, atol=1e-12)
    np.testing.assert_allclose(scores[0, 2], math.sqrt(2))
    np.testing.assert_allclose(scores[0, 0], math.sqrt(2) / 32)


def test_scores_do_not_depend_on_the_batch() -> None:
    model = real("leave_one_out_debug").model
    _, pairs = pairs_of()
    together, alone = (Scorer(model, TOKENIZER, batch_tokens=size)(pairs) for size in (4096, 32))
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert Scorer(model, TOKENIZER)([]).shape == (0, 1, 2)


def test_unknown_bases_around_a_variant_are_seen_and_not_judged(kit, table_model) -> None:
    text = "ACGTNNACGGTNACCATGACGTAGC"
    genome = Genome.from_sequences({"c": text})
    oracle = kit.oracle_of(table_model, 12)
    changes = [(6, "A", "T"), (10, "T", "TCC"), (12, "AC", "")]
    pairs = [windows_of(genome, normalised(genome, "c", *change), 12) for change in changes]
    found = Scorer(table_model.model, TOKENIZER)(pairs)[:, 0]
    np.testing.assert_allclose(found, [oracle.scores(text, at + 1, *alleles) for at, *alleles in changes], atol=1e-9)
    assert np.isfinite(found).all()


@pytest.mark.parametrize(
    ("name", "options", "method", "expected"),
    [
        ("caduceus_ps_debug", {}, "auto", "masked"),
        ("mamba_dna_debug", {}, "auto", "likelihood"),
        ("leave_one_out_debug", {}, "auto", "leave_one_out"),
        ("caduceus_ps_debug", {"head": "none"}, "auto", "embedding"),
        ("mamba_dna_debug", {}, "embedding", "embedding"),
    ],
)
def test_what_auto_means(name, options, method, expected) -> None:
    assert resolve_method(real(name, **options).model, method) == expected


@pytest.mark.parametrize(
    ("name", "method", "message"),
    [
        ("caduceus_ps_debug", "likelihood", "head 'masked_lm'; use masked or embedding"),
        ("mamba_dna_debug", "masked", "use likelihood or embedding"),
        ("leave_one_out_debug", "leave-one-out", "Did you mean 'leave_one_out'"),
    ],
)
def test_methods_that_do_not_fit(name, method, message) -> None:
    with pytest.raises(UserError, match=message):
        resolve_method(real(name).model, method)
    with pytest.raises(UserError, match="reduce 'median'"):
        Scorer(real(name).model, TOKENIZER, reduce="median")
