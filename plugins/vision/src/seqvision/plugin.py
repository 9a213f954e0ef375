"""What this package offers to the suite: a table of names, free of torch."""

from __future__ import annotations

from seqsuite.plugins import Plugin
from seqvision import __version__
from seqvision.configs import dense, models, series

plugin = Plugin(
    name="seqvision",
    version=__version__,
    summary="Image, video and series models on SeqSuite.",
    models={name: f"seqvision.configs.models:{name}" for name in models.SIZES}
    | {name: f"seqvision.configs.dense:{name}" for name in dense.SIZES}
    | {name: f"seqvision.configs.series:{name}" for name in series.SIZES},
    commands={
        "train": "seqvision.cli.train:train",
        "evaluate": "seqvision.cli.evaluate:evaluate",
        "predict": "seqvision.cli.predict:predict",
        "segment-train": "seqvision.cli.segment_train:segment_train",
        "segment": "seqvision.cli.segment:segment",
        "weather-train": "seqvision.cli.weather_train:weather_train",
        "weather": "seqvision.cli.weather:weather",
        "forecast-train": "seqvision.cli.forecast_train:forecast_train",
        "forecast": "seqvision.cli.forecast:forecast",
        "import": "seqvision.cli.import_:import_checkpoint",
        "export": "seqvision.cli.export:export",
    },
)
