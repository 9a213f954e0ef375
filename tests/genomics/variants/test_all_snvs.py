"""Every single-nucleotide variant: each base once, with its context, the same as scoring it by itself."""

from __future__ import annotations

import gzip
import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import seqsuite
from seqdna.api import GenomeModel
from seqdna.data import Genome
from seqdna.likelihood import everywhere
from seqdna.tokenizers import NucleotideTokenizer
from seqdna.variants import all_snvs, score_variants
from seqdna.variants.all_snvs import MOST_MASKED
from seqdna.variants.parts import Shard
from seqdna.variants.tiling import tiles
from seqsuite.errors import UserError

TOKENIZER = NucleotideTokenizer()


@given(length=st.integers(1, 200), window=st.integers(8, 60), share=st.floats(0, 0.99))
@settings(deadline=None)
def test_tiles_cover_each_base_once_with_its_context(length, window, share) -> None:
    overlap = int(share * window)
    laid = list(tiles("c", length, window, overlap))
    assert [base for tile in laid for base in range(tile.first, tile.last)] == list(range(length))
    for tile in laid:
        assert tile.end - tile.start == min(window, length)
        assert tile.first - tile.start >= min(overlap // 2, tile.first)
        assert tile.end - tile.last >= min(overlap // 2, length - tile.last)


def test_every_score_from_the_table_of_probabilities(kit, table_model, tmp_path) -> None:
    """One neighbour of context on either side: with an overlap of 2 every base but the outermost has it."""
    records = {"a": kit.random_genome(1, 67), "b": "ACGTN" + kit.random_genome(2, 30), "c": "G"}
    result = all_snvs(
        table_model, Genome.from_sequences(records), tmp_path / "s.npy", window=9, overlap=2, block_bases=20, force=True
    )
    table = table_model.model.table.detach().numpy()
    for name, text in records.items():
        found = result.of(name, 0, len(text))
        for place, base in enumerate(text):
            if base == "N":
                assert np.isnan(found[place]).all()
                continue
            given, turned = (row_of(table, table_model.model.config.head, *way) for way in both_ways(kit, text, place))
            turned = None if turned is None else turned[::-1]
            rows = [np.log(row) for row in (given, turned) if row is not None]
            expected = np.mean(rows, 0) if rows else np.full(4, np.nan)
            np.testing.assert_allclose(found[place], expected - expected["ACGT".index(base)], atol=1e-5)
    known = sum(base in "ACGT" for text in records.values() for base in text)
    # A causal model has no prediction for a record of one base.
    assert result.variants == 3 * (known - (table_model.model.config.head == "causal_lm"))


def both_ways(kit, text: str, place: int):
    """Yield text and place of a base as each strand reads it."""
    yield text, place
    yield kit.reverse_complement(text), len(text) - 1 - place


def row_of(table: np.ndarray, head: str, text: str, place: int) -> np.ndarray | None:
    left = "ACGT".find(text[place - 1]) if place else -1
    if head == "causal_lm":
        return table[left, 0] if place else None
    return table[left, "ACGT".find(text[place + 1]) if place + 1 < len(text) else -1]


@pytest.mark.parametrize("name", ["leave_one_out_debug", "caduceus_ph_debug", "mamba_dna_debug"])
def test_a_short_record_is_everywhere_on_both_strands(kit, tmp_path, name) -> None:
    torch.manual_seed(2)
    model = GenomeModel(seqsuite.create_model(name, vocab_size=12), TOKENIZER)
    text = kit.random_genome(5, 40, repeats=False)
    found = all_snvs(model, Genome.from_sequences({"c": text}), tmp_path / "s.npy", window=64).of("c", 1, 39)
    logp = [everywhere(model.model, TOKENIZER, TOKENIZER.encode(one)) for one in (text, kit.reverse_complement(text))]
    mean = (logp[0] + logp[1][::-1, ::-1])[1:39] / 2
    own = mean[np.arange(38), ["ACGT".index(base) for base in text[1:39]]]
    np.testing.assert_allclose(found, mean - own[:, None], atol=2e-5)


def test_it_agrees_with_scoring_a_vcf(kit, tmp_path) -> None:
    """Where both see the whole contig: a VCF's window as long as the record and shifted inside it."""
    torch.manual_seed(2)
    model = GenomeModel(seqsuite.create_model("leave_one_out_debug", vocab_size=12), TOKENIZER)
    text = kit.random_genome(6, 30, repeats=False)
    rows = [("c", i + 1, ".", base, ",".join(set("ACGT") - {base}), ".", ".", ".") for i, base in enumerate(text)]
    vcf = kit.write_vcf(tmp_path / "v.vcf", rows)
    genome = Genome.from_sequences({"c": text})
    scores = score_variants(model, vcf, genome, window=30)
    table = all_snvs(model, genome, tmp_path / "s.npy", window=30).of("c", 0, 30)
    for row in scores.rows:
        assert row.scores[0, 0] == pytest.approx(table[row.record.pos - 1, "ACGT".index(row.alt)], abs=2e-5)


def test_all_formats_hold_the_same(kit, tmp_path) -> None:
    from pyarrow import parquet

    model = GenomeModel(kit.TableModel("leave_one_out"), TOKENIZER)
    records = {"a": kit.random_genome(1, 50), "b": "NACGR" + kit.random_genome(2, 33)}
    fasta = kit.write_fasta(tmp_path / "g.fa", records)
    options = {"window": 12, "block_bases": 16}
    array = all_snvs(model, fasta, tmp_path / "s.npy", **options)
    expected = [
        (name, place + 1, base, alt, float(score))
        for name, text in records.items()
        for place, (base, row) in enumerate(zip(text, array.of(name, 0, len(text)), strict=True))
        for alt, score in zip("ACGT", row, strict=True)
        if base in "ACGT" and alt != base
    ]
    for suffix in (".tsv", ".tsv.gz", ".parquet"):
        out = tmp_path / f"s{suffix}"
        result = all_snvs(model, fasta, out, **options)
        assert result.variants == len(expected)
        if suffix == ".parquet":
            found = [tuple(row.values()) for row in parquet.read_table(out).to_pylist()]
        else:
            raw = out.read_bytes()
            lines = (gzip.decompress(raw) if suffix == ".tsv.gz" else raw).decode().splitlines()
            assert lines[0] == "chrom\tpos\tref\talt\tscore"
            cells = [line.split("\t") for line in lines[1:]]
            found = [(c, int(pos), ref, alt, float(score)) for c, pos, ref, alt, score in cells]
        assert [row[:4] for row in found] == [row[:4] for row in expected]
        np.testing.assert_allclose([row[4] for row in found], [row[4] for row in expected], rtol=1e-5, atol=1e-7)
        described = json.loads((tmp_path / f"s{suffix}.json").read_text())
        assert described["records"] == [{"name": n, "length": len(t)} for n, t in records.items()]
    means = {(row["ref"], row["alt"]): row for row in array.table()}
    chosen = [row[4] for row in expected if row[2:4] == ("A", "C")]
    assert means["A", "C"]["variants"] == len(chosen)
    assert means["A", "C"]["mean"] == pytest.approx(math.fsum(chosen) / len(chosen), abs=1e-5)
    assert "data:image" in array._repr_html_()
    with pytest.raises(UserError, match=r"only an \.npy table is read by position"):
        result.of("a", 0, 1)
    with pytest.raises(UserError, match="has no record 'x'"):
        array.of("x", 0, 1)
    with pytest.raises(UserError, match="beyond the record, which has 50 bases"):
        array.of("a", 0, 51)


def test_shares_and_restarts_give_the_same_bytes(kit, tmp_path) -> None:
    torch.manual_seed(2)
    model = GenomeModel(seqsuite.create_model("leave_one_out_debug", vocab_size=12), TOKENIZER)
    genome = Genome.from_sequences({"a": kit.random_genome(1, 500), "b": kit.random_genome(2, 90)})
    options = {"window": 32, "overlap": 8, "block_bases": 64}
    all_snvs(model, genome, tmp_path / "whole.npy", **options)
    assert all_snvs(model, genome, tmp_path / "parts.npy", shard=Shard(2, 3), **options) is None
    assert all_snvs(model, genome, tmp_path / "parts.npy", shard=Shard(0, 3), **options) is None
    assert not (tmp_path / "parts.npy").exists()
    all_snvs(model, genome, tmp_path / "parts.npy", shard=Shard(1, 3), **options)
    assert (tmp_path / "parts.npy").read_bytes() == (tmp_path / "whole.npy").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("parts.npy", "parts.npy.json", "whole.npy", "whole.npy.json"),
    ]


def test_what_is_refused(kit, tmp_path) -> None:
    masked = GenomeModel(kit.TableModel("masked_lm"), TOKENIZER)
    genome = Genome.from_sequences({"c": "ACGT" * 30_000})
    with pytest.raises(UserError, match=r"a forward pass for each of 120,000 bases; use a leave-one-out model"):
        all_snvs(masked, genome, tmp_path / "s.npy", window=16)
    assert genome.length > MOST_MASKED
    single = GenomeModel(kit.TableModel("leave_one_out"), TOKENIZER)
    for out, options, message in (
        ("s.npz", {"window": 16}, "must end in .npy, .tsv, .tsv.gz or .parquet"),
        ("no/s.npy", {"window": 16}, "there is no folder"),
        ("s.npy", {}, "give --window"),
        ("s.npy", {"window": 16, "overlap": 16}, "--overlap is 16; .* less than the window of 16"),
    ):
        with pytest.raises(UserError, match=message):
            all_snvs(single, Genome.from_sequences({"c": "ACGT"}), tmp_path / out, **options)
    headless = GenomeModel(seqsuite.create_model("caduceus_ps_debug", head="none"), TOKENIZER)
    with pytest.raises(UserError, match="predicts no bases"):
        all_snvs(headless, genome, tmp_path / "s.npy", window=16)
    assert list(tmp_path.iterdir()) == []
