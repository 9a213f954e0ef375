"""`seqchem evaluate`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from seqchem.configs.evaluate import RTEvaluateConfig

if TYPE_CHECKING:
    from pathlib import Path

    from seqchem.api import TrainedRT


def evaluate(config: RTEvaluateConfig) -> int:
    """Compare predicted with measured properties, beside forests and boosting; or measure generated molecules."""
    from seqchem.api import load
    from seqsuite.cli.output import print_json, print_rows

    if config.threads:
        import torch

        torch.set_num_threads(config.threads)
    folder = _place(config)
    model = load(config.run, device=config.device)
    if config.generated:
        return _generated(config, model, folder)
    names = ("part", "properties", "baselines", "train", "sequence_column", "salts", "on_invalid",
             "decode", "beams", "point", "clip", "batch_size")  # fmt: skip
    result = model.evaluate(
        config.data,
        seeds=tuple(range(config.seed, config.seed + config.seeds)),
        threads=config.threads or 1,
        tell=lambda line: print(f"seqchem: {line}", file=sys.stderr, flush=True),
        **{name: getattr(config, name) for name in names},
    )
    written = []
    if folder is not None:
        written.append(f"wrote {result.save(folder)}: evaluation.json, predictions.csv, parity.png, report.html")
    if config.json:
        print_json(result.to_dict())
        return 0
    for test in result.properties:
        print_rows([{name: _short(value) for name, value in row.items()} for row in test.table()])
        print()
    print(*result.notes(), *written, sep="\n")
    return 0


def _place(config: RTEvaluateConfig) -> Path | None:
    """Return the folder to write, found free before anything is measured."""
    from pathlib import Path

    from seqsuite.errors import UserError
    from seqsuite.models.transfer import free_folder

    if config.report and not config.out and not Path(config.run).expanduser().is_dir():
        raise UserError(f"--report: {config.run} is no folder here; give --out")
    place = config.out or (str(Path(config.run).expanduser() / "evaluation") if config.report else "")
    return free_folder(place, config.overwrite) if place else None


def _generated(config: RTEvaluateConfig, model: TrainedRT, folder: Path | None) -> int:
    """Measure generated molecules against the file's, and against the training rows of the run."""
    from seqchem.data import read_table
    from seqchem.evaluation import evaluate_generated, evaluate_peptides, read_generated
    from seqsuite.cli.output import print_json, print_rows
    from seqsuite.errors import UserError
    from seqsuite.models.transfer import make_folder
    from seqsuite.reports import Report
    from seqsuite.training.run_folder import write_json

    language = model.config.language
    if language == "reaction":
        raise UserError("--generated measures molecules and proteins; this model writes reactions")
    sample = read_generated(config.generated)
    rows = read_table(
        config.data,
        sequence_column=config.sequence_column,
        language=model.config.language,
        salts=config.salts,
        on_invalid=config.on_invalid,
    )
    train, note = None, ""
    try:
        train = model.training_table(source=config.train).sequences
    except UserError as error:
        if config.train:
            raise
        note = f"no novelty: {error}"
    measure: Any = evaluate_peptides if language == "protein" else evaluate_generated
    scores = measure(sample.smiles, reference=rows.sequences, train=train, asked=sample.asked, obtained=sample.obtained)
    if folder is not None:
        make_folder(folder)
        write_json(folder / "generated.json", scores.to_dict())
        title = f"Generated {'sequences' if language == 'protein' else 'molecules'}: {config.generated}"
        page = Report(title, subtitle=f"beside {len(rows):,} of {config.data}").table(scores.table())
        page.write(folder / "generated.html")
    if config.json:
        print_json(scores.to_dict())
        return 0
    print_rows([{name: _short(value) for name, value in row.items()} for row in scores.table()])
    lines = [note] if note else []
    lines += [f"wrote {folder}: generated.json, generated.html"] if folder is not None else []
    print(*lines, sep="\n")
    return 0


def _short(value: object) -> object:
    """Return a number as a terminal shows it: five digits; nothing for none."""
    return "" if value is None else f"{value:.5g}" if isinstance(value, float) else value
