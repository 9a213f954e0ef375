"""What this package offers to the suite: a table of names, free of torch."""

from __future__ import annotations

from seqrl import __version__
from seqrl.configs import models, trajectory
from seqsuite.plugins import Plugin

plugin = Plugin(
    name="seqrl",
    version=__version__,
    summary="Sequence models for offline reinforcement learning on SeqSuite.",
    models={name: f"seqrl.configs.models:{name}" for name in models.SIZES}
    | {name: f"seqrl.configs.trajectory:{name}" for name in trajectory.SIZES},
    commands={
        "fetch": "seqrl.cli.fetch:fetch",
        "inspect": "seqrl.cli.inspect:inspect",
        "convert-data": "seqrl.cli.convert_data:convert_data",
        "collect": "seqrl.cli.collect:collect",
        "train": "seqrl.cli.train:train",
        "evaluate": "seqrl.cli.evaluate:evaluate",
        "plan": "seqrl.cli.plan:plan",
        "score": "seqrl.cli.score:score",
        "import": "seqrl.cli.import_:import_checkpoint",
        "export": "seqrl.cli.export:export",
    },
)
