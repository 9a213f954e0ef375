"""GFF3 and codons, against Biopython, the proteins of a genome, and hand-made genes on both strands."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from seqdna.data import Genome, open_genome
from seqdna.variants.annotation import CONSEQUENCES, amino_acids, coding_transcripts, consequences, read_gff
from seqsuite.errors import UserError

# Exons at 3-8, 12-16 and 20-25 (1-based); a start codon at 4 on the given strand.
GFF = """##gff-version 3
c\tx\tgene\t3\t25\t.\t{s}\t.\tID=g
c\tx\tmRNA\t3\t25\t.\t{s}\t.\tID=short;Parent=g
c\tx\tCDS\t3\t5\t.\t{s}\t0\tID=p0;Parent=short
c\tx\tmRNA\t3\t25\t.\t{s}\t.\tID=m;Parent=g;Note=a%3Bb
c\tx\texon\t12\t16\t.\t{s}\t.\tParent=m
c\tx\texon\t3\t8\t.\t{s}\t.\tParent=m
c\tx\texon\t20\t25\t.\t{s}\t.\tParent=m
c\tx\tCDS\t4\t8\t.\t{s}\t{a}\tID=p;Parent=m
c\tx\tCDS\t12\t16\t.\t{s}\t1\tID=p;Parent=m
c\tx\tCDS\t20\t24\t.\t{s}\t{b}\tID=p;Parent=m

##FASTA
>c
ACGT
"""


def gff(tmp_path, strand: str, first: int, last: int):
    path = tmp_path / "g.gff3.gz"
    path.write_bytes(gzip.compress(GFF.format(s=strand, a=first, b=last).encode()))
    return path


TEXT = "GGCATGACTTAGGTCATTTAGCGATAAGG"


def test_a_gene_on_the_given_strand(tmp_path) -> None:
    (transcript,) = coding_transcripts(gff(tmp_path, "+", 0, 2))
    assert (transcript.name, transcript.gene, transcript.start_codon, transcript.coding_length) == ("m", "g", 3, 15)
    positions, codes = transcript.codons(Genome.from_sequences({"a": "TTT", "c": TEXT}))
    spliced = TEXT[3:8] + TEXT[11:16] + TEXT[19:24]
    assert "".join("ACGT"[code] for code in codes.ravel()) == spliced
    assert positions.ravel().tolist() == [*range(3, 8), *range(11, 16), *range(19, 24)]
    assert transcript.splice_sites() == ([8, 16], [10, 18])


def test_a_gene_on_the_other_strand_with_a_phase(tmp_path) -> None:
    (transcript,) = coding_transcripts(gff(tmp_path, "-", 0, 2))
    assert transcript.start_codon == 23
    positions, codes = transcript.codons(Genome.from_sequences({"c": TEXT}))
    spliced = (TEXT[3:8] + TEXT[11:16] + TEXT[19:24]).translate(str.maketrans("ACGT", "TGCA"))[::-1]
    assert "".join("ACGT"[code] for code in codes.ravel()) == spliced[2:14]
    assert positions[0].tolist() == [21, 20, 19]
    donors, acceptors = transcript.splice_sites()
    assert (donors, acceptors) == ([18, 10], [16, 8])


def test_all_transcripts(tmp_path) -> None:
    names = [transcript.name for transcript in coding_transcripts(gff(tmp_path, "+", 0, 2), longest=False)]
    assert names == ["short", "m"]
    (note,) = [f.attributes["Note"] for f in read_gff(gff(tmp_path, "+", 0, 2)) if "Note" in f.attributes]
    assert note == "a;b"


def test_every_change_of_every_codon_against_biopython() -> None:
    from Bio.Seq import translate

    codes = np.stack(np.meshgrid(*[np.arange(4)] * 3, indexing="ij"), axis=-1).reshape(-1, 3).astype(np.uint8)
    effects = consequences(codes)
    for codon, row in zip(codes, effects, strict=True):
        text = "".join("ACGT"[code] for code in codon)
        assert chr(amino_acids(codon)) == translate(text)
        for place in range(3):
            for base in range(4):
                before, after = translate(text), translate(text[:place] + "ACGT"[base] + text[place + 1 :])
                if "ACGT"[base] == text[place]:
                    expected = "reference"
                elif before == after:
                    expected = "synonymous"
                else:
                    expected = "stop_gained" if after == "*" else "stop_lost" if before == "*" else "missense"
                assert CONSEQUENCES[row[place, base]] == expected
    assert (consequences(np.array([[0, 4, 1]])) == CONSEQUENCES.index("unknown")).all()


def test_a_chromosome_translates_to_its_proteins(real_data, tmp_path) -> None:
    folder = real_data / "genomics"
    genome = open_genome(folder / "yeast_chrI_ScerR64_I_GCF_000146045.2_R64_genomic.fna.gz", cache=tmp_path)
    with gzip.open(folder / "yeast_chrI_ScerR64_I_protein.faa.gz", "rt") as handle:
        proteins = ["".join(part.split("\n")[1:]) for part in handle.read().split(">")[1:]]
    translated = set()
    for transcript in coding_transcripts(folder / "yeast_chrI_ScerR64_I.gff.gz"):
        letters = amino_acids(transcript.codons(genome)[1].astype(np.int64)).tobytes().decode()
        assert letters.endswith("*")
        translated.add(letters[:-1])
    assert len(translated) > 80
    assert {protein.rstrip("*") for protein in proteins} <= translated


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("c x gene 3 25 . + . ID=g", "line 2: 1 columns .* not the 9 of GFF3"),
        ("c\tx\tgene\t0\t25\t.\t+\t.\tID=g", "line 2: 0-25 is no span"),
        ("c\tx\tgene\t5\t4\t.\t+\t.\tID=g", "line 2: 5-4 is no span"),
        ("c\tx\tgene\t5\t9\t.\tx\t.\tID=g", "line 2: strand 'x'"),
        ("c\tx\tgene\t5\t9\t.\t+\t3\tID=g", "phase '3'"),
        ("c\tx\tgene\t5\t9\t.\t+\t.\tID=g", "g.gff: no CDS feature"),
    ],
)
def test_bad_annotation(tmp_path, line, message) -> None:
    path = tmp_path / "g.gff"
    path.write_text(f"##gff-version 3\n{line}\n")
    with pytest.raises(UserError, match=message):
        coding_transcripts(path)


def test_files_that_are_no_annotation(tmp_path) -> None:
    with pytest.raises(UserError, match="no such file"):
        coding_transcripts(tmp_path / "none.gff")
    path = tmp_path / "cut.gff.gz"
    path.write_bytes(gzip.compress(b"# note\n" * 90)[:-9])
    with pytest.raises(UserError, match="damaged or cut"):
        coding_transcripts(path)
    (tmp_path / "short.gff").write_text(GFF.format(s="+", a=0, b=2).replace("FASTA", "end").split(">")[0])
    (transcript,) = coding_transcripts(tmp_path / "short.gff")
    with pytest.raises(UserError, match="c:3-24 reaches beyond the record"):
        transcript.codons(Genome.from_sequences({"c": "ACGT"}))
