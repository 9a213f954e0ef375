"""What this package offers to the suite: a table of names, free of torch."""

from __future__ import annotations

from seqchem import __version__
from seqchem.configs import models
from seqsuite.plugins import Plugin

plugin = Plugin(
    name="seqchem",
    version=__version__,
    summary="Regression Transformers for molecules and proteins on SeqSuite.",
    models={name: f"seqchem.configs.models:{name}" for name in models.SIZES},
    commands={
        "pretrain": "seqchem.cli.pretrain:pretrain",
        "finetune": "seqchem.cli.finetune:finetune",
        "predict": "seqchem.cli.predict:predict",
        "evaluate": "seqchem.cli.evaluate:evaluate",
        "generate": "seqchem.cli.generate:generate",
        "optimize": "seqchem.cli.optimize:optimize",
        "properties": "seqchem.cli.properties:properties",
        "embed": "seqchem.cli.embed:embed",
        "import": "seqchem.cli.import_:import_checkpoint",
        "export": "seqchem.cli.export:export",
    },
)
