"""Genomes on disk and in memory: FASTA, the token cache, splits and windows. Nothing here imports torch."""

from __future__ import annotations

from seqdna.data.cache import cache_folder, open_genome
from seqdna.data.fasta import read_fasta, stream_fasta
from seqdna.data.genome import Genome, Record
from seqdna.data.homology import SharedKmers, shared_kmers
from seqdna.data.intervals import Interval, Splits, held_out_blocks, total_length
from seqdna.data.windows import EvalSites, TiledWindows, TrainWindows, eval_sites

__all__ = [
    "EvalSites",
    "Genome",
    "Interval",
    "Record",
    "SharedKmers",
    "Splits",
    "TiledWindows",
    "TrainWindows",
    "cache_folder",
    "eval_sites",
    "held_out_blocks",
    "open_genome",
    "read_fasta",
    "shared_kmers",
    "stream_fasta",
    "total_length",
]
