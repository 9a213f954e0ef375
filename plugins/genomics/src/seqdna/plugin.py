"""What this package offers to the suite: a table of names, free of torch."""

from __future__ import annotations

from seqdna import __version__
from seqdna.configs import SIZES
from seqsuite.plugins import Plugin

plugin = Plugin(
    name="seqdna",
    version=__version__,
    summary="Genome language models on SeqSuite.",
    models={name: f"seqdna.configs:{name}" for name in SIZES},
    tokenizers={"nucleotide": "seqdna.tokenizers:NucleotideTokenizer"},
    tasks={"masked_language_modelling": "seqdna.tasks:MaskedLanguageModelling"},
    commands={
        "pretrain": "seqdna.cli.pretrain:pretrain",
        "embed": "seqdna.cli.embed:embed",
    },
)
