"""`seqdna export`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from seqdna.configs.checkpoints import ExportConfig

if TYPE_CHECKING:
    from seqdna.checkpoints import Transfer


def export(config: ExportConfig) -> int:
    """Write a model in the published layout of its family, for the systems that read it."""
    from seqdna.checkpoints import export_checkpoint

    result = export_checkpoint(config.model, config.out, layout=config.layout, overwrite=config.overwrite)
    show(result, json=config.json)
    return 0


def show(result: Transfer, *, json: bool) -> None:
    """Print what was read and written; what it decided goes to stderr."""
    import dataclasses

    from seqsuite.cli.output import print_json, print_table

    for note in result.notes:
        print(f"seqdna: {note}", file=sys.stderr)
    if json:
        print_json(dataclasses.asdict(result))
    else:
        rows = result.table()
        print_table(tuple(rows[0]), [tuple(row.values()) for row in rows])
