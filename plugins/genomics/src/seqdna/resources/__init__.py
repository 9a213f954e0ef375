"""Genomes that ship with the package, by name; see LICENSE.txt beside this file for their origin."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

GENOMES = {"ecoli": "ecoli_K12_MG1655.fasta.gz"}
"""Names that `--fasta` understands besides paths."""


def resolve_genome(source: str | Path) -> Path:
    """Return the FASTA file that `source` means: a shipped genome's name, or a path as it stands.

    A name of `GENOMES` always means the shipped file; a file of that name is reached as ``./ecoli``.
    """
    if isinstance(source, str) and source in GENOMES:
        return Path(str(resources.files(__name__).joinpath(GENOMES[source])))
    return Path(source).expanduser()
