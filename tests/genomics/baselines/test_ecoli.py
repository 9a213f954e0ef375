"""The figures that were measured elsewhere on the complete E. coli K-12 genome, last tenth held out."""

from __future__ import annotations

import numpy as np
import pytest

from seqdna.baselines import count_baselines
from seqdna.data import held_out_blocks, open_genome, shared_kmers


@pytest.fixture(scope="module")
def ecoli():
    genome = open_genome("ecoli")
    return genome, held_out_blocks(genome)


def test_known_bits_per_base(ecoli):
    genome, splits = ecoli
    result = count_baselines(genome, splits, max_order=7, max_flank=4)
    assert result.markov[7] == pytest.approx(1.931, abs=0.002)
    assert result.two_sided[2] == pytest.approx(1.907, abs=0.001)
    assert result.two_sided[3] == pytest.approx(1.868, abs=0.001)
    assert result.two_sided[4] == pytest.approx(1.848, abs=0.003)
    assert result.pooled == pytest.approx(1.829, abs=0.003)
    assert result.n_positions == round(genome.length / 10)


def test_known_share_of_homology(ecoli):
    genome, splits = ecoli
    shared = shared_kmers(genome, (*splits.train, *splits.valid), splits.test)
    assert shared.share == pytest.approx(0.027, abs=0.0005)
    assert np.concatenate(shared.masks).mean() == pytest.approx(shared.share)
