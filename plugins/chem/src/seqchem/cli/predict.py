"""`seqchem predict`."""

from __future__ import annotations

from seqchem.configs.predict import RTPredictConfig


def predict(config: RTPredictConfig) -> int:
    """Predict properties of molecules or proteins: a row for every row of a file, with intervals and warnings."""
    import dataclasses
    from pathlib import Path

    from seqchem.api import load
    from seqsuite.cli.output import print_json, print_rows
    from seqsuite.errors import UserError

    if config.threads:
        import torch

        torch.set_num_threads(config.threads)
    out = Path(config.out).expanduser()
    page = out.with_suffix(".html")
    if not out.parent.is_dir():
        raise UserError(f"--out {out}: cannot write it, there is no folder {out.parent}")
    for path in (out, *([page] if config.report else [])):
        if path.exists() and not config.overwrite:
            raise UserError(f"{path} exists; add --overwrite or choose another --out")
    model = load(config.run, device=config.device)
    names = ("sequence_column", "salts", "on_invalid", "decode", "beams", "point", "level", "clip", "batch_size")
    options = {name: getattr(config, name) for name in names}
    found = model.predict_file(Path(config.input).expanduser(), config.properties or None, **options)
    found.save(out)
    if config.report:
        found.predictions.report(f"Predictions of {model.name}").write(page)
    counts = {"rows": len(found.predictions), "predicted": int(found.predictions.ok.sum())}
    if config.json:
        facts = {"out": str(out), **counts, "skipped": len(found.left_out), "options": dataclasses.asdict(config)}
        print_json(facts | {"notes": found.notes()})
        return 0
    rows = found.table()[:10]
    print_rows([{name: f"{v:.5g}" if isinstance(v, float) else "" if v is None else v for name, v in row.items()}
                for row in rows])  # fmt: skip
    more = [f"... and {counts['rows'] - len(rows)} more"] if counts["rows"] > len(rows) else []
    print(*more, "", *found.notes(), f"wrote {out}: {counts['rows']} rows", sep="\n")
    if config.report:
        print(f"wrote {page}")
    return 0
