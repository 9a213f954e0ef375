"""`seqaudio predict`."""

from __future__ import annotations

import sys

from seqaudio.configs.classify import PredictConfig


def predict(config: PredictConfig) -> int:
    """Say of which class clips are, with a model of `seqaudio classify`."""
    import os
    from pathlib import Path

    from seqaudio.classification import load_classifier, read_clips
    from seqaudio.classification import predict as run
    from seqsuite.cli.output import print_json, print_table
    from seqsuite.errors import UserError

    out = Path(os.path.expanduser(config.out))
    if out.suffix != ".csv":
        raise UserError(f"--out {out} must end in .csv.")
    if not out.parent.is_dir():
        raise UserError(f"--out {out}: cannot write it, there is no folder {out.parent}.")
    if out.exists() and not config.overwrite:
        raise UserError(f"{out} exists; add --overwrite or choose another --out.")
    classifier = load_classifier(config.run, device=config.device)
    clips, skipped = read_clips(config.input, rate=classifier.rate, npz_rate=config.npz_rate, on_error=config.on_error)
    result = run(classifier, clips, batch=config.batch, skip=config.on_error == "skip")
    result.save(out)
    for _, why in (*skipped, *result.skipped):
        print(f"skipped: {why}", file=sys.stderr)
    if config.json:
        print_json({"out": str(out), "clips": len(result.names), "classes": result.classes})
        return 0
    rows = [
        (name, said, f"{probs.max():.3f}")
        for name, said, probs in zip(result.names[:10], result.predicted, result.probs, strict=False)
    ]
    print_table(("clip", "predicted", "probability"), rows)
    if len(result.names) > 10:
        print(f"... and {len(result.names) - 10} more")
    print(f"wrote {out}: {len(result.names)} clips")
    return 0
