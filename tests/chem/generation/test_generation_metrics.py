"""Measures of sets of molecules, each against a computation of its own that follows the published definition."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from rdkit import Chem, DataStructs
from rdkit.Chem import BRICS, Descriptors, rdFingerprintGenerator
from rdkit.Chem.Scaffolds import MurckoScaffold

from seqchem.evaluation import generation_metrics as metrics
from seqchem.evaluation.generation import correlation, evaluate_generated, read_generated
from seqsuite.errors import UserError

FIRST = ["CC(=O)Nc1ccc(O)cc1", "CCOC(=O)c1ccccc1", "CCO", "c1ccc(-c2ccccc2)cc1", "C[C@H](N)C(=O)O", "CCN(CC)CC",
         "O=C(Nc1ccccc1)c1ccc2[nH]ccc2c1", "CC(C)Cc1ccc(C(C)C(=O)O)cc1"]  # fmt: skip
SECOND = ["CC(=O)Oc1ccccc1C(=O)O", "c1ccc(-c2ccccc2)cc1", "CCCO", "Cn1c(=O)c2c(ncn2C)n(C)c1=O", "OCC1OC(O)C(O)C(O)C1O",
          "O=C(c1ccccc1)c1ccc2ccccc2c1", "CC(=O)Nc1ccccc1"]  # fmt: skip


def vectors(smiles, bits=1024):
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=bits)
    return [generator.GetFingerprint(Chem.MolFromSmiles(text)) for text in smiles]


def test_valid_unique_and_novel_are_counted():
    texts = ["CCO", "OCC", "C1CC", "", "CCN", "N[C@@H](C)C(=O)O", "N[C@H](C)C(=O)O"]
    valid = metrics.canonical(texts)
    assert valid == ["CCO", "CCO", "CCN", "C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O"]
    assert metrics.canonical(texts, stereo=False)[3] == metrics.canonical(texts, stereo=False)[4]
    assert metrics.unique_fraction(valid) == 4 / 5
    assert metrics.unique_fraction(valid, 2) == 1 / 2  # the first two are one
    assert math.isnan(metrics.unique_fraction(valid, 6))
    assert metrics.novel_fraction(valid, ["CCO", "CCCC"]) == 3 / 4
    assert math.isnan(metrics.novel_fraction([], ["C"]))


def test_internal_diversity_by_both_readings():
    bits = vectors(FIRST)
    pairs = np.array([DataStructs.BulkTanimotoSimilarity(one, bits) for one in bits])
    n = len(FIRST)
    assert metrics.internal_diversity(FIRST) == pytest.approx(1 - pairs.sum() / n**2)
    assert metrics.internal_diversity(FIRST, mean="pairs") == pytest.approx(1 - pairs.sum() / n**2)
    rows = [math.sqrt(sum(value**2 for value in row) / n) for row in pairs]
    assert metrics.internal_diversity(FIRST, 2) == pytest.approx(1 - sum(rows) / n)
    whole = math.sqrt(sum(value**2 for row in pairs for value in row) / n**2)
    assert metrics.internal_diversity(FIRST, 2, mean="pairs") == pytest.approx(1 - whole)
    assert metrics.internal_diversity(["CCO"] * 5) == pytest.approx(0.0)


def test_nearest_neighbours_and_blocks(monkeypatch):
    ours, theirs = vectors(FIRST), vectors(SECOND)
    expected = sum(max(DataStructs.BulkTanimotoSimilarity(one, theirs)) for one in ours) / len(ours)
    assert metrics.nearest_similarity(FIRST, SECOND) == pytest.approx(expected)
    diversity, within = metrics.internal_diversity(FIRST), metrics._nearest_within(FIRST, 1)
    monkeypatch.setattr(metrics, "_ROWS", 3)
    assert metrics.nearest_similarity(FIRST, SECOND) == pytest.approx(expected)
    assert metrics.internal_diversity(FIRST) == pytest.approx(diversity)
    assert metrics._nearest_within(FIRST, 1) == pytest.approx(within)
    wide = vectors(FIRST, 4096)
    others = [max(DataStructs.TanimotoSimilarity(one, two) for j, two in enumerate(wide) if j != i)
              for i, one in enumerate(wide)]  # fmt: skip
    assert within == pytest.approx(others)


def cosine(first, second):
    names = sorted({*first, *second})
    a, b = (np.array([counts[name] for name in names], dtype=float) for counts in (first, second))
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_fragments_and_scaffolds():
    def fragments(smiles):
        broken = (Chem.MolToSmiles(BRICS.BreakBRICSBonds(Chem.MolFromSmiles(text))) for text in smiles)
        return Counter(piece for text in broken for piece in text.split("."))

    assert metrics.fragment_similarity(FIRST, SECOND) == pytest.approx(cosine(fragments(FIRST), fragments(SECOND)))
    assert metrics.fragment_similarity(FIRST, FIRST * 2) == pytest.approx(1.0)

    def scaffolds(smiles):
        texts = [MurckoScaffold.MurckoScaffoldSmiles(text, includeChirality=True) for text in smiles]
        return Counter(t for t in texts if t and Chem.MolFromSmiles(t).GetRingInfo().NumRings() >= 2)

    assert len(scaffolds(FIRST)) == 2
    expected = cosine(scaffolds(FIRST), scaffolds(SECOND))
    assert 0 < expected < 1
    assert metrics.scaffold_similarity(FIRST, SECOND) == pytest.approx(expected)
    assert math.isnan(metrics.scaffold_similarity(["CCO"], SECOND))


@pytest.mark.parametrize(
    ("smiles", "options", "passes"),
    [
        ("CC(=O)Nc1ccc(O)cc1", {}, True),
        ("C1CCCCCCC1", {}, False),  # a ring of eight
        ("C[N+](C)(C)C", {}, False),
        ("CCI", {}, False),
        ("CCI", {"rules": False}, True),
        ("O=C1C=CC(=O)C=C1", {}, False),  # quinones are PAINS
        ("O=C1C=CC(=O)C=C1", {"catalogues": ()}, True),
        ("CCO", {"smarts": ("[OX2][#1]",)}, False),  # hydrogens are written out
        ("COC", {"smarts": ("[OX2][#1]",)}, True),
        ("CC(=O)Cl", {"catalogues": ("BRENK",), "rules": False}, False),  # acyl halides
    ],
)
def test_filters(smiles, options, passes):
    assert metrics.filtered_fraction([smiles], **options) == passes


def test_filters_that_are_none_are_told():
    with pytest.raises(UserError, match="PAINS"):
        metrics.filtered_fraction(["CCO"], catalogues=("PAIN",))
    with pytest.raises(UserError, match="not SMARTS"):
        metrics.filtered_fraction(["CCO"], smarts=("C(",))


def test_property_distances_are_the_area_between_sorted_values():
    found = metrics.property_distances(FIRST[:7], SECOND)
    weights = [sorted(Descriptors.MolWt(Chem.MolFromSmiles(text)) for text in texts) for texts in (FIRST[:7], SECOND)]
    assert found["mw"] == pytest.approx(np.mean(np.abs(np.subtract(*weights))))
    assert set(found) == {"logp", "sa", "qed", "mw"}
    assert metrics.property_distances(FIRST, FIRST) == pytest.approx(dict.fromkeys(found, 0.0))


def density(values, points):
    """Gaussian kernels with Scott's bandwidth, n^(-1/5) deviations (divided by n - 1)."""
    width = np.std(values, ddof=1) * len(values) ** -0.2
    kernels = np.exp(-((points[:, None] - values[None, :]) ** 2) / (2 * width**2)) / (width * math.sqrt(2 * math.pi))
    return kernels.mean(1)


def divergence(p, q):
    p, q = p / p.sum(), q / q.sum()
    return float(np.sum(p * np.log(p / q)))


def test_kl_divergences_are_those_of_guacamol():
    found = metrics.kl_divergences(FIRST, SECOND)
    assert len(found) == 10
    without = [[Chem.MolToSmiles(Chem.MolFromSmiles(t), isomericSmiles=False) for t in s] for s in (FIRST, SECOND)]
    ours, theirs = without
    for name in ("MolLogP", "MolWt", "TPSA", "BertzCT"):
        base, sampled = (
            np.array([getattr(Descriptors, name)(Chem.MolFromSmiles(t)) for t in s]) for s in (theirs, ours)
        )
        points = np.linspace(min(base.min(), sampled.min()), max(base.max(), sampled.max()), 1000)
        expected = divergence(density(base, points) + 1e-10, density(sampled, points) + 1e-10)
        assert found[name] == pytest.approx(expected, rel=1e-6), name
    for name in ("NumHDonors", "NumRotatableBonds", "NumAromaticRings", "NumAliphaticRings", "NumHAcceptors"):
        base, sampled = (
            np.array([getattr(Descriptors, name)(Chem.MolFromSmiles(t)) for t in s]) for s in (theirs, ours)
        )
        p, edges = np.histogram(base, bins=10, density=True)
        counted = np.array([sum((low <= v < high) or (v == edges[-1] == high) for v in sampled)
                            for low, high in itertools.pairwise(edges)], dtype=float)  # fmt: skip
        q = counted / max(1, counted.sum()) / np.diff(edges)
        assert found[name] == pytest.approx(divergence(p + 1e-10, q + 1e-10), rel=1e-9), name
    assert metrics.kl_score(found) == pytest.approx(sum(math.exp(-value) for value in found.values()) / 10)
    same = metrics.kl_divergences(FIRST, [*FIRST, FIRST[0]])  # repetitions do not count
    assert metrics.kl_score(same) == pytest.approx(1.0)
    assert all(math.isnan(value) for value in metrics.kl_divergences(["CCO"], SECOND).values())


def test_the_table_of_a_sample():
    texts = [*FIRST, "C1CC", FIRST[0]]
    scores = evaluate_generated(texts, reference=SECOND, train=FIRST[:2])
    assert scores.count == 10
    assert scores.values["valid"] == 0.9
    assert scores.values["unique"] == 8 / 9
    assert scores.values["novel"] == 6 / 8
    valid = [*FIRST, FIRST[0]]
    assert scores.values["snn"] == pytest.approx(metrics.nearest_similarity(valid, SECOND))
    assert scores.values["kl_score"] == pytest.approx(
        metrics.kl_score(metrics.kl_divergences(valid, FIRST[:2])), nan_ok=True
    )
    assert math.isnan(scores.values["unique@1000"])
    assert not {"fcd", "FCD"} & set(scores.values)
    assert [row["measure"] for row in scores.table()] == list(scores.values)
    alone = evaluate_generated(texts)
    assert not {"snn", "novel", "kl_score"} & set(alone.values)
    nothing = evaluate_generated(["x"], reference=SECOND, train=FIRST)
    assert nothing.values["valid"] == 0
    assert all(math.isnan(nothing.values[name]) for name in ("unique", "novel", "int_div", "snn", "kl_score"))
    with pytest.raises(UserError, match="no generated"):
        evaluate_generated([])
    with pytest.raises(UserError, match="reference holds no molecule"):
        evaluate_generated(texts, reference=["x"])


def test_asked_and_obtained_values():
    asked = np.array([1.0, 2.0, 3.0, 4.0, np.nan, 5.0])
    obtained = np.array([10.0, 20.0, 40.0, 30.0, 1.0, np.nan])
    found = correlation(asked, obtained)
    assert found["spearman"] == pytest.approx(1 - 6 * 2 / (4 * 15))  # 1 - 6 sum d^2 / n (n^2 - 1)
    assert found["rmse"] == pytest.approx(math.sqrt((9**2 + 18**2 + 37**2 + 26**2) / 4))
    assert found["molecules"] == 4
    assert math.isnan(correlation(np.ones(3), obtained[:3])["spearman"])
    assert math.isnan(correlation(asked[:0], asked[:0])["rmse"])


def test_files_of_generated_molecules(tmp_path):
    table = tmp_path / "g.csv"
    table.write_text("sequence,seed,asked_qed,obtained_qed,predicted_qed,status\nCCO,,0.9,0.4,0.5,ok\nxx,,0.9,,,rejected\n",
                     encoding="utf-8")  # fmt: skip
    sample = read_generated(table)
    assert sample.smiles == ["CCO", "xx"]
    assert sample.asked["qed"].tolist() == [0.9, 0.9]
    assert sample.obtained["qed"][0] == 0.4
    assert np.isnan(sample.obtained["qed"][1])
    plain = tmp_path / "g.smi"
    plain.write_text("CCO name\nc1ccccc1\n", encoding="utf-8")
    assert read_generated(plain).smiles == ["CCO", "c1ccccc1"]
    table.write_text("smiles,asked_qed,obtained_qed\nCCO,much,0.1\n", encoding="utf-8")
    with pytest.raises(UserError, match="line 2: column 'asked_qed' holds 'much'"):
        read_generated(table)
    with pytest.raises(UserError, match="cannot read"):
        read_generated(tmp_path / "none.csv")
    table.write_text("smiles\n", encoding="utf-8")
    with pytest.raises(UserError, match="holds no rows"):
        read_generated(table)
