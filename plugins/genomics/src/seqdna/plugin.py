"""What this package offers to the suite: a table of names, free of torch."""

from __future__ import annotations

from seqdna import __version__
from seqdna.configs.hyenadna import SIZES as HYENADNA_SIZES
from seqdna.configs.models import SIZES
from seqsuite.plugins import Plugin

plugin = Plugin(
    name="seqdna",
    version=__version__,
    summary="Genome language models on SeqSuite.",
    models={name: f"seqdna.configs.models:{name}" for name in SIZES}
    | {name: f"seqdna.configs.hyenadna:{name}" for name in HYENADNA_SIZES},
    tokenizers={
        "nucleotide": "seqdna.tokenizers:NucleotideTokenizer",
        "kmer": "seqdna.tokenizers:KmerTokenizer",
        "codon": "seqdna.tokenizers:CodonTokenizer",
    },
    tasks={"language_modelling": "seqdna.tasks:LanguageModelling"},
    commands={
        "pretrain": "seqdna.cli.pretrain:pretrain",
        "evaluate": "seqdna.cli.evaluate:evaluate",
        "embed": "seqdna.cli.embed:embed",
        "predict": "seqdna.cli.predict:predict",
        "benchmark": "seqdna.cli.benchmark:benchmark",
        "finetune": "seqdna.cli.finetune:finetune",
        "generate": "seqdna.cli.generate:generate",
        "score-variants": "seqdna.cli.score_variants:score_variants",
        "benchmark-variants": "seqdna.cli.variant_benchmark:benchmark_variants",
        "saliency": "seqdna.cli.saliency:saliency",
        "import": "seqdna.cli.import_:import_checkpoint",
        "export": "seqdna.cli.export:export",
        "verify": "seqdna.cli.verify:verify",
    },
)
