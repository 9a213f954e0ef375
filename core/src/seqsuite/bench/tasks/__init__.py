"""The synthetic tasks, by name: `TASKS` says where each is, `create_task` makes one (torch is loaded then)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from seqsuite.errors import unknown_name

if TYPE_CHECKING:
    from seqsuite.bench.tasks.base import Task

TASKS = {
    "copying": "seqsuite.bench.tasks.copying:Copying",
    "selective_copying": "seqsuite.bench.tasks.copying:SelectiveCopying",
    "induction_heads": "seqsuite.bench.tasks.copying:InductionHeads",
    "mqar": "seqsuite.bench.tasks.recall:MultiQueryRecall",
    "joint_recall": "seqsuite.bench.tasks.recall:JointRecall",
    "parity": "seqsuite.bench.tasks.state_tracking:Parity",
    "cyclic": "seqsuite.bench.tasks.state_tracking:Cyclic",
    "s3": "seqsuite.bench.tasks.state_tracking:SymmetricThree",
    "s5": "seqsuite.bench.tasks.state_tracking:SymmetricFive",
    "listops": "seqsuite.bench.tasks.listops:ListOps",
}


def create_task(name: str, options: Mapping[str, Any] | None = None) -> Task:
    """Make a task by name.

    Args:
        name: A name of `TASKS`.
        options: Its fields: `length`, and what makes it harder.

    Raises:
        UserError: No such task or option, or a value that does not fit; near names are suggested.
    """
    from seqsuite.mixers.options import build_config
    from seqsuite.plugins import import_target

    if name not in TASKS:
        raise unknown_name("task", name, TASKS)
    return build_config(import_target(TASKS[name]), dict(options or {}), owner=f"task {name!r}")
