"""Checksums of what decides scores, for jobs that are interrupted or divided."""

from __future__ import annotations

import hashlib
import json

import torch

from seqdna.data.genome import Genome
from seqdna.tokenizers import NucleotideTokenizer


def model_checksum(model: torch.nn.Module, tokenizer: NucleotideTokenizer) -> bytes:
    """Return a checksum of a model's config, weights and tokenizer."""
    digest = hashlib.sha256(repr(getattr(model, "config", None)).encode())
    digest.update(tokenizer.fingerprint().encode())
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.digest()


def genome_checksum(genome: Genome) -> bytes:
    """Return a checksum of a genome's records and bases."""
    records = [(record.name, record.length) for record in genome.records]
    digest = hashlib.sha256(json.dumps(records).encode())
    for first in range(0, genome.length, 1 << 24):
        digest.update(genome.tokens[first : first + (1 << 24)].tobytes())
    return digest.digest()
