"""Haplotypes: spellings of one change are one change, and windows are strings with a piece replaced."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqdna.data import Genome
from seqdna.variants.alleles import REASONS, Contigs, Variant, allele_problem, normalised, windows_of
from seqsuite.errors import UserError

bases = st.text("ACGT", min_size=12, max_size=60)


@given(text=st.text("AC", min_size=12, max_size=60), data=st.data())
@settings(max_examples=200, deadline=None)
def test_every_spelling_of_a_change_is_the_same_variant(kit, text, data) -> None:
    """Two letters only, so that most insertions and deletions have several places."""
    genome = Genome.from_sequences({"c": text})
    start = data.draw(st.integers(0, len(text) - 2))
    ref = text[start : data.draw(st.integers(start, min(start + 6, len(text))))]
    alt = data.draw(st.text("AC", max_size=6))
    changed = text[:start] + alt + text[start + len(ref) :]
    if changed == text or not changed:
        return
    seen = set()
    for left in range(start + 1):
        for right in range(start + len(ref), min(start + len(ref) + 4, len(text)) + 1):
            longer = text[left:start] + alt + text[start + len(ref) : right]
            seen.add(normalised(genome, "c", left, text[left:right], longer))
    # Every other place at which an equal insertion or deletion gives the same sequence.
    size = len(changed) - len(text)
    for place in range(len(text) + 1):
        for inserted in {changed[place : place + size]} if size > 0 else {""}:
            removed = text[place : place - size] if size < 0 else ""
            if size and text[:place] + inserted + text[place + len(removed) :] == changed:
                seen.add(normalised(genome, "c", place, removed, inserted))
    (variant,) = seen
    assert text[: variant.start] + variant.alt + text[variant.start + len(variant.ref) :] == changed
    assert text[variant.start : variant.start + len(variant.ref)] == variant.ref
    assert (variant.start, len(variant.ref), len(variant.alt)) == kit.Oracle._difference(text, changed)


def test_shifting_stops_at_an_unknown_base_and_crosses_pieces() -> None:
    genome = Genome.from_sequences({"c": "ACGN" + "A" * 700 + "T", "d": "A" * 900})
    assert normalised(genome, "c", 703, "A", "") == Variant("c", 4, "A", "")
    assert normalised(genome, "d", 899, "", "AA") == Variant("d", 0, "", "AA")
    assert normalised(genome, "c", 700, "AAA", "AAAA") == Variant("c", 4, "", "A")


@pytest.mark.parametrize("window", [8, 9, 20, 33])
@given(text=bases, data=st.data())
@settings(max_examples=60, deadline=None)
def test_windows_are_strings_with_a_piece_replaced(kit, window, text, data) -> None:
    genome = Genome.from_sequences({"before": "ACGT", "c": text, "behind": "TTTT"})
    start = data.draw(st.integers(0, len(text)))
    ref = text[start : start + data.draw(st.integers(0, window // 2))]
    alt = data.draw(st.text("ACGT", max_size=window // 2))
    pair = windows_of(genome, Variant("c", start, ref, alt), window)
    oracle = kit.Oracle(np.zeros((5, 5, 4)), "masked_lm", window)
    for allele, whole in ((ref, text), (alt, text[:start] + alt + text[start + len(ref) :])):
        number = 0 if whole is text else 1
        expected, place = oracle._window(whole, start, len(allele))
        assert genome.tokenizer.decode(pair.ids[0, number]) == expected
        assert genome.tokenizer.decode(pair.ids[1, number]) == kit.reverse_complement(expected)
        assert (pair.first[number], pair.size[number]) == (place, len(allele))
        assert expected[place : place + len(allele)] == allele


@pytest.mark.parametrize(("window", "turned"), [(10, 4), (11, 5)])
def test_the_centre_on_both_strands(kit, window, turned) -> None:
    """A variant at W // 2 of an even window lies at W // 2 - 1 of the other strand."""
    text = "ACGTTGCAACGGTACCATGAC"
    genome = Genome.from_sequences({"c": text})
    pair = windows_of(genome, Variant("c", 10, text[10], "T"), window)
    assert pair.first == (window // 2, window // 2)
    assert pair.place(1, window // 2) == turned
    assert genome.tokenizer.decode(pair.ids[1, :, turned]) == kit.reverse_complement("T" + text[10])


@pytest.mark.parametrize("sizes", [(1, 1), (3, 3), (0, 4), (5, 0), (2, 7)])
def test_both_alleles_are_judged_by_equally_many_bases_that_hold_the_change(kit, sizes) -> None:
    text = kit.random_genome(1, 80)
    genome = Genome.from_sequences({"c": text})
    for start in (0, 1, 40, 75):
        pair = windows_of(genome, Variant("c", start, text[start : start + sizes[0]], "ACGTACG"[: sizes[1]]), 24)
        spans = [pair.span(allele, 2) for allele in (0, 1)]
        assert len({last - first for first, last in spans}) == 1
        for (first, last), at, size in zip(spans, pair.first, pair.size, strict=True):
            assert 0 <= first <= at
            assert at + size <= last <= 24
        if sizes[0] == sizes[1]:
            assert spans[0] == (pair.first[0], pair.first[0] + sizes[0])


@pytest.mark.parametrize(
    ("ref", "alt", "reason"),
    [
        ("A", "C", ""),
        ("a", "c", ""),
        ("A", "ACG", ""),
        ("A", ".", "no_alt"),
        ("A", "", "no_alt"),
        ("A", "*", "spanning_deletion"),
        ("A", "<DEL>", "symbolic"),
        ("A", "<*>", "symbolic"),
        ("A", "A[chr2:5[", "breakend"),
        ("A", "]chr2:5]A", "breakend"),
        ("A", "A.", "breakend"),
        ("A", ".A", "breakend"),
        ("A", "a", "same_as_ref"),
        ("A", "R", "ambiguous_base"),
        ("N", "A", "ambiguous_base"),
        ("A", "X1", "bad_alt"),
    ],
)
def test_alleles_that_are_no_sequence(ref, alt, reason) -> None:
    assert allele_problem(ref, alt) == reason
    assert not reason or reason in REASONS


def test_contig_names_with_and_without_chr() -> None:
    contigs = Contigs(Genome.from_sequences({"chr1": "ACGT", "2": "ACGT", "chrM": "ACGT"}))
    assert [contigs.find(name) for name in ("1", "chr1", "chr2", "2", "MT", "3")] == [
        "chr1",
        "chr1",
        "2",
        "2",
        "chrM",
        None,
    ]
    assert contigs.renamed == {"1": "chr1", "chr2": "2", "MT": "chrM"}
    contigs.require_any([], "v.vcf", "g.fa")
    with pytest.raises(UserError, match=r"v.vcf: none of its contigs \(chr11\) .* g.fa. Did you mean 'chr1'"):
        contigs.require_any(["chr11"], "v.vcf", "g.fa")
