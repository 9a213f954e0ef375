"""What this package offers to the suite: a table of names, free of torch."""

from __future__ import annotations

from seqaudio import __version__
from seqaudio.configs import classifier, diffwave, restoration
from seqaudio.configs.models import SIZES
from seqsuite.plugins import Plugin

plugin = Plugin(
    name="seqaudio",
    version=__version__,
    summary="Raw audio models on SeqSuite.",
    models={name: f"seqaudio.configs.models:{name}" for name in SIZES}
    | {name: f"seqaudio.configs.diffwave:{name}" for name in diffwave.SIZES}
    | {name: f"seqaudio.configs.classifier:{name}" for name in classifier.SIZES}
    | {name: f"seqaudio.configs.restoration:{name}" for name in restoration.SIZES},
    tasks={
        "next_sample": "seqaudio.training.tasks:NextSample",
        "denoising": "seqaudio.training.tasks:Denoising",
        "restoration": "seqaudio.restoration.task:Restoration",
        "classify_clips": "seqaudio.classification.task:ClassifyClips",
    },
    commands={
        "train": "seqaudio.cli.train:train",
        "evaluate": "seqaudio.cli.evaluate:evaluate",
        "generate": "seqaudio.cli.generate:generate",
        "classify": "seqaudio.cli.classify:classify",
        "predict": "seqaudio.cli.predict:predict",
        "restore": "seqaudio.cli.restore:restore",
        "restore-train": "seqaudio.cli.restore_train:restore_train",
        "import": "seqaudio.cli.import_:import_checkpoint",
        "export": "seqaudio.cli.export:export",
        "verify": "seqaudio.cli.verify:verify",
    },
)
