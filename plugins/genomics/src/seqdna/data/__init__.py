"""Genomes on disk and in memory: FASTA, .2bit, GenBank, BED, the token cache, splits and windows. No torch here."""

from __future__ import annotations

from seqdna.data.access import PaddedText, RandomAccess
from seqdna.data.bed import BedRow, read_bed
from seqdna.data.cache import cache_folder, open_genome
from seqdna.data.fasta import read_fasta, stream_fasta
from seqdna.data.genbank import read_genbank
from seqdna.data.genome import Genome, PaddedIds, Record
from seqdna.data.homology import SharedKmers, shared_kmers
from seqdna.data.indexed import FastaFile
from seqdna.data.interval_windows import IntervalWindows
from seqdna.data.intervals import Interval, Splits, held_out_blocks, total_length
from seqdna.data.names import resolve_names
from seqdna.data.regions import Region, parse_region
from seqdna.data.sequences import open_indexed, read_sequences, sequence_format, stream_sequences
from seqdna.data.splits import RecipeSplits, chromosome_splits, interval_splits, recipe_splits
from seqdna.data.twobit import TwoBitFile
from seqdna.data.windows import EvalSites, TiledWindows, TrainWindows, eval_sites

__all__ = [
    "BedRow",
    "EvalSites",
    "FastaFile",
    "Genome",
    "Interval",
    "IntervalWindows",
    "PaddedIds",
    "PaddedText",
    "RandomAccess",
    "RecipeSplits",
    "Record",
    "Region",
    "SharedKmers",
    "Splits",
    "TiledWindows",
    "TrainWindows",
    "TwoBitFile",
    "cache_folder",
    "chromosome_splits",
    "eval_sites",
    "held_out_blocks",
    "interval_splits",
    "open_genome",
    "open_indexed",
    "parse_region",
    "read_bed",
    "read_fasta",
    "read_genbank",
    "read_sequences",
    "recipe_splits",
    "resolve_names",
    "sequence_format",
    "shared_kmers",
    "stream_fasta",
    "stream_sequences",
    "total_length",
]
