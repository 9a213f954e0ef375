"""Real genomes from several archives: their published lengths and letters survive the cache."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from seqdna.data import held_out_blocks, open_genome, total_length

LENGTHS = {
    "yeast_chrI_ScerR64_I_GCF_000146045.2_R64_genomic.fna.gz": [230_218],
    "lambda_NC_001416.fasta.gz": [48_502],
    "saureus_NCTC8325_NC_007795.fasta.gz": [2_821_361],
    "fly_chr4_DmelanDM6_4_GCF_000001215.4_Release_6_plus_ISO1_MT_genomic.fna.gz": [1_348_131],
    "phiX174_versions.fasta.gz": [5_386] * 6,
}


@pytest.mark.parametrize("name", LENGTHS)
def test_a_real_genome_is_read_whole(real_data: Path, name: str) -> None:
    genome = open_genome(real_data / "genomics" / name)
    assert [record.length for record in genome.records] == LENGTHS[name]
    text = gzip.decompress((real_data / "genomics" / name).read_bytes())
    letters = b"".join(line for line in text.splitlines() if not line.startswith(b">"))
    assert genome.census.lower_case == sum(letter in b"acgtunryswkmbdhv" for letter in letters)
    bases = np.bincount(genome.tokens, minlength=12)
    assert [bases[genome.tokenizer.id_of(b)] for b in "ACGT"] == [
        letters.upper().count(base) for base in (b"A", b"C", b"G", b"T")
    ]
    splits = held_out_blocks(genome)
    assert total_length([*splits.train, *splits.valid, *splits.test]) == genome.length
