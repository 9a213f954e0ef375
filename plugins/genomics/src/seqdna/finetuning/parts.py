"""What a fine-tuning writes beside the files of every run folder, and when it may be written over.

`runs/` and `baselines/` hold a run folder for each seed and fold, `predictions.csv` all test rows. The core's run
folder does not know them: a stranger's `runs/` in `--out` must be left alone, and so must the finished seeds of a
fine-tuning that was cut off before its end.
"""

from __future__ import annotations

import re
import shutil

from seqdna.configs.finetune import FinetuneConfig
from seqsuite.errors import UserError
from seqsuite.training import RunFolder
from seqsuite.training.run_folder import process_rank, told

FOLDERS, PREDICTIONS = ("runs", "baselines"), "predictions.csv"
_OURS = re.compile(r"seed_\d+(_fold_\d+)?")
_BEGUN = ("runs/*/metrics.csv", "runs/*/result.json", "runs/*/checkpoints/*.ckpt")


def check_parts(folder: RunFolder, config: FinetuneConfig) -> None:
    """Refuse to begin where something lies that would be lost.

    Args:
        folder: The run folder.
        config: Its options; `resume` and `overwrite` decide about a run that is there.

    Raises:
        UserError: Seeds or folds of an earlier run are there, or files of somebody else.
    """
    if process_rank() != 0 or config.resume:
        return
    if folder.holds_run:
        if not config.overwrite and any(found for pattern in _BEGUN for found in folder.path.glob(pattern)):
            raise UserError(f"{folder} already holds a run; add --resume or --overwrite, or choose another --out")
        return
    for name in (*FOLDERS, PREDICTIONS):
        if (folder.path / name).exists():
            raise UserError(f"{folder} holds no run, but {name}, which one would write; choose another --out")


def remove_parts(folder: RunFolder) -> None:
    """Remove what an earlier fine-tuning wrote beside the files of every run folder, and nothing else.

    Raises:
        UserError: It cannot be removed.
    """
    with told(folder.path):
        for part in (folder.path / name for name in FOLDERS):
            for entry in part.iterdir() if part.is_dir() else ():
                if _OURS.fullmatch(entry.name) and entry.is_dir():
                    shutil.rmtree(entry)
            if part.is_dir() and not any(part.iterdir()):
                part.rmdir()
        (folder.path / PREDICTIONS).unlink(missing_ok=True)
