"""How small models are trained on each task, by preset (torch-free).

A preset is a table of settings for all tasks and what single tasks need besides. "debug" runs in seconds and
shows that everything works, nothing more; "small" is what the published findings take on one CPU core.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from seqsuite.errors import unknown_name
from seqsuite.mixers.options import check_range, replace_config


@dataclass(frozen=True, kw_only=True)
class Training:
    """How one small model is trained on one task and tested.

    Args:
        d_model: Width of the model.
        n_layer: Its blocks.
        steps: Optimizer steps, each on fresh rows.
        batch_size: Rows a step.
        lr: Peak learning rate; linear warm-up, then a cosine to zero.
        warmup: Fraction of the steps that warm up.
        weight_decay: AdamW's.
        clip: Largest gradient norm; 0 for no clipping.
        test_rows: Rows of each test.
        task: Options of the task.
    """

    d_model: int = 64
    n_layer: int = 2
    steps: int = 1000
    batch_size: int = 64
    lr: float = 2e-3
    warmup: float = 0.1
    weight_decay: float = 0.01
    clip: float = 1.0
    test_rows: int = 256
    task: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        sizes = {name: getattr(self, name) for name in ("d_model", "n_layer", "steps", "batch_size", "test_rows")}
        check_range("bench tasks", sizes, least=1)
        check_range("bench tasks", {"lr": self.lr}, above=0)
        scales = {name: getattr(self, name) for name in ("warmup", "weight_decay", "clip")}
        check_range("bench tasks", scales, least=0)


_DEBUG = Training(d_model=16, steps=20, batch_size=16, test_rows=32)
_SMALL = Training(steps=1000, batch_size=32, lr=5e-3)
_STATE = Training(d_model=32, steps=600, batch_size=32, lr=5e-3)

PRESETS: dict[str, tuple[Training, dict[str, Training]]] = {
    "debug": (
        _DEBUG,
        {
            "copying": replace(_DEBUG, task={"length": 8, "shortest": 4}),
            "selective_copying": replace(_DEBUG, task={"length": 16, "tokens": 4}),
            "induction_heads": replace(_DEBUG, task={"length": 16}),
            "mqar": replace(_DEBUG, task={"length": 16, "ids": 32}),
            "joint_recall": replace(_DEBUG, task={"length": 2, "keys": 2}),
            **{name: replace(_DEBUG, task={"length": 8}) for name in ("parity", "cyclic", "s3", "s5")},
            "listops": replace(_DEBUG, task={"length": 16}),
        },
    ),
    "small": (
        _SMALL,
        {
            "copying": replace(_SMALL, steps=1500, lr=3e-3),
            "selective_copying": replace(_SMALL, task={"length": 32, "tokens": 4}),
            "induction_heads": replace(_SMALL, task={"length": 32}),
            **dict.fromkeys(("parity", "cyclic", "s3"), _STATE),
            "s5": replace(_STATE, d_model=64, steps=1500, task={"length": 20}),
            "listops": replace(_SMALL, steps=1500),
        },
    ),
}


def training_for(preset: str, task: str, overrides: Mapping[str, Any], task_options: Mapping[str, Any]) -> Training:
    """Return how a preset trains on a task, with some settings replaced.

    Args:
        preset: A name of `PRESETS`.
        task: The task's name.
        overrides: Fields of `Training`.
        task_options: Options of the task.

    Raises:
        UserError: No such preset or setting, or a value that does not fit.
    """
    if preset not in PRESETS:
        raise unknown_name("preset", preset, PRESETS)
    common, single = PRESETS[preset]
    chosen = single.get(task, common)
    return replace_config(chosen, {**overrides, "task": {**chosen.task, **task_options}}, owner="bench tasks")
