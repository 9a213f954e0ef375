"""Motifs: the planted site is found where it lies, with the score and the probability worked out by hand."""

from __future__ import annotations

import gzip
import math
from itertools import product

import numpy as np
import pytest

from seqdna.saliency import read_motifs, scan
from seqdna.saliency.motifs import Motif
from seqsuite.errors import UserError

FILE = """>MA0001.1\tPlanted\tplants
A  [ 10 0 0 0 5 ]
C  [ 0 10 0 0 5 ]
G  [ 0 0 10 10 0 ]
T  [ 0 0 0 0 0 ]
>MA0002.3\tBHLH::Two\tvertebrates
A  [ 0 8 0 0 0 2 ]
C  [ 8 0 1 6 0 0 ]
G  [ 0 0 7 0 0 6 ]
T  [ 0 0 0 2 8 0 ]
"""
BACKGROUND = "TTTTTTTTTTTTTTTTTTTTTTTTTTTTTT"


def reverse_complement(text: str) -> str:
    return text.translate(str.maketrans("ACGT", "TGCA"))[::-1]


@pytest.fixture
def path(tmp_path):
    target = tmp_path / "m.jaspar"
    target.write_text(FILE)
    return target


def by_hand(counts: list[float], base: int) -> float:
    return math.log2((counts[base] + 0.2) / (sum(counts) + 0.8) / 0.25)


def test_a_planted_motif_is_found_at_its_place_and_strand(path) -> None:
    motifs = read_motifs(path, name="Planted")
    text = BACKGROUND[:7] + "ACGGA" + BACKGROUND[:9] + reverse_complement("ACGGC") + BACKGROUND[:4]
    hits = scan(text, motifs, p_value=2 / 4**5)
    assert [(hit.start, hit.end, hit.strand) for hit in hits] == [(7, 12, "+"), (21, 26, "-")]
    strong, even = by_hand([10, 0, 0, 0], 0), by_hand([5, 5, 0, 0], 0)
    for hit in hits:
        assert hit.score == pytest.approx(4 * strong + even, abs=1e-12)
        assert hit.p_value == pytest.approx(2 / 4**5)  # ACGGA and ACGGC, of 1024


def test_scores_and_thresholds_against_every_site(path) -> None:
    """All 4^6 sites: the distribution is that of their scores, and a hit is what is as rare as asked for."""
    (motif,) = read_motifs(path, name="MA0002*")
    sites = np.array(list(product(range(4), repeat=6)))
    exact = motif.log_odds[np.arange(6), sites].sum(1)
    for p_value in (0.001, 0.01, 0.2):
        for number in range(0, len(sites), 37):
            text = "".join("ACGT"[code] for code in sites[number])
            chance = (exact >= exact[number] - 0.06).mean()  # six columns, each rounded by at most 1/200 bit
            sure, never = chance <= p_value, (exact >= exact[number] + 0.06).mean() > p_value
            forward = [hit for hit in scan(text, [motif], p_value=p_value) if hit.strand == "+"]
            if sure or never:
                assert bool(forward) == sure
            if forward:
                assert forward[0].score == pytest.approx(exact[number])
                assert forward[0].p_value <= p_value
                assert (exact >= exact[number] + 0.06).mean() <= forward[0].p_value <= chance


def test_the_threshold_is_biopython_s() -> None:
    """Its own distribution is on a grid too; the two thresholds differ by no more than the grids do."""
    from Bio import motifs

    counts = np.random.default_rng(0).integers(0, 30, size=(8, 4)) + 1.0
    ours = Motif("m", "m", "", counts)
    theirs = motifs.Motif(counts={base: counts[:, i].tolist() for i, base in enumerate("ACGT")})
    theirs.pseudocounts = 0.2
    np.testing.assert_allclose(ours.log_odds, np.array([theirs.pssm[base] for base in "ACGT"]).T, atol=1e-12)
    expected = theirs.pssm.distribution(precision=10**4).threshold_fpr(1e-3)
    lowest = ours.log_odds.min(1).sum()
    steps = int(np.argmax(ours.tail <= 1e-3))
    assert lowest + steps / 100 == pytest.approx(expected, abs=0.1)


def test_scanning_the_other_strand_mirrors_the_hits(path) -> None:
    motifs = read_motifs(path)
    text = "".join("ACGT"[i] for i in np.random.default_rng(1).integers(0, 4, 3000))
    here = {(hit.motif.id, hit.start, hit.strand, round(hit.score, 9)) for hit in scan(text, motifs, p_value=0.01)}
    turned = {
        (hit.motif.id, len(text) - hit.end, "-" if hit.strand == "+" else "+", round(hit.score, 9))
        for hit in scan(reverse_complement(text), motifs, p_value=0.01)
    }
    assert here == turned
    expected = 2 * 2 * len(text) * 0.01
    assert 0.3 * expected < len(here) < 1.1 * expected  # no more than asked for; the scores are discrete


def test_unknown_bases_and_short_sequences(path) -> None:
    motifs = read_motifs(path, name="Planted")
    assert not scan("ACGNA", motifs, p_value=0.5)
    assert not scan("ACG", motifs, p_value=0.5)
    assert scan("UUacggA", motifs, p_value=0.01)
    assert not scan("ACGGA", motifs, p_value=1e-6)  # five bases cannot be so rare


def test_which_motifs(path) -> None:
    assert [motif.name for motif in read_motifs(path)] == ["Planted", "BHLH::Two"]
    assert [motif.taxon for motif in read_motifs(path, taxon="Vertebrates")] == ["vertebrates"]
    assert [motif.id for motif in read_motifs(path, name="ma0001.*")] == ["MA0001.1"]
    packed = path.with_suffix(".jaspar.gz")
    packed.write_bytes(gzip.compress(FILE.encode()))
    np.testing.assert_array_equal(read_motifs(packed)[1].counts, read_motifs(path)[1].counts)


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (FILE, {"name": "Plantad"}, "no motif is called 'Plantad'.*'Planted'"),
        (FILE, {"taxon": "plant"}, "no motif is of the taxon 'plant'.*'plants'"),
        (">MA1 X\nA [ 1 ]\nC [ 1 ]\nG [ 1 ]\nT [ 1 ]\n", {"taxon": "plants"}, "names no taxon; choose by name"),
        ("MEME version 4\n", {}, "no JASPAR file .MEME"),
        (">x\nACGT\n", {}, "no JASPAR file"),
        (">x\nMKLV\n", {}, "line 2: 'MKLV' is no line of counts"),
        (">MA1 X\nA [ 1 2 ]\nC [ 1 2 ]\nG [ 1 2 ]\n", {}, "not four lines of counts"),
        (">MA1 X\nA [ 0 2 ]\nC [ 0 2 ]\nG [ 0 2 ]\nT [ 0 1 ]\n", {}, "a column without counts"),
        (">MA1 X\nA [ 0 2 ]\nC [ 0 2 3 ]\nG [ 0 2 ]\nT [ 0 1 ]\n", {}, "m.jaspar"),
        ("", {}, "no JASPAR file"),
        (b"\x1f\x8bcut", {}, "no readable JASPAR file"),
        (b"\xff\xfe\x00", {}, "no readable JASPAR file"),
    ],
)
def test_bad_files(tmp_path, content, options, message) -> None:
    path = tmp_path / "m.jaspar"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(UserError, match=message):
        read_motifs(path, **options)


def test_a_missing_file_has_near_names(path) -> None:
    with pytest.raises(UserError, match=r"no such file.*m\.jaspar"):
        read_motifs(path.with_name("n.jaspar"))


def test_without_biopython(path, monkeypatch) -> None:
    import sys

    for name in [name for name in sys.modules if name.startswith("Bio.motifs")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "Bio.motifs.jaspar", None)
    with pytest.raises(UserError, match="pip install biopython"):
        read_motifs(path)


def test_the_whole_of_jaspar(real_data) -> None:
    motifs = read_motifs(real_data / "genomics/jaspar2024_core.jaspar.gz")
    assert len(motifs) == 2346
    (ctcf,) = read_motifs(real_data / "genomics/jaspar2024_core.jaspar.gz", name="CTCF", taxon="vertebrates")[:1]
    best = "".join("ACGT"[code] for code in ctcf.log_odds.argmax(1))
    text = "A" * 40 + best + "A" * 40
    hits = scan(text, motifs, p_value=1e-5)
    found = max((hit for hit in hits if hit.motif.id == ctcf.id), key=lambda hit: hit.score)
    assert (found.start, found.strand) == (40, "+")
    assert found.score == pytest.approx(ctcf.log_odds.max(1).sum())


def test_a_genome_in_place_of_motifs_is_one_short_line(tmp_path) -> None:
    path = tmp_path / "g.fa"
    path.write_text(">c\n" + "ACGTTGCA" * 1000 + "\n")
    with pytest.raises(UserError, match="is no JASPAR file") as told:
        read_motifs(path)
    assert len(str(told.value)) < 150 + len(str(path))
