"""The cells of the proving ground on disk: one JSON file each, with the settings that it depends on."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqsuite.bench.train import Cell, Row
from seqsuite.errors import UserError
from seqsuite.training.run_folder import told, write_json

if TYPE_CHECKING:
    from seqsuite.bench.presets import Training
    from seqsuite.bench.tasks.base import Task


class KeptCells:
    """The cells of a folder.

    Args:
        path: The folder, made where missing; None: nothing is kept.
        overwrite: Cells of other settings count as not there.
    """

    def __init__(self, path: str | Path | None, *, overwrite: bool) -> None:
        self.path = None if path is None else Path(path).expanduser()
        self.overwrite = overwrite
        if self.path is not None:
            with told(self.path):
                self.path.mkdir(parents=True, exist_ok=True)

    def _file(self, task: Task, row: Row, seed: int) -> Path | None:
        if self.path is None:
            return None
        plain = re.sub(r"[^A-Za-z0-9_.]+", "-", row.label)
        if plain != row.label:  # two labels may be spelt alike
            plain += "-" + hashlib.sha256(row.label.encode()).hexdigest()[:6]
        return self.path / f"{task.name}__{plain}__seed{seed}.json"

    def _settings(self, task: Task, row: Row, training: Training) -> dict[str, Any]:
        values = {"training": {**asdict(training), "task": asdict(task)}, "row": asdict(row)}
        return json.loads(json.dumps(values))

    def find(self, task: Task, row: Row, training: Training, seed: int) -> Cell | None:
        """Return the cell that is there with these settings; None where there is none.

        Raises:
            UserError: It was made with other settings, or is damaged.
        """
        file = self._file(task, row, seed)
        if file is None or not file.exists():
            return None
        try:
            written = json.loads(file.read_text(encoding="utf-8"))
            cell = {**written["cell"], "accuracy": {int(k): v for k, v in written["cell"]["accuracy"].items()}}
            settings, found = written["settings"], Cell(**cell)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{file}: is no result of bench tasks ({error}); remove it") from error
        if settings == self._settings(task, row, training):
            return found
        if self.overwrite:
            return None
        raise UserError(
            f"{file}: was made with other settings ({_difference(settings, self._settings(task, row, training))}); "
            "choose another --out, or --overwrite"
        )

    def write(self, cell: Cell, task: Task, row: Row, training: Training, seed: int) -> None:
        """Keep a cell, whole or not at all."""
        file = self._file(task, row, seed)
        if file is not None:
            write_json(file, {"settings": self._settings(task, row, training), "cell": asdict(cell)})


def _difference(old: Any, new: Any, where: str = "") -> str:
    """Return the first setting in which two differ: "training.steps 100, now 200"."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in {**old, **new}:
            if old.get(name) != new.get(name):
                return _difference(old.get(name), new.get(name), f"{where}.{name}".lstrip("."))
    return f"{where} {old!r}, now {new!r}"
