"""`seqvision predict`."""

from __future__ import annotations

import sys

from seqvision.configs.predict import PredictConfig

_SHOWN = 10


def predict(config: PredictConfig) -> int:
    """Classify images or videos with a trained model."""
    import os
    from pathlib import Path

    from seqsuite.cli.output import print_json, print_rows
    from seqsuite.errors import UserError
    from seqvision.api import load_classifier
    from seqvision.evaluation import predict as run
    from seqvision.evaluation import short
    from seqvision.evaluation.results import write_figure

    files = [Path(os.path.expanduser(name)) for name in (config.out, config.figure) if name]
    for path in files:
        if not path.parent.is_dir():
            raise UserError(f"{path}: cannot write it, there is no folder {path.parent}")
        if path.exists() and not config.overwrite:
            raise UserError(f"{path} exists; add --overwrite or choose another name")
    model = load_classifier(config.run, device=config.device)
    result = run(model, config.input, top=config.top, batch=config.batch, skip=config.on_error == "skip")
    for _, why in result.skipped:
        print(f"skipped: {why}", file=sys.stderr)
    result.save(files[0])
    if config.figure:
        write_figure(files[1], result.figure())
    if config.json:
        print_json(result.to_dict())
        return 0
    rows = result.table()
    print_rows([{name: short(value) for name, value in row.items()} for row in rows[:_SHOWN]])
    if len(rows) > _SHOWN:
        print(f"... and {len(rows) - _SHOWN} more")
    print(f"wrote {' and '.join(str(path) for path in files)}: {len(rows)} inputs")
    return 0
