"""Metrics against scikit-learn and arithmetic; the distances against SciPy on strings."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial import distance
from sklearn.metrics import average_precision_score, roc_auc_score

from seqdna.data import open_genome
from seqdna.variant_benchmarks.distances import DISTANCES, DistanceScorer
from seqdna.variant_benchmarks.metrics import auprc, auroc, by_chromosome, probe_by_chromosome, weighted_average
from seqdna.variants.alleles import Variant, windows_of
from seqsuite.errors import UserError

PAIRS = str.maketrans("ACGT", "TGCA")


def drawn(seed: int, sizes: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, list[str]]:
    draws = np.random.default_rng(seed)
    chroms = [str(number) for number, size in enumerate(sizes) for _ in range(size)]
    labels = draws.random(len(chroms)) < 0.4
    return labels, draws.normal(size=len(chroms)) + labels, chroms


def test_weighted_average_is_the_mean_weighted_by_variants() -> None:
    labels, scores, chroms = drawn(0, (5, 40, 17))
    parts = [slice(0, 5), slice(5, 45), slice(45, 62)]
    each = [average_precision_score(labels[part], scores[part]) for part in parts]
    rows = by_chromosome(labels, scores, chroms)
    assert [row.auprc for row in rows] == pytest.approx(each)
    assert [(row.variants, row.positives) for row in rows] == [
        (size, int(labels[part].sum())) for size, part in zip((5, 40, 17), parts, strict=True)
    ]
    assert weighted_average(rows)[0] == pytest.approx((5 * each[0] + 40 * each[1] + 17 * each[2]) / 62)
    assert auroc(labels, scores) == pytest.approx(roc_auc_score(labels, scores))
    assert auprc(labels, scores) == pytest.approx(average_precision_score(labels, scores))


def test_rows_of_a_chromosome_need_not_lie_together() -> None:
    labels, scores, chroms = drawn(1, (30, 30))
    order = np.random.default_rng(0).permutation(60)
    mixed = by_chromosome(labels[order], scores[order], [chroms[index] for index in order])
    assert weighted_average(mixed)[0] == pytest.approx(weighted_average(by_chromosome(labels, scores, chroms))[0])


def test_the_standard_error_is_that_of_drawing_chromosomes() -> None:
    labels, scores, chroms = drawn(2, (25,) * 20)
    rows = by_chromosome(labels, scores, chroms)
    # Of equal sizes the mean over 20 draws has the variance of the values divided by 20.
    exact = np.std([row.auprc for row in rows]) / np.sqrt(20)
    assert weighted_average(rows)[1] == pytest.approx(exact, rel=0.1)
    assert np.isnan(weighted_average(rows[:1])[1])
    assert weighted_average(rows, seed=1)[1] != weighted_average(rows)[1]


def test_a_chromosome_without_positives_counts_as_zero() -> None:
    rows = by_chromosome(np.array([True, False, False, False]), np.array([1.0, 0, 0, 0]), ["1", "1", "2", "2"])
    assert weighted_average(rows)[0] == 0.5


def test_probing_never_sees_the_chromosome_it_predicts() -> None:
    draws = np.random.default_rng(3)
    chroms = [str(number) for number in range(7) for _ in range(24)]
    labels = draws.random(len(chroms)) < 0.3
    features = draws.normal(size=(len(chroms), 3))
    features[:, 1] += 3 * labels
    scores = probe_by_chromosome(features, labels, chroms, "set")
    assert average_precision_score(labels, scores) > 0.9
    here = np.array(chroms) == "2"
    turned = np.where(here, ~labels, labels)
    again = probe_by_chromosome(features, turned, chroms, "set")
    np.testing.assert_array_equal(again[here], scores[here])
    assert not np.array_equal(again[~here], scores[~here])


def test_probing_needs_chromosomes_and_classes() -> None:
    features, labels = np.zeros((10, 1)), np.arange(10) % 2 == 0
    with pytest.raises(UserError, match="there are variants on 5 chromosomes, 6 are needed"):
        probe_by_chromosome(features, labels, [str(number // 2) for number in range(10)], "set")
    with pytest.raises(UserError, match="without chromosome '0' all labels are equal"):
        probe_by_chromosome(features, np.arange(10) == 0, [str(number) for number in range(10)], "set")


def expected(model, one: str, other: str, place: int) -> list[float]:
    """Distances of two strings' features, by SciPy; PyTorch runs each string by itself."""
    with torch.inference_mode():
        each = [
            model.model.eval()
            .forward_features(torch.from_numpy(model.tokenizer.encode(text).astype(np.int64))[None])[0]
            .double()
            .numpy()
            for text in (one, other)
        ]
    judged = [rows[-1:] if model.model.config.head == "causal_lm" else rows for rows in each]
    flat = [rows.ravel() for rows in judged]
    whole = [distance.cosine(*flat), distance.euclidean(*flat), float(np.dot(*flat))]
    at = distance.cosine(each[0][place], each[1][place])
    return [at, distance.cosine(each[0].mean(0), each[1].mean(0)), *whole, *np.sum(judged[0] * judged[1], axis=0)]


@pytest.mark.parametrize("name", ["caduceus_ph_debug", "caduceus_ps_debug", "hyenadna_debug", "leave_one_out_debug"])
def test_distances_of_both_strands(kit, genome, fasta, name) -> None:
    model = kit.make_model(name)
    text, pos, window = genome["chr3"], 50, 32
    alt = "ACGT"["CGTA".index(text[pos])]
    opened = open_genome(fasta, model.tokenizer)
    scorer = DistanceScorer(model.model, model.tokenizer, channels=True)
    (found,) = scorer([windows_of(opened, Variant("chr3", pos, text[pos], alt), window)])
    one = text[pos - 16 : pos + 16]
    other = one[:16] + alt + one[17:]
    given = expected(model, one, other, 16)
    back = expected(model, one.translate(PAIRS)[::-1], other.translate(PAIRS)[::-1], 15)
    np.testing.assert_allclose(found, np.stack([given, back], axis=1), rtol=2e-4, atol=2e-6)
    assert len(scorer.measures) == len(given)
    plain = DistanceScorer(model.model, model.tokenizer)
    assert plain.measures == DISTANCES
    if model.model.config.both_strands:
        np.testing.assert_allclose(given[:5], back[:5], rtol=1e-4, atol=1e-6)


def test_a_causal_model_differs_from_the_variant_on(kit, genome, fasta) -> None:
    """So BEND's position is the variant's own: the one before it has seen no allele."""
    model = kit.make_model("hyenadna_debug")
    opened = open_genome(fasta, model.tokenizer)
    text = genome["chr1"]
    pair = windows_of(opened, Variant("chr1", 60, text[60], "A" if text[60] != "A" else "C"), 32)
    ids = torch.from_numpy(pair.ids[0].astype(np.int64))
    with torch.inference_mode():
        one, other = model.model.eval().forward_features(ids)
    assert torch.allclose(one[:16], other[:16], atol=1e-6)
    assert not torch.allclose(one[16], other[16], atol=1e-4)
