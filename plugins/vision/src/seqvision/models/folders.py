"""The folder of a trained model; what has none is told with what it holds instead.

folder = model_folder(Path("runs/winds"), "weather-train")
"""

from __future__ import annotations

from pathlib import Path

from seqsuite.errors import UserError
from seqsuite.models.published import own_folder

FACTS = "series.json"
"""Beside the model of a forecaster of series: its columns, their scaling, look-back, horizon, frequency."""


def model_folder(path: Path, command: str) -> Path:
    """Return the folder that holds the model of a run folder or a model folder.

    Args:
        path: The folder.
        command: Which command makes such runs, for messages.

    Raises:
        UserError: There is no such folder, it has no model yet, or forecasters of series.
    """
    if not path.exists():
        raise UserError(f"{path}: there is no such folder; give a run folder of `seqvision {command}`")
    refuse_series(path)
    found = own_folder(path) if path.is_dir() else None
    if found is None:
        raise UserError(f"{path} holds no model{half_done(path)}; give a run folder of `seqvision {command}`")
    return found


def holds_series(path: Path) -> bool:
    """Return whether a folder is a run of `seqvision forecast-train`, or one of its models."""
    places = (path, path / "model", *path.glob("h*"), *path.glob("model/h*"))
    return any((place / FACTS).is_file() for place in places)


def refuse_series(path: Path) -> None:
    """Refuse forecasters of series where another kind of model is wanted.

    Raises:
        UserError: The folder holds them.
    """
    if holds_series(path):
        raise UserError(f"{path} holds forecasters of series; see `seqvision forecast`")


def half_done(path: Path) -> str:
    """Return what to say of a run that has checkpoints and no model yet; else ""."""
    return " (its run is not complete; go on with --resume)" if (path / "checkpoints").is_dir() else ""
