"""`seqdna predict`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqdna.configs.predict import PredictConfig

if TYPE_CHECKING:
    from pathlib import Path


def predict(config: PredictConfig) -> int:
    """Predict classes, labels or numbers of sequences with a fine-tuned model."""
    from pathlib import Path

    from seqdna.api import load
    from seqdna.finetuning.head import load_head
    from seqdna.finetuning.predict import predict as run
    from seqsuite.cli.output import print_json, print_table
    from seqsuite.errors import UserError

    out = Path(config.out).expanduser()
    if out.suffix != ".csv":
        raise UserError(f"--out {out} must end in .csv.")
    if not out.parent.is_dir():
        raise UserError(f"--out {out}: cannot write it, there is no folder {out.parent}.")
    if out.exists() and not config.overwrite:
        raise UserError(f"{out} exists; add --overwrite or choose another --out.")
    model = load(config.run, device=config.device)
    head = load_head(config.run)
    sequences = _read(Path(config.input).expanduser(), config.sequence_column)
    result = run(model.model, model.tokenizer, sequences, head, batch_tokens=config.batch_tokens)
    result.save(out)
    if config.json:
        print_json({"out": str(out), "sequences": len(result), "problem": result.problem, "classes": result.classes})
        return 0
    rows = result.table()[:10]
    shown = [[f"{value:.4f}" if isinstance(value, float) else value for value in row.values()] for row in rows]
    print_table(tuple(rows[0]), shown)
    if len(result) > 10:
        print(f"... and {len(result) - 10} more")
    print(f"wrote {out}: {len(result)} sequences")
    return 0


def _read(path: Path, sequence_column: str) -> dict[str, str]:
    """Read name -> sequence from a sequence file or a table; rows of a table are called by their line."""
    from seqdna.finetuning.intervals import load_genome
    from seqdna.finetuning.readers import TABLES, kind_of
    from seqdna.finetuning.tables import read_table

    if kind_of(path) not in TABLES:
        return dict(load_genome(str(path)))
    rows = read_table(path, sequence_column=sequence_column, need_labels=False)
    return dict(zip(rows.places, rows.sequences, strict=True))
