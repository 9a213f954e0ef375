"""`seqchem properties`."""

from __future__ import annotations

import sys

from seqchem.configs.properties import PropertiesConfig


def properties(config: PropertiesConfig) -> int:
    """Compute properties of molecules with RDKit, or of peptides: a CSV file with columns added, row by row."""
    from pathlib import Path

    from seqchem.chemistry.columns import add_properties
    from seqchem.chemistry.files import writable
    from seqsuite.cli.output import print_json, print_rows

    out = writable(config.out, overwrite=config.overwrite)

    def progress(done: int, total: int) -> None:
        if done % 10_000 == 0 and done < total:
            print(f"{done:,} of {total:,}", file=sys.stderr, flush=True)

    table = add_properties(
        Path(config.input), config.names, language=config.language, sequence_column=config.sequence_column,
        salts=config.salts, on_invalid=config.on_invalid, workers=config.workers, progress=progress,
    )  # fmt: skip
    table.save(out)
    if config.json:
        print_json({"out": str(out), **table.to_dict()})
        return 0
    print_rows([{name: f"{v:.5g}" if isinstance(v, float) else v for name, v in row.items()}
                for row in table.summary()])  # fmt: skip
    print(f"wrote {out}: {table.note()}")
    return 0
