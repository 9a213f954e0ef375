"""`seqsuite bench tasks`: the proving ground (torch-free until it runs)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class BenchTasksConfig:
    """Options of `seqsuite bench tasks`.

    Args:
        tasks: Tasks, with commas between them; "all" for every one.
        mixers: Mixers, with commas between them; a pattern of blocks in quotes, 'mamba*3, attention'; label=mixer
            gives a row a name of its own, so that one mixer can stand in several with different options.
        seeds: How many seeds.
        preset: debug (seconds, shows that it works) or small (what the published findings take on one core).
        steps: Optimizer steps; by default the preset's, as with all that follows.
        batch_size: Rows a step.
        lr: Peak learning rate.
        d_model: Width of the models.
        n_layer: Blocks of the models.
        test_rows: Rows of each test.
        task_options: Options of a task: --task_options.parity.length 64.
        mixer_options: Options of a mixer, or of a label: --mixer_options.mamba.d_state 32.
        out: Folder that keeps every trained cell; a run with the same folder goes on with it.
        overwrite: Train anew what is in the folder with other settings.
        json: Print JSON instead of a table.
    """

    tasks: tuple[str, ...] = ("parity", "copying")
    mixers: tuple[str, ...] = ("mamba",)
    seeds: int = 1
    preset: str = "debug"
    steps: int | None = None
    batch_size: int | None = None
    lr: float | None = None
    d_model: int | None = None
    n_layer: int | None = None
    test_rows: int | None = None
    task_options: dict[str, Any] = field(default_factory=dict)
    mixer_options: dict[str, Any] = field(default_factory=dict)
    out: str | None = None
    overwrite: bool = False
    json: bool = False


_TRAINING = ("steps", "batch_size", "lr", "d_model", "n_layer", "test_rows")


def tasks(config: BenchTasksConfig) -> int:
    """Train small models on synthetic tasks and print a table of mixers x tasks, at the training length and beyond."""
    import sys

    from seqsuite.bench.table import run_tasks
    from seqsuite.bench.tasks import TASKS
    from seqsuite.cli.output import print_json, print_rows

    given = {name: getattr(config, name) for name in _TRAINING}
    result = run_tasks(
        tuple(TASKS) if config.tasks == ("all",) else config.tasks,
        config.mixers,
        seeds=config.seeds,
        preset=config.preset,
        training={name: value for name, value in given.items() if value is not None},
        task_options=config.task_options,
        mixer_options=config.mixer_options,
        out=config.out,
        overwrite=config.overwrite,
        tell=lambda line: print(line, file=sys.stderr, flush=True),
    )
    if config.json:
        print_json(result.as_json())
        return 0
    title = f"Accuracy, mean (least..greatest) of {config.seeds} seeds" if config.seeds > 1 else "Accuracy"
    print_rows(result.table(), title=title)
    return 0
